//! Manifests: ordinary Kubernetes YAML and JSON, from one file or a folder, read again whenever they change.
//!
//! ```text
//!   folder --list, stat--> changed files --parse--> documents --kind--> objects --diff--> events
//!     ^                                                                              Applied, Deleted,
//!     +---- inotify: watch                                                           Refused, Scanned
//! ```
//!
//! Objects are handed on one by one as they are read, also those inside a large `List`: neither a file nor the list of
//! all objects is ever in memory. What a source remembers of an object is its name, its file and a hash.
//!
//! What is wrong with a file or a document is data ([`Refused`]), not an error. A file that cannot be read or parsed
//! keeps its last good objects; while a file has never been read nothing is deleted, since its objects may be in it.

mod files;
mod follow;
mod json;
mod ledger;
mod object;
mod parse;
mod refused;
mod source;
mod watch;
mod yaml;

use portolan_core::ingest::{Object, ObjectRef};

pub use follow::{FollowError, Follower};
pub use refused::{Place, Reason, Refused};
pub use source::Source;
pub use watch::WatchError;
pub(crate) use {files::Root, watch::Watcher};

/// What reading manifests tells.
#[derive(Debug, Clone)]
pub enum Event {
    /// This object is there now; any earlier one of the same name is replaced.
    Applied(Box<Object>),
    /// This object is not there any more.
    Deleted(ObjectRef),
    /// This could not be used. Told once, however often the file is read again.
    Refused(Refused),
    /// All changes have been read: now is the time to bring the kernel up to date.
    Scanned {
        /// Whether every file was read at least once. While false, what the kernel has and the manifests lack may
        /// still turn up: nothing may be deleted.
        complete: bool,
    },
}
