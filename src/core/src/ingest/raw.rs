//! The parts of Kubernetes objects that Portolan reads, as they come: camelCase, unknown fields skipped without a
//! copy, nothing checked yet. Every field may be of a wrong type ([`Field`]), so any JSON object is read.

use std::sync::Arc;

use serde::Deserialize;

use super::{
    field::{Field, List, Shape, map_shape},
    reference::{Kind, ObjectRef},
};
use crate::addr::{Family, Protocol};

/// A Service, as the API or a manifest gives it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ServiceObject {
    pub(super) metadata: Field<Metadata<ServiceLabels>>,
    pub(super) spec: Field<ServiceSpec>,
    pub(super) status: Field<ServiceStatus>,
}

/// An EndpointSlice, as the API or a manifest gives it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointSliceObject {
    pub(super) metadata: Field<Metadata<SliceLabels>>,
    pub(super) address_type: Field<AddressType>,
    pub(super) ports: Field<List<EndpointPort>>,
    pub(super) endpoints: Field<List<EndpointObject>>,
}

/// A Node, as the API or a manifest gives it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct NodeObject {
    pub(super) metadata: Field<Metadata<NoLabels>>,
    pub(super) status: Field<NodeStatus>,
}

/// One object of a kind that Portolan reads.
#[derive(Debug, Clone)]
pub enum Object {
    /// A Service
    Service(ServiceObject),
    /// An EndpointSlice
    EndpointSlice(EndpointSliceObject),
    /// A Node
    Node(NodeObject),
}

impl Object {
    /// Which object this is. Never fails: what stands in the place of a name is taken as it is.
    #[must_use]
    pub fn reference(&self) -> ObjectRef {
        match self {
            Self::Service(object) => reference(Kind::Service, &object.metadata),
            Self::EndpointSlice(object) => reference(Kind::EndpointSlice, &object.metadata),
            Self::Node(object) => reference(Kind::Node, &object.metadata),
        }
    }
}

fn reference<L>(kind: Kind, metadata: &Field<Metadata<L>>) -> ObjectRef {
    let metadata = metadata.valid();
    let text = |field: Option<&Field<Arc<str>>>, absent: &str| match field {
        Some(Field::Valid(text)) if !text.is_empty() => text.clone(),
        // The brackets keep a wrong value apart from every valid name: 5 is not the object "5".
        Some(Field::Wrong(text)) => format!("<{text}>").into(),
        Some(_) | None => absent.into(),
    };
    let namespace = match kind {
        Kind::Node => "".into(),
        Kind::Service | Kind::EndpointSlice => text(metadata.map(|metadata| &metadata.namespace), "default"),
    };
    ObjectRef { kind, namespace, name: text(metadata.map(|metadata| &metadata.name), "") }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, bound(deserialize = "L: Shape + Default"))]
