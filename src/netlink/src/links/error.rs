//! What can go wrong with links.

use nix::errno::Errno;

use super::ATTEMPTS;
use crate::channel::{ChannelError, RequestError};

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
    /// Others changed addresses during every attempt to list them.
    #[error("addresses changed during each of {ATTEMPTS} attempts to list them: try again later")]
    Interrupted,
    /// Anything else.
    #[error("a request about a link failed")]
    Request(#[source] RequestError),
}

impl From<RequestError> for LinkError {
    fn from(error: RequestError) -> Self {
        if matches!(error, RequestError::Refused(Errno::EPERM)) { Self::Denied } else { Self::Request(error) }
    }
}

impl From<ChannelError> for LinkError {
    fn from(error: ChannelError) -> Self {
        Self::Request(error.into())
    }
}
