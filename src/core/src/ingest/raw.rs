//! The parts of Kubernetes objects that Portolan reads, as they come: camelCase, unknown fields skipped without a
//! copy, nothing checked yet. Every field may be of a wrong type ([`Field`]), so any JSON object is read.

use serde::Deserialize;
use smol_str::SmolStr;

use super::{
    field::{Field, List, Shape, map_shape},
    reference::{Kind, ObjectRef},
};
use crate::{
    addr::{Family, Protocol},
    model::TrafficPolicy,
};

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
    pub(super) metadata: Field<Metadata<NodeLabels>>,
    pub(super) spec: Field<NodeSpec>,
    pub(super) status: Field<NodeStatus>,
}

/// A ServiceCIDR, as the API or a manifest gives it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ServiceCidrObject {
    pub(super) metadata: Field<Metadata<NoLabels>>,
    pub(super) spec: Field<ServiceCidrSpec>,
}

impl EndpointSliceObject {
    /// The IP family of its addresses; none for those that are no IP addresses.
    #[must_use]
    pub fn family(&self) -> Option<Family> {
        match self.address_type {
            Field::Valid(AddressType::Ip(family)) => Some(family),
            _ => None,
        }
    }
}

/// One object of a kind that Portolan reads.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "most objects are Services or slices; whoever keeps one boxes it")]
pub enum Object {
    /// A Service
    Service(ServiceObject),
    /// An EndpointSlice
    EndpointSlice(EndpointSliceObject),
    /// A Node
    Node(NodeObject),
    /// A ServiceCIDR
    ServiceCidr(ServiceCidrObject),
}

impl Object {
    /// Of which kind it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Service(_) => Kind::Service,
            Self::EndpointSlice(_) => Kind::EndpointSlice,
            Self::Node(_) => Kind::Node,
            Self::ServiceCidr(_) => Kind::ServiceCidr,
        }
    }

    /// Which object this is. Never fails: what stands in the place of a name is taken as it is.
    #[must_use]
    pub fn reference(&self) -> ObjectRef {
        match self {
            Self::Service(object) => reference(Kind::Service, &object.metadata),
            Self::EndpointSlice(object) => reference(Kind::EndpointSlice, &object.metadata),
            Self::Node(object) => reference(Kind::Node, &object.metadata),
            Self::ServiceCidr(object) => reference(Kind::ServiceCidr, &object.metadata),
        }
    }
}

fn reference<L>(kind: Kind, metadata: &Field<Metadata<L>>) -> ObjectRef {
    let metadata = metadata.valid();
    let text = |field: Option<&Field<SmolStr>>, absent: &str| match field {
        Some(Field::Valid(text)) if !text.is_empty() => text.as_str().into(),
        // The brackets keep a wrong value apart from every valid name: 5 is not the object "5".
        Some(Field::Wrong(text)) => format!("<{text}>").into(),
        Some(_) | None => absent.into(),
    };
    let namespace = match kind.is_namespaced() {
        false => "".into(),
        true => text(metadata.map(|metadata| &metadata.namespace), "default"),
    };
    ObjectRef { kind, namespace, name: text(metadata.map(|metadata| &metadata.name), "") }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, bound(deserialize = "L: Shape + Default"))]
