//! `portolan render`: the rules for manifests, without a kernel.

use portolan_config::Flags;
use portolan_core::object::Tracker;
use portolan_nftables::{Nft, text};

use super::{CommandError, desired, read};
use crate::{exit::Exit, output::print};

/// Prints the rules as nft syntax.
///
/// # Errors
/// When the flags have mistakes, there are no manifests at the path, or nothing can be printed.
pub fn render(flags: &Flags) -> Result<Exit, CommandError> {
    let (manifests, node) = desired(flags)?;
    let wanted = read(&manifests, node)?;
    let ports: Vec<_> = wanted.changes.into_iter().filter_map(|change| change.desired).collect();
    let objects = Tracker::rendered(&Nft, &wanted.policy, &ports);
    let rules = text(objects.all_wanted());
    print(|out| out.write_all(rules.as_bytes())).map_err(CommandError::Print)?;
    Ok(if wanted.refused { Exit::Refused } else { Exit::Success })
}
