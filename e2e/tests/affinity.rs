//! How long a client is remembered, as the kernel holds it, and what happens when there is no room for one more.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use portolan_core::addr::{Family, Protocol};
use portolan_e2e::{
    Lab, Options,
    cast::named,
    daemon::{Rules as _, test, until},
    destination::Destination,
    harness::{self, Failure},
    host::Host,
    objects::{NODE_A, service, tcp_targets},
    probe::Outcome,
    product::Portolan,
    server::Servers,
};
use serde_json::Value;

fn main() -> ExitCode {
    let tests = vec![
        test("a client is forgotten when its timeout has ended", forgotten_when_the_timeout_has_ended),
        test("a new connection renews the record", a_new_connection_renews_the_record),
        test("a full set means connections without affinity", a_full_set_means_connections_without_affinity),
        test("clients are remembered while sets grow", clients_are_remembered_while_sets_grow),
    ];
    harness::run(|| Ok::<_, Failure>(tests), || ())
}

const CLUSTER_IP: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 96, 0, 1)), 80);
const PATIENCE: Duration = Duration::from_secs(3);

/// How many clients a set has room for.
const ROOM: u32 = 65_536;

/// The sets of the two endpoints' clients.
const SETS: [&str; 2] =
    ["affinity-default/web/tcp/http__10.244.1.12/8080", "affinity-default/web/tcp/http__10.244.2.11/8080"];

/// The node, and a Service of two endpoints with affinity for so many seconds.
fn web(seconds: u32) -> Result<String> {
    let endpoints = [(named("pod-a2")?, 8080), (named("pod-b1")?, 8080)];
    let affinity = format!(
        "spec:\n  sessionAffinity: ClientIP\n  sessionAffinityConfig: {{clientIP: {{timeoutSeconds: {seconds}}}}}\n"
    );
    let web = service("web", &CLUSTER_IP.ip().to_string(), &endpoints).replace("spec:\n", &affinity);
    Ok(format!("{NODE_A}---\n{web}"))
}

/// A lab whose node-a has a Service of two endpoints with affinity for so many seconds. Nothing repairs its rules.
fn remembering(seconds: u32) -> Result<(Lab, Servers)> {
    let lab = Lab::new(&Options::default())?;
    let endpoints = [(named("pod-a2")?, 8080), (named("pod-b1")?, 8080)];
    let servers = lab.serve(tcp_targets(&endpoints))?;
    let (node, manifests) = (lab.host("node-a")?, tempfile::tempdir()?);
    fs::write(manifests.path().join("all.yaml"), web(seconds)?)?;
    Portolan::find()?.once(manifests.path(), node).expect_exit(0)?;
    Ok((lab, servers))
}

/// Other Services come, more than the sets had room for.
fn clients_are_remembered_while_sets_grow() -> Result<()> {
    const OTHERS: u32 = 1000;
    let (lab, _servers) = remembering(3600)?;
    let (node, outside) = (lab.host("node-a")?, lab.host("outside")?);
    let sources: Vec<_> = outside.member().addresses().filter(IpAddr::is_ipv4).collect();
    let everybody = || sources.iter().map(|source| connected(outside, Some(*source))).collect::<Result<Vec<_>>>();
    let (met, remembered) = (everybody()?, records(node)?.len());
    ensure!(remembered == sources.len(), "{remembered} records of {sources:?}");

    let manifests = tempfile::tempdir()?;
    fs::write(manifests.path().join("web.yaml"), web(3600)?)?;
    let pod = [(named("pod-a2")?, 8080)];
    let address = |number: u32| Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 97, 0, 1)) + number).to_string();
    let others = (0..OTHERS).map(|number| service(&format!("svc-{number}"), &address(number), &pod));
    fs::write(manifests.path().join("others.yaml"), others.collect::<String>())?;
    // With the handles of its rules.
    let chain = || {
        let list = ["-a", "list", "chain", "ip", "portolan", "affinity-default/web/tcp/http"];
        node.command("nft").args(list).expect_exit(0)
    };
    let chain_before = chain()?;
    Portolan::find()?.once(manifests.path(), node).expect_exit(0)?;
    let listed = node.tables()?;
    for set in ["set services.b {", "map endpoints-1.b {", "set cluster-ips.b {"] {
        ensure!(listed.contains(set), "{set} has not grown");
    }
    ensure!(chain()? == chain_before, "the chain was made anew");
    ensure!(records(node)?.len() == remembered, "clients were forgotten");
    ensure!(everybody()? == met, "clients came to other endpoints");
    Ok(())
}

