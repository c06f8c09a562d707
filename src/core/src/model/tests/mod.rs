//! The cluster as a whole: objects in, changes out.

mod conflicts;
mod flows;
mod health;
mod listed;
mod loopback;
mod order;
mod policy;
mod rules;
mod service_cidrs;
mod services;
mod slices;
mod sources;
mod topology;

use std::{collections::BTreeMap, net::SocketAddr};

use serde_json::{Value, json};

use crate::{
    addr::PerFamily,
    desired::{DesiredPort, Endpoint, LoopbackNodePort, PortChange, PortId},
    ingest::{Kind, Object, ObjectRef},
    model::{AtLoopback, Cluster, DetectLocal, NodeConfig, NodePortAddresses},
};

/// A cluster, and what a backend would have programmed of its changes, and who would listen at loopback addresses.
struct World {
    cluster: Cluster,
    programmed: BTreeMap<PortId, DesiredPort>,
    listened: BTreeMap<PortId, LoopbackNodePort>,
}

impl World {
    fn new(nodeport_addresses: NodePortAddresses) -> Self {
        let pods = PerFamily { v4: Some("10.244.0.0/16".parse().unwrap()), v6: None };
        let detect_local = DetectLocal::ClusterCidr(pods);
        Self::with(NodeConfig { nodeport_addresses, detect_local, ..NodeConfig::of("node-a") })
    }

    fn with(config: NodeConfig) -> Self {
        Self { cluster: Cluster::new(config), programmed: BTreeMap::new(), listened: BTreeMap::new() }
    }

    fn of(objects: impl IntoIterator<Item = Value>) -> Self {
        let mut world = Self::new(NodePortAddresses::PRIMARY);
        objects.into_iter().for_each(|object| drop(world.apply(object)));
        world.sync();
        world
    }

    fn apply(&mut self, value: Value) -> Vec<String> {
        self.cluster.apply(&object(value)).iter().map(ToString::to_string).collect()
    }

    fn delete(&mut self, kind: Kind, namespace: &str, name: &str) {
        self.cluster.delete(&ObjectRef { kind, namespace: namespace.into(), name: name.into() });
    }

    /// Takes the changes over; gives the names of the ServicePorts that were decided anew.
    fn sync(&mut self) -> Vec<String> {
        let changes: Vec<_> = self.cluster.take_changes().collect();
        let names = changes.iter().map(|change| format!("{} {}", change.id.name, change.id.family)).collect();
        for PortChange { id, desired, loopback } in changes {
            match loopback {
                Some(loopback) => drop(self.listened.insert(id.clone(), loopback)),
                None => drop(self.listened.remove(&id)),
            }
            match desired {
                Some(desired) => drop(self.programmed.insert(id, desired)),
                None => drop(self.programmed.remove(&id)),
            }
        }
        names
    }

    /// Applies one object and takes the changes over: what was decided anew for it.
    fn change(&mut self, value: Value) -> Vec<String> {
        self.apply(value);
        self.sync()
    }

    /// What is programmed, a line for each ServicePort: name, VIPs, endpoints (`*`: local).
    fn shown(&self) -> Vec<String> {
        let line = |port: &DesiredPort| {
            let vips: Vec<_> = port.frontends.iter().map(|frontend| frontend.vip.to_string()).collect();
            format!("{} {} -> {}", port.name, vips.join(" "), text(&port.endpoints)).trim_end().to_owned()
        };
        self.programmed.values().map(line).collect()
    }

    fn findings(&self) -> Vec<String> {
        self.cluster.findings().iter().map(ToString::to_string).collect()
    }
}

fn object(value: Value) -> Object {
    match value["kind"].as_str() {
        Some("Service") => Object::Service(serde_json::from_value(value).unwrap()),
        Some("EndpointSlice") => Object::EndpointSlice(serde_json::from_value(value).unwrap()),
        Some("ServiceCIDR") => Object::ServiceCidr(serde_json::from_value(value).unwrap()),
        _ => Object::Node(serde_json::from_value(value).unwrap()),
    }
}

