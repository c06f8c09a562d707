//! The boundary to a kernel: observe, apply, and whether somebody else has been there.

use std::{collections::BTreeSet, error::Error, fmt, net::SocketAddr, os::fd::BorrowedFd};

use super::{Batch, Dialect, Figure, Stats};
use crate::desired::Vip;

/// A dataplane: where the keyed objects of a [`Dialect`] really are.
///
/// All calls block, and a large batch occupies the calling thread for as long as the kernel works on it: use a thread
/// of its own.
pub trait Backend: Sized {
    /// What its objects are.
    type Dialect: Dialect;

    /// The vocabulary in which it is written to.
    fn dialect(&self) -> &Self::Dialect;

    /// A sync begins: what is called from now on until the next is of it.
    fn begin(&mut self) {}

    /// Reads every object of ours that the kernel holds, and strange ones inside our own containers.
    ///
    /// # Errors
    /// When the kernel does not let us read, or is changed faster than it can be read.
    fn observe(&mut self) -> Result<Vec<Object<Self>>, BackendError>;

    /// Writes one batch: whole, or what [`ApplyError`] says of it.
    ///
    /// # Errors
    /// [`ApplyError`] says what is known about the outcome.
    fn apply(&mut self, batch: &Batch<Self::Dialect>) -> Result<(), ApplyError>;

    /// Writes one batch although others may have changed our objects: what it adds may be there already, and what it removes
    /// may be gone. What others did stays unknown, and [`moved`](Self::moved) does not say [`Moved::No`], until the next
    /// [`observe`](Self::observe).
    ///
    /// # Errors
    /// As [`apply`](Self::apply), when others have changed what the batch needs.
    fn apply_beside(&mut self, batch: &Batch<Self::Dialect>) -> Result<(), ApplyError>;

    /// Whether our objects may have been changed by others since the last [`observe`](Self::observe) or
    /// [`apply`](Self::apply). Cheap: commits of others that touched nothing of ours do not count.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    fn moved(&mut self) -> Result<Moved, BackendError>;

    /// The same at each resync, where a backend that hears of nothing may compare what it can see for little with what is known to
    /// be there, so that not all of it has to be [observed](Self::observe).
    ///
    /// # Errors
    /// As [`moved`](Self::moved).
    fn glance<'a>(
        &mut self,
        _known: impl Iterator<Item = (&'a Key<Self>, &'a <Self::Dialect as Dialect>::Value)>,
    ) -> Result<Moved, BackendError>
    where
        Self::Dialect: 'a,
    {
        self.moved()
    }

    /// Which of these drain no more: nothing is on its way to them. Only where something
    /// [drains](super::Unclaimed::Draining) is there anything to ask.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    fn drained(&mut self, _draining: &[Key<Self>]) -> Result<Vec<Key<Self>>, BackendError> {
        Ok(Vec::new())
    }

    /// Who changed our objects last, as far as the kernel tells; told once.
    fn editor(&mut self) -> Option<Editor>;

    /// What only this backend counts, beside what the sync engine does: always the same ones, whether they have samples or not.
    fn figures(&self, _: &Stats) -> Vec<Figure> {
        Vec::new()
    }

    /// Bytes that one batch may have ([`Dialect::weight`]).
    fn batch_bytes(&self) -> usize;

    /// Bytes below which a batch takes the kernel no less time, so that smaller ones would help nobody who waits. One of a
    /// single ServicePort may be smaller all the same.
    fn least_batch_bytes(&self) -> usize {
        16 << 10
    }

    /// One of them is readable when [`moved`](Self::moved) is worth a call; none where the kernel notifies nobody.
    fn wakers(&self) -> Vec<BorrowedFd<'_>>;
}

/// What names an object of a backend.
type Key<B> = <<B as Backend>::Dialect as Dialect>::Key;

/// An object of a backend: key and value.
pub type Object<B> = (Key<B>, <<B as Backend>::Dialect as Dialect>::Value);

/// Whether our objects may have been changed by others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    /// They have not been.
    No,
    /// They may have been: the kernel says so, or what it says of others was lost.
    Yes,
    /// The kernel tells nobody. They are looked at from time to time, but not after each sync.
    Unheard,
}

/// Who changed our objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Editor {
    /// The name of the program, or of the thread where that has one of its own.
    pub program: String,
    /// Its number on the machine, which in a container may be another's.
    pub process: u32,
}

impl fmt::Display for Editor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (process {} of the machine)", self.program, self.process)
    }
}

/// The kernel could not be read or written at all.
#[derive(Debug)]
pub struct BackendError(Box<dyn Error + Send + Sync>);

impl BackendError {
    /// Wraps a backend's own error, which stays the [source](Error::source).
    pub fn new(source: impl Error + Send + Sync + 'static) -> Self {
        Self(Box::new(source))
    }
}

