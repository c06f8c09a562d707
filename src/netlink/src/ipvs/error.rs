//! What can go wrong with IPVS.

use std::io;

use nix::errno::Errno;

use crate::{
    attr::EncodeError,
    channel::{ChannelError, ReadError},
    error::Malformed,
};

/// Why IPVS could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum IpvsError {
    /// The kernel has no IPVS.
    #[error("this kernel has no IPVS: load the module (modprobe ip_vs) or choose another mode")]
    Unsupported,
    /// CAP_NET_ADMIN is missing. IPVS asks for it also where it is only read, and not in a user namespace (`GENL_ADMIN_PERM`).
    #[error("not permitted to use IPVS: the capability CAP_NET_ADMIN is needed, and not in a user namespace")]
    Denied,
    /// The kernel answered with another error.
    #[error("the kernel refused a request to IPVS: {0}")]
    Refused(Errno),
    /// The answer is lost: read to find out.
    #[error("the kernel's answer to a request to IPVS is lost: it may have been done or not")]
    Unknown(#[source] io::Error),
    /// The socket failed.
    #[error("cannot talk to IPVS over netlink")]
    Io(#[source] io::Error),
    /// The answer is not what IPVS sends.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A request cannot be written as a netlink message; none was sent.
    #[error("a request to IPVS cannot be encoded")]
    Encode(#[from] EncodeError),
}

impl From<ChannelError> for IpvsError {
    fn from(error: ChannelError) -> Self {
        match error {
            ChannelError::Io(error) => Self::Unknown(error),
            ChannelError::Encode(error) => Self::Encode(error),
        }
    }
}

impl From<ReadError> for IpvsError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Channel(error) => error.into(),
            ReadError::Refused(Errno::EPERM) => Self::Denied,
            ReadError::Refused(errno) => Self::Refused(errno),
            ReadError::Malformed(malformed) => Self::Malformed(malformed),
        }
    }
}
