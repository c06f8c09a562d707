//! What each command does, from its arguments to its [`Exit`](crate::exit::Exit).

mod check_config;
mod cleanup;
mod diff;
mod list;
mod once;
mod rejected;
mod render;
mod trace;

use std::{
    io,
    net::IpAddr,
    path::{Path, PathBuf},
};

use portolan_config::Flags;
use portolan_core::{
    desired::{NodePolicy, PortChange},
    model::NodeConfig,
    object::{BackendError, SyncError, Syncer},
};
use portolan_nftables::Nftables;

pub use check_config::check_config;
pub use cleanup::{cleanup, cleanup_all};
pub use diff::diff;
pub use list::{counters, counts, list};
pub use once::once;
pub use rejected::rejected;
pub use render::render;
pub use trace::trace;

use crate::{daemon, load::load, manifest::FollowError, output::Problem, sync_loop::warn_of_node};

/// Why a command could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Configuration(#[from] Box<daemon::DaemonError>),
    /// Nothing says what is wanted.
    #[error("--manifests is missing: give a file or folder of Kubernetes YAML or JSON")]
    NoManifests,
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

/// The manifests that flags name, and the node that they say.
fn desired(flags: &Flags) -> Result<(PathBuf, NodeConfig), CommandError> {
    let (resolved, settings) = daemon::settings(flags).map_err(Box::new)?;
    let manifests = resolved.run.manifests.ok_or(CommandError::NoManifests)?;
    Ok((manifests.into(), settings.node))
}

/// Reads manifests once, and logs what is wrong with them.
fn read(manifests: &Path, node: NodeConfig) -> Result<Wanted, CommandError> {
    let mut loaded = load(manifests, node)?;
    let changes = loaded.cluster.take_changes().collect();
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
