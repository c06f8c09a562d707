//! The objects of the Kubernetes API, as far as the specification reads them.
//!
//! Fields are named and typed as in the API: what is text there is text here, because it may be unreadable, and what
//! may be missing there is an `Option` here, because the specification says what a missing field means.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

/// `metadata.labels`.
pub type Labels = BTreeMap<String, String>;

/// `protocol` of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// An IP family, of `ipFamilies` or of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

/// `addressType` of an `EndpointSlice`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressType {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
    /// FQDN.
    Fqdn,
}

/// `spec.type` of a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceType {
    /// `ClusterIP`.
    ClusterIp,
    /// `NodePort`.
    NodePort,
    /// `LoadBalancer`.
    LoadBalancer,
    /// `ExternalName`.
    ExternalName,
}

/// `internalTrafficPolicy` or `externalTrafficPolicy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// `Cluster`, also what a missing policy means.
    Cluster,
    /// `Local`.
    Local,
}

/// A Service (v1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.creationTimestamp`, in seconds after the beginning of one arbitrary day.
    pub created: u16,
    /// `metadata.labels`.
    pub labels: Labels,
    /// `spec.type`.
    pub service_type: ServiceType,
    /// `spec.clusterIPs`, of which `spec.clusterIP` is the first; headless is `["None"]`.
    pub cluster_ips: Vec<String>,
    /// `spec.ipFamilies`.
    pub ip_families: Vec<Family>,
    /// `spec.ports`.
    pub ports: Vec<Port>,
    /// `spec.externalIPs`.
    pub external_ips: Vec<String>,
    /// `status.loadBalancer.ingress`.
    pub ingress: Vec<Ingress>,
    /// `spec.loadBalancerSourceRanges`.
    pub source_ranges: Vec<String>,
    /// `spec.externalTrafficPolicy`.
    pub external_traffic_policy: Option<Policy>,
    /// `spec.internalTrafficPolicy`.
    pub internal_traffic_policy: Option<Policy>,
    /// `spec.sessionAffinityConfig.clientIP.timeoutSeconds` of `sessionAffinity: ClientIP`; `None` is no affinity.
    pub session_affinity: Option<u32>,
    /// `spec.publishNotReadyAddresses`.
    pub publish_not_ready_addresses: bool,
    /// `spec.healthCheckNodePort`, 0 when there is none.
    pub health_check_node_port: u16,
}

/// An element of `spec.ports`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// `name`, empty when the Service has one port.
    pub name: String,
    /// `protocol`.
    pub protocol: Protocol,
    /// `port`.
    pub port: u16,
    /// `nodePort`, 0 when there is none.
    pub node_port: u16,
}

/// An element of `status.loadBalancer.ingress`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ingress {
    /// `ip`; `None` is an entry that has only a hostname.
    pub ip: Option<String>,
    /// `ipMode`.
    pub ip_mode: Option<String>,
}

/// An `EndpointSlice` (discovery.k8s.io/v1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.labels`, with `kubernetes.io/service-name`.
    pub labels: Labels,
    /// `addressType`.
    pub address_type: AddressType,
    /// `ports`.
    pub ports: Vec<SlicePort>,
    /// `endpoints`.
    pub endpoints: Vec<Endpoint>,
}

/// An element of an `EndpointSlice`'s `ports`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlicePort {
    /// `name`.
    pub name: Option<String>,
    /// `protocol`.
    pub protocol: Protocol,
    /// `port`.
    pub port: Option<i32>,
}

/// An element of an `EndpointSlice`'s `endpoints`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// `addresses`.
    pub addresses: Vec<String>,
    /// `conditions.ready`.
    pub ready: Option<bool>,
    /// `conditions.serving`.
    pub serving: Option<bool>,
    /// `conditions.terminating`.
    pub terminating: Option<bool>,
    /// `nodeName`.
    pub node_name: Option<String>,
    /// `hints.forZones`, their names.
    pub zone_hints: Vec<String>,
    /// `hints.forNodes`, their names.
    pub node_hints: Vec<String>,
}

/// The Node (v1) that the proxy runs on, and what its kernel knows of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// `metadata.name`, the proxy's node name.
    pub name: String,
    /// The label `topology.kubernetes.io/zone`.
    pub zone: Option<String>,
    /// `spec.podCIDRs`.
    pub pod_cidrs: Vec<IpNet>,
    /// `status.addresses`.
    pub addresses: Vec<NodeAddress>,
    /// The addresses on the node's interfaces, besides loopback, which every node has. Not in the API.
    pub local: Vec<IpAddr>,
}

/// An element of a Node's `status.addresses`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeAddress {
    /// `InternalIP`.
    Internal(IpAddr),
    /// `ExternalIP`.
    External(IpAddr),
}

/// A `ServiceCIDR` (networking.k8s.io/v1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceCidr {
    /// `metadata.name`.
    pub name: String,
    /// `spec.cidrs`.
    pub cidrs: Vec<IpNet>,
}