pub(super) struct Metadata<L> {
    pub(super) name: Field<SmolStr>,
    pub(super) namespace: Field<SmolStr>,
    pub(super) creation_timestamp: Field<SmolStr>,
    pub(super) deletion_timestamp: Field<SmolStr>,
    pub(super) labels: Field<L>,
    pub(super) uid: Field<SmolStr>,
    pub(super) generation: Field<Generation>,
    pub(super) resource_version: Field<SmolStr>,
    pub(super) annotations: Field<Annotations>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Annotations {
    #[serde(rename = "endpoints.kubernetes.io/last-change-trigger-time")]
    pub(super) last_change_trigger_time: Field<SmolStr>,
    #[serde(rename = "portolan.dev/ipvs-scheduler")]
    pub(super) ipvs_scheduler: Field<SmolStr>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct ServiceLabels {
    #[serde(rename = "service.kubernetes.io/service-proxy-name")]
    pub(super) proxy_name: Field<SmolStr>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct SliceLabels {
    #[serde(rename = "kubernetes.io/service-name")]
    pub(super) service_name: Field<SmolStr>,
    #[serde(rename = "service.kubernetes.io/headless")]
    pub(super) headless: Field<SmolStr>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct NodeLabels {
    #[serde(rename = "topology.kubernetes.io/zone")]
    pub(super) zone: Field<SmolStr>,
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
    pub(super) cluster_ip: Field<SmolStr>,
    #[serde(rename = "clusterIPs")]
    pub(super) cluster_ips: Field<List<SmolStr>>,
    pub(super) ip_families: Field<List<Family>>,
    #[serde(rename = "externalIPs")]
    pub(super) external_ips: Field<List<SmolStr>>,
    pub(super) ports: Field<List<PortObject>>,
    pub(super) external_traffic_policy: Field<TrafficPolicy>,
    pub(super) internal_traffic_policy: Field<TrafficPolicy>,
    pub(super) session_affinity: Field<SessionAffinity>,
    pub(super) session_affinity_config: Field<SessionAffinityConfig>,
    pub(super) load_balancer_source_ranges: Field<List<SmolStr>>,
    pub(super) health_check_node_port: Field<PortNumber>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct SessionAffinityConfig {
    #[serde(rename = "clientIP")]
    pub(super) client_ip: Field<ClientIpConfig>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ClientIpConfig {
    pub(super) timeout_seconds: Field<AffinitySeconds>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PortObject {
    pub(super) name: Field<SmolStr>,
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
    pub(super) ip: Field<SmolStr>,
    pub(super) ip_mode: Field<SmolStr>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct EndpointPort {
    pub(super) name: Field<SmolStr>,
    pub(super) protocol: Field<Protocol>,
    pub(super) port: Field<PortNumber>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct EndpointObject {
    pub(super) addresses: Field<List<SmolStr>>,
    pub(super) conditions: Field<Conditions>,
    pub(super) node_name: Field<SmolStr>,
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
    pub(super) name: Field<SmolStr>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct NodeSpec {
    #[serde(rename = "podCIDR")]
    pub(super) pod_cidr: Field<SmolStr>,
    #[serde(rename = "podCIDRs")]
    pub(super) pod_cidrs: Field<List<SmolStr>>,
    pub(super) taints: Field<List<TaintObject>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct TaintObject {
    pub(super) key: Field<SmolStr>,
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
    pub(super) type_: Field<SmolStr>,
    pub(super) address: Field<SmolStr>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct ServiceCidrSpec {
    pub(super) cidrs: Field<List<SmolStr>>,
}

map_shape!(Metadata<ServiceLabels>, Metadata<SliceLabels>, Metadata<NodeLabels>, Metadata<NoLabels>);
map_shape!(ServiceLabels, SliceLabels, NodeLabels, NoLabels);
map_shape!(ServiceSpec, SessionAffinityConfig, ClientIpConfig, PortObject, ServiceStatus, LoadBalancerStatus, Ingress);
map_shape!(EndpointPort, EndpointObject, Conditions, Hints, Hint, NodeSpec, NodeStatus, NodeAddressObject);
map_shape!(ServiceCidrSpec, TaintObject, Annotations);

/// A port, or 0 where that means none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PortNumber(pub(super) u16);

impl Shape for PortNumber {
    const EXPECTED: &'static str = "a port number from 1 to 65535";

    fn from_integer(value: i128) -> Option<Self> {
        value.try_into().ok().map(Self)
    }
}

/// How often an object's spec was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Generation(pub(super) u64);

impl Shape for Generation {
    const EXPECTED: &'static str = "a number";

    fn from_integer(value: i128) -> Option<Self> {
        value.try_into().ok().map(Self)
    }
}

/// How long a client stays with its endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AffinitySeconds(pub(super) u32);

impl Shape for AffinitySeconds {
    const EXPECTED: &'static str = "a number of seconds from 1 to 86400";

    fn from_integer(value: i128) -> Option<Self> {
        value.try_into().ok().filter(|seconds| (1..=86400).contains(seconds)).map(Self)
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
    ClusterIp,
    NodePort,
    LoadBalancer,
    ExternalName,
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
    "ClusterIP" | "" => Self::ClusterIp,
    "NodePort" => Self::NodePort,
    "LoadBalancer" => Self::LoadBalancer,
    "ExternalName" => Self::ExternalName,
});
word_shape!(TrafficPolicy, "Cluster or Local", { "Cluster" | "" => Self::Cluster, "Local" => Self::Local });
word_shape!(SessionAffinity, "None or ClientIP", { "None" | "" => Self::None, "ClientIP" => Self::ClientIp });
word_shape!(AddressType, "IPv4, IPv6 or FQDN", {
    "IPv4" => Self::Ip(Family::V4),
    "IPv6" => Self::Ip(Family::V6),
    "FQDN" => Self::Fqdn,
});
