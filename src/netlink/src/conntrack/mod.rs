//! Conntrack's table over netlink: listing entries and deleting them.
//!
//! ```text
//!   Filter --list--> Entry, Entry, ...        one dump, picked by the kernel
//!   Entry, Entry, ... --delete--> how many    no transaction: one request each, many in one sendmsg
//! ```
//!
//! # What the kernel does (measured on 6.18; its tests were seen to hold on 6.1, too)
//!
//! * A dump walks the whole hash table whatever it is asked for: 7 ms for 262,144 empty places, 15 ms with 20,000
//!   entries in them, 48 ms with 100,000. Each entry that is copied costs 1.5 us more, which a filter saves.
//! * A dump is no snapshot: entries come and go meanwhile, and one may be listed twice.
//! * Without `NLM_F_ACK` a request is answered only when it is refused, and before `sendmsg` returns. Deleting an entry
//!   takes 2 us.
//! * A request to delete names an entry by what the client sent and by the entry's id; ENOENT says that it is gone. The
//!   id is made of that and of the entry's place in memory (`nf_ct_get_id`), so that a newer entry of the same client
//!   stays, unless it was given the very same place.

mod entry;
mod filter;

use std::io;

use netlink_sys::protocols::NETLINK_NETFILTER;
use nix::errno::Errno;

pub use self::{
    entry::{Entry, Tuple},
    filter::Filter,
};
use crate::{
    attr::{EncodeError, Writer},
    message::{self, Messages},
    socket::Socket,
    uapi::{NFPROTO_IPV4, NFPROTO_IPV6, NLMSG_DONE, ct, flag},
};

/// Room for the refusals of a chunk of requests, each less than 1 KiB in the kernel's count.
const RECEIVE_BUFFER: usize = 1 << 20;

/// Requests in one sendmsg: less than 64 KiB, which an unprivileged send buffer carries.
const CHUNK: usize = 500;

/// Why conntrack's table could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum ConntrackError {
    /// CAP_NET_ADMIN is missing.
    #[error("not permitted to use conntrack: the capability CAP_NET_ADMIN is needed in this network namespace")]
    Denied,
    /// The kernel has no ctnetlink.
    #[error("this kernel does not show its conntrack table: load the module (modprobe nf_conntrack_netlink)")]
    Unsupported,
    /// The kernel answered with another error.
    #[error("the kernel refused a request to conntrack: {0}")]
    Refused(Errno),
    /// The socket failed, or an answer has no end.
    #[error("cannot talk to conntrack over netlink")]
    Io(#[source] io::Error),
    /// A request cannot be written as a netlink message.
    #[error("a request to conntrack cannot be encoded")]
    Encode(#[from] EncodeError),
}

impl From<Errno> for ConntrackError {
    fn from(errno: Errno) -> Self {
        Self::Io(errno.into())
    }
}

/// How a listing ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    /// Everything that was there the whole time was listed.
    Complete,
    /// The table was rebuilt meanwhile or answers were lost: some entries are missing.
    Interrupted,
}

/// A blocking netlink socket that reads and changes the conntrack table of this network namespace.
#[derive(Debug)]
pub struct Conntrack {
    socket: Socket,
    sequence: u32,
}

