//! The kernel's nf_tables as a [`Backend`]: reads our tables, writes transactions, and knows whether somebody else
//! has been there.
//!
//! ```text
//!   generation   counts the commits of everybody in this network namespace
//!     expected   what it must be for our knowledge to be true: each transaction of ours names it, and the kernel
//!                refuses the transaction (ERESTART) when it is another
//!     watch      tells which tables the commits of others touched: where ours are not among them, we go on from
//!                their generation without reading anything
//! ```

use std::{
    ops::Range,
    os::fd::{AsFd, BorrowedFd},
};

use portolan_core::{
    addr::Family,
    object::{ApplyError, Backend, BackendError, Batch, Editor, Figure, Moved, Op, Stats},
};
use portolan_netlink::{Author, CommitError, Connection, Transaction, Watch};

use super::{
    dialect::TableDialect,
    encode::{Expectation, encode},
    error::{Error, apply_error, failed},
    figures::figures,
    key::Key,
    lower::protocol_family,
    observe::{self, Observed},
    second::Names,
    value::Value,
};

/// Bytes that one transaction may have. The kernel works on 2 MiB for about 12 ms (32 of them for 100,000 Services took it
/// 0.4 s), during which no other program can change its rules.
const BATCH_BYTES: usize = 2 << 20;

/// A transaction of more operations is not watched: a listening socket makes the kernel build a notification for each
/// (0.3 s of CPU becomes 0.8 s for 100,000 Services, and several seconds once the socket's buffer is full).
const WATCHED_OPS: usize = 1000;

/// How often in a row the commits of others may come first. Each try takes the kernel microseconds.
const TRIES: u32 = 16;

/// The tables of a layout in the nf_tables of the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Tables<L: TableDialect> {
    layout: L,
    connection: Connection,
    watching: bool,
    watch: Option<Watch>,
    expected: u32,
    /// Of our sets, as they were last observed or written.
    names: Names<L>,
    /// Something of ours may not be as we know it.
    moved: bool,
}

impl<L: TableDialect> Tables<L> {
    /// For commands that read or write once.
    ///
    /// # Errors
    /// No socket, no permission (CAP_NET_ADMIN in this network namespace) or no nf_tables.
    pub fn open() -> Result<Self, Error> {
        Self::new(false)
    }

