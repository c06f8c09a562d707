//! `portolan list`: frontends and endpoints as the kernel holds them.

use portolan_config::Mode;
use portolan_core::object::{FrontendCounts, LiveFrontend};

use super::{CommandError, present};
use crate::{
    cli::OutputFormat,
    exit::Exit,
    output::{counters_json, counters_table, frontends_json, frontends_table, print},
};

/// Prints what the kernel holds.
///
/// # Errors
/// When the kernel cannot be read, or nothing can be printed.
pub fn list(output: OutputFormat) -> Result<Exit, CommandError> {
    let mut live = Vec::new();
    for mut kernel in present(None)? {
        live.extend(kernel.observed()?.frontends());
    }
    print(|out| match output {
        OutputFormat::Table => frontends_table(out, &live),
        OutputFormat::Json => frontends_json(out, &live),
    })
    .map_err(CommandError::Print)?;
    Ok(Exit::Success)
}

/// What the kernel counted for each frontend that it holds, in one mode or in all.
///
/// # Errors
/// When the kernel cannot be read.
pub fn counts(only: Option<Mode>) -> Result<Vec<(LiveFrontend, FrontendCounts)>, CommandError> {
    let mut counted = Vec::new();
    for mut kernel in present(only)? {
        let (frontends, counts) = (kernel.observed()?.frontends(), kernel.counts()?);
        let count = |frontend: LiveFrontend| {
            let counts = counts.get(&frontend.vip).copied().unwrap_or_default();
            (frontend, counts)
        };
        counted.extend(frontends.into_iter().map(count));
    }
    Ok(counted)
}

/// Prints what the kernel counted.
///
/// # Errors
/// As [`list`].
pub fn counters(output: OutputFormat) -> Result<Exit, CommandError> {
    let counted = counts(None)?;
    print(|out| match output {
        OutputFormat::Table => counters_table(out, &counted),
        OutputFormat::Json => counters_json(out, &counted),
    })
    .map_err(CommandError::Print)?;
    Ok(Exit::Success)
}
