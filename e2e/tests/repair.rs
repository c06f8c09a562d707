//! What other programs do to our rules is put right at once by a running daemon, and logged; what they do elsewhere is
//! none of its business.

use std::{
    fs,
    net::SocketAddr,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use portolan_core::{
    addr::{Family, Protocol},
    desired::{PortChange, PortId},
    object::Syncer,
};
use portolan_e2e::{
    Lab, Mode, Options,
    cast::named,
    daemon::{Daemon, Rules as _, lone, lone_for, test, until},
    diff,
    harness::{self, Failure, Test},
    has_kernel_for,
    host::Host,
    objects::{NODE_A, service, tcp_targets},
    probe::Outcome,
    product::Portolan,
};
use portolan_nftables::{
    Nftables,
    testing::{policy, port},
};

/// What is done by nft, and the object that the log must name.
const EDITS: [(&str, &str, &str); 20] = [
    ("table deleted", "delete table ip portolan", "first=table ip portolan"),
    ("table flushed", "flush table ip portolan", "first=the rules of chain"),
    ("IPv6 table deleted", "delete table ip6 portolan", "first=table ip6 portolan"),
    ("set flushed", "flush set ip portolan services", "first=element 10.96.0.1"),
    ("map flushed", "flush map ip portolan endpoints-2", "of set endpoints-2"),
    ("element deleted", "delete element ip portolan no-endpoints { 10.96.0.9 . tcp . 80 }", "first=element 10.96.0.9"),
    (
        "element changed",
        "delete element ip portolan endpoints-2 { 10.96.0.1 . tcp . 80 . 1 }; add element ip portolan endpoints-2 { \
         10.96.0.1 . tcp . 80 . 1 : 192.0.2.1 . 9 }",
        "first=element 10.96.0.1",
    ),
    ("element added", "add element ip portolan services { 192.0.2.1 . tcp . 80 }", "first=element 192.0.2.1"),
    ("rule replaced", "replace rule ip portolan services handle HANDLE accept", "first=the rules of chain services"),
    ("rule deleted", "delete rule ip portolan services handle HANDLE", "first=the rules of chain services"),
    ("rule inserted", "insert rule ip portolan nat-output drop", "first=the rules of chain nat-output"),
    ("chain policy changed", "chain ip portolan filter-input { policy drop; }", "first=chain filter-input"),
    (
        "foreign chain added",
        "add chain ip portolan mine { type filter hook input priority 0; policy drop; }; add rule ip portolan mine drop",
        "mine",
    ),
    ("foreign set added", "add set ip portolan mine { type inet_service; elements = { 80 }; }", "first=set \"mine\""),
    (
        "foreign chains and a map that name each other",
        "add chain ip portolan a; add chain ip portolan b; add rule ip portolan a jump b; add map ip portolan mine { \
         type inet_service : verdict; elements = { 1 : jump a, 2 : jump pick-5 }; }",
        "first=chain a in table ip portolan",
    ),
    (
        "rule with an anonymous set inserted",
        "insert rule ip portolan services ip saddr { 10.0.0.1, 10.0.0.2 } drop",
        "first=the rules of chain services",
    ),
    (
        "foreign base chain with an anonymous set",
        "add chain ip portolan mine { type filter hook input priority 0; }; add rule ip portolan mine tcp dport { 22, 80 } \
         drop",
        "mine",
    ),
    ("catch-all element in a set", "add element ip portolan no-endpoints { * }", "first=element * of set no-endpoints"),
    (
        "catch-all element in a map",
        "add element ip portolan endpoints-1 { * : 192.0.2.1 . 9 }",
        "first=element * of set endpoints-1",
    ),
    ("dormant flag set", "table ip portolan { flags dormant; }", "first=table ip portolan"),
];

/// The same in iptables mode, by iptables.
const EDITS_OF_IPTABLES: [(&str, &str); 9] = [
    ("nat flushed", "-t nat -F"),
    ("filter flushed", "-t filter -F"),
    ("dispatching chain flushed", "-t nat -F KUBE-SERVICES"),
    ("chain of a Service flushed", "-t nat -F KUBE-MARK-MASQ"),
    ("rule deleted", "-t nat -D KUBE-SERVICES 1"),
    ("rule inserted", "-t nat -I KUBE-SERVICES -j RETURN"),
    ("rule replaced", "-t nat -R KUBE-POSTROUTING 1 -j ACCEPT"),
    ("jump deleted", "-t nat -D PREROUTING 1"),
    ("jump doubled", "-t filter -I INPUT -j KUBE-PROXY-FIREWALL"),
];

/// The same in ipvs mode: what programs do, the object that the log must name, and whether the kernel tells of it.
const EDITS_OF_IPVS: [(&str, &str, &str, bool); 15] = [
    ("virtual server deleted", "ipvsadm -D -t 10.96.0.1:80", "virtual server 10.96.0.1:80/tcp", false),
    (
        "destination deleted",
        "ipvsadm -d -t 10.96.0.1:80 -r 10.244.1.11:8080",
        "first=destination 10.244.1.11:8080 of",
        false,
    ),
    ("destination added", "ipvsadm -a -t 10.96.0.1:80 -r 192.0.2.9:80 -m", "first=destination 192.0.2.9:80 of", false),
    (
        "weight changed",
        "ipvsadm -e -t 10.96.0.1:80 -r 10.244.1.11:8080 -m -w 7",
        "first=destination 10.244.1.11:8080 of",
        false,
    ),
    (
        "weight taken",
        "ipvsadm -e -t 10.96.0.1:80 -r 10.244.1.11:8080 -m -w 0",
        "first=destination 10.244.1.11:8080 of",
        false,
    ),
    ("scheduler changed", "ipvsadm -E -t 10.96.0.1:80 -s lc", "first=virtual server 10.96.0.1:80/tcp", false),
    (
        "persistence added",
        "ipvsadm -E -t [fd00:10:96::1]:80 -s rr -p 60",
        "first=virtual server [fd00:10:96::1]:80/tcp",
        false,
    ),
    ("virtual server added", "ipvsadm -A -t 10.96.0.1:81 -s rr", "first=virtual server 10.96.0.1:81/tcp", false),
    ("all virtual servers gone", "ipvsadm -C", "virtual server 10.96.0.1:80/tcp", false),
    ("address deleted", "ip address delete 10.96.0.1/32 dev kube-ipvs0", "first=address 10.96.0.1 of", true),
    (
        "IPv6 address deleted",
        "ip address delete fd00:10:96::1/128 dev kube-ipvs0",
        "first=address fd00:10:96::1 of",
        true,
    ),
    ("address added", "ip address add 10.96.0.77/32 dev kube-ipvs0", "first=address 10.96.0.77 of", true),
    ("link deleted", "ip link delete kube-ipvs0", "first=link kube-ipvs0", true),
    ("link renamed", "ip link set kube-ipvs0 name other", "first=link kube-ipvs0", true),
    ("ruleset flushed", "nft flush ruleset", "first=", true),
];

/// What the daemon logs when it has put our objects right.
const REPAIRED: &str = "another program changed our objects: repaired";

fn main() -> ExitCode {
    let edit = |(name, commands, first): (&str, &'static str, &'static str)| -> Test {
        test(&format!("nftables/repaired: {name}"), move || repaired(commands, first))
    };
    let mut tests: Vec<_> = EDITS.into_iter().map(edit).collect();
    let edit = |(name, arguments): (&str, &'static str)| -> Test {
        test(&format!("iptables/repaired: {name}"), move || {
            repaired_in_iptables_mode(|node| {
                node.command("iptables").args(arguments.split(' ')).expect_exit(0)?;
                Ok(())
            })
        })
    };
    tests.extend(EDITS_OF_IPTABLES.into_iter().map(edit));
    tests.push(test("iptables/repaired: whole ruleset flushed", || {
        repaired_in_iptables_mode(|node| {
            node.nft("flush ruleset")?;
            Ok(())
        })
    }));
    if has_kernel_for(Mode::Ipvs) {
        let edit = |(name, command, first, is_told): (&str, &'static str, &'static str, bool)| -> Test {
            test(&format!("ipvs/repaired: {name}"), move || repaired_in_ipvs_mode(command, first, is_told))
        };
        tests.extend(EDITS_OF_IPVS.into_iter().map(edit));
    }
    tests.push(test("nftables/repaired: whole ruleset flushed", ruleset_flushed));
    tests.push(test("commits elsewhere are not looked at", commits_elsewhere_are_not_looked_at));
    tests.push(test("commits elsewhere are not logged", commits_elsewhere_are_not_logged));
    harness::run(|| Ok::<_, Failure>(tests), || ())
}

/// Services in both families with 0, 2 and 5 endpoints.
fn manifests() -> Result<String> {
    let (a1, a2, b1) = (named("pod-a1")?, named("pod-a2")?, named("pod-b1")?);
    let five = [(a1, 8080), (a2, 8080), (b1, 8080), (a1, 8081), (a2, 8081)];
    Ok([
        NODE_A.to_owned() + "---\n",
        service("two", "10.96.0.1", &[(a1, 8080), (b1, 8080)]),
        service("five", "10.96.0.5", &five),
        service("none", "10.96.0.9", &[]),
        service("two-v6", "fd00:10:96::1", &[(a1, 8080), (b1, 8080)]),
    ]
    .concat())
}

/// A daemon that has programmed manifests, which are removed when this is dropped.
struct Programmed {
    daemon: Daemon,
    manifests: tempfile::TempDir,
}

fn programmed(node: &Host, mode: Mode) -> Result<Programmed> {
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("all.yaml"), manifests()?)?;
    let daemon = Daemon::start(&Portolan::find()?.in_mode(mode), node, folder.path())?;
    daemon.logs(0, "programmed")?;
    Ok(Programmed { daemon, manifests: folder })
}

