//! Other programs' rules beside Portolan's: whose packets are masqueraded when both use the same bit of the mark, and who
//! comes first when both translate an address.
//!
//! ```text
//!   nftables mode
//!   prerouting, output   -100  another's DNAT: the first to translate a connection has it
//!                         -99  Portolan's
//!   postrouting           100  Portolan's masquerade, of its own connections, which takes its bit out of the mark
//!                         101  what leaves the node
//! ```
//!
//! In iptables mode all share the tables nat and filter, and the mark is for everybody. In ipvs mode packets to a cluster IP pass
//! INPUT and OUTPUT, where Calico has rules for that ([`calico`]).

mod calico;

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use portolan_core::addr::{Family, Protocol};
use portolan_e2e::{
    Lab, MODES, Mode, Options,
    cast::named,
    daemon::{Rules as _, test},
    harness::{self, Failure},
    has_kernel_for,
    host::Host,
    objects::{NODE_A, service, tcp_targets},
    probe::{Answer, Outcome},
    product::Portolan,
    server::Servers,
};

fn main() -> ExitCode {
    let mut tests = vec![
        test("nftables/another program's mark masquerades nothing", anothers_mark_masquerades_nothing),
        test("nftables/another program's DNAT at the usual priority comes first", anothers_dnat_comes_first),
        test("iptables/another program's mark masquerades", anothers_mark_masquerades),
        test("iptables/Docker's and Calico's chains stay, and let Services through", others_chains_stay),
    ];
    tests.extend(MODES.map(|mode| {
        test(&format!("{mode}/the mark does not leave the node"), move || the_mark_does_not_leave_the_node(mode))
    }));
    if has_kernel_for(Mode::Ipvs) {
        tests.push(test("ipvs/Services work beside Calico's rules", calico::services_work_in_ipvs_mode));
    }
    harness::run(|| Ok::<_, Failure>(tests), || ())
}

const PATIENCE: Duration = Duration::from_secs(3);

/// A lab whose node-a has a Service in both families, with an endpoint on each node.
fn programmed(mode: Mode) -> Result<(Lab, Servers)> {
    programmed_beside(mode, |_| Ok(()))
}

/// The same on a node where others have been before.
fn programmed_beside(mode: Mode, others: impl FnOnce(&Host) -> Result<()>) -> Result<(Lab, Servers)> {
    let lab = Lab::new(&Options::default())?;
    others(lab.host("node-a")?)?;
    let endpoints = [(named("pod-a2")?, 8080), (named("pod-b1")?, 8080)];
    let servers = lab.serve(tcp_targets(&endpoints))?;
    let services = [("web-v4", Family::V4), ("web-v6", Family::V6)];
    let services = services.map(|(name, family)| service(name, &web(family).ip().to_string(), &endpoints));
    let (node, manifests) = (lab.host("node-a")?, tempfile::tempdir()?);
    fs::write(manifests.path().join("all.yaml"), format!("{NODE_A}---\n{}", services.concat()))?;
    Portolan::find()?.in_mode(mode).once(manifests.path(), node).expect_exit(0)?;
    Ok((lab, servers))
}

/// How the programs of a family begin.
const fn stem(family: Family) -> &'static str {
    match family {
        Family::V4 => "iptables",
        Family::V6 => "ip6tables",
    }
}

/// The Service.
fn web(family: Family) -> SocketAddr {
    let address = match family {
        Family::V4 => IpAddr::from([10, 96, 0, 1]),
        Family::V6 => IpAddr::from([0xfd00, 0x10, 0x96, 0, 0, 0, 0, 1]),
    };
    SocketAddr::new(address, 80)
}

fn answer(client: &Host, to: SocketAddr) -> Result<Answer> {
    match client.connect(Protocol::Tcp, to, PATIENCE)? {
        Outcome::Answered(answer) => Ok(answer),
        other => bail!("{} -> {to}: {other:?}", client.name()),
    }
}

/// How many packets a counter has seen.
fn packets(node: &Host, counter: &str) -> Result<u64> {
    let listed = node.command("nft").args(["list", "counter", "inet", "another", counter]).expect_exit(0)?;
    let number = listed.split("packets ").nth(1).and_then(|rest| rest.split(' ').next());
    Ok(number.with_context(|| listed.clone())?.parse()?)
}

fn anothers_mark_masquerades_nothing() -> Result<()> {
    let (lab, _servers) = programmed(Mode::Nftables)?;
    let node = lab.host("node-a")?;
    node.nft(
        "table inet another {
            counter marked { }
            chain p { type filter hook prerouting priority -150; tcp dport 8080 meta mark set meta mark | 0x4000; }
            chain l { type filter hook postrouting priority 99; meta mark & 0x4000 == 0x4000 counter name marked; }
        }",
    )?;
    // All of these are forwarded by node-a.
    for (from, to) in [("pod-a1", "pod-b1"), ("pod-a1", "pod-a2"), ("outside", "pod-a2")] {
        for family in Family::ALL {
            let client = lab.host(from)?;
            let before = packets(node, "marked")?;
            let answer = answer(client, SocketAddr::new(named(to)?.address(family), 8080))?;
            let source = client.member().address(family);
            ensure!(answer.source.ip() == source, "{from} -> {to} comes from {}", answer.source);
            ensure!(packets(node, "marked")? > before, "{from} -> {to} ({family}) is not marked");
        }
    }
    Ok(())
}

