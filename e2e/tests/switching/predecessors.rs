//! What service proxies have left on a node, in the words of the code under test and in our own.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use portolan::backends::predecessors;
use portolan_core::{addr::Family, inspect::Removal};
use portolan_e2e::{Mode, daemon::Rules as _, host::Host};
use portolan_iptables::Variant;

use super::cni;

/// What a Portolan in this mode removes, or with `dry_run` would remove.
pub(crate) fn removal(running: Mode, dry_run: bool) -> Result<Removal> {
    let mut all = Removal::default();
    for left in predecessors(Some(running)) {
        all.append(left?.remove(dry_run));
    }
    Ok(all)
}

/// Removes it, and sees that nothing is left.
pub(crate) fn remove(running: Mode) -> Result<Removal> {
    let removed = removal(running, false)?;
    ensure!(removal(running, true)?.removed.is_empty(), "something is still there");
    Ok(removed)
}

/// Whether another proxy than a Portolan in this mode seems to run.
pub(crate) fn is_present(running: Mode) -> Result<bool> {
    for left in predecessors(Some(running)) {
        if left?.is_present()? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// All tables of nf_tables and chains of iptables that are a service proxy's.
pub(crate) fn traces(node: &Host) -> Result<BTreeSet<String>> {
    let tables = node.nft("list tables")?;
    let tables = tables.lines().filter(|table| table.ends_with(" portolan") || table.ends_with(" kube-proxy"));
    let mut traces: BTreeSet<_> = tables.map(ToOwned::to_owned).collect();
    for variant in [Variant::Nft, Variant::Legacy] {
        for stem in Family::ALL.map(cni::stem) {
            let saved = node.command(format!("{stem}-{variant}-save")).expect_exit(0)?;
            let mut table = "";
            for line in saved.lines() {
                table = line.strip_prefix('*').unwrap_or(table);
                if let Some(chain) = line.strip_prefix(':').filter(|line| cni::is_kube_proxys(line)) {
                    let chain = chain.split(' ').next().unwrap_or_default();
                    traces.insert(format!("{stem}-{variant}, table {table}: {chain}"));
                }
            }
        }
    }
    Ok(traces)
}

/// Those that a Portolan in this mode and with iptables of this kind does not have.
pub(crate) fn others(node: &Host, mode: Mode, variant: Variant) -> Result<Vec<String>> {
    let is_ours = |trace: &str| match mode {
        Mode::Nftables | Mode::Ipvs => trace.ends_with(" portolan"),
        _ => trace.contains(&format!("tables-{variant}, ")) && !trace.ends_with(": KUBE-PROXY-CANARY"),
    };
    Ok(traces(node)?.into_iter().filter(|trace| !is_ours(trace)).collect())
}
