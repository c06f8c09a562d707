//! A cluster of any size, as the objects of its API server: as text, or decoded.
//!
//! Service number i has a cluster IP of its own and one EndpointSlice. Of every hundred Services one has an endpoint on
//! this node, which is what a node of a large cluster sees.

use std::net::Ipv4Addr;

use anyhow::Context as _;
use portolan_core::{
    addr::PerFamily,
    ingest::{Kind, Object, ObjectRef},
    model::{DetectLocal, NodeConfig},
};

/// The name of this node.
pub(crate) const NODE: &str = "node-a";
/// The addresses of pods.
pub(crate) const POD_CIDR: &str = "10.128.0.0/9";

/// The addresses of the pods behind a Service are so far apart.
const PODS_PER_SERVICE: u32 = 32;

/// What the Services of a cluster are like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// `TCP` or `UDP`
    pub(crate) protocol: &'static str,
    /// How many endpoints each has.
    pub(crate) endpoints: u32,
    /// Whether each has a NodePort.
    pub(crate) node_port: bool,
    /// The number of the Service whose pods serve all others too; else each has pods of its own.
    pub(crate) pods_of: Option<u32>,
}

impl Shape {
    /// Two endpoints, a cluster IP and no more: most Services of most clusters.
    pub(crate) const USUAL: Self = Self { protocol: "TCP", endpoints: 2, node_port: false, pods_of: None };

    /// The same with so many endpoints.
    pub(crate) const fn with_endpoints(self, endpoints: u32) -> Self {
        Self { endpoints, ..self }
    }

    /// The same with a NodePort.
    pub(crate) const fn with_node_port(self) -> Self {
        Self { node_port: true, ..self }
    }
}

/// From where the cluster is seen.
pub(crate) fn node_config() -> anyhow::Result<NodeConfig> {
    let pods = PerFamily { v4: Some(POD_CIDR.parse()?), v6: None };
    Ok(NodeConfig { detect_local: DetectLocal::ClusterCidr(pods), ..NodeConfig::of(NODE) })
}

/// The whole cluster: this node, all Services, and then their slices, as an API server lists them.
pub(crate) fn objects(services: u32, shape: Shape) -> anyhow::Result<Vec<Object>> {
    let mut objects = vec![Object::Node(serde_json::from_str(&node_text())?)];
    for i in 0..services {
        objects.push(service(i, shape)?);
    }
    for i in 0..services {
        objects.push(slice(i, shape, 0)?);
    }
    Ok(objects)
}

pub(crate) fn service(i: u32, shape: Shape) -> anyhow::Result<Object> {
    Ok(Object::Service(serde_json::from_str(&service_text(i, shape)).context("a Service of the benchmark")?))
}

/// The slice of Service i. Its pods are those from number `first` on.
pub(crate) fn slice(i: u32, shape: Shape, first: u32) -> anyhow::Result<Object> {
    let text = slice_text(i, shape, first);
    Ok(Object::EndpointSlice(serde_json::from_str(&text).context("an EndpointSlice of the benchmark")?))
}

pub(crate) fn service_name(i: u32) -> ObjectRef {
    ObjectRef { kind: Kind::Service, namespace: "default".into(), name: format!("service-{i}").into() }
}

pub(crate) fn slice_name(i: u32) -> ObjectRef {
    ObjectRef { kind: Kind::EndpointSlice, namespace: "default".into(), name: format!("service-{i}-x7k2p").into() }
}

/// The cluster IP of Service i; its port is 80.
pub(crate) fn cluster_ip(i: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 96, 0, 1)) + i)
}

/// The address of pod k of Service i; its port is 8080.
pub(crate) fn pod(i: u32, k: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 128, 0, 1)) + i * PODS_PER_SERVICE + k)
}

pub(crate) fn node_text() -> String {
    format!(
        r#"{{"apiVersion":"v1","kind":"Node","metadata":{{"name":"{NODE}"}},"status":{{"addresses":[
        {{"type":"InternalIP","address":"192.168.100.11"}},{{"type":"Hostname","address":"{NODE}"}}]}}}}"#
    )
}

pub(crate) fn service_text(i: u32, shape: Shape) -> String {
    let Shape { protocol, .. } = shape;
    let ip = cluster_ip(i);
    let kind = if shape.node_port { "NodePort" } else { "ClusterIP" };
    let node_port = if shape.node_port { format!(r#""nodePort":{},"#, 20_000 + i) } else { String::new() };
    format!(
        r#"{{"apiVersion":"v1","kind":"Service","metadata":{{"name":"service-{i}","namespace":"default",
        "uid":"6f1c2a54-7d0e-4a7e-9a64-{i:012x}","resourceVersion":"{i}","creationTimestamp":"2026-01-01T00:00:00Z",
        "labels":{{"app.kubernetes.io/name":"service-{i}","app.kubernetes.io/managed-by":"Helm"}}}},
        "spec":{{"type":"{kind}","clusterIP":"{ip}","clusterIPs":["{ip}"],"ipFamilies":["IPv4"],
        "ipFamilyPolicy":"SingleStack","internalTrafficPolicy":"Cluster","sessionAffinity":"None",
        "selector":{{"app.kubernetes.io/name":"service-{i}"}},
        "ports":[{{"name":"http","protocol":"{protocol}",{node_port}"port":80,"targetPort":8080}}]}},
        "status":{{"loadBalancer":{{}}}}}}"#
    )
}

pub(crate) fn slice_text(i: u32, shape: Shape, first: u32) -> String {
    let pods: Vec<_> = (first..first + shape.endpoints).collect();
    slice_of_pods(i, shape, "x7k2p", &pods)
}

/// One of several slices of Service i, with these of its pods.
pub(crate) fn part(i: u32, number: usize, pods: &[u32]) -> anyhow::Result<Object> {
    let text = slice_of_pods(i, Shape::USUAL, &format!("part-{number}"), pods);
    Ok(Object::EndpointSlice(serde_json::from_str(&text).context("an EndpointSlice of the benchmark")?))
}

fn slice_of_pods(i: u32, shape: Shape, suffix: &str, pods: &[u32]) -> String {
    let endpoint = |(place, pod_number): (usize, &u32)| {
        let address = pod(shape.pods_of.unwrap_or(i), *pod_number);
        let node = if i.is_multiple_of(100) && place == 0 { NODE } else { "node-b" };
        format!(
            r#"{{"addresses":["{address}"],"conditions":{{"ready":true,"serving":true,"terminating":false}},
            "nodeName":"{node}","targetRef":{{"kind":"Pod","name":"service-{i}-{place}","namespace":"default"}}}}"#
        )
    };
    let endpoints: Vec<_> = pods.iter().enumerate().map(endpoint).collect();
    format!(
        r#"{{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","addressType":"IPv4",
        "metadata":{{"name":"service-{i}-{suffix}","namespace":"default","uid":"8a3c2a54-7d0e-4a7e-9a64-{i:012x}",
        "creationTimestamp":"2026-01-01T00:00:00Z","labels":{{"kubernetes.io/service-name":"service-{i}",
        "endpointslice.kubernetes.io/managed-by":"endpointslice-controller.k8s.io"}}}},
        "endpoints":[{}],"ports":[{{"name":"http","protocol":"{}","port":8080}}]}}"#,
        endpoints.join(","),
        shape.protocol
    )
}