impl Conntrack {
    /// Opens a socket; the kernel is asked nothing yet.
    ///
    /// # Errors
    /// No netlink socket.
    pub fn open() -> Result<Self, ConntrackError> {
        let mut socket = Socket::open(NETLINK_NETFILTER, RECEIVE_BUFFER).map_err(ConntrackError::Io)?;
        socket.extended_acks().map_err(ConntrackError::Io)?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Gives every entry that a filter chooses to `read`, in no order.
    ///
    /// # Errors
    /// See [`ConntrackError`]; `read` may have had some entries by then.
    pub fn list(&mut self, filter: &Filter, mut read: impl FnMut(Entry)) -> Result<Listing, ConntrackError> {
        match self.dump(filter, |w| filter.put(w), &mut read) {
            // The kernel has no filters of this kind.
            Err(ConntrackError::Refused(Errno::EINVAL | Errno::EOPNOTSUPP)) => {}
            other => return other,
        }
        self.dump(filter, |_| {}, &mut read).map_err(|error| match error {
            // What nfnetlink says of messages that no module takes.
            ConntrackError::Refused(Errno::EINVAL | Errno::EOPNOTSUPP) => ConntrackError::Unsupported,
            other => other,
        })
    }

    fn dump(
        &mut self,
        filter: &Filter,
        content: impl FnOnce(&mut Writer<'_>),
        read: &mut impl FnMut(Entry),
    ) -> Result<Listing, ConntrackError> {
        let (mut request, mut listing) = (Vec::new(), Listing::Complete);
        let wanted = self.write(&mut request, ct::MSG_GET, flag::DUMP, filter.family, content)?;
        self.socket.send(&request)?;
        loop {
            let datagram = match self.socket.receive() {
                Ok(Some(datagram)) => datagram,
                Ok(None) => return Err(ConntrackError::Io(io::ErrorKind::UnexpectedEof.into())),
                Err(Errno::ENOBUFS) => {
                    listing = Listing::Interrupted;
                    continue;
                }
                Err(errno) => return Err(errno.into()),
            };
            for message in Messages::new(datagram).filter(|message| message.sequence == wanted) {
                if message.flags & flag::DUMP_INTR != 0 {
                    listing = Listing::Interrupted;
                }
                let end = match message.kind {
                    NLMSG_DONE => message.errno(),
                    _ => message.ack().map(|ack| ack.errno),
                };
                match end {
                    Some(0) => return Ok(listing),
                    Some(errno) => return Err(refusal(Errno::from_raw(errno))),
                    None => Entry::parse(message.attrs())
                        .filter(|entry| filter.matches(entry))
                        .into_iter()
                        .for_each(&mut *read),
                }
            }
        }
    }

    /// Deletes entries; how many of them were deleted. One that is gone already is passed over, and so is one that the kernel
    /// keeps: before 6.4 those that a flowtable has taken over are busy.
    ///
    /// # Errors
    /// See [`ConntrackError`]; some entries may have been deleted.
    pub fn delete(&mut self, entries: &[Entry]) -> Result<usize, ConntrackError> {
        let mut deleted = 0;
        for chunk in entries.chunks(CHUNK) {
            let mut requests = Vec::new();
            for entry in chunk {
                let family = if entry.original.source.is_ipv4() { NFPROTO_IPV4 } else { NFPROTO_IPV6 };
                self.write(&mut requests, ct::MSG_DELETE, 0, family, |w| entry.put(w))?;
            }
            self.socket.send(&requests)?;
            deleted += chunk.len();
            while let Some(datagram) = self.socket.receive()? {
                for ack in Messages::new(datagram).filter_map(|message| message.ack()) {
                    match Errno::from_raw(ack.errno) {
                        Errno::ENOENT | Errno::EBUSY => deleted = deleted.saturating_sub(1),
                        errno => return Err(refusal(errno)),
                    }
                }
            }
        }
        Ok(deleted)
    }

    /// Adds a request; gives its sequence number.
    fn write(
        &mut self,
        bytes: &mut Vec<u8>,
        msg_type: u8,
        flags: u16,
        family: u8,
        content: impl FnOnce(&mut Writer<'_>),
    ) -> Result<u32, EncodeError> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut error = None;
        let start = message::begin(bytes, message::ctnetlink(msg_type), flags, family, 0);
        content(&mut Writer::new(bytes, &mut error));
        message::end(bytes, start)?;
        message::set_sequence(bytes, start, self.sequence);
        error.map_or(Ok(self.sequence), Err)
    }
}

fn refusal(errno: Errno) -> ConntrackError {
    match errno {
        Errno::EPERM => ConntrackError::Denied,
        errno => ConntrackError::Refused(errno),
    }
}
