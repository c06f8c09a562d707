//! `portolan cleanup`: removes our tables.

use portolan_nftables::{Nftables, TABLE};

use super::CommandError;
use crate::{exit::Exit, output::print};

/// Removes everything of ours from the kernel and says what that was.
///
/// # Errors
/// When the kernel cannot be read or refuses.
pub fn cleanup() -> Result<Exit, CommandError> {
    let removed = Nftables::open()?.remove_tables()?;
    print(|out| {
        for family in &removed {
            writeln!(out, "removed table {TABLE} for {family}")?;
        }
        if removed.is_empty() {
            writeln!(out, "nothing to remove: there is no table {TABLE}")?;
        }
        Ok(())
    })
    .map_err(CommandError::Print)?;
    Ok(Exit::Success)
}
