//! Following Services, EndpointSlices, our own Node and ServiceCIDRs for as long as somebody listens.
//!
//! ```text
//!            .-------- 410, or nothing known yet --------.
//!            v                                           |
//!   list, page by page --> Applied ... Listed --> watch from there --> Applied, Deleted
//!            ^                                      ^    |
//!            '-- failed: wait, again                '----' ended, cut, silent: from where it was
//! ```
//!
//! Each kind is followed on its own (follow.rs); what they share is the receiver and the log lines that the API server is
//! lost and back (reach.rs). A watch lasts four to five minutes, and each begins with a look at the files with the
//! credentials: that is how a new CA or certificate comes into use everywhere.

mod follow;
mod reach;
mod resource;
mod wire;

use std::{collections::BTreeSet, ops::ControlFlow};

use portolan_core::ingest::{
    EndpointSliceObject, Kind, NodeObject, Object, ObjectRef, ServiceCidrObject, ServiceObject,
};

use crate::{client::Client, pace::Pace};
use follow::{Follower, Sink};
use reach::Reach;
use resource::Resource;

/// What the API server tells.
#[derive(Debug, Clone)]
pub enum Event {
    /// This object is there now; any earlier one of the same name is replaced.
    Applied(Box<Object>),
    /// This object is not there any more, or not for us any more.
    Deleted(ObjectRef),
    /// A complete list of a kind has arrived: everything in it was applied before.
    Listed {
        /// The kind.
        kind: Kind,
        /// All that there is, so that the receiver forgets the rest. `None` where nothing was told before this list.
        names: Option<BTreeSet<ObjectRef>>,
    },
}

/// What is watched, and how.
#[derive(Debug, Clone)]
pub struct WatchOptions {
    /// The name of our own Node.
    pub node: String,
    /// Lists as a stream of a watch (`sendInitialEvents`) rather than in pages. An API server that does not know how is
    /// asked for pages.
    pub streaming: bool,
    /// When to try again.
    pub pace: Pace,
}

/// Tells `sink` all that happens, until it breaks. While it waits nothing more is read of that kind.
pub async fn watch(client: &Client, options: &WatchOptions, sink: impl AsyncFn(Event) -> ControlFlow<()>) {
    let (sink, reach) = (&sink, &Reach::new(client));
    // Whichever ends first ends all: the receiver is the same.
    tokio::select! {
        () = follow::<ServiceObject>(client, options, Resource::services(), sink, reach) => {}
        () = follow::<EndpointSliceObject>(client, options, Resource::endpoint_slices(), sink, reach) => {}
        () = follow::<NodeObject>(client, options, Resource::node(&options.node), sink, reach) => {}
        () = follow::<ServiceCidrObject>(client, options, Resource::service_cidrs(), sink, reach) => {}
    }
}

async fn follow<T: wire::Watched>(
    client: &Client,
    options: &WatchOptions,
    resource: Resource,
    sink: &impl AsyncFn(Event) -> ControlFlow<()>,
    reach: &Reach<'_>,
) {
    let sink = Sink::new(resource.kind, sink);
    Follower::<T, _>::new(client, options, resource, sink, reach).run().await;
}
