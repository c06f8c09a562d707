//! Other programs' rules beside Portolan's: whose packets are masqueraded when both use the same bit of the mark, and who
//! comes first when both translate an address.
//!
//! ```text
//!   prerouting, output   -100  another's DNAT: the first to translate a connection has it
//!                         -99  Portolan's
//!   postrouting           100  Portolan's masquerade, of its own connections, which takes its bit out of the mark
//!                         101  what leaves the node
//! ```

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use portolan_core::addr::{Family, Protocol};
use portolan_e2e::{
    Lab, Options,
    cast::named,
    daemon::{Rules as _, test},
    harness::{self, Failure},
    host::Host,
    objects::{NODE_A, service, tcp_targets},
    probe::{Answer, Outcome},
    product::Portolan,
    server::Servers,
};

fn main() -> ExitCode {
    let tests = vec![
        test("another program's mark masquerades nothing", anothers_mark_masquerades_nothing),
        test("the mark does not leave the node", the_mark_does_not_leave_the_node),
        test("another program's DNAT at the usual priority comes first", anothers_dnat_comes_first),
    ];
    harness::run(|| Ok::<_, Failure>(tests), || ())
}

const PATIENCE: Duration = Duration::from_secs(3);

/// A lab whose node-a has a Service in both families, with an endpoint on each node.
fn programmed() -> Result<(Lab, Servers)> {
    let lab = Lab::new(&Options::default())?;
    let endpoints = [(named("pod-a2")?, 8080), (named("pod-b1")?, 8080)];
    let servers = lab.serve(tcp_targets(&endpoints))?;
    let services = [("web-v4", Family::V4), ("web-v6", Family::V6)];
    let services = services.map(|(name, family)| service(name, &web(family).ip().to_string(), &endpoints));
    let (node, manifests) = (lab.host("node-a")?, tempfile::tempdir()?);
    fs::write(manifests.path().join("all.yaml"), format!("{NODE_A}---\n{}", services.concat()))?;
    Portolan::find()?.once(manifests.path(), node).expect_exit(0)?;
    Ok((lab, servers))
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
    let (lab, _servers) = programmed()?;
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

fn the_mark_does_not_leave_the_node() -> Result<()> {
    let (lab, _servers) = programmed()?;
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

/// As a kube-proxy would that is started beside Portolan, whichever came first.
fn anothers_dnat_comes_first() -> Result<()> {
    let (lab, _servers) = programmed()?;
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
