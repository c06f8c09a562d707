//! What the real EndpointSlice controller makes of Pods leads Portolan to the endpoints that it should.
//!
//! ```text
//!   Service, Pods and their status --> kube-apiserver --> EndpointSlice controller --> slices --> Portolan --> packets
//! ```
//!
//! There is no kubelet: a test says itself what a Pod's status is. A Pod that is bound to a node and deleted stays
//! until a kubelet says that it has ended, so it is terminating for as long as a test wants.

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, SocketAddr},
    process::ExitCode,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Result, anyhow, bail};
use portolan_core::addr::Protocol;
use portolan_e2e::{
    Lab, Mode, Options,
    cast::{Role, Target, named},
    controlplane::{Api, Binary, ControlPlane},
    daemon::{test, until},
    destination::Destination,
    flow,
    harness::{self, Failure, Test},
    product::Portolan,
    scenario::{Expected, Flow, ServiceProxy},
};
use serde_json::{Value, json};

/// Where every Pod serves.
const PORT: u16 = 8080;

/// Both nodes, each in a zone of its own.
const ZONES: [(&str, &str); 2] = [("node-a", "zone-a"), ("node-b", "zone-b")];

fn main() -> ExitCode {
    harness::run(tests, || ())
}

fn tests() -> Result<Vec<Test>, Failure> {
    let binary = Binary::unless_missing("the real EndpointSlice controller is not asked")
        .map_err(|missing| missing.to_string())?;
    let Some(binary) = binary else { return Ok(Vec::new()) };
    let world = Arc::new(World { binary, plane: Mutex::new(None) });
    let cases: [(&str, Case); 5] = [
        ("only ready Pods are used", only_ready_pods_are_used),
        ("publishNotReadyAddresses makes all Pods ready", publish_not_ready_addresses),
        ("terminating Pods serve when no other does", terminating_pods_serve_when_no_other_does),
        ("PreferSameZone keeps to the zone", prefer_same_zone),
        ("PreferSameNode keeps to the node, and else goes anywhere", prefer_same_node),
    ];
    let tests = cases.into_iter().map(|(name, case)| {
        let world = Arc::clone(&world);
        test(name, move || case(&world))
    });
    Ok(tests.collect())
}

fn only_ready_pods_are_used(world: &World) -> Result<()> {
    let app = App::new(world, "readiness", &json!({}))?;
    app.pod("pod-a1", true)?;
    app.pod("pod-a2", false)?;
    app.pod("pod-b1", true)?;
    app.becomes(&[("pod-a1", READY, None), ("pod-a2", NOT_READY, None), ("pod-b1", READY, None)])?;
    app.reach(&[("node-a", &["pod-a1", "pod-b1"]), ("node-b", &["pod-a1", "pod-b1"])])
}

fn publish_not_ready_addresses(world: &World) -> Result<()> {
    let app = App::new(world, "publish", &json!({"publishNotReadyAddresses": true}))?;
    app.pod("pod-a2", false)?;
    app.pod("pod-b1", true)?;
    app.becomes(&[("pod-a2", [true, false, false], None), ("pod-b1", READY, None)])?;
    app.reach(&[("node-a", &["pod-a2", "pod-b1"]), ("node-b", &["pod-a2", "pod-b1"])])
}

fn terminating_pods_serve_when_no_other_does(world: &World) -> Result<()> {
    let app = App::new(world, "terminating", &json!({}))?;
    app.pod("pod-a1", false)?;
    app.pod("pod-a2", true)?;
    app.pod("pod-b1", true)?;
    app.becomes(&[("pod-a1", NOT_READY, None), ("pod-a2", READY, None), ("pod-b1", READY, None)])?;
    app.delete("pod-a1")?;
    app.delete("pod-a2")?;
    app.becomes(&[("pod-a1", TERMINATING, None), ("pod-a2", SERVING, None), ("pod-b1", READY, None)])?;
    app.reach(&[("node-a", &["pod-b1"]), ("node-b", &["pod-b1"])])?;
    app.delete("pod-b1")?;
    app.becomes(&[("pod-a1", TERMINATING, None), ("pod-a2", SERVING, None), ("pod-b1", SERVING, None)])?;
    app.reach(&[("node-a", &["pod-a2", "pod-b1"]), ("node-b", &["pod-a2", "pod-b1"])])
}

