//! A connection to nf_tables: transactions and the generation of the ruleset.
//!
//! Everything here blocks for as long as the kernel works (the commit runs inside `sendmsg`), so it belongs on a
//! thread of its own, never on an async worker.

use std::{
    io, mem,
    os::fd::{AsFd, BorrowedFd},
};

use netlink_sys::protocols::NETLINK_NETFILTER;
use nix::errno::Errno;

use crate::{
    attr::{Attrs, Writer},
    channel::{Answer, Answers, Channel},
    error::{CommitError, DumpError, Malformed, OpenError, Refusal},
    message::{self, Messages},
    transaction::{Batch, Buffers, Place, Transaction},
    uapi::{NFTA_GEN_ID, msg},
};

/// Room for the refusals of a transaction: 40,000 where the size is granted.
const RECEIVE_BUFFER: usize = 16 << 20;

/// A blocking netlink socket that reads and changes nf_tables in this network namespace.
#[derive(Debug)]
pub struct Connection {
    pub(crate) channel: Channel,
    capacity: usize,
    /// Whether the kernel acknowledges BATCH_END (6.10 and newer); found out by trying, not by version.
    acknowledges_end: bool,
    spare: Buffers,
}

impl Connection {
    /// Opens a connection and finds out what the kernel and the socket can do.
    ///
    /// # Errors
    /// No nf_tables, no CAP_NET_ADMIN, or no socket.
    pub fn open() -> Result<Self, OpenError> {
        let channel = Channel::with_room(NETLINK_NETFILTER, RECEIVE_BUFFER).map_err(|error| {
            match error.raw_os_error().map(Errno::from_raw) {
                Some(Errno::EPROTONOSUPPORT | Errno::EAFNOSUPPORT) => OpenError::Unsupported,
                _ => OpenError::Socket(error),
            }
        })?;
        let capacity = channel.socket.maximise_send_buffer().map_err(OpenError::Socket)?;
        let mut connection = Self { channel, capacity, acknowledges_end: false, spare: Buffers::default() };
        let empty = connection.transaction(None);
        connection.acknowledges_end = connection.send(empty).map_err(|error| match error {
            CommitError::Denied => OpenError::Denied,
            CommitError::Unsupported => OpenError::Unsupported,
            other => OpenError::Probe(Box::new(other)),
        })?;
        Ok(connection)
    }

    /// This connection's netlink port: notifications of its own changes carry it.
    #[must_use]
    pub fn port_id(&self) -> u32 {
        self.channel.socket.port_id()
    }

    /// The largest transaction that this connection can send, in bytes.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.capacity
    }

    /// Takes a send buffer of this size in place of the largest to be had, as it is where that is all that there is.
    ///
    /// # Errors
    /// When the kernel does not let us.
    pub fn limit_send_buffer(&mut self, bytes: usize) -> io::Result<()> {
        self.capacity = self.channel.socket.limit_send_buffer(bytes)?;
        Ok(())
    }

    /// Starts a transaction; with `expected` it fails as stale unless the ruleset still has that generation.
    pub fn transaction(&mut self, expected: Option<u32>) -> Transaction {
        Transaction::new(mem::take(&mut self.spare), expected)
    }

    /// Applies a transaction: all of it or nothing. Afterwards, whatever happened, the connection can be used again.
    ///
    /// # Errors
    /// See [`CommitError`]; only after `Unknown` may it have been applied.
    pub fn commit(&mut self, transaction: Transaction) -> Result<(), CommitError> {
        let acknowledged = self.send(transaction)?;
        if acknowledged || !self.acknowledges_end {
            return Ok(());
        }
        let missing = io::Error::new(io::ErrorKind::UnexpectedEof, "no acknowledgement and no refusal");
        Err(CommitError::Unknown(missing))
    }

    /// Sends a transaction and reads its answers; whether its end was acknowledged.
    fn send(&mut self, transaction: Transaction) -> Result<bool, CommitError> {
        let batch = transaction.finish(self.channel.sequence)?;
        self.channel.sequence = batch.next;
        let result = match self.channel.socket.send(batch.bytes()) {
            Ok(()) => self.answers(&batch),
            Err(Errno::EMSGSIZE) => Err(CommitError::TooLarge { bytes: batch.bytes().len(), capacity: self.capacity }),
            Err(errno) => Err(CommitError::NotSent(errno.into())),
        };
        self.spare = batch.recycle();
        result
    }

    fn answers(&mut self, batch: &Batch) -> Result<bool, CommitError> {
        let (mut acknowledged, mut lost, mut refusals) = (false, None, Vec::new());
        while !acknowledged {
            let datagram = match self.channel.socket.receive() {
                Ok(Some(datagram)) => datagram,
                Ok(None) => break,
                Err(errno @ Errno::ENOBUFS) => {
                    lost = Some(errno);
                    continue;
                }
                Err(errno) => return Err(CommitError::Unknown(errno.into())),
            };
            for answer in Messages::new(datagram) {
                let Some(ack) = answer.ack() else { continue };
                // An answer to an earlier request has a number of no message of this batch.
                let Some(place) = batch.place(answer.sequence, ack.offset) else { continue };
                let op = match (place, Errno::from_raw(ack.errno)) {
                    (Place::End, _) if ack.errno == 0 => {
                        acknowledged = true;
                        continue;
                    }
                    (_, _) if ack.errno == 0 => continue,
                    (Place::Begin, Errno::EPERM) => return Err(CommitError::Denied),
                    (Place::Begin, Errno::ERESTART) => return Err(CommitError::Stale),
                    (Place::Begin, Errno::EOPNOTSUPP) => return Err(CommitError::Unsupported),
                    (Place::Begin | Place::End, _) => None,
                    (Place::Op(op), _) => op,
                };
                refusals.push(Refusal { op, errno: Errno::from_raw(ack.errno), text: ack.text.map(str::to_owned) });
            }
        }
        match lost {
            // One refusal is enough for the kernel to roll all of it back.
            _ if !refusals.is_empty() => Err(CommitError::Refused(refusals)),
            Some(errno) if !acknowledged => Err(CommitError::Unknown(errno.into())),
            _ => Ok(acknowledged),
        }
    }

    /// The generation of the ruleset: it rises by one with each transaction of anybody in this network namespace
    /// that changes something, and wraps around.
    ///
    /// # Errors
    /// As for any other request.
    pub fn generation(&mut self) -> Result<u32, DumpError> {
        let id = self.get(msg::GETGEN, 0, |_| {}, |attrs| attrs.get(NFTA_GEN_ID).and_then(|attr| attr.be32()));
        id?.ok_or(Malformed { object: "generation", attribute: "number" }.into())
    }

    /// Asks for one object; `read` gets what the answer says.
    pub(crate) fn get<T>(
        &mut self,
        msg_type: u8,
        family: u8,
        request: impl FnOnce(&mut Writer<'_>),
        read: impl Fn(Attrs<'_>) -> T,
    ) -> Result<T, DumpError> {
        let head = message::nfgen(family, 0);
        let mut result = None;
        self.channel.ask(
            |requests| requests.add(message::nftables(msg_type), 0, Answers::One, &head, request),
            |answer| match answer {
                Answer::Object(object) => result = Some(Ok(read(object.attrs()))),
                Answer::Refused(errno, _) => result = Some(Err(DumpError::from_errno(errno))),
                Answer::Done | Answer::Interrupted | Answer::Lost => {}
            },
        )?;
        result.unwrap_or_else(|| Err(DumpError::Io(io::ErrorKind::UnexpectedEof.into())))
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}
