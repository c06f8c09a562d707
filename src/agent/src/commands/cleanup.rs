//! `portolan cleanup`, which removes what is ours; and kube-proxy's flag `--cleanup`, which removes what is any service
//! proxy's.

use portolan_nftables::{Nftables, TABLE};

use super::CommandError;
use crate::{
    cli::{Cleanup, CleanupMode},
    exit::Exit,
    leftovers::Leftovers,
    output::print,
    sync_loop::ErrorChain,
};

/// Removes everything of ours from the kernel and says what that was; with `--dry-run` only says it.
///
/// # Errors
/// When the kernel cannot be read or refuses.
pub fn cleanup(arguments: &Cleanup) -> Result<Exit, CommandError> {
    let (verb, families) = match arguments.mode {
        CleanupMode::Nftables | CleanupMode::All if arguments.dry_run => ("would remove", Nftables::open()?.tables()?),
        CleanupMode::Nftables | CleanupMode::All => ("removed", Nftables::open()?.remove_tables()?),
        CleanupMode::Ipvs | CleanupMode::Iptables => ("", Vec::new()),
    };
    print(|out| {
        for family in &families {
            writeln!(out, "{verb} table {TABLE} for {family}")?;
        }
        match arguments.mode {
            CleanupMode::Ipvs => writeln!(out, "nothing to remove: Portolan has no ipvs mode"),
            CleanupMode::Iptables => writeln!(out, "nothing to remove: Portolan has no iptables mode"),
            _ if families.is_empty() => writeln!(out, "nothing to remove: there is no table {TABLE}"),
            _ => Ok(()),
        }
    })
    .map_err(CommandError::Print)?;
    Ok(Exit::Success)
}

/// Removes everything of ours and of kube-proxy's, whatever its mode, and says what that was. What cannot be removed is
/// logged, the rest is removed all the same, and the exit code is 1.
///
/// # Errors
/// When nftables cannot be used at all, or nothing can be printed.
pub fn cleanup_all() -> Result<Exit, CommandError> {
    let ours = Nftables::open()?.remove_tables();
    let mut leftovers = Leftovers::open().map_err(portolan_nftables::Error::from)?;
    let found = leftovers.find();
    let report = leftovers.remove(&found);
    print(|out| {
        for family in ours.iter().flatten() {
            writeln!(out, "removed table {TABLE} for {family}")?;
        }
        report.removed.iter().try_for_each(|item| writeln!(out, "removed {item}"))
    })
    .map_err(CommandError::Print)?;
    for kept in &report.kept {
        tracing::info!("{kept}");
    }
    for trouble in &report.trouble {
        tracing::error!("{trouble}");
    }
    if let Err(error) = &ours {
        tracing::error!("{}", ErrorChain(error));
    }
    let failed = ours.is_err() || !report.trouble.is_empty();
    Ok(if failed { Exit::Failure } else { Exit::Success })
}
