//! A kube-proxy that still runs when Portolan starts: its rules are removed once and return, and from then on they are left
//! alone and told about.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use portolan_e2e::{
    Lab, Mode, Options,
    cast::CLUSTER_CIDR,
    controlplane::Binary,
    daemon::{Daemon, until},
    host::Host,
    product::Portolan,
    scenario::ServiceProxy,
};
use portolan_iptables::Variant;
use serde_json::Value;

use super::{
    cluster::Cluster,
    predecessors,
    world::{metric, service},
};

/// The usual ports are kube-proxy's as long as it runs.
const HEALTHZ: &str = "127.0.0.1:20256";
const METRICS: &str = "127.0.0.1:20249";

/// Told when its rules are back.
const WARNING: &str = "kube-proxy's rules are back";

/// Told for each thing that is removed.
const REMOVED: &str = "which was left behind";

/// The API server's Events about the nodes.
const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/default/events";

pub(crate) fn still_running(binary: &Binary, mode: ServiceProxy) -> Result<()> {
    let lab = Lab::new(&Options::default())?;
    let mut cluster = Cluster::new(&lab, binary, mode, Variant::Nft)?;
    let node = cluster.world.node()?;
    cluster.change(|world| world.apply(service("moving", 11, &["pod-a2"])?))?;
    let kube_proxy = cluster.start_kube_proxy()?;
    cluster.world.everybody_meets("kube-proxy serves", 11, &["pod-a2:8080"])?;

    let daemon = start(&cluster, node)?;
    daemon.logs(0, REMOVED)?;
    // In nftables mode kube-proxy sees at the next change that its tables are gone.
    cluster.change(|world| world.apply(service("moving", 11, &["pod-b1"])?))?;
    daemon.logs(0, WARNING)?;
    let removed = count(&daemon, REMOVED);
    wait_for_gauge(node, 1.0)?;
    let event = until("an Event", || {
        let events = cluster.plane.api.get(EVENTS)?;
        let mut events = events.pointer("/items").and_then(Value::as_array).into_iter().flatten();
        Ok::<_, anyhow::Error>(events.find(|event| text(event, "/reason") == "ConflictingProxy").cloned())
    })?;
    ensure!(text(&event, "/type") == "Warning" && text(&event, "/regarding/name") == "node-a", "{event}");
    ensure!(text(&event, "/note").starts_with(WARNING), "{event}");

    // They are looked at again and again, and nothing is done.
    let looked = looks(node)?;
    until("looks at the rules", || Ok::<_, anyhow::Error>((looks(node)? >= looked + 6.0).then_some(())))?;
    ensure!(count(&daemon, WARNING) == 1 && count(&daemon, REMOVED) == removed, "{:#?}", daemon.log());
    ensure!(node.enter(|| predecessors::is_present(Mode::Nftables))??, "kube-proxy's rules are gone");
    cluster.world.everybody_meets("both serve", 11, &["pod-b1:8080"])?;

    // The way to the API server ends with kube-proxy.
    kube_proxy.end(Signal::SIGTERM)?;
    node.enter(|| predecessors::remove(Mode::Nftables))??;
    daemon.logs(0, "kube-proxy's rules are gone again")?;
    wait_for_gauge(node, 0.0)?;
    cluster.world.everybody_meets("Portolan serves alone", 11, &["pod-b1:8080"])
}

/// Portolan, as a client of kube-proxy's API server, looking once a second.
fn start(cluster: &Cluster<'_>, node: &Host) -> Result<Daemon> {
    let flags = [
        "--proxy-mode=nftables".to_owned(),
        format!("--hostname-override={}", node.name()),
        format!("--cluster-cidr={CLUSTER_CIDR}"),
        format!("--kubeconfig={}", cluster.plane.credentials().kubeconfig().display()),
        format!("--healthz-bind-address={HEALTHZ}"),
        format!("--metrics-bind-address={METRICS}"),
        "--iptables-sync-period=1s".to_owned(),
    ];
    Ok(Daemon::spawn(Portolan::find()?.on(node).arg("run").args(flags))?)
}

fn wait_for_gauge(node: &Host, value: f64) -> Result<()> {
    let at: SocketAddr = METRICS.parse()?;
    until(&format!("portolan_conflicting_proxy {value}"), || {
        Ok((metric(node, at, "portolan_conflicting_proxy")? == value).then_some(()))
    })
}

/// How often the sync period was over, at least, twice each time: once for each family. kube-proxy's rules are looked for
/// as often.
fn looks(node: &Host) -> Result<f64> {
    metric(node, METRICS.parse()?, "kubeproxy_sync_proxy_rules_duration_seconds_count")
}

fn count(daemon: &Daemon, part: &str) -> usize {
    daemon.log().iter().filter(|line| line.contains(part)).count()
}

fn text<'event>(event: &'event Value, field: &str) -> &'event str {
    event.pointer(field).and_then(Value::as_str).unwrap_or_default()
}
