//! Removing entries of conntrack's table by itself: what `portolan run` does not do unless it is asked to, and when it
//! waits. Scenarios show the rest (testdata/scenarios/udp-blackhole*).

use std::{
    net::{SocketAddr, TcpStream, UdpSocket},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Result, bail, ensure};
use portolan::conntrack::FlowCleaner;
use portolan_core::{
    addr::{Family, Protocol},
    ingest::Object,
    model::{Cluster, NodeConfig},
};
use portolan_e2e::{
    daemon::{lone, test, until},
    harness::{self, Failure, Test},
    host::Host,
};
use portolan_netlink::{
    conntrack::{Conntrack, Entry, Filter},
    uapi::NFPROTO_IPV4,
};
use serde_json::{Value, json};

/// What a Service's rules would do, and an endpoint that does not answer any more.
const RULES: &str = "
table ip t {
    chain output {
        type nat hook output priority -100
        ip daddr 10.96.0.10 meta l4proto { tcp, udp } th dport 80 dnat to 10.244.2.11:8080
    }
    chain input {
        type filter hook input priority 300
        ip daddr 10.244.2.11 drop
    }
}";

fn main() -> ExitCode {
    harness::run(tests, || ())
}

fn tests() -> Result<Vec<Test>, Failure> {
    Ok(vec![
        test("an unanswered connection is deleted if asked for", an_unanswered_connection_is_deleted_if_asked_for),
        test("nothing is deleted while not all is known", nothing_is_deleted_while_not_all_is_known),
        test("one clean-up after the other", one_clean_up_after_the_other),
    ])
}

fn node() -> Result<Host> {
    let node = lone()?;
    node.command("ip").args(["link", "set", "lo", "up"]).expect_exit(0)?;
    for address in ["10.96.0.10/32", "10.244.2.11/32"] {
        node.command("ip").args(["addr", "add", address, "dev", "lo"]).expect_exit(0)?;
    }
    node.command("nft").args(["-f", "-"]).input(RULES).expect_exit(0)?;
    Ok(node)
}

fn slice(endpoints: &[&str]) -> Result<Object> {
    let endpoints: Value = endpoints.iter().map(|address| json!({"addresses": [address]})).collect();
    let port = |name: &str, protocol: &str| json!({"name": name, "protocol": protocol, "port": 8080});
    Ok(Object::EndpointSlice(serde_json::from_value(json!({
        "metadata": {"namespace": "default", "name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4", "ports": [port("t", "TCP"), port("u", "UDP")], "endpoints": endpoints,
    }))?))
}

/// A Service for TCP and UDP whose endpoint was replaced.
fn cluster() -> Result<Cluster> {
    let mut cluster = Cluster::new(NodeConfig::of("node-a"));
    let port = |name: &str, protocol: &str| json!({"name": name, "protocol": protocol, "port": 80});
    let service = json!({
        "metadata": {"namespace": "default", "name": "web"},
        "spec": {"clusterIP": "10.96.0.10", "ports": [port("t", "TCP"), port("u", "UDP")]},
    });
    cluster.apply(&Object::Service(serde_json::from_value(service)?));
    cluster.apply(&slice(&["10.244.2.11"])?);
    drop(cluster.take_changes());
    cluster.take_touched(|_| true);
    cluster.apply(&slice(&["10.244.2.12"])?);
    drop(cluster.take_changes());
    Ok(cluster)
}

fn entries(protocol: Protocol) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    Conntrack::open()?.list(&Filter::all(NFPROTO_IPV4, protocol.number()), |entry| entries.push(entry))?;
    Ok(entries)
}

fn send() -> Result<()> {
    UdpSocket::bind("0.0.0.0:0")?.send_to(b"x", "10.96.0.10:80")?;
    Ok(())
}

fn an_unanswered_connection_is_deleted_if_asked_for() -> Result<()> {
    node()?.enter(|| {
        let to: SocketAddr = "10.96.0.10:80".parse()?;
        ensure!(TcpStream::connect_timeout(&to, Duration::from_millis(50)).is_err(), "nobody answers");
        for (delete_syn_sent, left) in [(false, 1), (true, 0)] {
            send()?;
            let mut cluster = cluster()?;
            let mut cleaner = FlowCleaner::new(delete_syn_sent);
            cleaner.touch(&mut cluster);
            let done = cleaner.clean(&cluster);
            let [clean_up] = *done.as_slice() else { bail!("{done:?}") };
            ensure!((clean_up.family, clean_up.deleted) == (Family::V4, 2 - left), "{done:?}");
            ensure!((entries(Protocol::Udp)?.len(), entries(Protocol::Tcp)?.len()) == (0, left));
        }
        Ok(())
    })?
}

fn nothing_is_deleted_while_not_all_is_known() -> Result<()> {
    node()?.enter(|| {
        send()?;
        let (mut cluster, mut cleaner) = (cluster()?, FlowCleaner::new(false));
        cleaner.hold(true);
        cleaner.touch(&mut cluster);
        ensure!(cleaner.due().is_none() && cleaner.clean(&cluster).is_empty());
        cleaner.hold(false);
        ensure!(cleaner.clean(&cluster).iter().map(|done| done.deleted).eq([1]));
        ensure!(cleaner.due().is_none() && cleaner.clean(&cluster).is_empty(), "once is enough");
        Ok(())
    })?
}

fn one_clean_up_after_the_other() -> Result<()> {
    node()?.enter(|| {
        let (mut cluster, mut cleaner) = (cluster()?, FlowCleaner::new(false));
        cleaner.touch(&mut cluster);
        let before = Instant::now();
        ensure!(cleaner.clean(&cluster).len() == 1);
        send()?;
        cluster.apply(&slice(&["10.244.2.13"])?);
        drop(cluster.take_changes());
        cleaner.touch(&mut cluster);
        let due = cleaner.due();
        ensure!(due.is_some_and(|due| due >= before + Duration::from_millis(100)), "it rests: {due:?}");
        until("the next clean-up", || {
            Ok::<_, anyhow::Error>(cleaner.clean(&cluster).pop().filter(|done| done.deleted == 1))
        })?;
        Ok(())
    })?
}
