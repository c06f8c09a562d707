//! `portolan diff`: what a sync would do to the kernel.

use portolan_config::Flags;
use portolan_core::object::Difference;

use super::{CommandError, dataplane, desired, read};
use crate::{exit::Exit, output::print};

/// Prints the plan; nothing is changed.
///
/// # Errors
/// When the flags have mistakes, there are no manifests at the path, the kernel cannot be read, or nothing can be printed.
pub fn diff(flags: &Flags) -> Result<Exit, CommandError> {
    let (manifests, settings) = desired(flags)?;
    let wanted = read(&manifests, settings.node)?;
    let drift = dataplane(settings.mode, &wanted)?.drift()?;
    let count = drift.len();
    if count == 0 && !wanted.complete {
        tracing::error!("not every file could be read, so whether the kernel holds too much cannot be told");
        return Ok(Exit::Failure);
    }
    print(|out| {
        for drift in &drift {
            writeln!(out, "{} {}", sign(drift.difference), drift.object)?;
        }
        match count {
            0 => writeln!(out, "converged: the kernel holds what the manifests want"),
            1 => writeln!(out, "drift: 1 object differs (+ is missing, ~ is different, - is not wanted)"),
            _ => writeln!(out, "drift: {count} objects differ (+ are missing, ~ are different, - are not wanted)"),
        }
    })
    .map_err(CommandError::Print)?;
    Ok(if count == 0 { Exit::Success } else { Exit::Drift })
}

const fn sign(difference: Difference) -> char {
    match difference {
        Difference::Missing => '+',
        Difference::Changed => '~',
        Difference::Unwanted => '-',
    }
}
