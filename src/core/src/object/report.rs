//! What came of a sync, in terms that logs, metrics and tests can use.

use super::{ApplyError, BackendError, Cause, Difference, Editor};
use crate::desired::PortId;

/// Counts over the life of a syncer: what tests and metrics ask for.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// ServicePorts that were rendered.
    pub rendered: u64,
    /// Batches that the kernel applied.
    pub batches: u64,
    /// Operations in them.
    pub operations: u64,
    /// How often the kernel's state was read.
    pub observations: u64,
    /// Syncs that failed.
    pub failures: u64,
    /// Objects that nobody wants and that could not be removed, once for each sync that left them.
    pub stuck: u64,
}

/// What a sync did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SyncReport {
    /// Batches that were applied.
    pub batches: u64,
    /// Operations in them.
    pub operations: u64,
    /// What the kernel held otherwise than we had left it, when it was observed.
    pub drift: Vec<Drift>,
    /// Who has changed our objects last since the start, where the kernel was observed and tells.
    pub editor: Option<Editor>,
    /// ServicePorts that the kernel refused in this sync. What was last good for them stays.
    pub quarantined: Vec<Quarantined>,
    /// Objects that nobody wants and that the kernel does not let us remove; tried again when it is next observed.
    pub stuck: Vec<Stuck>,
    /// It gave way before it was done. The rest of this report is empty then: what was done is told with the sync that
    /// comes to the end.
    pub unfinished: bool,
}

/// An object in our own containers that cannot be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stuck {
    /// Which object, in words.
    pub object: String,
    /// Why.
    pub cause: Cause,
}

/// An object that the kernel holds otherwise than it is wanted, or than we had left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// Which object, in words.
    pub object: String,
    /// What is wrong with it.
    pub difference: Difference,
}

/// A ServicePort that is set aside because the kernel refuses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// Which one.
    pub port: PortId,
    /// Why.
    pub cause: Cause,
}

/// The kernel could not be brought to what is wanted.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The backend failed as a whole.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// An object that every Service depends on was refused.
    #[error("the kernel refused {object}, on which every Service depends: {cause}")]
    Base {
        /// Which object, in words.
        object: String,
        /// Why.
        cause: Cause,
    },
    /// What every Service needs of a root that is made anew is more than the kernel takes at once.
    #[error("the kernel's state could not be changed: {0}")]
    Apply(#[source] ApplyError),
    /// Somebody else kept changing our objects.
    #[error("another program keeps changing our objects: {0} attempts in a row met a state that had moved")]
    Unsettled(u32),
}