pub(super) struct Metadata<L> {
    pub(super) name: Field<Arc<str>>,
    pub(super) namespace: Field<Arc<str>>,
    pub(super) creation_timestamp: Field<Box<str>>,
    pub(super) labels: Field<L>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct ServiceLabels {
    #[serde(rename = "service.kubernetes.io/service-proxy-name")]
    pub(super) proxy_name: Field<Box<str>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct SliceLabels {
    #[serde(rename = "kubernetes.io/service-name")]
    pub(super) service_name: Field<Arc<str>>,
    #[serde(rename = "service.kubernetes.io/headless")]
    pub(super) headless: Field<Box<str>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct NoLabels {}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ServiceSpec {
    #[serde(rename = "type")]
    pub(super) type_: Field<ServiceType>,
    #[serde(rename = "clusterIP")]
    pub(super) cluster_ip: Field<Box<str>>,
    #[serde(rename = "clusterIPs")]
    pub(super) cluster_ips: Field<List<Box<str>>>,
    pub(super) ip_families: Field<List<Family>>,
    #[serde(rename = "externalIPs")]
    pub(super) external_ips: Field<List<Box<str>>>,
    pub(super) ports: Field<List<PortObject>>,
    pub(super) external_traffic_policy: Field<TrafficPolicy>,
    pub(super) internal_traffic_policy: Field<TrafficPolicy>,
    pub(super) session_affinity: Field<SessionAffinity>,
    pub(super) load_balancer_source_ranges: Field<List<Box<str>>>,
    pub(super) health_check_node_port: Field<PortNumber>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PortObject {
    pub(super) name: Field<Arc<str>>,
    pub(super) protocol: Field<Protocol>,
    pub(super) port: Field<PortNumber>,
    pub(super) node_port: Field<PortNumber>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ServiceStatus {
    pub(super) load_balancer: Field<LoadBalancerStatus>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct LoadBalancerStatus {
    pub(super) ingress: Field<List<Ingress>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Ingress {
    pub(super) ip: Field<Box<str>>,
    pub(super) ip_mode: Field<Box<str>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct EndpointPort {
    pub(super) name: Field<Arc<str>>,
    pub(super) protocol: Field<Protocol>,
    pub(super) port: Field<PortNumber>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct EndpointObject {
    pub(super) addresses: Field<List<Box<str>>>,
    pub(super) conditions: Field<Conditions>,
    pub(super) node_name: Field<Box<str>>,
    pub(super) hints: Field<Hints>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Conditions {
    pub(super) ready: Field<bool>,
    pub(super) serving: Field<bool>,
    pub(super) terminating: Field<bool>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Hints {
    pub(super) for_zones: Field<List<Hint>>,
    pub(super) for_nodes: Field<List<Hint>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Hint {
    pub(super) name: Field<Box<str>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct NodeStatus {
    pub(super) addresses: Field<List<NodeAddressObject>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct NodeAddressObject {
    #[serde(rename = "type")]
    pub(super) type_: Field<Box<str>>,
    pub(super) address: Field<Box<str>>,
}

map_shape!(Metadata<ServiceLabels>, Metadata<SliceLabels>, Metadata<NoLabels>, ServiceLabels, SliceLabels, NoLabels);
map_shape!(ServiceSpec, PortObject, ServiceStatus, LoadBalancerStatus, Ingress);
map_shape!(EndpointPort, EndpointObject, Conditions, Hints, Hint, NodeStatus, NodeAddressObject);

/// A port, or 0 where that means none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PortNumber(pub(super) u16);

impl Shape for PortNumber {
    const EXPECTED: &'static str = "a port number from 1 to 65535";

    fn from_integer(value: i128) -> Option<Self> {
        value.try_into().ok().map(Self)
    }
}

/// A type that is one of a few words. Empty text is the API's default, as where the field is absent.
macro_rules! word_shape {
    ($type:ty, $expected:literal, { $($word:pat => $value:expr),+ $(,)? }) => {
        impl Shape for $type {
            const EXPECTED: &'static str = $expected;
            const IS_TEXT: bool = true;

            fn from_text(text: &str) -> Option<Self> {
                match text {
                    $($word => Some($value),)+
                    _ => None,
                }
            }
        }
    };
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ServiceType {
    /// ClusterIP, NodePort and LoadBalancer differ only in which other fields are set.
    Proxied,
    ExternalName,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TrafficPolicy {
    Cluster,
    Local,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SessionAffinity {
    None,
    ClientIp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AddressType {
    Ip(Family),
    Fqdn,
}

word_shape!(Protocol, "TCP, UDP or SCTP", { "TCP" | "" => Self::Tcp, "UDP" => Self::Udp, "SCTP" => Self::Sctp });
word_shape!(Family, "IPv4 or IPv6", { "IPv4" => Self::V4, "IPv6" => Self::V6 });
word_shape!(ServiceType, "ClusterIP, NodePort, LoadBalancer or ExternalName", {
    "ClusterIP" | "NodePort" | "LoadBalancer" | "" => Self::Proxied,
    "ExternalName" => Self::ExternalName,
});
word_shape!(TrafficPolicy, "Cluster or Local", { "Cluster" | "" => Self::Cluster, "Local" => Self::Local });
word_shape!(SessionAffinity, "None or ClientIP", { "None" | "" => Self::None, "ClientIP" => Self::ClientIp });
word_shape!(AddressType, "IPv4, IPv6 or FQDN", {
    "IPv4" => Self::Ip(Family::V4),
    "IPv6" => Self::Ip(Family::V6),
    "FQDN" => Self::Fqdn,
});
