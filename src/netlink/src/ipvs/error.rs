//! What can go wrong with IPVS.

use nix::errno::Errno;

use crate::channel::{ChannelError, RequestError};

/// Why IPVS could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum IpvsError {
    /// The kernel has no IPVS.
    #[error("this kernel has no IPVS: load the module (modprobe ip_vs) or choose another mode")]
    Unsupported,
    /// CAP_NET_ADMIN is missing. IPVS asks for it also where it is only read, and not in a user namespace (`GENL_ADMIN_PERM`).
    #[error("not permitted to use IPVS: the capability CAP_NET_ADMIN is needed, and not in a user namespace")]
    Denied,
    /// Anything else.
    #[error("a request to IPVS failed")]
    Request(#[source] RequestError),
}

impl From<RequestError> for IpvsError {
    fn from(error: RequestError) -> Self {
        if matches!(error, RequestError::Refused(Errno::EPERM)) { Self::Denied } else { Self::Request(error) }
    }
}

impl From<ChannelError> for IpvsError {
    fn from(error: ChannelError) -> Self {
        Self::Request(error.into())
    }
}
