//! Portolan changes its mode, as an edit of `mode` and a restart do it: the old one gets SIGTERM and nothing cleans up after it.
//! The same with the real kube-proxy as the other proxy is in `kube_proxy.rs`.
//!
//! ```text
//!   one mode                 another mode                       the first again
//!   ------------ SIGTERM | --- complete, leftovers gone,    SIGTERM | --- complete, leftovers gone, ... | portolan cleanup
//!                             Services change, restart
//! ```

mod cleanup;
mod cni;
mod ipvs;
mod leftovers;
mod predecessors;
mod successor;
mod traffic;
mod world;

use std::{
    process::ExitCode,
    sync::{Mutex, PoisonError},
};

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use portolan_core::addr::Family;
use portolan_e2e::{
    Lab, Mode, Options,
    daemon::{Daemon, test, until},
    harness::{self, Failure, Test},
    has_kernel_for,
    host::Host,
    product::Portolan,
};
use portolan_iptables::Variant;

use self::world::{World, is_ready};

fn main() -> ExitCode {
    harness::run(|| Ok::<_, Failure>(tests()), || ())
}

/// A mode of Portolan, on a node whose iptables are of this kind.
type Setup = (Mode, Variant);

const NFTABLES: Setup = (Mode::Nftables, Variant::Nft);
const NFTABLES_BESIDE_LEGACY: Setup = (Mode::Nftables, Variant::Legacy);
const IPTABLES: Setup = (Mode::Iptables, Variant::Nft);
const LEGACY: Setup = (Mode::Iptables, Variant::Legacy);
const IPVS: Setup = (Mode::Ipvs, Variant::Nft);

const SETUPS: [(&str, Setup); 3] = [("nftables", NFTABLES), ("iptables-nft", IPTABLES), ("iptables-legacy", LEGACY)];

fn tests() -> Vec<Test> {
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
        test("cleanup removes what is Portolan's, and --dry-run nothing", cleanup::of_nftables_mode),
        test("cleanup tells Portolan's chains from kube-proxy's of the same names", cleanup::chains_of_one_name),
        test("--cleanup removes what is any service proxy's", cleanup::of_any_proxy),
    ];
    for (what, setup) in SETUPS {
        tests.push(test(&format!("what ipvs mode left goes, {what}"), move || ipvs::left_to(setup)));
    }
    tests.push(test("what ipvs mode left goes, --cleanup", ipvs::cleaned_up));
    for (before, one) in SETUPS {
        for (after, other) in SETUPS {
            let name = format!("cleanup in each mode after each mode, {before} and then {after}");
            tests.push(test(&name, move || cleanup::after(one, other)));
        }
    }
    let mut pairs = vec![
        ("nftables and iptables", NFTABLES, IPTABLES),
        ("nftables and iptables-legacy", NFTABLES_BESIDE_LEGACY, LEGACY),
        ("iptables-nft and iptables-legacy", IPTABLES, LEGACY),
    ];
    if has_kernel_for(Mode::Ipvs) {
        pairs.extend([("nftables and ipvs", NFTABLES, IPVS), ("iptables and ipvs", IPTABLES, IPVS)]);
    }
    for (what, one, other) in pairs {
        tests.push(test(&format!("from mode to mode and back under traffic, {what}"), move || {
            // So that the traffic of one does not slow down the other's.
            let _alone = ONE.lock().unwrap_or_else(PoisonError::into_inner);
            there_and_back(one, other)
        }));
    }
    tests
}

static ONE: Mutex<()> = Mutex::new(());

fn there_and_back(one: Setup, other: Setup) -> Result<()> {
    let lab = Lab::new(&Options::default())?;
    let mut world = World::new(&lab, one.1)?;
    let node = world.node()?;
    if one.1 != other.1 {
        cni::install_kubelets(node, other.1)?;
        kubelet_uses(node, one.1)?;
    }
    world.begin()?;
    let [first, second] = [one.0, other.0].map(|mode| Ok::<_, anyhow::Error>(Portolan::find()?.in_mode(mode)));
    let (first, second) = (first?, second?);
    let daemon = Daemon::start(&first, node, world.manifests())?;
    until("readiness", || Ok::<_, anyhow::Error>(is_ready(node)?.then_some(())))?;
    world.is_as_begun("the first serves")?;
    traffic::during(
        &lab,
        &World::destinations()?,
        |_| true,
        |traffic| {
            traffic.more(100)?;
            traffic.phase("it ends")?;
            ensure!(daemon.end(Signal::SIGTERM)?.success());
            traffic.more(100)?;
            kubelet_uses(node, other.1)?;
            world.variant = other.1;
            let daemon = successor::takes_over(&world, traffic, &second)?;
            traffic.phase("Services change")?;
            world.change()?;
            world.is_served_as_changed("the other serves")?;
            world.is_refused_as_changed("the other serves")?;
            successor::ends(&world, traffic, &second, daemon)?;
            kubelet_uses(node, one.1)?;
            world.variant = one.1;
            let daemon = successor::takes_over(&world, traffic, &first)?;
            traffic.phase("Services change back")?;
            world.change_back()?;
            world.is_as_begun("the first serves again")?;
            successor::ends(&world, traffic, &first, daemon)
        },
    )?;
    let others = cni::listing(node, world.variant)?;
    first.on(node).arg("cleanup").expect_exit(0)?;
    let left = predecessors::traces(node)?;
    ensure!(left.is_empty(), "cleanup leaves {left:#?}");
    cni::ensure_same(&others, &cni::listing(node, world.variant)?)
}

/// The node's kubelet uses this kind of iptables from now on, and not the other. What its CNI plugin has written stays where it is.
fn kubelet_uses(node: &Host, variant: Variant) -> Result<()> {
    const SIGNS: [&str; 2] = ["KUBE-KUBELET-CANARY", "KUBE-IPTABLES-HINT"];
    let other = if variant == Variant::Nft { Variant::Legacy } else { Variant::Nft };
    let made = SIGNS.map(|chain| format!(":{chain} - [0:0]\n")).concat();
    let removed = SIGNS.map(|chain| format!("-X {chain}\n")).concat();
    for stem in Family::ALL.map(cni::stem) {
        for (kind, lines) in [(variant, made.clone()), (other, [made.as_str(), &removed].concat())] {
            let restore = node.command(format!("{stem}-{kind}-restore")).arg("--noflush");
            restore.input(format!("*mangle\n{lines}COMMIT\n")).expect_exit(0)?;
        }
    }
    Ok(())
}
