//! The real kube-proxy and Portolan's HTTP servers, side by side on one node: the same requests, the same answers.
//!
//! ```text
//!   node-a:  kube-proxy  10256 10249 32000      Portolan's servers  20256 20249 32001
//!                 '------- each request -------------------'
//!                          answers compared, with times, versions and lengths masked
//! ```
//!
//! Portolan's servers run in this process, in the state that kube-proxy is in: how the daemon comes to that state is for
//! other tests. Configuration and flags are kube-proxy's own, as it shows them; what only one mode counts is told by that mode's
//! own dataplane, on a node beside. All of that in each mode that both have and the kernel has what it takes for.

#![allow(clippy::indexing_slicing, reason = "test code as a whole: fields that are missing fail it")]

mod http_parity {
    pub(super) mod mask;
    pub(super) mod page;
    pub(super) mod requests;
}

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    process::ExitCode,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use portolan::{
    backends,
    counters::kernel_figures,
    http::{About, Addresses, Health, HealthCheckServers, HttpServers, Now},
    metrics::{Change, Feature, Metrics, SyncKind},
};
use portolan_core::{
    addr::{Family, PerFamily},
    desired::NodePolicy,
    model::{AtLoopback, HealthCheck},
    name::ServiceName,
};
use portolan_e2e::{
    Mode, RENDERED_MODES,
    controlplane::{Binary, Cluster, ControlPlane},
    daemon::lone,
    harness::{self, Test},
    has_kernel_for,
    host::Host,
    http::{Request, Response},
    scenario::{Scenario, ServiceProxy},
    stage::Stage,
};
use serde_json::{Value, json};

use self::http_parity::{mask::masked, page, requests};

/// Has a Service with a health-check node port, and two of its endpoints on node-a.
const SCENARIO: &str = "../testdata/scenarios/etp-local-outside-keeps-source";

/// The addresses that kube-proxy takes for the node's primary ones.
const NODE: [&str; 2] = ["192.168.100.11", "fd00:100::11"];

/// The annotation with the time from which kube-proxy measures how long a change took to get into the kernel.
const CHANGED: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// How long kube-proxy may take to hear of a change.
const PATIENCE: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let binary = Binary::unless_missing("nothing is compared");
    let answers = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&answers);
    // Two control planes would have the same ports.
    let turn = Arc::new(Mutex::new(()));
    let tests = || match binary {
        Ok(Some(binary)) => {
            let of_mode = |mode: Mode| {
                let (binary, counted, turn) = (binary.clone(), Arc::clone(&counted), Arc::clone(&turn));
                let compare = move || {
                    let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
                    compare(&binary, mode, &counted).map_err(|error| format!("{error:#}"))
                };
                Test::new(format!("{mode}/answers_and_metrics"), compare)
            };
            Ok(RENDERED_MODES.into_iter().filter(|mode| has_kernel_for(*mode)).map(of_mode).collect())
        }
        Ok(None) => Ok(Vec::new()),
        Err(missing) => Err(missing),
    };
    harness::run(tests, || println!("{} answers of the real kube-proxy compared", answers.load(Ordering::Relaxed)))
}

/// The two, on one node.
struct Pair<'lab> {
    node: &'lab Host,
    answers: &'lab AtomicUsize,
    differences: Vec<String>,
}