fn prefer_same_zone(world: &World) -> Result<()> {
    let zone = |name| Some(json!({"forZones": [{"name": name}]}));
    let app = App::new(world, "zone", &json!({"trafficDistribution": "PreferSameZone"}))?;
    app.pod("pod-a1", true)?;
    app.pod("pod-a2", true)?;
    app.pod("pod-b1", true)?;
    app.becomes(&[
        ("pod-a1", READY, zone("zone-a")),
        ("pod-a2", READY, zone("zone-a")),
        ("pod-b1", READY, zone("zone-b")),
    ])?;
    app.reach(&[("node-a", &["pod-a1", "pod-a2"]), ("node-b", &["pod-b1"])])
}

fn prefer_same_node(world: &World) -> Result<()> {
    let node = |zone, node| Some(json!({"forZones": [{"name": zone}], "forNodes": [{"name": node}]}));
    let app = App::new(world, "node", &json!({"trafficDistribution": "PreferSameNode"}))?;
    app.pod("pod-a2", true)?;
    app.pod("pod-b1", true)?;
    app.becomes(&[("pod-a2", READY, node("zone-a", "node-a")), ("pod-b1", READY, node("zone-b", "node-b"))])?;
    app.reach(&[("node-a", &["pod-a2"]), ("node-b", &["pod-b1"])])?;
    app.delete("pod-b1")?;
    // Only ready endpoints get hints.
    app.becomes(&[("pod-a2", READY, node("zone-a", "node-a")), ("pod-b1", SERVING, None)])?;
    app.reach(&[("node-a", &["pod-a2"]), ("node-b", &["pod-a2"])])
}

/// A test.
type Case = fn(&World) -> Result<()>;

/// Conditions of an endpoint: ready, serving, terminating.
type Conditions = [bool; 3];

const READY: Conditions = [true, true, false];
const NOT_READY: Conditions = [false, false, false];
const SERVING: Conditions = [false, true, true];
const TERMINATING: Conditions = [false, false, true];

/// A cluster of two nodes, with the real controller.
struct World {
    binary: Binary,
    plane: Mutex<Option<ControlPlane>>,
}

impl World {
    fn with<T>(&self, work: impl FnOnce(&mut Api) -> Result<T>) -> Result<T> {
        let mut held: MutexGuard<'_, _> = self.plane.lock().unwrap_or_else(PoisonError::into_inner);
        if held.is_none() {
            let mut plane = ControlPlane::start(&self.binary)?;
            for (node, zone) in ZONES {
                let addresses = [named(node)?.v4.to_string(), named(node)?.v6.to_string()];
                plane.api.apply(&json!({
                    "apiVersion": "v1",
                    "kind": "Node",
                    "metadata": {"name": node, "labels": {"topology.kubernetes.io/zone": zone}},
                    "status": {
                        "addresses": addresses.map(|address| json!({"type": "InternalIP", "address": address})),
                        "conditions": [{"type": "Ready", "status": "True"}],
                    },
                }))?;
            }
            plane.start_controllers(&["endpointslice-controller"])?;
            *held = Some(plane);
        }
        held.as_mut().map_or_else(|| bail!("there is no control plane"), |plane| work(&mut plane.api))
    }
}

/// A Service with a selector, and a lab.
struct App<'world> {
    world: &'world World,
    name: &'static str,
    lab: Lab,
}

