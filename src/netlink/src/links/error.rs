//! What can go wrong with links.

use std::io;

use nix::errno::Errno;

use super::ATTEMPTS;
use crate::{
    attr::EncodeError,
    channel::{ChannelError, ReadError},
    error::Malformed,
};

/// Why links could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// CAP_NET_ADMIN is missing.
    #[error("not permitted to change links: the capability CAP_NET_ADMIN is needed in this network namespace")]
    Denied,
    /// The kernel has no links of this kind.
    #[error("this kernel has no links of the kind {kind}: load the module (modprobe {kind})")]
    Unsupported {
        /// Which.
        kind: String,
    },
    /// The kernel answered with another error.
    #[error("the kernel refused a request about a link: {0}")]
    Refused(Errno),
    /// Others changed addresses during every attempt to list them.
    #[error("addresses changed during each of {ATTEMPTS} attempts to list them: try again later")]
    Interrupted,
    /// The answer is lost: read to find out.
    #[error("the kernel's answer to a request about a link is lost: it may have been done or not")]
    Unknown(#[source] io::Error),
    /// The socket failed.
    #[error("cannot ask about links over netlink")]
    Io(#[source] io::Error),
    /// The answer is not what rtnetlink sends.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A request cannot be written as a netlink message; none was sent.
    #[error("a request about a link cannot be encoded")]
    Encode(#[from] EncodeError),
}

impl From<ChannelError> for LinkError {
    fn from(error: ChannelError) -> Self {
        match error {
            ChannelError::Io(error) => Self::Unknown(error),
            ChannelError::Encode(error) => Self::Encode(error),
        }
    }
}

impl From<ReadError> for LinkError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Channel(error) => error.into(),
            ReadError::Refused(Errno::EPERM) => Self::Denied,
            ReadError::Refused(errno) => Self::Refused(errno),
            ReadError::Malformed(malformed) => Self::Malformed(malformed),
        }
    }
}
