//! `portolan list --rejected`: what is wrong with manifests, without asking the kernel.

use std::path::Path;

use portolan_core::{
    addr::PerFamily,
    model::{NodeConfig, NodePortAddresses},
};

use super::CommandError;
use crate::{
    cli::{Hostname, OutputFormat},
    exit::Exit,
    load::load,
    output::{findings_table, json, print},
};

/// Prints what is refused in manifests or served otherwise than written.
///
/// # Errors
/// When there are no manifests at the path, or nothing can be printed.
pub fn rejected(manifests: &Path, output: OutputFormat) -> Result<Exit, CommandError> {
    let node = NodeConfig {
        hostname: Hostname::of_host()?.0,
        cluster_cidr: PerFamily::default(),
        nodeport_addresses: NodePortAddresses::Primary,
    };
    let mut loaded = load(manifests, node)?;
    loaded.cluster.take_changes();
    let problems = loaded.problems();
    print(|out| match output {
        OutputFormat::Table => findings_table(out, &problems),
        OutputFormat::Json => json(out, &problems),
    })
    .map_err(CommandError::Print)?;
    Ok(Exit::Success)
}
