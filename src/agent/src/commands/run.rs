//! `portolan run`: programs manifests, once or for as long as it runs.

use std::thread;

use portolan_core::{model::Cluster, object::Syncer};
use portolan_nftables::Nftables;

use super::{CommandError, read, syncer};
use crate::{
    cli::{Desired, Run},
    exit::Exit,
    feed::feed,
    mailbox::mailbox,
    manifest::Follower,
    signals::Shutdown,
    sync_loop::{SyncLoop, log_sync},
};

/// Programs the kernel.
///
/// # Errors
/// When there are no manifests at the path, or the kernel cannot be used. With `--once` also when it could not be
/// brought to what is wanted; without, that is logged and tried again.
pub fn run(arguments: &Run) -> Result<Exit, CommandError> {
    if arguments.once { once(&arguments.desired) } else { follow(&arguments.desired) }
}

fn once(desired: &Desired) -> Result<Exit, CommandError> {
    let wanted = read(desired)?;
    let mut syncer = syncer(&wanted)?;
    let report = log_sync(|| syncer.sync())?;
    let refused = wanted.refused || !report.quarantined.is_empty();
    Ok(if refused { Exit::Refused } else { Exit::Success })
}

fn follow(desired: &Desired) -> Result<Exit, CommandError> {
    let cluster = Cluster::new(desired.node.node_config()?);
    // Opened before anything else, so that a missing permission is an error at once and not a log line later.
    let syncer = Syncer::new(Nftables::watching()?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CommandError::Start)?;
    let (mailbox, inbox) = mailbox().map_err(CommandError::Start)?;
    let kernel = thread::Builder::new()
        .name("sync".into())
        .spawn(move || SyncLoop::new(inbox, cluster, syncer).run())
        .map_err(CommandError::Start)?;
    let fed = runtime.block_on(async {
        let mut shutdown = Shutdown::listen().map_err(CommandError::Start)?;
        let mut manifests = Follower::open(&desired.manifests)?;
        Ok::<_, CommandError>(feed(&mut manifests, &mailbox, &mut shutdown).await?)
    });
    drop(mailbox);
    // What was handed over is still programmed; the rules stay.
    let ended = kernel.join();
    let signal = fed?;
    if ended.is_err() {
        return Ok(Exit::Failure);
    }
    tracing::info!(signal, "ended; the rules stay in the kernel and go on forwarding");
    Ok(Exit::Success)
}