    /// For a daemon, which hears of the changes of others as they happen.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn watching() -> Result<Self, Error> {
        Self::new(true)
    }

    fn new(watching: bool) -> Result<Self, Error> {
        let mut connection = Connection::open()?;
        let watch = if watching { Some(Watch::open()?) } else { None };
        let expected = connection.generation()?;
        let names = Names::default();
        Ok(Self { layout: L::default(), connection, watching, watch, expected, names, moved: true })
    }

    /// The same with a send buffer of this size, which is all that there is in a user namespace: twice
    /// `net.core.wmem_max`, and that is 208 KiB as a rule.
    ///
    /// # Errors
    /// When the kernel does not let us.
    #[cfg(feature = "testing")]
    pub fn with_send_buffer(mut self, bytes: usize) -> std::io::Result<Self> {
        self.connection.limit_send_buffer(bytes)?;
        Ok(self)
    }

    /// The connection, for what else is read by it.
    pub(crate) const fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Which of our tables are there.
    ///
    /// # Errors
    /// When the kernel cannot be read.
    pub(crate) fn tables(&mut self) -> Result<Vec<Family>, Error> {
        let mut there = Vec::new();
        for family in Family::ALL {
            if self.connection.table(protocol_family(family), L::TABLE)?.is_some() {
                there.push(family);
            }
        }
        Ok(there)
    }

    /// Reads what was notified. Commits of others that touched nothing of ours move the expected generation on.
    fn hear(&mut self) -> Result<(), Error> {
        let Some(watch) = &mut self.watch else { return Ok(()) };
        let drained = watch.drain(self.connection.port_id(), |change| {
            let ours = Family::ALL.iter().any(|family| protocol_family(*family) == change.family);
            ours && change.table == L::TABLE
        })?;
        self.moved |= drained.touched || drained.lost;
        if let Some(generation) = drained.foreign_generation
            && !self.moved
            && is_newer(generation, self.expected)
        {
            self.expected = generation;
        }
        Ok(())
    }

    fn observe_tables(&mut self) -> Result<Observed<L>, Error> {
        if self.watching && self.watch.is_none() {
            self.watch = Some(Watch::open()?);
        }
        // What happens from here on is notified, so nothing is missed whenever the reading ends.
        self.hear()?;
        self.moved = false;
        self.expected = self.connection.generation()?;
        let mut objects = Vec::new();
        for family in Family::ALL {
            objects.append(&mut self.observe_table(family)?);
        }
        if self.watch.is_none() {
            self.moved = self.connection.generation()? != self.expected;
        }
        Ok(objects)
    }

    /// A table that goes while it is read is read again: it is not there, or another is.
    fn observe_table(&mut self, family: Family) -> Result<Observed<L>, Error> {
        for _ in 1..TRIES {
            match observe::observe(&mut self.connection, family, &mut self.names) {
                Err(error) if error.is_not_found() => {}
                result => return Ok(result?),
            }
        }
        Ok(observe::observe(&mut self.connection, family, &mut self.names)?)
    }

    fn has_moved(&mut self) -> Result<bool, Error> {
        for _ in 0..TRIES {
            self.hear()?;
            if self.moved || self.connection.generation()? == self.expected {
                return Ok(self.moved);
            }
            if self.watch.is_none() {
                break;
            }
            // Somebody commits at this moment: the notification follows the new generation.
        }
        self.moved = true;
        Ok(true)
    }

    fn commit(&mut self, batch: &Batch<L>) -> Result<(), ApplyError> {
        let mut names = self.names.clone();
        for part in parts(batch, self.batch_bytes()) {
            let (before, part) = (names.clone(), &part);
            let sent = self.transact(|tx| {
                names.clone_from(&before);
                encode(batch, part.clone(), Expectation::AsKnown, &mut names, tx);
            });
            // What the parts before have made is not known to anybody yet.
            self.moved |= sent.is_err() && part.start > 0;
            sent?;
        }
        self.names = names;
        Ok(())
    }

    /// Sends a transaction, which is written anew where others came first without touching anything of ours.
    fn transact(&mut self, mut write: impl FnMut(&mut Transaction)) -> Result<(), ApplyError> {
        for _ in 0..TRIES {
            let mut tx = self.connection.transaction(Some(self.expected));
            write(&mut tx);
            match self.connection.commit(tx) {
                Ok(()) => {
                    self.expected = next_generation(self.expected);
                    return Ok(());
                }
                Err(CommitError::Stale) => {
                    let before = self.expected;
                    self.hear().map_err(failed)?;
                    if self.moved || self.watch.is_none() || self.expected == before {
                        self.moved = true;
                        return Err(ApplyError::Moved);
                    }
                }
                Err(error) => return Err(apply_error(error)),
            }
        }
        Err(ApplyError::Moved)
    }

    /// Removes what sets were before they were replaced by larger ones: nothing reads them any more. Whether it succeeds or
    /// not, the batch was applied; what is left is found when the kernel is observed.
    fn remove_replaced(&mut self, batch: &Batch<L>) {
        let names = self.names.clone();
        let replaced: Vec<_> = batch
            .ops
            .iter()
            .filter_map(|op| match op {
                Op::Rebuild(Key::Set(family, set)) => Some((*family, names.other(*family, *set))),
                _ => None,
            })
            .collect();
        let delete = |tx: &mut Transaction| {
            replaced.iter().for_each(|(family, name)| tx.delete_set(0, protocol_family(*family), L::TABLE, name));
        };
        if !replaced.is_empty() && self.transact(delete).is_err() {
            self.moved = true;
        }
    }

    /// Watches again after a transaction during which it did not.
    fn watch_again(&mut self) -> Result<(), Error> {
        if self.watching && self.watch.is_none() {
            self.watch = Some(Watch::open()?);
            self.moved |= self.connection.generation()? != self.expected;
        }
        Ok(())
    }
}

