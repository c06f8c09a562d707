//! `portolan run --once`: programs manifests as they are now.

use std::path::Path;

use portolan_core::model::NodeConfig;

use super::{CommandError, read, syncer};
use crate::{exit::Exit, sync_loop::log_sync};

/// Programs the kernel once.
///
/// # Errors
/// When there are no manifests at the path, or the kernel cannot be brought to what is wanted.
pub fn once(manifests: &Path, node: NodeConfig) -> Result<Exit, CommandError> {
    let wanted = read(manifests, node)?;
    let mut syncer = syncer(&wanted)?;
    let report = log_sync(|| syncer.sync())?;
    let refused = wanted.refused || !report.quarantined.is_empty();
    Ok(if refused { Exit::Refused } else { Exit::Success })
}
