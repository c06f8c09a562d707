//! `portolan list --rejected`: what is wrong with manifests, without asking the kernel.

use std::path::Path;

use super::CommandError;
use crate::{
    cli::{NodeOptions, OutputFormat},
    exit::Exit,
    load::load,
    output::{findings_table, json, print},
};

/// Prints what is refused in manifests or served otherwise than written.
///
/// # Errors
/// When the node has no name, there are no manifests at the path, or nothing can be printed.
pub fn rejected(manifests: &Path, node: &NodeOptions, output: OutputFormat) -> Result<Exit, CommandError> {
    let mut loaded = load(manifests, node.node_config()?)?;
    loaded.cluster.take_changes();
    let problems = loaded.problems();
    print(|out| match output {
        OutputFormat::Table => findings_table(out, &problems),
        OutputFormat::Json => json(out, &problems),
    })
    .map_err(CommandError::Print)?;
    Ok(Exit::Success)
}