fn compare(binary: &Binary, mode: Mode, answers: &AtomicUsize) -> Result<()> {
    let scenario = Scenario::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join(SCENARIO))?;
    let mut stage = Stage::new(&scenario)?;
    let mut plane = ControlPlane::start(binary)?;
    let mut cluster = Cluster::start(&mut plane, &scenario, &[(ServiceProxy::KubeProxy(mode), stage.lab())])?;
    stage.enter(0)?;
    let mut objects = scenario.steps.first().context("no step")?.objects.clone();
    for slice in objects.iter_mut().filter(|object| object["kind"] == "EndpointSlice") {
        slice["metadata"]["annotations"] = json!({(CHANGED): jiff::Timestamp::now().to_string()});
    }
    objects.extend(udp_objects());
    cluster.follow(&mut plane.api, &objects)?;

    let node = stage.lab().host("node-a")?;
    let (health, metrics) = (Arc::new(Health::new(&Family::ALL, Duration::from_secs(30))), all_metrics(mode)?);
    for family in Family::ALL {
        health.synced(family, Now::read());
    }
    health.node_eligible(true);
    let servers = start(node, mode, &health, &metrics)?;
    let mut checks = HealthCheckServers::new(&servers, Some(Arc::clone(&health)));
    let failures = node.enter(|| checks.set(&health_checks(), &primary_addresses()))?;
    ensure!(failures.is_empty(), "{failures:?}");

    let mut pair = Pair { node, answers, differences: Vec::new() };
    pair.ask(requests::HEALTH, "127.0.0.1", 10256, 20256)?;
    pair.ask(requests::METRICS, "127.0.0.1", 10249, 20249)?;
    for address in NODE {
        pair.ask(requests::HEALTH_CHECK, address, 32000, 32001)?;
    }
    pair.differences.extend(page::compare(
        mode,
        &pair.send(&get("/metrics"), "127.0.0.1", 10249)?.body,
        &pair.send(&get("/metrics"), "127.0.0.1", 20249)?.body,
    ));

    // The cluster autoscaler is about to delete the node.
    let tainted = objects.iter().find(|object| object["metadata"]["name"] == "node-a").context("node-a")?;
    let mut tainted = tainted.clone();
    tainted["spec"] = json!({"taints": [{"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}]});
    plane.api.apply(&tainted)?;
    pair.wait_for_503()?;
    health.node_eligible(false);
    pair.ask(requests::HEALTH, "127.0.0.1", 10256, 20256)?;
    for address in NODE {
        pair.ask(requests::HEALTH_CHECK, address, 32000, 32001)?;
    }
    ensure!(pair.differences.is_empty(), "{}", pair.differences.join("\n\n"));
    Ok(())
}

impl Pair<'_> {
    fn ask(&mut self, requests: &[Request<'static>], address: &str, real: u16, ours: u16) -> Result<()> {
        for request in requests {
            let real = masked(request, self.send(request, address, real)?)?;
            let ours = masked(request, self.send(request, address, ours)?)?;
            self.answers.fetch_add(1, Ordering::Relaxed);
            if real != ours {
                self.differences.push(format!("{request:?}\nkube-proxy: {real:#?}\nPortolan: {ours:#?}"));
            }
        }
        Ok(())
    }

    fn send(&self, request: &Request<'_>, address: &str, port: u16) -> Result<Response> {
        let server = SocketAddr::new(address.parse()?, port);
        self.node.enter(|| request.send(server))?.with_context(|| format!("{request:?} to {server}"))
    }

    fn wait_for_503(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !self.send(&get("/healthz"), "127.0.0.1", 10256)?.status.starts_with("503") {
            ensure!(Instant::now() < deadline, "kube-proxy does not mind that its node is to be deleted");
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

/// Portolan's servers, on the node.
fn start(node: &Host, mode: Mode, health: &Arc<Health>, metrics: &Arc<Metrics>) -> Result<HttpServers> {
    let real = |target: &'static str| -> Result<Value> {
        let accept = [("Accept", "application/json;g=config.k8s.io;v=v1beta1;as=Flagz")];
        let request = Request { headers: &accept, ..get(target) };
        let answer = node.enter(|| request.send(SocketAddr::from(([127, 0, 0, 1], 10249))))??;
        Ok(serde_json::from_str(&answer.body)?)
    };
    let configuration = real("/configz")?["kubeproxy.config.k8s.io"].clone();
    let flags = real("/flagz")?["flags"].as_object().context("no flags")?.clone();
    let flags: Vec<_> =
        flags.into_iter().map(|(name, value)| (name, value.as_str().unwrap_or_default().to_owned())).collect();
    let about = About {
        mode: mode.name(),
        profiling: true,
        statusz: true,
        flagz: true,
        configuration: Arc::new(move || configuration.clone()),
        flags: Arc::new(move || flags.clone()),
        set_verbosity: Arc::new(drop),
    };
    let [healthz, metrics_address] = [20256, 20249].map(|port| Some(SocketAddr::from(([127, 0, 0, 1], port))));
    let addresses = Addresses { healthz, metrics: metrics_address, hard_fail: true };
    let start = || HttpServers::start(addresses, Arc::clone(health), Arc::clone(metrics), about);
    Ok(node.enter(start)??)
}

/// A Service for whose sake kube-proxy looks after conntrack.
fn udp_objects() -> [Value; 2] {
    let metadata = json!({"name": "dns", "namespace": "default", "labels": {"kubernetes.io/service-name": "dns"}});
    [
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"ports": [{"protocol": "UDP", "port": 53}]},
        }),
        json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": metadata,
            "addressType": "IPv4",
            "ports": [{"protocol": "UDP", "port": 5353}],
            "endpoints": [{"addresses": ["10.244.1.11"], "nodeName": "node-a"}],
        }),
    ]
}

fn health_checks() -> [HealthCheck; 2] {
    let service = ServiceName { namespace: "default".into(), name: "web".into() };
    Family::ALL.map(|family| HealthCheck { service: service.clone(), family, port: 32001, local_endpoints: 2 })
}

fn primary_addresses() -> PerFamily<Vec<IpAddr>> {
    let [v4, v6] = NODE.map(|address| address.parse().into_iter().collect());
    PerFamily { v4, v6 }
}

/// With every family that kube-proxy has, too: those without a sample are not shown.
fn all_metrics(mode: Mode) -> Result<Arc<Metrics>> {
    let feature = Feature { name: "NFTablesProxyMode".into(), stage: String::new(), enabled: true };
    let at_loopback = match mode {
        Mode::Nftables | Mode::Ipvs => AtLoopback::Listener,
        Mode::Iptables => AtLoopback::Rules,
    };
    let metrics = Metrics::new(vec![feature], at_loopback)?;
    let figures = lone()?.enter(|| -> Result<_> {
        let mut dataplane = backends::dataplane(mode, &NodePolicy::default())?;
        dataplane.sync()?;
        let mut figures = dataplane.figures();
        figures.append(&mut kernel_figures(mode)());
        Ok(figures)
    })??;
    metrics.dataplane_counts(figures);
    let moment = Duration::from_millis(1);
    for family in Family::ALL {
        metrics.change_queued(Change::Service);
        metrics.change_queued(Change::Endpoints);
        metrics.sync_queued(family);
        metrics.synced(family, SyncKind::Full, moment);
        metrics.synced(family, SyncKind::Partial, moment);
        metrics.sync_failed(family, SyncKind::Partial, moment);
        metrics.network_programmed(family, moment);
        metrics.no_local_endpoints(family, 0, 0);
        metrics.conntrack_reconciled(family, moment, 1);
    }
    metrics.client_made();
    metrics.request_answered("127.0.0.1:6443", "GET", "200");
    metrics.request_took("127.0.0.1:6443", "POST", moment, 1, 1);
    metrics.request_throttled("127.0.0.1:6443", "POST", moment);
    Ok(metrics)
}

const fn get(target: &str) -> Request<'_> {
    Request { method: "GET", target, headers: &[], body: "" }
}