impl fmt::Display for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Error for BackendError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

/// Why a batch was not applied, or what is not known about it.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The kernel refused some operations.
    #[error("the kernel refused {} of the changes", refusals.len())]
    Refused {
        /// Which operations, and why.
        refusals: Vec<Refusal>,
        /// What has been done all the same.
        carried_out: CarriedOut,
    },
    /// Others have changed our objects since they were last observed; nothing of the batch was applied.
    #[error("another program changed our objects")]
    Moved,
    /// It is more than the kernel takes at once, as the backend says in its own words; nothing of the batch was applied.
    #[error(transparent)]
    TooLarge(BackendError),
    /// Whether the batch was applied is not known: observe before anything else is done.
    #[error("it is not known whether the change was applied")]
    Unknown(#[source] BackendError),
    /// Nothing can be written at all; nothing of the batch was applied.
    #[error(transparent)]
    Failed(BackendError),
}

impl ApplyError {
    /// What was refused, where something was.
    pub(super) fn refusals(&self) -> Option<&[Refusal]> {
        match self {
            Self::Refused { refusals, .. } => Some(refusals),
            _ => None,
        }
    }
}

/// What was done of a batch of which the kernel refused something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CarriedOut {
    /// Nothing: the batch is a transaction.
    Nothing,
    /// All operations that were not refused: each stands for itself, and each refusal names its operation.
    Others,
    /// The operations with these numbers: some groups of operations are each a transaction.
    These(Vec<usize>),
}

/// One operation that the kernel refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Which operation of the batch; `None` where the kernel did not say.
    pub op: Option<usize>,
    /// Why.
    pub cause: Cause,
}

/// Why the kernel refuses an operation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Cause {
    /// EEXIST: an object of that key is there already.
    #[error("it is there already (EEXIST)")]
    Exists,
    /// ENOENT: the object, its container or something it names is not there.
    #[error("it, or something it needs, is not there (ENOENT)")]
    Missing,
    /// ENFILE: the set has no room.
    #[error("the set is full (ENFILE)")]
    Full,
    /// EBUSY: something still names the object.
    #[error("something still refers to it (EBUSY)")]
    Busy,
    /// Any other error of the operating system, with what the kernel said about it.
    #[error("{0}")]
    Other(String),
}

impl Cause {
    /// Whether the kernel holds something else than we thought, rather than disliking what we asked for.
    #[must_use]
    pub const fn is_stale_view(&self) -> bool {
        matches!(self, Self::Exists | Self::Missing | Self::Busy)
    }
}

/// A Frontend as the kernel holds it: what `portolan list` shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveFrontend {
    /// Where clients connect to; the unspecified address stands for all addresses of the node.
    pub vip: Vip,
    /// The ServicePort as the kernel's comment names it; empty where there is no comment.
    pub port: String,
    /// Where connections go; empty for a Frontend that is rejected or dropped.
    pub endpoints: Vec<SocketAddr>,
    /// Where connections from outside go that only local endpoints may serve; `None` where they go where all others do.
    pub local_endpoints: Option<Vec<SocketAddr>>,
    /// What else is done with them: none of it for an ordinary Frontend.
    pub notes: BTreeSet<FrontendNote>,
}

/// What is done with the connections of a Frontend beside sending them to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FrontendNote {
    /// There is no endpoint: they are answered with a refusal.
    Rejected,
    /// There are endpoints, but none on this node, and no other may be used: they are dropped.
    Dropped,
    /// Only some sources may connect.
    Restricted,
    /// Every client is masqueraded, not only those that are no pods.
    MasqueradeAlways,
    /// A client stays with its endpoint.
    Affinity,
    /// No Service has it any more. It is there for connections that are left.
    Gone,
}

/// New connections that came to a Frontend, and those of them that came to nothing, by the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrontendCounts {
    /// All that had an endpoint to go to or were dropped, and at a restricted Frontend those that were rejected too; `None` where
    /// nobody counts them.
    pub connections: Option<u64>,
    /// Rejected packets: there was no endpoint.
    pub no_endpoints: u64,
    /// Dropped packets: there were endpoints, but none on this node, and no other could be used.
    pub no_local_endpoints: u64,
    /// Dropped packets: their source is in none of the ranges that may connect.
    pub source_ranges: u64,
}

impl FrontendCounts {
    /// So many connections more; `None` for a part that nobody counts, so that the sum is not known either.
    pub fn add_connections(&mut self, more: Option<u64>) {
        self.connections = self.connections.zip(more).map(|(connections, more)| connections + more);
    }
}

/// Nothing came.
impl Default for FrontendCounts {
    fn default() -> Self {
        Self { connections: Some(0), no_endpoints: 0, no_local_endpoints: 0, source_ranges: 0 }
    }
}
