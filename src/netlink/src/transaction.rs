//! One nf_tables transaction in one buffer.
//!
//! ```text
//!   BATCH_BEGIN (expected generation)
//!   NEWTABLE, NEWSET, ...              a message is one operation
//!   NEWSETELEM { e0, e1, ... }         a message is many: element k is operation first + k
//!   BATCH_END (please acknowledge)
//! ```
//!
//! The kernel takes a transaction from one `sendmsg` or rolls it back without a word, so the whole of it is in one
//! buffer. Operations are numbered by the caller: a refusal comes back with the number.

use crate::{
    attr::{Attrs, EncodeError, Writer},
    message,
    uapi::{
        NFGEN_HEADER, NFNL_BATCH_GENID, NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END, NFNL_SUBSYS_NFTABLES, NFTA_LIST_ELEM,
        NLMSG_HEADER, elem, flag,
    },
};

/// A list of elements is closed when it has this many bytes: the largest element (64 bytes of key, 64 of data or a
/// chain's name of 255, 256 of user data) still fits below the 64 KiB of an attribute.
const LIST_BYTES: usize = 63 << 10;

/// Buffers above this are given back after a commit: a bulk load must not stay in memory for ever.
const KEPT_BYTES: usize = 1 << 20;

#[derive(Debug, Clone, Copy)]
struct Entry {
    start: usize,
    ops: Ops,
}

#[derive(Debug, Clone, Copy)]
enum Ops {
    /// BATCH_BEGIN and BATCH_END
    None,
    One(usize),
    /// The operation of the first element of the list.
    List(usize),
}

/// The memory of a transaction, kept from one to the next.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

/// A transaction that is being written. Made by [`crate::Connection::transaction`].
#[derive(Debug)]
pub struct Transaction {
    buffers: Buffers,
    error: Option<EncodeError>,
}

impl Transaction {
    pub(crate) fn new(buffers: Buffers, expected: Option<u32>) -> Self {
        let mut tx = Self { buffers, error: None };
        tx.control(NFNL_MSG_BATCH_BEGIN, 0, |w| {
            if let Some(generation) = expected {
                w.be32(NFNL_BATCH_GENID, generation);
            }
        });
        tx
    }

    /// Size of it so far, in bytes, to be compared with [`crate::Connection::capacity`].
    #[must_use]
    pub fn bytes_len(&self) -> usize {
        // BATCH_END comes last and has no attributes.
        self.buffers.bytes.len().saturating_add(NLMSG_HEADER + NFGEN_HEADER)
    }

