//! A node's proxy is changed, from the real kube-proxy to Portolan and back, as an image swap does it: the old one gets
//! SIGTERM and nothing cleans up after it. Each mode of the one with each of the other. What Portolan's own modes are to each
//! other is in `main.rs`.
//!
//! ```text
//!   kube-proxy 1.37.2        Portolan                          kube-proxy                    portolan cleanup
//!   ------------ SIGTERM | --- complete, leftovers gone --- SIGTERM | --- complete ------------------- | ---
//!                        Services change, each time: what the new proxy says is what packets meet;
//!                        what it does not translate any more meets what Portolan left, until cleanup
//! ```

mod beside;
mod cluster;
mod cni;
mod predecessors;
mod successor;
mod traffic;
mod world;

use std::{
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use portolan_e2e::{
    Lab, MODES, Mode, Options,
    controlplane::{Binary, KubeProxy},
    daemon::test,
    harness::{self, Failure, Test},
    product::Portolan,
    scenario::ServiceProxy,
};
use portolan_iptables::Variant;

use self::{
    cluster::Cluster,
    traffic::Traffic,
    world::{LOAD_BALANCER, SILENT, World},
};

fn main() -> ExitCode {
    harness::run(tests, || ())
}

/// A test with the real kube-proxy.
type Case = Box<dyn FnOnce(&Binary) -> Result<()> + Send>;

fn tests() -> Result<Vec<Test>, Failure> {
    let binary = Binary::unless_missing("the real kube-proxy is not there").map_err(|missing| missing.to_string())?;
    let Some(binary) = binary.map(Arc::new) else { return Ok(Vec::new()) };
    // There is one place for an API server.
    let alone = |name: &str, case: Case| {
        let binary = Arc::clone(&binary);
        test(name, move || {
            let _alone = ONE.lock().unwrap_or_else(PoisonError::into_inner);
            case(&binary)
        })
    };
    let mut tests = Vec::new();
    for theirs in MODES {
        for ours in MODES {
            let name = format!("kube-proxy in {theirs} mode and Portolan in {ours} mode, there and back under traffic");
            tests.push(alone(&name, Box::new(move |binary| there_and_back(binary, theirs, ours))));
        }
        let name = format!("kube-proxy in {theirs} mode, still running beside Portolan");
        tests
            .push(alone(&name, Box::new(move |binary| beside::still_running(binary, ServiceProxy::KubeProxy(theirs)))));
    }
    Ok(tests)
}

static ONE: Mutex<()> = Mutex::new(());

const KUBE_PROXY_STARTS: &str = "kube-proxy starts";

fn there_and_back(binary: &Binary, theirs: Mode, ours: Mode) -> Result<()> {
    let lab = Lab::new(&Options::default())?;
    let mut cluster = Cluster::new(&lab, binary, ServiceProxy::KubeProxy(theirs), Variant::Nft)?;
    cluster.change(World::begin)?;
    let kube_proxy = cluster.start_kube_proxy()?;
    cluster.world.is_as_begun("kube-proxy serves")?;
    let portolan = Portolan::find()?.in_mode(ours);
    // Before its first sync in nftables mode kube-proxy removes all of iptables mode, so that nobody is served meanwhile.
    let removes_first = (theirs, ours) == (Mode::Nftables, Mode::Iptables);
    let is_judged = |phase: &str| !(removes_first && phase == KUBE_PROXY_STARTS);
    traffic::during(&lab, &World::destinations()?, is_judged, |traffic| {
        to_portolan(&mut cluster, traffic, kube_proxy, &portolan)?;
        back_to_kube_proxy(&mut cluster, traffic, &portolan, theirs)
    })
}

/// Until Portolan has ended, and its rules serve alone.
fn to_portolan(
    cluster: &mut Cluster<'_>,
    traffic: &Traffic<'_>,
    kube_proxy: KubeProxy,
    portolan: &Portolan,
) -> Result<()> {
    traffic.more(300)?;
    traffic.phase("kube-proxy ends")?;
    kube_proxy.end(Signal::SIGTERM)?;
    traffic.more(100)?;
    let daemon = successor::takes_over(&cluster.world, traffic, portolan)?;
    traffic.phase("Services change, and change back")?;
    cluster.change(World::change)?;
    cluster.world.is_served_as_changed("Portolan serves")?;
    cluster.world.is_refused_as_changed("Portolan serves")?;
    cluster.change(World::change_back)?;
    cluster.world.is_as_begun("Portolan serves")?;
    successor::ends(&cluster.world, traffic, portolan, daemon)?;
    cluster.world.is_as_begun("nobody serves")
}

/// What Portolan has left is removed at last.
fn back_to_kube_proxy(
    cluster: &mut Cluster<'_>,
    traffic: &Traffic<'_>,
    portolan: &Portolan,
    theirs: Mode,
) -> Result<()> {
    traffic.phase(KUBE_PROXY_STARTS)?;
    let mut kube_proxy = cluster.start_kube_proxy()?;
    kube_proxy.until("the first sync", |proxy| Ok(proxy.full_syncs()? > 0))?;
    traffic.more(100)?;
    traffic.phase("kube-proxy serves, Services change")?;
    cluster.change(World::change)?;
    let world = &cluster.world;
    world.is_served_as_changed("kube-proxy serves")?;
    if portolan.mode() == Mode::Nftables {
        // kube-proxy does not translate these, so that Portolan's rules do. In nftables mode it refuses sources before that.
        let restricted = if theirs == Mode::Iptables { "pod-a2:8080" } else { SILENT };
        world.expect("as Portolan left it", "outside", LOAD_BALANCER, &[restricted])?;
        world.everybody_meets("emptied, as Portolan left it", 12, &["pod-a2:8080"])?;
        world.everybody_meets("deleted, as Portolan left it", 13, &["pod-a2:8080"])?;
    }
    traffic.phase("portolan cleanup")?;
    portolan.on(world.node()?).arg("cleanup").expect_exit(0)?;
    traffic.more(100)?;
    traffic.phase("kube-proxy serves alone")?;
    world.is_served_as_changed("kube-proxy serves alone")?;
    world.is_refused_as_changed("kube-proxy serves alone")?;
    let left = predecessors::traces(world.node()?)?;
    let others: Vec<_> = left.iter().filter(|trace| !is_kube_proxys(theirs, trace)).collect();
    ensure!(others.is_empty(), "cleanup leaves {others:#?}");
    ensure!(!left.is_empty(), "cleanup has removed what is kube-proxy's");
    Ok(())
}

/// Whether a kube-proxy in this mode has a table or chain.
fn is_kube_proxys(mode: Mode, trace: &str) -> bool {
    let portolans = [": KUBE-NO-SUCH-PORT", ": KUBE-EXTERNAL-NODEPORTS", "-V6-", "/"];
    match mode {
        Mode::Nftables => trace.ends_with(" kube-proxy"),
        _ => trace.contains("tables-nft, ") && !portolans.iter().any(|part| trace.contains(part)),
    }
}