fn repaired(commands: &str, first: &str) -> Result<()> {
    let node = lone()?;
    let Programmed { daemon, .. } = &programmed(&node, Mode::Nftables)?;
    let before = node.tables()?;
    let seen = daemon.log().len();
    node.nft(&commands.replace("HANDLE", &handle(&node)?))?;
    let (line, _) = daemon.logs(seen, REPAIRED)?;
    let after = node.tables()?;
    ensure!(after == before, "before (-), repaired (+):\n{}", diff::lines(&before, &after));
    ensure!(line.contains(first), "{first:?} is not in {line}");
    Ok(())
}

fn repaired_in_iptables_mode(edit: impl FnOnce(&Host) -> Result<()>) -> Result<()> {
    let node = lone()?;
    let Programmed { daemon, .. } = &programmed(&node, Mode::Iptables)?;
    let before = node.listed(Mode::Iptables)?;
    let seen = daemon.log().len();
    edit(&node)?;
    let (line, _) = daemon.logs(seen, REPAIRED)?;
    let after = node.listed(Mode::Iptables)?;
    ensure!(after == before, "before (-), repaired (+):\n{}", diff::lines(&before, &after));
    ensure!(line.contains(" in table "), "no object is named in {line}");
    Ok(())
}

/// Where the kernel tells, the next look is longer off than anything is waited for.
fn repaired_in_ipvs_mode(command: &str, first: &str, is_told: bool) -> Result<()> {
    let (node, folder, portolan) = (lone_for(Mode::Ipvs)?, tempfile::tempdir()?, Portolan::find()?.in_mode(Mode::Ipvs));
    fs::write(folder.path().join("all.yaml"), manifests()?)?;
    let period = if is_told { "1h" } else { "1s" };
    let arguments = portolan.arguments(folder.path(), &node);
    let run = portolan.on(&node).arg("run").args(arguments).arg(format!("--ipvs-sync-period={period}"));
    let daemon = Daemon::spawn(run)?;
    daemon.logs(0, "programmed")?;
    let before = node.listed(Mode::Ipvs)?;
    let seen = daemon.log().len();
    let (program, arguments) = command.split_once(' ').context("no arguments")?;
    node.command(program).args(arguments.split(' ')).expect_exit(0)?;
    let (line, _) = daemon.logs(seen, REPAIRED)?;
    ensure!(line.contains(first), "{first:?} is not in {line}");
    // What nobody wants gets weight 0, and goes when it has no connection.
    until("the end of what drains", || Ok::<_, anyhow::Error>((node.listed(Mode::Ipvs)? == before).then_some(())))
        .with_context(|| node.listed(Mode::Ipvs).unwrap_or_default())
}

