//! `portolan list --rejected`: what is wrong with manifests, without asking the kernel.

use portolan_config::Flags;

use super::{CommandError, desired};
use crate::{
    cli::OutputFormat,
    exit::Exit,
    load::load,
    output::{findings_table, json, print},
};

/// Prints what is refused in manifests or served otherwise than written.
///
/// # Errors
/// When the flags have mistakes, there are no manifests at the path, or nothing can be printed.
pub fn rejected(flags: &Flags, output: OutputFormat) -> Result<Exit, CommandError> {
    let (manifests, settings) = desired(flags)?;
    let mut loaded = load(&manifests, settings.node)?;
    drop(loaded.cluster.take_changes());
    let problems = loaded.problems();
    print(|out| match output {
        OutputFormat::Table => findings_table(out, &problems),
        OutputFormat::Json => json(out, &problems),
    })
    .map_err(CommandError::Print)?;
    Ok(Exit::Success)
}
