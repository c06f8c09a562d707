//! `portolan cleanup`, which removes what is ours; and kube-proxy's flag `--cleanup`, which removes what is any service
//! proxy's.

use portolan_core::inspect::Removal;

use super::CommandError;
use crate::{
    backends::{self, Left},
    cli::Cleanup,
    exit::Exit,
    output::print,
    sync_loop::Told,
};

/// Removes everything of ours from the kernel and says what that was; with `--dry-run` only says it. What cannot be removed is
/// logged, the rest is removed all the same, and the exit code is 1.
///
/// # Errors
/// When nothing can be printed.
pub fn cleanup(arguments: &Cleanup) -> Result<Exit, CommandError> {
    let removal = removed(backends::left_by_portolan(arguments.mode), arguments.dry_run);
    if removal.removed.is_empty() && removal.trouble.is_empty() {
        print(|out| writeln!(out, "nothing to remove: the kernel holds nothing of Portolan's"))
            .map_err(CommandError::Print)?;
    }
    tell(if arguments.dry_run { "would remove" } else { "removed" }, &removal)
}

/// The same for everything of ours and of kube-proxy's, whatever its mode.
///
/// # Errors
/// As [`cleanup`].
pub fn cleanup_all() -> Result<Exit, CommandError> {
    tell("removed", &removed(backends::predecessors(None), false))
}

fn removed(all: impl Iterator<Item = Left>, dry_run: bool) -> Removal {
    let mut removal = Removal::default();
    for left in all {
        match left {
            Ok(mut left) => removal.append(left.remove(dry_run)),
            Err(error) => removal.troubled("a part of the kernel cannot be looked at".to_owned(), error),
        }
    }
    removal
}

fn tell(verb: &str, removal: &Removal) -> Result<Exit, CommandError> {
    print(|out| removal.removed.iter().try_for_each(|item| writeln!(out, "{verb} {item}")))
        .map_err(CommandError::Print)?;
    for kept in &removal.kept {
        tracing::info!("{kept}");
    }
    for trouble in &removal.trouble {
        tracing::error!("{}", Told(trouble));
    }
    Ok(if removal.trouble.is_empty() { Exit::Success } else { Exit::Failure })
}