impl<L: TableDialect> Backend for Tables<L> {
    type Dialect = L;

    fn dialect(&self) -> &L {
        &self.layout
    }

    fn observe(&mut self) -> Result<Vec<(Key<L>, Value<L>)>, BackendError> {
        self.observe_tables().map_err(BackendError::new)
    }

    fn apply(&mut self, batch: &Batch<L>) -> Result<(), ApplyError> {
        if batch.ops.len() > WATCHED_OPS {
            self.hear().map_err(failed)?;
            if self.moved {
                return Err(ApplyError::Moved);
            }
            self.watch = None;
        }
        let result = self.commit(batch);
        if result.is_ok() {
            self.remove_replaced(batch);
        }
        if self.watch_again().is_err() {
            // Nothing is known of others from here on; the outcome of the batch is.
            self.moved = true;
        }
        result
    }

    fn apply_beside(&mut self, batch: &Batch<L>) -> Result<(), ApplyError> {
        // Nor is a set replaced while it is not known what is in it.
        let grows = matches!(batch.ops.first(), Some(Op::Rebuild(Key::Set(..))));
        if batch.ops.len() > WATCHED_OPS || grows {
            return Err(ApplyError::Moved);
        }
        let mut tx = self.connection.transaction(None);
        encode(batch, 0..batch.ops.len(), Expectation::Whatever, &mut self.names, &mut tx);
        // Which generation it makes is not known.
        self.moved = true;
        self.connection.commit(tx).map_err(apply_error)
    }

    fn moved(&mut self) -> Result<Moved, BackendError> {
        let moved = self.has_moved().map_err(BackendError::new)?;
        Ok(if moved { Moved::Yes } else { Moved::No })
    }

    fn editor(&mut self) -> Option<Editor> {
        // The end of a commit whose objects were heard of may be heard of by now. What goes wrong is told by who needs it.
        let _ = self.hear();
        self.watch.as_mut()?.author().map(|Author { process, program }| Editor { program, process })
    }

    fn figures(&self, stats: &Stats) -> Vec<Figure> {
        figures(stats)
    }

    fn batch_bytes(&self) -> usize {
        BATCH_BYTES.min(self.connection.capacity())
    }

    fn wakers(&self) -> Vec<BorrowedFd<'_>> {
        self.watch.iter().map(AsFd::as_fd).collect()
    }
}

/// What of a batch is one transaction: all of it, but for a larger set, which nobody reads before the last one. The rules that
/// are to read it are in the last one together, whatever they weigh.
fn parts<L: TableDialect>(batch: &Batch<L>, limit: usize) -> Vec<Range<usize>> {
    let (mut parts, mut first, mut bytes) = (Vec::new(), 0, 0);
    if matches!(batch.ops.first(), Some(Op::Rebuild(Key::Set(..)))) {
        let (mut end, mut rules) = (0, 0);
        for (index, op) in batch.ops.iter().enumerate() {
            match op {
                Op::Add(key @ Key::Element(..), value) => {
                    let weight = L::weight(key, value);
                    if bytes + weight > limit {
                        parts.push(first..index);
                        (first, bytes) = (index, 0);
                    }
                    bytes += weight;
                    end = index + 1;
                }
                Op::Add(key, value) | Op::Replace(key, value, _) => rules += L::weight(key, value),
                Op::Remove(..) | Op::Rebuild(_) => {}
            }
        }
        if bytes > 0 && bytes + rules > limit && end < batch.ops.len() {
            parts.push(first..end);
            first = end;
        }
    }
    parts.push(first..batch.ops.len());
    parts
}

/// Whether a generation comes after another: they are counted up and begin anew after 2^32.
const fn is_newer(generation: u32, than: u32) -> bool {
    let ahead = generation.wrapping_sub(than);
    ahead != 0 && ahead < 1 << 31
}

/// The kernel skips 0, which says "no generation" in a transaction.
const fn next_generation(generation: u32) -> u32 {
    match generation.wrapping_add(1) {
        0 => 1,
        next => next,
    }
}
