//! Conntrack's table over netlink: listing entries and deleting them.
//!
//! ```text
//!   Filter --list--> Entry, Entry, ...        one dump, picked by the kernel
//!   Entry, Entry, ... --delete--> how many    no transaction: one request each, over one [channel](crate::Channel)
//! ```
//!
//! # What the kernel does (measured on 6.18; its tests were seen to hold on 6.1, too)
//!
//! * A dump walks the whole hash table whatever it is asked for: 7 ms for 262,144 empty places, 15 ms with 20,000
//!   entries in them, 48 ms with 100,000. Each entry that is copied costs 1.5 us more, which a filter saves.
//! * A dump is no snapshot: entries come and go meanwhile, and one may be listed twice.
//! * Deleting an entry takes 2 us.
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
pub use crate::channel::Listing;
use crate::{
    attr::{EncodeError, Writer},
    channel::{Answer, Answers, Channel, ChannelError, Requests},
    message,
    uapi::{NFPROTO_IPV4, NFPROTO_IPV6, ct},
};

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

impl From<ChannelError> for ConntrackError {
    fn from(error: ChannelError) -> Self {
        match error {
            ChannelError::Io(error) => Self::Io(error),
            ChannelError::Encode(error) => Self::Encode(error),
        }
    }
}

/// A blocking netlink socket that reads and changes the conntrack table of this network namespace.
#[derive(Debug)]
pub struct Conntrack {
    channel: Channel,
}

impl Conntrack {
    /// Opens a socket; the kernel is asked nothing yet.
    ///
    /// # Errors
    /// No netlink socket.
    pub fn open() -> Result<Self, ConntrackError> {
        Ok(Self { channel: Channel::open(NETLINK_NETFILTER).map_err(ConntrackError::Io)? })
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
        let head = message::nfgen(filter.family, 0);
        let mut end = Err(lost());
        self.channel.ask(
            |requests| requests.add(message::ctnetlink(ct::MSG_GET), 0, Answers::List, &head, content),
            |answer| match answer {
                Answer::Object(object) => {
                    Entry::parse(object.attrs()).filter(|entry| filter.matches(entry)).into_iter().for_each(&mut *read);
                }
                Answer::Done => end = Ok(Listing::Complete),
                Answer::Interrupted => end = Ok(Listing::Interrupted),
                Answer::Refused(errno, _) => end = Err(refusal(errno)),
                Answer::Lost => {}
            },
        )?;
        end
    }

    /// Deletes entries; how many of them were deleted. One that is gone already is passed over, and so is one that the kernel
    /// keeps: before 6.4 those that a flowtable has taken over are busy.
    ///
    /// # Errors
    /// See [`ConntrackError`]; some entries may have been deleted.
    pub fn delete(&mut self, entries: &[Entry]) -> Result<usize, ConntrackError> {
        let mut requests = Requests::default();
        for entry in entries {
            let family = if entry.original.source.is_ipv4() { NFPROTO_IPV4 } else { NFPROTO_IPV6 };
            let (kind, head) = (message::ctnetlink(ct::MSG_DELETE), message::nfgen(family, 0));
            requests.add(kind, 0, Answers::None, &head, |w| entry.put(w));
        }
        let (mut deleted, mut failed) = (0_usize, None);
        self.channel.run(&mut requests, |_, answer| match answer {
            Answer::Refused(Errno::ENOENT | Errno::EBUSY, _) | Answer::Object(_) => {}
            Answer::Refused(errno, _) => drop(failed.get_or_insert(refusal(errno))),
            Answer::Lost => drop(failed.get_or_insert(lost())),
            Answer::Done | Answer::Interrupted => deleted = deleted.saturating_add(1),
        })?;
        failed.map_or(Ok(deleted), Err)
    }
}

fn lost() -> ConntrackError {
    ConntrackError::Io(io::ErrorKind::UnexpectedEof.into())
}

fn refusal(errno: Errno) -> ConntrackError {
    match errno {
        Errno::EPERM => ConntrackError::Denied,
        errno => ConntrackError::Refused(errno),
    }
}
