//! `portolan run --once`: programs manifests as they are now.

use std::path::Path;

use portolan_config::Settings;

use super::{CommandError, dataplane, read};
use crate::{exit::Exit, sync_loop::log_sync};

/// Programs the kernel once.
///
/// # Errors
/// When there are no manifests at the path, or the kernel cannot be brought to what is wanted.
pub fn once(manifests: &Path, settings: Settings) -> Result<Exit, CommandError> {
    let wanted = read(manifests, settings.node)?;
    let mut dataplane = dataplane(settings.mode, &wanted)?;
    let report = log_sync(|| dataplane.sync())?;
    let refused = wanted.refused || !report.quarantined.is_empty();
    Ok(if refused { Exit::Refused } else { Exit::Success })
}
