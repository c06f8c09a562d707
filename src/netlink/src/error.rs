//! What can go wrong, sorted by what a caller does about it.

use std::{fmt, io};

use nix::errno::Errno;

use crate::{attr::EncodeError, channel::ChannelError};

/// A message from the kernel that is not what its protocol has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the kernel's message about a {object} lacks a readable {attribute}")]
pub struct Malformed {
    /// What the message is about.
    pub object: &'static str,
    /// Which part of it.
    pub attribute: &'static str,
}

/// Why no connection could be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The kernel has no nf_tables.
    #[error("this kernel has no nf_tables: load the module (modprobe nf_tables) or choose another mode")]
    Unsupported,
    /// CAP_NET_ADMIN is missing.
    #[error("not permitted to use nf_tables: the capability CAP_NET_ADMIN is needed in this network namespace")]
    Denied,
    /// Anything else that the socket answered.
    #[error("cannot use a netlink socket for netfilter")]
    Socket(#[source] io::Error),
    /// The empty transaction that finds out what the kernel can do went wrong.
    #[error("the kernel does not answer an empty nf_tables transaction")]
    Probe(#[source] Box<CommitError>),
}

/// One message, or one element of a list, that the kernel did not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Which operation of the transaction; `None` where the kernel does not say it.
    pub op: Option<usize>,
    /// Why.
    pub errno: Errno,
    /// What the kernel says in words, where it does.
    pub text: Option<String>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.op {
            Some(op) => write!(f, "operation {op}: {}", self.errno)?,
            None => write!(f, "the transaction: {}", self.errno)?,
        }
        self.text.as_ref().map_or(Ok(()), |text| write!(f, " ({text})"))
    }
}

/// Why a transaction was not, or may not have been, applied. Only after [`CommitError::Unknown`] may the kernel
/// have applied it; after every other one nothing of it was.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The kernel refused these parts and therefore all of it.
    #[error("the kernel refused {} of the transaction's operations; {}", .0.len(), first(.0))]
    Refused(Vec<Refusal>),
    /// The ruleset changed since the generation that the transaction expects: look at it again.
    #[error("the ruleset was changed by another program since it was read")]
    Stale,
    /// More than one sendmsg carries here: make smaller transactions.
    #[error(
        "a transaction of {bytes} bytes does not fit into the socket's {capacity}: run with CAP_NET_ADMIN outside of \
         a user namespace, or raise the sysctl net.core.wmem_max to {bytes}"
    )]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// [`crate::Connection::capacity`]
        capacity: usize,
    },
    /// CAP_NET_ADMIN is missing.
    #[error("not permitted to change nf_tables: the capability CAP_NET_ADMIN is needed in this network namespace")]
    Denied,
    /// The kernel has no nf_tables.
    #[error("this kernel has no nf_tables: load the module (modprobe nf_tables) or choose another mode")]
    Unsupported,
    /// The socket did not take it, for instance for want of memory.
    #[error("the transaction could not be sent")]
    NotSent(#[source] io::Error),
    /// The answer is lost: observe to find out.
    #[error("the kernel's answer to a transaction is lost: it may have been applied or not")]
    Unknown(#[source] io::Error),
    /// It cannot be written as netlink messages.
    #[error("the transaction cannot be encoded")]
    Encode(#[from] EncodeError),
}

fn first(refusals: &[Refusal]) -> impl fmt::Display {
    refusals.first().map_or_else(|| "no reason given".to_owned(), |refusal| format!("first {refusal}"))
}

/// Why the kernel's state could not be read.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// The table or set that the request names is not there.
    #[error("there is no such table or set")]
    NotFound,
    /// Others changed the ruleset during every attempt.
    #[error("the ruleset changed during each of {attempts} attempts to read it: try again later")]
    Interrupted {
        /// How often it was tried.
        attempts: u32,
    },
    /// CAP_NET_ADMIN is missing.
    #[error("not permitted to read nf_tables: the capability CAP_NET_ADMIN is needed in this network namespace")]
    Denied,
    /// The kernel answered with another error.
    #[error("the kernel refused to list nf_tables objects: {errno}")]
    Refused {
        /// Which.
        errno: Errno,
    },
    /// The socket failed, or the answer has no end.
    #[error("cannot read the kernel's answer")]
    Io(#[source] io::Error),
    /// The answer is not what nf_tables sends.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The request cannot be written as a netlink message.
    #[error("the request cannot be encoded")]
    Encode(#[from] EncodeError),
}

impl DumpError {
    pub(crate) const fn from_errno(errno: Errno) -> Self {
        match errno {
            Errno::ENOENT => Self::NotFound,
            Errno::EPERM => Self::Denied,
            errno => Self::Refused { errno },
        }
    }

    /// Whether the table or set that was asked for is not there.
    #[must_use]
    pub const fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound)
    }
}

impl From<ChannelError> for DumpError {
    fn from(error: ChannelError) -> Self {
        match error {
            ChannelError::Io(error) => Self::Io(error),
            ChannelError::Encode(error) => Self::Encode(error),
        }
    }
}

/// Why the ruleset cannot be watched.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The socket could not be made or joined to a group.
    #[error("cannot subscribe to notifications of the kernel")]
    Open(#[source] io::Error),
    /// The socket failed.
    #[error("cannot read notifications of the kernel")]
    Read(#[source] io::Error),
}