    /// Adds one message of any kind (`uapi::msg`, `uapi::flag`, `uapi::NFPROTO_*`).
    pub fn message(&mut self, op: usize, msg_type: u8, flags: u16, family: u8, content: impl FnOnce(&mut Writer<'_>)) {
        self.write(Ops::One(op), message::nftables(msg_type), flags, family, 0, content);
    }

    /// Adds a list of elements; one of any length is split into several messages. Item k is operation
    /// `first_op + k`. Adds nothing where there are no items.
    #[expect(clippy::too_many_arguments, reason = "a message's header, an address and its content")]
    pub fn elements<I: IntoIterator>(
        &mut self,
        first_op: usize,
        msg_type: u8,
        flags: u16,
        family: u8,
        table: &str,
        set: &str,
        items: I,
        mut put: impl FnMut(&mut Writer<'_>, I::Item),
    ) {
        let mut items = items.into_iter().peekable();
        let mut op = first_op;
        while items.peek().is_some() {
            self.write(Ops::List(op), message::nftables(msg_type), flags, family, 0, |w| {
                w.str(elem::LIST_TABLE, table);
                w.str(elem::LIST_SET, set);
                w.nest(elem::LIST_ELEMENTS, |w| {
                    let end = w.position().saturating_add(LIST_BYTES);
                    while w.position() < end
                        && let Some(item) = items.next()
                    {
                        w.nest(NFTA_LIST_ELEM, |w| put(w, item));
                        op = op.saturating_add(1);
                    }
                });
            });
        }
    }

    /// A number for a set that no other set of this transaction has.
    pub(crate) fn next_set_id(&self) -> u32 {
        u32::try_from(self.buffers.entries.len()).unwrap_or(u32::MAX)
    }

    fn control(&mut self, kind: u16, flags: u16, content: impl FnOnce(&mut Writer<'_>)) {
        self.write(Ops::None, kind, flags, 0, u16::from(NFNL_SUBSYS_NFTABLES), content);
    }

    fn write(
        &mut self,
        ops: Ops,
        kind: u16,
        flags: u16,
        family: u8,
        resource: u16,
        content: impl FnOnce(&mut Writer<'_>),
    ) {
        let Buffers { bytes, entries } = &mut self.buffers;
        let start = message::begin(bytes, kind, flags, &message::nfgen(family, resource));
        content(&mut Writer::new(bytes, &mut self.error));
        if let Err(error) = message::end(bytes, start) {
            self.error.get_or_insert(error);
        }
        entries.push(Entry { start, ops });
    }

    /// Ends it and numbers its messages from `first` on.
    pub(crate) fn finish(mut self, first: u32) -> Result<Batch, EncodeError> {
        self.control(NFNL_MSG_BATCH_END, flag::ACK, |_| {});
        if let Some(error) = self.error {
            return Err(error);
        }
        let Buffers { bytes, entries } = &mut self.buffers;
        let mut sequence = first;
        for entry in entries.iter() {
            message::set_sequence(bytes, entry.start, sequence);
            sequence = sequence.wrapping_add(1);
        }
        if u32::try_from(entries.len()).is_err() {
            return Err(EncodeError::TooMany);
        }
        Ok(Batch { buffers: self.buffers, first, next: sequence })
    }
}

/// What a sequence number of a batch stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Begin,
    End,
    Op(Option<usize>),
}

/// A transaction that is complete.
#[derive(Debug)]
pub(crate) struct Batch {
    buffers: Buffers,
    first: u32,
    /// The first sequence number after it.
    pub(crate) next: u32,
}

impl Batch {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffers.bytes
    }

    /// The memory, for the next transaction.
    pub(crate) fn recycle(self) -> Buffers {
        let mut buffers = self.buffers;
        if buffers.bytes.capacity() > KEPT_BYTES {
            return Buffers::default();
        }
        buffers.bytes.clear();
        buffers.entries.clear();
        buffers
    }

    /// What the kernel speaks of when it answers `sequence`; `None` when that is no message of this batch.
    pub(crate) fn place(&self, sequence: u32, offset: Option<u32>) -> Option<Place> {
        let index = usize::try_from(sequence.wrapping_sub(self.first)).ok()?;
        let entries = &self.buffers.entries;
        let entry = entries.get(index)?;
        Some(match entry.ops {
            Ops::None if index == 0 => Place::Begin,
            Ops::None => Place::End,
            Ops::One(op) => Place::Op(Some(op)),
            Ops::List(first) => {
                let end = entries.get(index.saturating_add(1)).map_or(self.buffers.bytes.len(), |next| next.start);
                let bytes = self.buffers.bytes.get(entry.start..end)?;
                let attributes = NLMSG_HEADER.saturating_add(NFGEN_HEADER);
                let list = Attrs::new(bytes.get(attributes..)?).get(elem::LIST_ELEMENTS)?;
                // The kernel counts from the start of the message, the list from its own first element.
                let in_list = offset
                    .and_then(|offset| usize::try_from(offset).ok())
                    .and_then(|offset| offset.checked_sub(attributes.saturating_add(list.offset).saturating_add(4)));
                let element =
                    |at: usize| list.nested().position(|e| (e.offset..e.offset + 4 + e.value.len()).contains(&at));
                let index = match in_list {
                    Some(at) => element(at),
                    // Without an offset, a list of one still says which.
                    None => (list.nested().count() == 1).then_some(0),
                };
                Place::Op(index.map(|index| first.saturating_add(index)))
            }
        })
    }
}