fn text(endpoints: &[Endpoint]) -> String {
    let one = |e: &Endpoint| format!("{}{}", SocketAddr::new(e.addr, e.port), if e.local { "*" } else { "" });
    endpoints.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// A Service `namespace/name` with a TCP port 80 and what `more` adds to its spec.
fn service(name: &str, cluster_ip: &str, more: Value) -> Value {
    let (namespace, name) = name.split_once('/').unwrap();
    let mut spec = json!({"clusterIP": cluster_ip, "ports": [{"port": 80}]});
    merge(&mut spec, more);
    json!({"kind": "Service", "metadata": {"namespace": namespace, "name": name}, "spec": spec})
}

/// A Service of type LoadBalancer with these addresses.
fn balancer(name: &str, cluster_ip: &str, addresses: &[&str], more: Value) -> Value {
    let mut service = service(name, cluster_ip, json!({"type": "LoadBalancer"}));
    merge(&mut service["spec"], more);
    let ingress: Value = addresses.iter().map(|addr| json!({"ip": addr})).collect();
    service["status"] = json!({"loadBalancer": {"ingress": ingress}});
    service
}

/// A slice for the Service `namespace/service` with port 8080. An endpoint is ready and on another node, unless its text
/// says more: `10.0.0.1*` is on this node; `ending` serves while it terminates, `down` does neither; `zones=a,b` and
/// `nodes=node-a` are hints.
fn slice(name: &str, service: &str, endpoints: &[&str]) -> Value {
    let (namespace, service) = service.split_once('/').unwrap();
    let family = if endpoints.first().is_some_and(|addr| addr.contains(':')) { "IPv6" } else { "IPv4" };
    json!({
        "kind": "EndpointSlice",
        "metadata": {"namespace": namespace, "name": name, "labels": {"kubernetes.io/service-name": service}},
        "addressType": family,
        "ports": [{"port": 8080}],
        "endpoints": endpoints.iter().map(|text| endpoint(text)).collect::<Value>(),
    })
}

fn endpoint(text: &str) -> Value {
    let (addr, more) = text.split_once(' ').unwrap_or((text, ""));
    let node = if addr.ends_with('*') { "node-a" } else { "node-b" };
    let mut endpoint = json!({"addresses": [addr.trim_end_matches('*')], "nodeName": node});
    let hint = |names: &str| names.split(',').map(|name| json!({"name": name})).collect::<Value>();
    for word in more.split_whitespace() {
        match word.split_once('=') {
            None => endpoint["conditions"] = json!({"ready": false, "serving": word == "ending", "terminating": true}),
            Some(("zones", names)) => endpoint["hints"]["forZones"] = hint(names),
            Some((_, names)) => endpoint["hints"]["forNodes"] = hint(names),
        }
    }
    endpoint
}

/// The Node object `node-a` with internal addresses.
fn node(addresses: &[&str]) -> Value {
    let address = |addr: &&str| json!({"type": "InternalIP", "address": addr});
    let addresses: Value = addresses.iter().map(address).collect();
    json!({"kind": "Node", "metadata": {"name": "node-a"}, "status": {"addresses": addresses}})
}

/// The same Node in a zone.
fn in_zone(zone: &str, mut node: Value) -> Value {
    node["metadata"]["labels"] = json!({"topology.kubernetes.io/zone": zone});
    node
}

fn service_cidr(name: &str, cidrs: &[&str]) -> Value {
    json!({"kind": "ServiceCIDR", "metadata": {"name": name}, "spec": {"cidrs": cidrs}})
}

fn merge(into: &mut Value, more: Value) {
    if let Value::Object(more) = more {
        more.into_iter().for_each(|(key, value)| into[key] = value);
    }
}
