//! `portolan check-config`: what is wrong with a configuration, and what in it has no effect.

use portolan_config::Flags;

use super::CommandError;
use crate::{
    daemon::{self, DaemonError},
    exit::Exit,
    output::print,
};

/// Prints what has no effect, and says that the rest has; mistakes are the error.
///
/// # Errors
/// When the daemon would not start with it, or nothing can be printed.
pub fn check_config(flags: &Flags) -> Result<Exit, CommandError> {
    let read = daemon::settings(flags);
    let warnings = match &read {
        Ok((resolved, _)) => &*resolved.warnings,
        Err(DaemonError::Configuration(problems)) => &problems.warnings,
        Err(_) => &[],
    };
    let told = print(|out| warnings.iter().try_for_each(|warning| writeln!(out, "warning: {warning}")));
    told.map_err(CommandError::Print)?;
    let (resolved, settings) = read.map_err(Box::new)?;
    print(|out| {
        let defaulted = if resolved.mode_defaulted { " (none is given)" } else { "" };
        writeln!(out, "ok: mode {}{defaulted}, node {}", settings.mode, settings.node.hostname)
    })
    .map_err(CommandError::Print)?;
    Ok(Exit::Success)
}
