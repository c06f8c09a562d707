//! `portolan list`: frontends and endpoints as the kernel holds them.

use std::collections::BTreeMap;

use portolan_core::{
    desired::Vip,
    object::{Backend, FrontendCounts, LiveFrontend},
};
use portolan_nftables::{Nftables, frontends};

use super::CommandError;
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
    let live = frontends(&Nftables::open()?.observe()?);
    print(|out| match output {
        OutputFormat::Table => frontends_table(out, &live),
        OutputFormat::Json => frontends_json(out, &live),
    })
    .map_err(CommandError::Print)?;
    Ok(Exit::Success)
}

/// What the kernel counted, and where.
///
/// # Errors
/// When the kernel cannot be read.
pub fn counts() -> Result<(Vec<LiveFrontend>, BTreeMap<Vip, FrontendCounts>), CommandError> {
    let mut kernel = Nftables::open()?;
    Ok((frontends(&kernel.observe()?), kernel.counts()?))
}

/// Prints what the kernel counted.
///
/// # Errors
/// As [`list`].
pub fn counters(output: OutputFormat) -> Result<Exit, CommandError> {
    let (live, counts) = counts()?;
    print(|out| match output {
        OutputFormat::Table => counters_table(out, &live, &counts),
        OutputFormat::Json => counters_json(out, &live, &counts),
    })
    .map_err(CommandError::Print)?;
    Ok(Exit::Success)
}
