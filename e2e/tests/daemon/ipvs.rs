//! Ipvs mode on a node that lacks something, or whose firewall may be in its way.

use anyhow::{Context as _, Result, ensure};
use portolan_e2e::{Mode, daemon::Rules as _, has_kernel_for};
use portolan_netlink::links::Links;

use crate::world::{World, complaints, text};

const NO_IPVS: &str = "this kernel has no IPVS: load the module (modprobe ip_vs) or choose another mode";
const NO_DUMMIES: &str = "this kernel has no links of the kind dummy: load the module (modprobe dummy)";
const DENIED_IPVS: &str =
    "not permitted to use IPVS: the capability CAP_NET_ADMIN is needed, and not in a user namespace";
const DENIED_TABLES: &str =
    "not permitted to use nf_tables: the capability CAP_NET_ADMIN is needed in this network namespace";

pub(crate) fn what_ipvs_mode_lacks_is_told_at_once_and_nothing_is_written() -> Result<()> {
    let world = World::new()?;
    let has_ipvs = has_kernel_for(Mode::Ipvs);
    let lacks_dummies = !world.node.enter(|| Links::open()?.knows_kind("dummy"))??;
    let missing = |denied: &[&'static str]| -> Vec<&'static str> {
        let ipvs = (!has_ipvs).then_some(NO_IPVS);
        let dummies = (lacks_dummies && !denied.contains(&DENIED_TABLES)).then_some(NO_DUMMIES);
        ipvs.into_iter().chain(denied.iter().copied()).chain(dummies).collect()
    };
    if !has_ipvs {
        fails(&world, &[], &missing(&[]))?;
    }
    // There the process may do all else.
    fails(
        &world,
        &["unshare", "--user", "--map-root-user", "--net"],
        &missing(if has_ipvs { &[DENIED_IPVS] } else { &[] }),
    )?;
    let nothing = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"];
    fails(&world, &nothing, &missing(&[if has_ipvs { DENIED_IPVS } else { DENIED_TABLES }]))
}

/// Started by a program with arguments it ends with these reasons and no others.
fn fails(world: &World, by: &[&str], reasons: &[&str]) -> Result<()> {
    let server = format!("--master={}", world.server.url());
    let run = [text(world.portolan.path()), "run", "--proxy-mode=ipvs", "--hostname-override=node-a", &server];
    let words: Vec<_> = by.iter().copied().chain(run).collect();
    let (program, arguments) = words.split_first().context("a program")?;
    let before = (world.node.listing()?, world.node.generation()?, world.established()?);
    let ended = world.node.command(program).args(arguments).output()?;
    let log = String::from_utf8(ended.stderr)?;
    let told: Vec<_> =
        log.lines().filter_map(|line| line.split_once("ERROR ipvs mode cannot be used on this node: ")).collect();
    ensure!(ended.status.code() == Some(1), "{log}");
    ensure!(told.iter().map(|(_, reason)| *reason).eq(reasons.iter().copied()), "{log}");
    ensure!(!log.contains("WARN") && !log.contains("kernel setting"), "{log}");
    ensure!((world.node.listing()?, world.node.generation()?, world.established()?) == before, "{log}");
    ensure!(world.server.requests().is_empty(), "the API server was asked");
    Ok(())
}

/// Both kinds of iptables, and tables that are closed by a policy, by their last rule, or not at all.
pub(crate) fn a_firewall_that_may_drop_services_in_ipvs_mode_is_told() -> Result<()> {
    if !has_kernel_for(Mode::Ipvs) {
        return Ok(());
    }
    let world = World::new()?;
    let daemon = world.run_until_ready(&["--proxy-mode=ipvs", "--cluster-cidr=10.244.0.0/16"])?;
    ensure!(!complaints(&daemon).iter().any(|line| line.contains("INPUT")), "{:#?}", complaints(&daemon));
    drop(daemon);
    let firewalls = "
        table inet by-policy { chain in { type filter hook input priority 0; policy drop; ip saddr 192.0.2.0/24 accept; }; }
        table ip6 by-rule { chain in { type filter hook input priority 10; tcp dport 22 accept; counter reject; }; }
        table inet open { chain in { type filter hook input priority 0; ip saddr 192.0.2.7 drop; }; }
        table inet forward { chain on { type filter hook forward priority 0; policy drop; }; }
        table inet asleep { flags dormant; chain in { type filter hook input priority 0; policy drop; }; }";
    world.node.command("nft").args(["-f", "-"]).input(firewalls).expect_exit(0)?;
    world.node.command("iptables-nft").args(["-P", "INPUT", "DROP"]).expect_exit(0)?;
    world.node.command("iptables-legacy").args(["-P", "INPUT", "DROP"]).expect_exit(0)?;
    // The API server is at the node's own loopback.
    for program in ["iptables-nft", "iptables-legacy"] {
        world.node.command(program).args(["-A", "INPUT", "-i", "lo", "-j", "ACCEPT"]).expect_exit(0)?;
    }
    world
        .node
        .command("nft")
        .args(["insert", "rule", "inet", "by-policy", "in", "iif", "lo", "accept"])
        .expect_exit(0)?;
    let daemon = world.run_until_ready(&["--proxy-mode=ipvs", "--cluster-cidr=10.244.0.0/16"])?;
    let event = world.event("default", "InputMayDropServices", &daemon)?;
    let note = event["note"].as_str().unwrap_or_default();
    let chains = "where chain in of table inet by-policy, chain INPUT of table ip filter, chain in of table ip6 by-rule, \
                  chain INPUT of iptables-legacy drops or rejects";
    ensure!(event["type"] == "Warning" && note.contains(chains), "{event:#}");
    let told = complaints(&daemon);
    ensure!(told.iter().filter(|line| line.contains(note)).count() == 1, "{told:#?}");
    Ok(())
}