/// Which endpoint answers.
fn connected(client: &Host, source: Option<IpAddr>) -> Result<String> {
    match client.ask(source, Destination::Port(Protocol::Tcp, CLUSTER_IP), PATIENCE)? {
        Outcome::Answered(answer) => Ok(answer.server),
        other => anyhow::bail!("{}: {other:?}", client.name()),
    }
}

/// In how many seconds each record that the kernel has ends.
fn records(node: &Host) -> Result<Vec<u64>> {
    let mut found = Vec::new();
    for set in SETS {
        let listed = node.command("nft").args(["-j", "list", "set", "ip", "portolan", set]).expect_exit(0)?;
        let listed: Value = serde_json::from_str(&listed)?;
        let objects = listed.get("nftables").and_then(Value::as_array).context("no objects")?;
        let elements = objects.iter().filter_map(|object| object.pointer("/set/elem")?.as_array()).flatten();
        for element in elements {
            let expires = element.pointer("/elem/expires").and_then(Value::as_u64);
            found.push(expires.with_context(|| element.to_string())?);
        }
    }
    Ok(found)
}

/// A client may come to the other endpoint only when it is forgotten; of several one soon does.
fn forgotten_when_the_timeout_has_ended() -> Result<()> {
    let (lab, _servers) = remembering(1)?;
    let (node, outside) = (lab.host("node-a")?, lab.host("outside")?);
    let sources: Vec<_> = outside.member().addresses().filter(IpAddr::is_ipv4).collect();
    let everybody = || sources.iter().map(|source| connected(outside, Some(*source))).collect::<Result<Vec<_>>>();
    let first = until("a record", || -> Result<_> {
        let met = everybody()?;
        Ok((!records(node)?.is_empty()).then_some(met))
    })?;
    until("another endpoint for one of the clients", || -> Result<_> {
        until("the end of all records", || -> Result<_> { Ok(records(node)?.is_empty().then_some(())) })?;
        Ok((everybody()? != first).then_some(()))
    })?;
    until("a new record", || -> Result<_> {
        everybody()?;
        Ok((!records(node)?.is_empty()).then_some(()))
    })
}

fn a_new_connection_renews_the_record() -> Result<()> {
    const SECONDS: u64 = 3600;
    let (lab, _servers) = remembering(3600)?;
    let (node, client) = (lab.host("node-a")?, lab.host("pod-a1")?);
    let only = || -> Result<u64> {
        let records = records(node)?;
        ensure!(records.len() == 1, "{records:?}");
        records.first().copied().context("no record")
    };
    let server = connected(client, None)?;
    // nft tells whole seconds: two of them away from its beginning a renewed record cannot look like the old one.
    let before = until("a record that grows old", || -> Result<_> {
        let expires = only()?;
        Ok((expires < SECONDS - 2).then_some(expires))
    })?;
    ensure!(connected(client, None)? == server, "another endpoint");
    let after = only()?;
    ensure!(before < after && after <= SECONDS, "{before} s before, {after} s after");
    Ok(())
}

/// The set of each endpoint is filled with clients who never come.
fn a_full_set_means_connections_without_affinity() -> Result<()> {
    let (lab, _servers) = remembering(3600)?;
    let node = lab.host("node-a")?;
    // So many at a time, since an ordinary user's socket carries no more than 200 KB.
    for set in SETS {
        for numbers in (0..ROOM).collect::<Vec<_>>().chunks(2048) {
            let clients = numbers.iter().map(|number| format!("{} timeout 1h", Ipv4Addr::from(0x6440_0000 + number)));
            let clients = clients.collect::<Vec<_>>().join(", ");
            node.nft(&format!("add element ip portolan {set} {{ {clients} }}"))?;
        }
    }
    for name in ["pod-a1", "outside", "node-a"] {
        let client = lab.host(name)?;
        let mut met = Vec::new();
        // That one endpoint alone has all of them is a chance of one in 2^39.
        for _ in 0..40 {
            met.push(connected(client, None)?);
        }
        ensure!(met.iter().any(|server| Some(server) != met.first()), "{name} sticks to {:?}", met.first());
        let address = client.member().address(Family::V4);
        for set in SETS {
            let element = format!("{{ {address} }}");
            node.command("nft").args(["get", "element", "ip", "portolan", set, &element]).expect_exit(1)?;
        }
    }
    Ok(())
}
