//! What each command does, from its arguments to its [`Exit`](crate::exit::Exit).

mod cleanup;
mod diff;
mod list;
mod rejected;
mod render;
mod run;
mod trace;

use std::{io, net::IpAddr};

use portolan_core::{
    desired::{NodePolicy, PortChange},
    object::{BackendError, SyncError, Syncer},
};
use portolan_nftables::Nftables;

pub use cleanup::cleanup;
pub use diff::diff;
pub use list::{counters, list};
pub use rejected::rejected;
pub use render::render;
pub use run::run;
pub use trace::trace;

use crate::{
    cli::{Desired, ValueError},
    feed::FeedError,
    load::load,
    manifest::{FollowError, WatchError},
    output::Problem,
    sync_loop::warn_of_node,
};

/// Why a command could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The node has no name.
    #[error(transparent)]
    Node(#[from] ValueError),
    /// There are no manifests.
    #[error(transparent)]
    Manifests(#[from] FollowError),
    /// nftables cannot be used.
    #[error(transparent)]
    Nftables(#[from] portolan_nftables::Error),
    /// The kernel cannot be read.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The kernel could not be brought to what is wanted.
    #[error(transparent)]
    Sync(#[from] SyncError),
    /// Changes of the manifests cannot be followed.
    #[error(transparent)]
    Feed(#[from] FeedError),
    /// Changes of the manifests cannot be followed.
    #[error(transparent)]
    Watch(#[from] WatchError),
    /// No packet can go from one to the other.
    #[error("{from} and {to} are not of the same IP family: no packet goes from one to the other")]
    TwoFamilies {
        /// The client.
        from: IpAddr,
        /// What it asks.
        to: IpAddr,
    },
    /// The kernel does not tell its routes.
    #[error("cannot read which addresses are this node's own")]
    Addresses(#[source] io::Error),
    /// stdout cannot be written to.
    #[error("the result cannot be printed")]
    Print(#[source] io::Error),
    /// The operating system lacks something that the agent needs.
    #[error("cannot start: {0}")]
    Start(#[source] io::Error),
}

/// What manifests want, ready to be rendered.
struct Wanted {
    policy: NodePolicy,
    changes: Vec<PortChange>,
    /// Whether every file could be read.
    complete: bool,
    /// Whether anything in them was refused.
    refused: bool,
}

/// Reads manifests once, and logs what is wrong with them.
fn read(desired: &Desired) -> Result<Wanted, CommandError> {
    let mut loaded = load(&desired.manifests, desired.node.node_config()?)?;
    let changes = loaded.cluster.take_changes();
    let problems = loaded.problems();
    for problem in &problems {
        tracing::warn!("{problem}");
    }
    warn_of_node(&mut loaded.cluster);
    let refused = problems.iter().any(Problem::is_rejection);
    Ok(Wanted { policy: loaded.cluster.policy(), changes, complete: loaded.complete, refused })
}

/// A sync engine that knows what is wanted and nothing of the kernel yet.
fn syncer(wanted: &Wanted) -> Result<Syncer<Nftables>, CommandError> {
    // Watching, so that commits of others that touch nothing of ours can be told from those that do.
    let mut syncer = Syncer::new(Nftables::watching()?);
    syncer.set_additions_only(!wanted.complete);
    syncer.set_policy(&wanted.policy);
    wanted.changes.iter().for_each(|change| syncer.update(change));
    Ok(syncer)
}
