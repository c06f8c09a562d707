//! What goes wrong with the kernel's nf_tables, and what it says of a batch.

use portolan_core::object::{ApplyError, BackendError, CarriedOut, Cause, Refusal};
use portolan_netlink::{CommitError, DumpError, Errno, OpenError, WatchError};

/// The kernel's nf_tables cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No socket, no permission or no nf_tables.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The ruleset cannot be read.
    #[error("cannot read Portolan's tables of nf_tables: {0}")]
    Dump(#[from] DumpError),
    /// The ruleset cannot be changed.
    #[error("cannot change Portolan's tables of nf_tables: {0}")]
    Commit(#[from] CommitError),
    /// Changes by others cannot be heard of.
    #[error(transparent)]
    Watch(#[from] WatchError),
}

pub(super) fn failed(error: Error) -> ApplyError {
    ApplyError::Failed(BackendError::new(error))
}

/// What a commit that failed says of a batch.
pub(super) fn apply_error(error: CommitError) -> ApplyError {
    match error {
        CommitError::Refused(refusals) => ApplyError::Refused {
            refusals: refusals
                .into_iter()
                .map(|refusal| Refusal { op: refusal.op, cause: cause(refusal.errno, refusal.text) })
                .collect(),
            carried_out: CarriedOut::Nothing,
        },
        CommitError::Stale => ApplyError::Moved,
        CommitError::TooLarge { .. } => ApplyError::TooLarge(BackendError::new(Error::from(error))),
        CommitError::Unknown(_) => ApplyError::Unknown(BackendError::new(Error::from(error))),
        CommitError::Denied | CommitError::Unsupported | CommitError::NotSent(_) | CommitError::Encode(_) => {
            ApplyError::Failed(BackendError::new(Error::from(error)))
        }
    }
}

fn cause(errno: Errno, text: Option<String>) -> Cause {
    match errno {
        Errno::EEXIST => Cause::Exists,
        Errno::ENOENT => Cause::Missing,
        Errno::ENFILE => Cause::Full,
        Errno::EBUSY => Cause::Busy,
        errno => Cause::Other(text.map_or_else(|| errno.desc().to_owned(), |text| format!("{}: {text}", errno.desc()))),
    }
}