fn the_mark_does_not_leave_the_node(mode: Mode) -> Result<()> {
    let (lab, _servers) = programmed(mode)?;
    let node = lab.host("node-a")?;
    node.nft(
        "table inet another {
            counter marked { }
            counter left { }
            counter left-marked { }
            chain b { type filter hook postrouting priority 99; meta mark & 0x4000 == 0x4000 counter name marked; }
            chain a {
                type filter hook postrouting priority 101;
                tcp dport 8080 counter name left
                tcp dport 8080 meta mark != 0 counter name left-marked
            }
        }",
    )?;
    for name in ["outside", "node-a"] {
        for family in Family::ALL {
            let (marked, left) = (packets(node, "marked")?, packets(node, "left")?);
            let seen = answer(lab.host(name)?, web(family))?.source.ip();
            ensure!(node.member().addresses().any(|own| own == seen), "{name} ({family}) is not masqueraded: {seen}");
            ensure!(packets(node, "marked")? > marked, "no packet of {name} ({family}) had the mark");
            ensure!(packets(node, "left")? > left, "no packet of {name} ({family}) left");
        }
    }
    ensure!(packets(node, "left-marked")? == 0, "a packet left with a mark");
    Ok(())
}

/// KUBE-MARK-MASQ and KUBE-POSTROUTING are for others as well, as a CNI plug-in for hostPorts.
fn anothers_mark_masquerades() -> Result<()> {
    let (lab, _servers) = programmed(Mode::Iptables)?;
    let (node, client) = (lab.host("node-a")?, lab.host("outside")?);
    for family in Family::ALL {
        let pod = SocketAddr::new(named("pod-a2")?.address(family), 8080);
        let own = |address: IpAddr| node.member().addresses().any(|own| own == address);
        ensure!(answer(client, pod)?.source.ip() == client.member().address(family), "{family}: masqueraded at once");
        let rule = ["-t", "nat", "-A", "PREROUTING", "-p", "tcp", "--dport", "8080", "-j", "KUBE-MARK-MASQ"];
        node.command(stem(family)).args(rule).expect_exit(0)?;
        let seen = answer(client, pod)?.source.ip();
        ensure!(own(seen), "{family}: {seen} is not masqueraded");
    }
    Ok(())
}

/// What Docker and Calico do to the chains of iptables, as far as Services meet it: FORWARD drops what nobody accepts, and bits
/// of the mark beside Portolan's are set and cleared.
const OTHERS: &str = "*mangle
:cali-PREROUTING - [0:0]
-A PREROUTING -j cali-PREROUTING
-A cali-PREROUTING -j MARK --set-xmark 0x10000/0xffff0000
COMMIT
*filter
:FORWARD DROP [0:0]
:DOCKER-USER - [0:0]
:DOCKER-FORWARD - [0:0]
:cali-FORWARD - [0:0]
-A FORWARD -j cali-FORWARD
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
-A cali-FORWARD -j MARK --set-xmark 0x0/0xe0000
-A DOCKER-FORWARD -i docker0 -j ACCEPT
COMMIT
*nat
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT -m addrtype --dst-type LOCAL -j DOCKER
-A DOCKER -p tcp -m tcp --dport 5000 -j DNAT --to-destination :5001
COMMIT
";

fn others_chains_stay() -> Result<()> {
    let others = |node: &Host| -> Result<()> {
        for program in ["iptables-restore", "ip6tables-restore"] {
            node.command(program).args(["--noflush"]).input(OTHERS).expect_exit(0)?;
        }
        Ok(())
    };
    let (lab, _servers) = programmed_beside(Mode::Iptables, others)?;
    let node = lab.host("node-a")?;
    for name in ["outside", "node-a"] {
        for family in Family::ALL {
            let seen = answer(lab.host(name)?, web(family))?.source.ip();
            ensure!(node.member().addresses().any(|own| own == seen), "{name} ({family}) is not masqueraded: {seen}");
        }
    }
    let stay = |when: &str| -> Result<()> {
        for program in ["iptables-save", "ip6tables-save"] {
            let saved = node.command(program).expect_exit(0)?;
            let mut theirs = OTHERS.lines().filter(|line| line.starts_with("-A"));
            ensure!(theirs.all(|rule| saved.lines().any(|line| line == rule)), "{when}: {saved}");
            ensure!(saved.contains(":FORWARD DROP"), "{when}: {saved}");
        }
        Ok(())
    };
    stay("beside Portolan")?;
    Portolan::find()?.on(node).arg("cleanup").expect_exit(0)?;
    stay("after cleanup")
}

/// As a kube-proxy would that is started beside Portolan, whichever came first.
fn anothers_dnat_comes_first() -> Result<()> {
    let (lab, _servers) = programmed(Mode::Nftables)?;
    let theirs = [(named("pod-a2")?, 9090)];
    let _theirs = lab.serve(tcp_targets(&theirs))?;
    let node = lab.host("node-a")?;
    let meets = |theirs: bool| -> Result<()> {
        for name in ["pod-a1", "outside", "node-a"] {
            for family in Family::ALL {
                for _ in 0..5 {
                    let server = answer(lab.host(name)?, web(family))?.server;
                    ensure!((server == "pod-a2:9090") == theirs, "{name} ({family}) meets {server}");
                }
            }
        }
        Ok(())
    };
    meets(false)?;
    for (family, table) in [(Family::V4, "ip"), (Family::V6, "ip6")] {
        let (service, endpoint) = (web(family), SocketAddr::new(named("pod-a2")?.address(family), 9090));
        let rule = format!("{table} daddr {} tcp dport {} dnat to {endpoint};", service.ip(), service.port());
        node.nft(&format!(
            "table {table} another {{
                chain p {{ type nat hook prerouting priority -100; {rule} }}
                chain o {{ type nat hook output priority -100; {rule} }}
            }}"
        ))?;
    }
    meets(true)?;
    node.nft("delete table ip another; delete table ip6 another")?;
    meets(false)
}
