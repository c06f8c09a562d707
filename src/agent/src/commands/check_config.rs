//! `portolan check-config`: what is wrong with a configuration, and what in it has no effect.

use portolan_config::Flags;

use super::CommandError;
use crate::{daemon, exit::Exit, output::print};

/// Prints what has no effect, and says that the rest has; mistakes are the error.
///
/// # Errors
/// When the daemon would not start with it, or nothing can be printed.
pub fn check_config(flags: &Flags) -> Result<Exit, CommandError> {
    let (resolved, settings) = daemon::settings(flags).map_err(Box::new)?;
    print(|out| {
        for warning in &resolved.warnings {
            writeln!(out, "warning: {warning}")?;
        }
        let defaulted = if resolved.mode_defaulted { " (none is given)" } else { "" };
        writeln!(out, "ok: mode nftables{defaulted}, node {}", settings.node.hostname)
    })
    .map_err(CommandError::Print)?;
    Ok(Exit::Success)
}