impl<'world> App<'world> {
    fn new(world: &'world World, name: &'static str, more: &Value) -> Result<Self> {
        let mut spec = json!({"selector": {"app": name}, "ports": [{"port": 80, "targetPort": PORT}]});
        if let (Some(spec), Some(more)) = (spec.as_object_mut(), more.as_object()) {
            spec.extend(more.clone());
        }
        let metadata = json!({"name": name, "namespace": "default"});
        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec});
        world.with(|api| Ok(api.apply(&service)?))?;
        Ok(Self { world, name, lab: Lab::new(&Options::default())? })
    }

    /// A Pod that runs where a pod of the lab is.
    fn pod(&self, host: &str, ready: bool) -> Result<()> {
        let member = named(host)?;
        let Role::Pod { node } = member.role else { bail!("{host} is no pod") };
        let pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": self.pod_name(host), "namespace": "default", "labels": {"app": self.name}},
            "spec": {"nodeName": node, "containers": [{"name": "server", "image": "server"}]},
            "status": {
                "phase": "Running",
                "podIP": member.v4,
                "podIPs": [{"ip": member.v4}],
                "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}],
            },
        });
        self.world.with(|api| Ok(api.apply(&pod).map(drop)?))
    }

    fn pod_name(&self, host: &str) -> String {
        format!("{}-{host}", self.name)
    }

    fn delete(&self, host: &str) -> Result<()> {
        let metadata = json!({"name": self.pod_name(host), "namespace": "default"});
        self.world.with(|api| Ok(api.delete(&json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata}))?))
    }

    fn slices(&self) -> Result<Vec<Value>> {
        let of_service = format!("labelSelector=kubernetes.io%2Fservice-name%3D{}", self.name);
        let path = format!("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices?{of_service}");
        self.world.with(|api| items(&api.get(&path)?, "discovery.k8s.io/v1", "EndpointSlice"))
    }

    /// Waits until the controller's slices say this of these Pods, and nothing of others.
    fn becomes(&self, wanted: &[(&str, Conditions, Option<Value>)]) -> Result<()> {
        let mut expected = BTreeMap::new();
        for (host, conditions, hints) in wanted {
            expected.insert(named(host)?.v4.to_string(), (*conditions, hints.clone()));
        }
        let mut found = BTreeMap::new();
        let waited = until::<_, anyhow::Error>("the EndpointSlice controller", || {
            found = self.slices()?.iter().flat_map(endpoints).collect();
            Ok((found == expected).then_some(()))
        });
        waited.map_err(|error| anyhow!("{error:#}\nexpected {expected:?}\nfound {found:?}"))
    }

    /// Programs both nodes with what the API server has, and asks the Service from the nodes.
    fn reach(&self, wanted: &[(&str, &[&str])]) -> Result<()> {
        let service_path = format!("/api/v1/namespaces/default/services/{}", self.name);
        let service = self.world.with(|api| Ok(api.get(&service_path)?))?;
        let cluster_ip: IpAddr =
            service.pointer("/spec/clusterIP").and_then(Value::as_str).unwrap_or_default().parse()?;
        let mut objects = vec![service];
        objects.extend(self.slices()?);
        objects.extend(self.world.with(|api| items(&api.get("/api/v1/nodes")?, "v1", "Node"))?);
        let folder = tempfile::tempdir()?;
        let manifests = folder.path().join("objects.json");
        fs::write(&manifests, json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string())?;
        let portolan = Portolan::find()?;
        for node in self.lab.nodes() {
            portolan.once(&manifests, node).expect_exit(0)?;
        }
        let pods = ["pod-a1", "pod-a2", "pod-b1"];
        let _servers = self.lab.serve(pods.map(|host| Target { host, port: PORT, protocol: Protocol::Tcp }))?;
        for (node, endpoints) in wanted {
            let from = named(node)?;
            let mut sources = BTreeMap::new();
            for endpoint in *endpoints {
                sources.insert(SocketAddr::new(named(endpoint)?.v4.into(), PORT), IpAddr::V4(from.v4));
            }
            let flow = Flow {
                from,
                source: None,
                to: Destination::Port(Protocol::Tcp, SocketAddr::new(cluster_ip, 80)),
                expected: Expected::Endpoints { sources, sticky: false },
                portolan: None,
                kube_proxy: None,
                socket: None,
            };
            let seen = flow::run(&self.lab, &flow, ServiceProxy::Portolan(Mode::Nftables), None)?;
            if let Some(mismatch) = flow::mismatch(&flow, ServiceProxy::Portolan(Mode::Nftables), &seen) {
                bail!("{mismatch}");
            }
        }
        Ok(())
    }
}

/// The objects of a list, each with what the list says once for all.
fn items(list: &Value, version: &str, kind: &str) -> Result<Vec<Value>> {
    let items = list.get("items").and_then(Value::as_array).ok_or_else(|| anyhow!("no list: {list}"))?;
    let whole = items.iter().map(|item| {
        let mut item = item.clone();
        let fields = item.as_object_mut()?;
        fields.insert("apiVersion".to_owned(), version.into());
        fields.insert("kind".to_owned(), kind.into());
        Some(item)
    });
    whole.collect::<Option<_>>().ok_or_else(|| anyhow!("an item is no object: {list}"))
}

/// Address, conditions and hints.
fn endpoints(slice: &Value) -> Vec<(String, (Conditions, Option<Value>))> {
    let endpoints = slice.get("endpoints").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let endpoint = |endpoint: &Value| {
        let address = endpoint.pointer("/addresses/0").and_then(Value::as_str).unwrap_or_default().to_owned();
        let condition = |name| endpoint.pointer(&format!("/conditions/{name}")).is_some_and(|value| value == true);
        let conditions = ["ready", "serving", "terminating"].map(condition);
        (address, (conditions, endpoint.get("hints").cloned()))
    };
    endpoints.iter().map(endpoint).collect()
}
