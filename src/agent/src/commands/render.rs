//! `portolan render`: the rules for manifests, without a kernel.

use portolan_config::Flags;

use super::{CommandError, desired, read};
use crate::{backends, exit::Exit, output::print};

/// Prints the rules of the mode, as its own programs take them: nft, in nftables mode.
///
/// # Errors
/// When the flags have mistakes, there are no manifests at the path, or nothing can be printed.
pub fn render(flags: &Flags) -> Result<Exit, CommandError> {
    let (manifests, settings) = desired(flags)?;
    let wanted = read(&manifests, settings.node)?;
    let ports: Vec<_> = wanted.changes.into_iter().filter_map(|change| change.desired).collect();
    let rules = backends::rendered(settings.mode, &wanted.policy, &ports)?.text();
    print(|out| out.write_all(rules.as_bytes())).map_err(CommandError::Print)?;
    Ok(if wanted.refused { Exit::Refused } else { Exit::Success })
}