/// The handle of a rule in the chain `services`.
fn handle(node: &Host) -> Result<String> {
    let listed = node.command("nft").args(["-a", "list", "chain", "ip", "portolan", "services"]).expect_exit(0)?;
    let rule = listed.lines().find(|line| line.contains("@endpoints-2")).context("no rule")?;
    Ok(rule.rsplit(' ').next().unwrap_or_default().to_owned())
}

/// As another firewall does it when it starts. Tells how long new connections were without Services.
fn ruleset_flushed() -> Result<()> {
    let lab = Lab::new(&Options::default())?;
    let (node, client) = (lab.host("node-a")?, lab.host("pod-a2")?);
    let endpoints = [(named("pod-a1")?, 8080), (named("pod-b1")?, 8080)];
    let _servers = lab.serve(tcp_targets(&endpoints))?;
    let Programmed { daemon, .. } = &programmed(node, Mode::Nftables)?;
    let before = node.tables()?;
    let mut times = Vec::new();
    for _ in 0..10 {
        let seen = daemon.log().len();
        node.nft("flush ruleset")?;
        let flushed = Instant::now();
        daemon.logs(seen, REPAIRED)?;
        times.push(flushed.elapsed());
        let to = SocketAddr::from(([10, 96, 0, 1], 80));
        let outcome = client.connect(Protocol::Tcp, to, Duration::from_secs(3))?;
        ensure!(matches!(outcome, Outcome::Answered(_)), "{outcome:?}");
        let after = node.tables()?;
        ensure!(after == before, "before (-), repaired (+):\n{}", diff::lines(&before, &after));
    }
    let (first, last) = (times.iter().min().context("no time")?, times.iter().max().context("no time")?);
    println!("nft flush ruleset: repaired, and logged, {first:.1?} to {last:.1?} after nft ended");
    Ok(())
}

