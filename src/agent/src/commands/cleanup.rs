//! `portolan cleanup`, which removes what is ours; and kube-proxy's flag `--cleanup`, which removes what is any service
//! proxy's.

use portolan_core::object::BackendError;

use super::CommandError;
use crate::{backends, cli::Cleanup, exit::Exit, leftovers::Leftovers, output::print, sync_loop::ErrorChain};

/// Removes everything of ours from the kernel and says what that was; with `--dry-run` only says it.
///
/// # Errors
/// When the kernel cannot be read or refuses.
pub fn cleanup(arguments: &Cleanup) -> Result<Exit, CommandError> {
    let verb = if arguments.dry_run { "would remove" } else { "removed" };
    let mut removed = Vec::new();
    for (mode, mut kernel) in backends::all()? {
        if arguments.mode.is_none_or(|only| only == mode) {
            removed.extend(kernel.remove(arguments.dry_run)?);
        }
    }
    print(|out| {
        if removed.is_empty() {
            return writeln!(out, "nothing to remove: the kernel holds nothing of Portolan's");
        }
        removed.iter().try_for_each(|item| writeln!(out, "{verb} {item}"))
    })
    .map_err(CommandError::Print)?;
    Ok(Exit::Success)
}

/// Removes everything of ours and of kube-proxy's, whatever its mode, and says what that was. What cannot be removed is
/// logged, the rest is removed all the same, and the exit code is 1.
///
/// # Errors
/// When the kernel cannot be asked at all, or nothing can be printed.
pub fn cleanup_all() -> Result<Exit, CommandError> {
    let ours: Vec<_> = backends::all()?.into_iter().map(|(_, mut kernel)| kernel.remove(false)).collect();
    let mut leftovers = Leftovers::open().map_err(BackendError::new)?;
    let found = leftovers.find();
    let report = leftovers.remove(&found);
    print(|out| {
        ours.iter().flatten().flatten().try_for_each(|item| writeln!(out, "removed {item}"))?;
        report.removed.iter().try_for_each(|item| writeln!(out, "removed {item}"))
    })
    .map_err(CommandError::Print)?;
    for kept in &report.kept {
        tracing::info!("{kept}");
    }
    for trouble in &report.trouble {
        tracing::error!("{trouble}");
    }
    for error in ours.iter().filter_map(|removed| removed.as_ref().err()) {
        tracing::error!("{}", ErrorChain(error));
    }
    let failed = ours.iter().any(Result::is_err) || !report.trouble.is_empty();
    Ok(if failed { Exit::Failure } else { Exit::Success })
}
