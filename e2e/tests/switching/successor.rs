//! Portolan in the place of another service proxy, whose rules it finds.

use anyhow::{Result, ensure};
use nix::{net::if_::if_nametoindex, sys::signal::Signal};
use portolan_core::addr::Family;
use portolan_e2e::{
    Mode,
    daemon::{Daemon, Rules as _, until},
    product::Portolan,
};
use portolan_iptables::Variant;

use super::{
    cni, predecessors,
    traffic::Traffic,
    world::{World, is_ready, metric},
};

/// Where it tells its metrics by default.
const METRICS: &str = "127.0.0.1:10249";

/// Starts it, and returns when nothing of its predecessor is left, and all of the CNI plugin's.
pub(crate) fn takes_over(world: &World<'_>, traffic: &Traffic<'_>, portolan: &Portolan) -> Result<Daemon> {
    let (node, mode) = (world.node()?, portolan.mode());
    traffic.phase(format!("Portolan in {mode} mode starts, leftovers go"))?;
    let others = cni::listing(node, world.variant)?;
    let daemon = Daemon::start(portolan, node, world.manifests())?;
    until("readiness", || Ok::<_, anyhow::Error>(is_ready(node)?.then_some(())))?;
    let drains = mode != Mode::Ipvs && node.enter(|| if_nametoindex("kube-ipvs0"))?.is_ok();
    until("the end of the leftovers", || {
        let left = node.enter(|| predecessors::removal(mode, true))??.removed;
        // Its connections stay, and with them their virtual servers and the link.
        let is_empty = left.iter().all(|item| drains && item == "link kube-ipvs0, of ipvs mode");
        Ok::<_, anyhow::Error>(is_empty.then_some(()))
    })?;
    let left = predecessors::others(node, mode, world.variant)?;
    ensure!(left.is_empty(), "there is still {left:#?}");
    ensure!(drains || !node.enter(|| predecessors::is_present(mode))??);
    ensure!(metric(node, METRICS.parse()?, "portolan_conflicting_proxy")? == 0.0);
    cni::ensure_same(&others, &cni::listing(node, world.variant)?)?;
    traffic.more(100)?;
    Ok(daemon)
}

/// Restarts and ends it: neither writes anything, and its rules serve.
pub(crate) fn ends(world: &World<'_>, traffic: &Traffic<'_>, portolan: &Portolan, daemon: Daemon) -> Result<()> {
    let (node, mode) = (world.node()?, portolan.mode());
    traffic.phase(format!("Portolan in {mode} mode is restarted"))?;
    let written = written(world)?;
    ensure!(daemon.end(Signal::SIGTERM)?.success());
    traffic.more(100)?;
    let daemon = Daemon::start(portolan, node, world.manifests())?;
    until("readiness", || Ok::<_, anyhow::Error>(is_ready(node)?.then_some(())))?;
    traffic.more(100)?;
    traffic.phase(format!("Portolan in {mode} mode ends, its rules serve"))?;
    ensure!(daemon.end(Signal::SIGTERM)?.success());
    ensure!(self::written(world)? == written, "a restart or an end writes something");
    portolan.on(node).arg("diff").args(portolan.arguments(world.manifests(), node)).expect_exit(0).map(drop)?;
    traffic.more(100)
}

/// How often the rules of nf_tables were written, and those of iptables-legacy.
fn written(world: &World<'_>) -> Result<(u32, Vec<String>)> {
    let (node, mut saved) = (world.node()?, Vec::new());
    for stem in Family::ALL.map(cni::stem) {
        let all = node.command(format!("{stem}-{}-save", Variant::Legacy)).expect_exit(0)?;
        let rules = all.lines().filter(|line| line.starts_with('-')).map(ToOwned::to_owned);
        saved.extend(rules);
    }
    Ok((node.generation()?, saved))
}
