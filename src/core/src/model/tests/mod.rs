//! The cluster as a whole: objects in, changes out.

mod conflicts;
mod order;
mod rules;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    addr::PerFamily,
    desired::{DesiredPort, PortChange, PortId},
    ingest::{Kind, Object, ObjectRef},
    model::{Cluster, NodeConfig, NodePortAddresses},
};

/// A cluster, and what a backend would have programmed of its changes.
struct World {
    cluster: Cluster,
    programmed: BTreeMap<PortId, DesiredPort>,
}

impl World {
    fn new(nodeport_addresses: NodePortAddresses) -> Self {
        let config =
            NodeConfig { hostname: "node-a".to_owned(), cluster_cidr: PerFamily::default(), nodeport_addresses };
        Self { cluster: Cluster::new(config), programmed: BTreeMap::new() }
    }

    fn of(objects: impl IntoIterator<Item = Value>) -> Self {
        let mut world = Self::new(NodePortAddresses::Primary);
        objects.into_iter().for_each(|object| drop(world.apply(object)));
        world.sync();
        world
    }

    fn apply(&mut self, value: Value) -> Vec<String> {
        self.cluster.apply(object(value)).iter().map(ToString::to_string).collect()
    }

    fn delete(&mut self, kind: Kind, namespace: &str, name: &str) {
        self.cluster.delete(&ObjectRef { kind, namespace: namespace.into(), name: name.into() });
    }

    /// Takes the changes over; gives the names of the ServicePorts that were decided anew.
    fn sync(&mut self) -> Vec<String> {
        let changes = self.cluster.take_changes();
        let names = changes.iter().map(|change| format!("{} {}", change.id.name, change.id.family)).collect();
        for PortChange { id, desired } in changes {
            match desired {
                Some(desired) => drop(self.programmed.insert(id, desired)),
                None => drop(self.programmed.remove(&id)),
            }
        }
        names
    }

    /// What is programmed, a line for each ServicePort: name, VIPs, endpoints (`*`: local).
    fn shown(&self) -> Vec<String> {
        let line = |port: &DesiredPort| {
            let vips: Vec<_> = port.frontends.iter().map(|frontend| frontend.vip.to_string()).collect();
            let endpoint = |e: &crate::desired::Endpoint| {
                format!("{}{}", std::net::SocketAddr::new(e.addr, e.port), if e.local { "*" } else { "" })
            };
            let endpoints: Vec<_> = port.endpoints.iter().map(endpoint).collect();
            format!("{} {} -> {}", port.name, vips.join(" "), endpoints.join(" ")).trim_end().to_owned()
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
        _ => Object::Node(serde_json::from_value(value).unwrap()),
    }
}

/// A Service `namespace/name` with a TCP port 80 and what `more` adds to its spec.
fn service(name: &str, cluster_ip: &str, more: Value) -> Value {
    let (namespace, name) = name.split_once('/').unwrap();
    let mut spec = json!({"clusterIP": cluster_ip, "ports": [{"port": 80}]});
    merge(&mut spec, more);
    json!({"kind": "Service", "metadata": {"namespace": namespace, "name": name}, "spec": spec})
}

/// A slice for the Service `namespace/service` with port 8080; endpoints end in `*` when they are on this node.
fn slice(name: &str, service: &str, endpoints: &[&str]) -> Value {
    let (namespace, service) = service.split_once('/').unwrap();
    let family = if endpoints.first().is_some_and(|addr| addr.contains(':')) { "IPv6" } else { "IPv4" };
    let endpoint = |addr: &&str| {
        let node = if addr.ends_with('*') { "node-a" } else { "node-b" };
        json!({"addresses": [addr.trim_end_matches('*')], "nodeName": node, "conditions": {"ready": true}})
    };
    json!({
        "kind": "EndpointSlice",
        "metadata": {"namespace": namespace, "name": name, "labels": {"kubernetes.io/service-name": service}},
        "addressType": family,
        "ports": [{"port": 8080}],
        "endpoints": endpoints.iter().map(endpoint).collect::<Value>(),
    })
}

/// The Node object `node-a` with internal addresses.
fn node(addresses: &[&str]) -> Value {
    let address = |addr: &&str| json!({"type": "InternalIP", "address": addr});
    let addresses: Value = addresses.iter().map(address).collect();
    json!({"kind": "Node", "metadata": {"name": "node-a"}, "status": {"addresses": addresses}})
}

fn merge(into: &mut Value, more: Value) {
    if let Value::Object(more) = more {
        more.into_iter().for_each(|(key, value)| into[key] = value);
    }
}
