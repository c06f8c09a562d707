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

use portolan_config::{Flags, Mode, Settings};
use portolan_core::{
    desired::{NodePolicy, PortChange},
    inspect::Inspect,
    model::NodeConfig,
    object::{BackendError, Dataplane, SyncError},
};

pub use check_config::check_config;
pub use cleanup::{cleanup, cleanup_all};
pub use diff::diff;
pub use list::{counters, counts, list};
pub use once::once;
pub use rejected::rejected;
pub use render::render;
pub use trace::trace;

use crate::{backends, daemon, load::load, manifest::FollowError, output::Problem, sync_loop::warn_of_node};

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
    /// The kernel cannot be read, or not be changed.
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
    /// Nobody can be asked.
    #[error("Portolan was built without any mode")]
    NoBackends,
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

/// The manifests that flags name, and what they say of the node and the mode.
fn desired(flags: &Flags) -> Result<(PathBuf, Settings), CommandError> {
    let (resolved, settings) = daemon::settings(flags).map_err(Box::new)?;
    let manifests = resolved.run.manifests.ok_or(CommandError::NoManifests)?;
    Ok((manifests.into(), settings))
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
fn dataplane(mode: Mode, wanted: &Wanted) -> Result<Box<dyn Dataplane>, CommandError> {
    // It hears of others, so that commits of theirs that touch nothing of ours can be told from those that do.
    let mut dataplane = backends::dataplane(mode, &wanted.policy)?;
    dataplane.set_additions_only(!wanted.complete);
    dataplane.set_policy(&wanted.policy);
    wanted.changes.iter().for_each(|change| dataplane.update(change));
    Ok(dataplane)
}

/// The backends of which the kernel holds something, of one mode or of all, in the order in which packets meet their rules.
fn present(only: Option<Mode>) -> Result<Vec<Box<dyn Inspect>>, CommandError> {
    let (mut there, mut modes) = (Vec::new(), Vec::new());
    for (mode, mut kernel) in backends::all()? {
        if only.is_none_or(|only| only == mode) && kernel.is_present()? {
            there.push(kernel);
            modes.push(mode.name());
        }
    }
    if modes.len() > 1 {
        tracing::warn!(
            "the kernel holds rules of several modes: {}. The daemon removes those of all modes but its own after its first sync",
            modes.join(", ")
        );
    }
    Ok(there)
}
