//! A node's proxy is changed, from the real kube-proxy to Portolan and back, as an image swap does it: the old one gets
//! SIGTERM and nothing cleans up after it.
//!
//! ```text
//!   kube-proxy 1.37.2        Portolan                          kube-proxy                    portolan cleanup
//!   ------------ SIGTERM | --- complete, leftovers gone --- SIGTERM | --- complete ------------------- | ---
//!                        Services change, each time: what the new proxy says is what packets meet;
//!                        what it does not translate any more meets what Portolan left, until cleanup
//! ```

mod beside;
mod cni;
mod leftovers;
mod traffic;
mod world;

use std::{
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use portolan_core::addr::Family;
use portolan_e2e::{
    Lab, Mode, Options,
    controlplane::{Binary, KubeProxy},
    daemon::{Daemon, Rules as _, test, until},
    harness::{self, Failure, Test},
    product::Portolan,
    scenario::ServiceProxy,
};

use self::{
    traffic::Traffic,
    world::{
        LOAD_BALANCER, NODE_PORT, REFUSED, SILENT, World, at_node, is_ready, load_balancer, metric, node_port, service,
        vip,
    },
};

fn main() -> ExitCode {
    harness::run(tests, || ())
}

/// A test with the real kube-proxy in one of its modes.
type Case = fn(&Binary, ServiceProxy) -> Result<()>;

fn tests() -> Result<Vec<Test>, Failure> {
    let mut tests = vec![
        test("what iptables-legacy has written is removed by its own programs", leftovers::written_by_iptables_legacy),
        test("without the programs of iptables-legacy it is told what to do", leftovers::no_iptables_legacy),
        test("the link of ipvs mode is removed", leftovers::the_link_of_ipvs_mode),
        test("a chain that another program's rule leads to stays", leftovers::anothers_rule_leads_to_it),
        test(
            "what iptables mode adopts stays, and what another mode of Portolan left goes",
            leftovers::what_is_adopted_stays,
        ),
        test("what Portolan's iptables mode left goes", leftovers::what_portolans_iptables_mode_left_goes),
        test("cleanup removes what is Portolan's, and --dry-run nothing", leftovers::cleanup),
        test("cleanup tells Portolan's chains from kube-proxy's of the same names", leftovers::chains_of_one_name),
        test("--cleanup removes what is any service proxy's", leftovers::cleanup_all),
    ];
    let binary = Binary::unless_missing("the real kube-proxy is not there").map_err(|missing| missing.to_string())?;
    let Some(binary) = binary.map(Arc::new) else { return Ok(tests) };
    for (name, mode) in
        [("nftables", ServiceProxy::KubeProxy(Mode::Nftables)), ("iptables", ServiceProxy::KubeProxy(Mode::Iptables))]
    {
        let cases: [(&str, Case); 2] = [
            ("there and back, under traffic", there_and_back),
            ("still running beside Portolan", beside::still_running),
        ];
        for (what, case) in cases {
            let binary = Arc::clone(&binary);
            tests.push(test(&format!("kube-proxy in {name} mode, {what}"), move || {
                // There is one place for an API server.
                let _alone = ONE.lock().unwrap_or_else(PoisonError::into_inner);
                case(&binary, mode)
            }));
        }
    }
    Ok(tests)
}

static ONE: Mutex<()> = Mutex::new(());

/// Where Portolan tells its metrics by default.
const METRICS: &str = "127.0.0.1:10249";

const BOTH: [&str; 2] = ["pod-a2", "pod-b1"];

fn there_and_back(binary: &Binary, mode: ServiceProxy) -> Result<()> {
    let lab = Lab::new(&Options::default())?;
    let mut world = World::new(&lab, binary, mode)?;
    cni::install(world.node()?)?;
    let cnis = cni::listing(world.node()?)?;
    world.apply(node_port(service("web", 10, &BOTH)?))?;
    world.apply(service("moving", 11, &["pod-a2"])?)?;
    world.apply(service("emptied", 12, &["pod-a2"])?)?;
    world.apply(service("deleted", 13, &["pod-a2"])?)?;
    world.apply(service("filled", 14, &[])?)?;
    world.apply(load_balancer(service("restricted", 16, &["pod-a2"])?, &[]))?;
    let kube_proxy = world.start_kube_proxy()?;
    world.everybody_meets("kube-proxy serves", 11, &["pod-a2:8080"])?;
    world.everybody_meets("kube-proxy serves", 10, &["pod-a2:8080", "pod-b1:8080"])?;
    world.host_port_works()?;
    let mut web = Vec::new();
    for family in Family::ALL {
        web.extend([vip(10, family), at_node(NODE_PORT, family)?]);
    }
    let phases = traffic::during(&lab, &web, |traffic| {
        to_portolan(&mut world, traffic, kube_proxy, &cnis)?;
        back_to_kube_proxy(&mut world, traffic)
    })?;
    phases.iter().for_each(|phase| println!("{phase}"));
    ensure!(phases.iter().all(|phase| phase.failed.is_empty()), "connections failed");
    ensure!(traffic::rate(&phases) >= 200.0, "too little traffic");
    Ok(())
}

/// Until Portolan has ended, and its rules serve alone.
fn to_portolan(world: &mut World<'_>, traffic: &Traffic, kube_proxy: KubeProxy, cnis: &[String]) -> Result<()> {
    let (portolan, node) = (Portolan::find()?, world.node()?);
    traffic.more(300)?;
    traffic.phase("kube-proxy ends");
    kube_proxy.end(Signal::SIGTERM)?;
    traffic.more(100)?;
    traffic.phase("Portolan starts, leftovers are removed");
    let daemon = Daemon::start(&portolan, node, world.manifests())?;
    daemon.logs(0, "which was left behind")?;
    until("the end of the leftovers", || {
        let is_empty = node.enter(|| leftovers::removal(Mode::Nftables, true))??.removed.is_empty();
        Ok::<_, anyhow::Error>(is_empty.then_some(()))
    })?;
    ensure!(!node.enter(leftovers::is_present)??);
    ensure!(metric(node, METRICS.parse()?, "portolan_conflicting_proxy")? == 0.0);
    ensure!(cni::listing(node)? == cnis, "others' rules are not as they were");
    traffic.more(100)?;
    traffic.phase("Portolan serves, Services change");
    world.apply(service("moving", 11, &["pod-b1"])?)?;
    world.everybody_meets("Portolan serves", 11, &["pod-b1:8080"])?;
    world.expect("for all", "outside", LOAD_BALANCER, &["pod-a2:8080"])?;
    world.host_port_works()?;
    traffic.more(100)?;
    traffic.phase("Portolan is restarted");
    let generation = node.generation()?;
    ensure!(daemon.end(Signal::SIGTERM)?.success());
    traffic.more(100)?;
    let daemon = Daemon::start(&portolan, node, world.manifests())?;
    until("readiness", || Ok::<_, anyhow::Error>(is_ready(node)?.then_some(())))?;
    traffic.more(100)?;
    traffic.phase("Portolan ends, its rules serve");
    ensure!(daemon.end(Signal::SIGTERM)?.success());
    ensure!(node.generation()? == generation, "a restart and an end write nothing");
    portolan.on(node).arg("diff").args(portolan.arguments(world.manifests(), node)).expect_exit(0)?;
    world.everybody_meets("nobody serves", 11, &["pod-b1:8080"])?;
    world.everybody_meets("nobody serves", 14, &[REFUSED])?;
    world.host_port_works()
}

/// Portolan's tables are left behind, and are removed at last.
fn back_to_kube_proxy(world: &mut World<'_>, traffic: &Traffic) -> Result<()> {
    traffic.phase("kube-proxy starts");
    let mut kube_proxy = world.start_kube_proxy()?;
    kube_proxy.until("the first sync", |proxy| Ok(proxy.full_syncs()? > 0))?;
    traffic.more(100)?;
    traffic.phase("kube-proxy serves, Services change");
    world.apply(service("moving", 11, &["pod-a2"])?)?;
    world.apply(service("filled", 14, &["pod-b1"])?)?;
    world.apply(service("new", 15, &["pod-b1"])?)?;
    world.apply(service("emptied", 12, &[])?)?;
    world.delete("deleted")?;
    world.apply(load_balancer(service("restricted", 16, &["pod-a2"])?, &["198.51.100.0/24"]))?;
    world.everybody_meets("moved", 11, &["pod-a2:8080"])?;
    world.everybody_meets("filled", 14, &["pod-b1:8080"])?;
    world.everybody_meets("new", 15, &["pod-b1:8080"])?;
    // kube-proxy does not translate these, so that Portolan's rules do. In nftables mode it refuses sources before that.
    let restricted = if world.mode == ServiceProxy::KubeProxy(Mode::Iptables) { "pod-a2:8080" } else { SILENT };
    world.expect("restricted, as Portolan left it", "outside", LOAD_BALANCER, &[restricted])?;
    world.everybody_meets("emptied, as Portolan left it", 12, &["pod-a2:8080"])?;
    world.everybody_meets("deleted, as Portolan left it", 13, &["pod-a2:8080"])?;
    traffic.phase("portolan cleanup");
    Portolan::find()?.on(world.node()?).arg("cleanup").expect_exit(0)?;
    world.expect("restricted", "outside", LOAD_BALANCER, &[SILENT])?;
    world.everybody_meets("emptied", 12, &[REFUSED])?;
    world.everybody_meets("deleted", 13, &[SILENT])?;
    world.host_port_works()
}
