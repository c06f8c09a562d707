//! `portolan list`: frontends and endpoints as the kernel holds them.

use std::collections::{BTreeMap, BTreeSet};

use portolan_config::Mode;
use portolan_core::{
    desired::Vip,
    inspect::LiveServer,
    object::{FrontendCounts, FrontendNote, LiveFrontend},
};

use super::{CommandError, present};
use crate::{
    cli::OutputFormat,
    exit::Exit,
    output::{Listed, counters_json, counters_table, frontends_json, frontends_table, print},
};

/// Prints what the kernel holds.
///
/// # Errors
/// When the kernel cannot be read, or nothing can be printed.
pub fn list(output: OutputFormat) -> Result<Exit, CommandError> {
    let mut live = Vec::new();
    for mut kernel in present(None)? {
        // In this order: a frontend comes after its virtual server.
        let (servers, observed) = (kernel.servers()?, kernel.observed()?);
        live.extend(with_servers(observed.frontends(), servers));
    }
    print(|out| match output {
        OutputFormat::Table => frontends_table(out, &live),
        OutputFormat::Json => frontends_json(out, &live),
    })
    .map_err(CommandError::Print)?;
    Ok(Exit::Success)
}

/// Each frontend with its virtual server, and those servers that are there for no frontend any more.
fn with_servers(frontends: Vec<LiveFrontend>, mut servers: BTreeMap<Vip, LiveServer>) -> Vec<Listed> {
    let mut listed: Vec<_> = frontends
        .into_iter()
        .map(|frontend| {
            let server = servers.remove(&frontend.vip);
            Listed { frontend, server }
        })
        .collect();
    listed.extend(servers.into_iter().map(|(vip, server)| {
        let notes = BTreeSet::from([FrontendNote::Gone]);
        let frontend = LiveFrontend { vip, port: String::new(), endpoints: Vec::new(), local_endpoints: None, notes };
        Listed { frontend, server: Some(server) }
    }));
    listed
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
