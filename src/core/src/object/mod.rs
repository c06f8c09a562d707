//! Kernel state as keyed objects: the idea that makes several backends small.
//!
//! Whatever the dataplane, what Portolan keeps in the kernel is a set of objects, each with a key and a value. A
//! [`Dialect`] says what they are and how a ServicePort renders to them; a [`Backend`] reads them from the kernel and
//! writes changes to it. Everything else is written once, here:
//!
//! ```text
//!   DesiredPort --render--> claims --+                       +--> batches --> Backend::apply
//!                                    v                       |                     |
//!                                 Tracker --- pending ---> plan                    | applied
//!                                    ^   wanted != present                         |
//!                                    +---------- present <-------------------------+
//!                                    ^
//!                                    +---------- present <------- Backend::observe
//! ```
//!
//! A partial sync is the normal case: a changed ServicePort claims its new objects, what differs from the kernel
//! becomes pending, and only that is sent. A full sync is the same with the kernel observed first.

mod backend;
mod batch;
mod claims;
mod dataplane;
mod dialect;
mod entry;
mod figure;
mod left;
mod moment;
mod numbered;
mod plan;
mod removal;
mod report;
mod roster;
mod syncer;
#[cfg(test)]
mod tests;
mod tracker;
mod turn;

pub use backend::{
    ApplyError, Backend, BackendError, CarriedOut, Cause, Editor, FrontendCounts, FrontendNote, LiveFrontend, Moved,
    Object, Refusal,
};
pub use batch::{Batch, Op};
pub use claims::Claimant;
pub use dataplane::Dataplane;
pub use dialect::{Dialect, Rank, Unclaimed};
pub use figure::{Figure, FigureKind};
pub use moment::Moment;
pub use plan::{Limits, Plan};
pub use report::{Drift, Quarantined, Stats, Stuck, SyncError, SyncReport};
pub use syncer::Syncer;
pub use tracker::{Difference, Pending, Tracker};