/// Foreign commits, one by one, of the kinds that firewalls and monitoring make.
fn commit_elsewhere(node: &Host, number: u32) -> Result<()> {
    let commands = match number % 5 {
        0 => "add table ip mine; add chain ip mine c; add set ip mine services { type ipv4_addr; }".to_owned(),
        1 => format!("add element ip mine services {{ 192.0.2.{} }}", number % 250),
        2 => "add rule ip mine c counter".to_owned(),
        3 => "add table inet portolan; add chain inet portolan services".to_owned(),
        _ => "delete table inet portolan; delete table ip mine".to_owned(),
    };
    node.nft(&commands)?;
    Ok(())
}

const COMMITS: u32 = 200;

fn commits_elsewhere_are_not_looked_at() -> Result<()> {
    let node = lone()?;
    node.enter(|| {
        let mut syncer = Syncer::new(Nftables::watching()?);
        syncer.set_policy(&policy());
        syncer.sync()?;
        let before = syncer.stats();
        for number in 0..COMMITS {
            commit_elsewhere(&node, number)?;
            // Sometimes several come before they are heard of.
            if number % 3 == 0 {
                syncer.resync()?;
            }
            // And sometimes our own next change comes first.
            if number % 10 == 5 {
                let desired = port(number.try_into()?, Family::V4, 2);
                let id = PortId { name: desired.name.clone().into(), family: desired.family };
                syncer.update(&PortChange { id, desired: Some(desired), loopback: None });
                ensure!(syncer.sync()?.operations > 0);
            }
        }
        let after = syncer.stats();
        ensure!(after.observations == before.observations, "the tables were read: {before:?} {after:?}");
        ensure!(after.batches - before.batches == u64::from(COMMITS / 10), "{before:?} {after:?}");
        ensure!(syncer.diff()?.batches.is_empty(), "the kernel holds something else");
        Ok(())
    })?
}

fn commits_elsewhere_are_not_logged() -> Result<()> {
    let node = lone()?;
    let Programmed { daemon, manifests } = &programmed(&node, Mode::Nftables)?;
    let before = daemon.log();
    for number in 0..COMMITS {
        commit_elsewhere(&node, number)?;
    }
    fs::write(manifests.path().join("more.yaml"), service("more", "10.96.0.7", &[(named("pod-a1")?, 8080)]))?;
    daemon.logs(before.len(), "programmed")?;
    let log = daemon.log();
    ensure!(log.len() == before.len() + 1, "{log:#?}");
    ensure!(node.tables()?.contains("default/more:http"));
    Ok(())
}
