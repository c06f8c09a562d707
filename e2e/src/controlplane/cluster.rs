//! Brings a scenario's objects to kube-proxies, and waits until their nodes' kernels hold them.
//!
//! ```text
//!   objects, then a sentinel Service -------> reachable through each node: kube-proxy has programmed all of them
//!   Nodes in another zone, then as written -> a full sync each: ServiceCIDRs and interfaces' addresses too
//! ```
//!
//! Services and EndpointSlices are two watches, and the sentinel is the last of both. ServiceCIDRs and the addresses of
//! a node's interfaces matter to kube-proxy only when it writes all its rules: when its Node's zone changes, and
//! otherwise once an hour.

use serde_json::{Value, json};

use super::{Api, ControlPlane, Error, KubeProxy, sentinel::Sentinel};
use crate::{
    Lab,
    cast::{CAST, Role},
    host::Host,
    scenario::{ObjectName, Scenario, ServiceProxy},
    server::Servers,
};

/// The label of a Node that kube-proxy looks at.
const ZONE: &str = "topology.kubernetes.io/zone";

/// kube-proxy on both nodes of each of some labs, with the objects that they know.
#[derive(Debug)]
pub struct Cluster {
    proxies: Vec<(KubeProxy, Host)>,
    objects: Vec<Value>,
    sentinels: u16,
    service_cidr_events: usize,
    _servers: Vec<Servers>,
}

impl Cluster {
    /// Starts kube-proxy on both nodes of each lab, with a scenario's options and the Nodes that it begins with.
    ///
    /// # Errors
    /// When the API server refuses a Node or kube-proxy does not start.
    pub fn start(plane: &mut ControlPlane, scenario: &Scenario, labs: &[(ServiceProxy, &Lab)]) -> Result<Self, Error> {
        let objects = scenario.steps.first().map_or(&[][..], |step| &step.objects);
        for node in objects.iter().filter(|object| is(object, "Node")) {
            plane.api.apply(&in_zone(node, None))?;
        }
        let mut proxies = Vec::new();
        for (proxy, lab) in labs {
            for node in lab.nodes() {
                proxies.push((KubeProxy::start(plane, scenario, node, *proxy)?, a_pod_of(lab, node)?.clone()));
            }
        }
        for (proxy, _) in &mut proxies {
            proxy.until("the first sync", |proxy| Ok(proxy.full_syncs()? > 0))?;
        }
        let servers = labs.iter().map(|(_, lab)| Sentinel::serve(lab)).collect::<Result<_, _>>()?;
        // One ServiceCIDR has always been there.
        Ok(Self { proxies, objects: Vec::new(), sentinels: 0, service_cidr_events: 1, _servers: servers })
    }

    /// Changes the cluster's objects to these, and returns when all kernels hold them.
    ///
    /// # Errors
    /// When the API server refuses one, or a kube-proxy ends or takes too long.
    pub fn follow(&mut self, api: &mut Api, objects: &[Value]) -> Result<(), Error> {
        let old = std::mem::replace(&mut self.objects, objects.to_vec());
        let is_gone = |old: &&Value| !objects.iter().any(|new| ObjectName::of(new) == ObjectName::of(old));
        for object in old.iter().filter(is_gone) {
            api.delete(object)?;
            self.service_cidr_events += usize::from(is(object, "ServiceCIDR"));
        }
        for object in objects.iter().filter(|object| !is(object, "Node") && !old.contains(object)) {
            // One that the API server has made itself is not new, and a ServiceCIDR does not change.
            let new = api.apply(object)?;
            self.service_cidr_events += usize::from(new && is(object, "ServiceCIDR"));
        }
        self.wait_for_sentinel(api)?;
        let events = self.service_cidr_events;
        for (proxy, _) in &mut self.proxies {
            proxy.until("ServiceCIDRs", |proxy| Ok(proxy.service_cidr_events() >= events))?;
        }
        self.write_nodes(api, |node| in_zone(node, Some("between-steps")))?;
        self.write_nodes(api, Clone::clone)
    }

    fn wait_for_sentinel(&mut self, api: &mut Api) -> Result<(), Error> {
        self.sentinels += 1;
        let sentinel = Sentinel(self.sentinels);
        for object in sentinel.objects()? {
            api.apply(&object)?;
        }
        for (proxy, pod) in &mut self.proxies {
            proxy.until("the sentinel", |_| sentinel.is_reached_by(pod))?;
        }
        Ok(())
    }

    /// Writes all Nodes, in zones that they have not been in, and waits for the full sync that follows.
    fn write_nodes(&mut self, api: &mut Api, change: impl Fn(&Value) -> Value) -> Result<(), Error> {
        let before = self.proxies.iter().map(|(proxy, _)| proxy.full_syncs()).collect::<Result<Vec<_>, _>>()?;
        let nodes: Vec<_> = self.objects.iter().filter(|object| is(object, "Node")).map(change).collect();
        for node in &nodes {
            api.apply(node)?;
        }
        for ((proxy, _), before) in self.proxies.iter_mut().zip(before) {
            if nodes.iter().any(|node| node.pointer("/metadata/name").is_some_and(|name| name == proxy.node().name())) {
                proxy.until("a full sync", |proxy| Ok(proxy.full_syncs()? > before))?;
            }
        }
        Ok(())
    }
}

/// A pod whose packets meet the node's rules first.
fn a_pod_of<'lab>(lab: &'lab Lab, node: &Host) -> Result<&'lab Host, Error> {
    let pod = CAST.iter().find(|member| matches!(member.role, Role::Pod { node: home } if home == node.name()));
    Ok(lab.host(pod.map_or("a pod", |pod| pod.name))?)
}

fn is(object: &Value, kind: &str) -> bool {
    object.get("kind").is_some_and(|other| other == kind)
}

/// A Node as written, but for its zone.
fn in_zone(node: &Value, zone: Option<&str>) -> Value {
    let mut node = node.clone();
    let metadata = node.get_mut("metadata").and_then(Value::as_object_mut);
    let labels = metadata.map(|metadata| metadata.entry("labels").or_insert_with(|| json!({})));
    if let Some(labels) = labels.and_then(Value::as_object_mut) {
        labels.remove(ZONE);
        labels.extend(zone.map(|zone| (ZONE.to_owned(), json!(zone))));
    }
    node
}
