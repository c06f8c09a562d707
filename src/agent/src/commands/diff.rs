//! `portolan diff`: what a sync would do to the kernel.

use portolan_config::Flags;
use portolan_core::object::Op;
use portolan_nftables::Nft;

use super::{CommandError, desired, read, syncer};
use crate::{exit::Exit, output::print};

/// Prints the plan; nothing is changed.
///
/// # Errors
/// When the flags have mistakes, there are no manifests at the path, the kernel cannot be read, or nothing can be printed.
pub fn diff(flags: &Flags) -> Result<Exit, CommandError> {
    let (manifests, node) = desired(flags)?;
    let wanted = read(&manifests, node)?;
    let plan = syncer(&wanted)?.diff()?;
    let count = plan.ops().count();
    if count == 0 && !wanted.complete {
        tracing::error!("not every file could be read, so whether the kernel holds too much cannot be told");
        return Ok(Exit::Failure);
    }
    print(|out| {
        for op in plan.ops() {
            writeln!(out, "{} {}", sign(op), op.key())?;
        }
        match count {
            0 => writeln!(out, "converged: the kernel holds what the manifests want"),
            1 => writeln!(out, "drift: 1 object differs (+ is missing, ~ is different, - is not wanted)"),
            _ => writeln!(out, "drift: {count} objects differ (+ are missing, ~ are different, - are not wanted)"),
        }
    })
    .map_err(CommandError::Print)?;
    Ok(if count == 0 { Exit::Success } else { Exit::Drift })
}

const fn sign(op: &Op<Nft>) -> char {
    match op {
        Op::Add(..) => '+',
        Op::Replace(..) | Op::Rebuild(_) => '~',
        Op::Remove(..) => '-',
    }
}
