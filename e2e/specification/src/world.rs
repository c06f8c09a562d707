//! The world of one node's proxy, the changes that it sees, and the packets that are asked about.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::objects::{Node, Protocol, Service, ServiceCidr, Slice};

/// Everything that decides what a packet meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct World {
    /// The proxy's own node.
    pub node: Node,
    /// The proxy's configuration.
    pub proxy: ProxyConfig,
    /// All Services of the cluster.
    pub services: Vec<Service>,
    /// All `EndpointSlices` of the cluster.
    pub slices: Vec<Slice>,
    /// All `ServiceCIDRs` of the cluster.
    pub service_cidrs: Vec<ServiceCidr>,
}

/// The fields of the `KubeProxyConfiguration` that change a verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyConfig {
    /// `mode`
    pub mode: Mode,
    /// `detectLocalMode` with what that mode reads.
    pub detector: Detector,
    /// `nftables.masqueradeAll`.
    pub masquerade_all: bool,
    /// `nodePortAddresses` after defaulting: `[Primary]` when unset in mode `nftables`, empty when unset in mode `""`.
    pub node_port_addresses: Vec<NodePortAddresses>,
}

/// What the proxy programs, where a packet meets something else in each: "What iptables mode does otherwise" in section 15.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// All promises hold.
    Nftables,
    /// An external IP that is another Service's cluster IP is masqueraded as any other (S6.1), a pod of another node is not on
    /// its way past this node (S6.7), and rules serve the NodePorts at IPv4 loopback addresses (S10.4).
    Iptables,
}

/// How a packet is known to come from a pod of the cluster or of this node: `detectLocalMode`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Detector {
    /// `ClusterCIDR`: the first of `clusterCIDR` in each family.
    ClusterCidr {
        /// The IPv4 one.
        ipv4: Option<IpNet>,
        /// The IPv6 one.
        ipv6: Option<IpNet>,
    },
    /// `NodeCIDR`: the Node's `spec.podCIDRs`.
    NodeCidr,
    /// `BridgeInterface`: all pods of this node are behind that bridge.
    BridgeInterface,
    /// `InterfaceNamePrefix`: all pods of this node are behind such interfaces.
    InterfaceNamePrefix,
}

/// An element of `nodePortAddresses`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodePortAddresses {
    /// The word `primary`.
    Primary,
    /// A CIDR.
    Cidr(IpNet),
}

/// Where a packet comes from, as the node's kernel sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A pod of this node: the packet arrives by a pod's interface.
    Pod,
    /// A process of this node: the packet arrives by no interface.
    Node,
    /// Anybody else: the packet arrives by another interface.
    Outside,
}

/// The first packet of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Packet {
    /// The client's address.
    pub source: IpAddr,
    /// The client's place.
    pub origin: Origin,
    /// The address that the client asks for, of the same family.
    pub destination: IpAddr,
    /// The port that the client asks for.
    pub port: u16,
    /// The protocol.
    pub protocol: Protocol,
}

/// An object of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// A Service.
    Service(Service),
    /// An `EndpointSlice`.
    Slice(Slice),
    /// The Node that the proxy runs on.
    Node(Node),
    /// A `ServiceCIDR`.
    ServiceCidr(ServiceCidr),
}

/// What names an object that can be deleted. The proxy's own Node is never deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// A Service, by namespace and name.
    Service(String, String),
    /// An `EndpointSlice`, by namespace and name.
    Slice(String, String),
    /// A `ServiceCIDR`, by name.
    ServiceCidr(String),
}

/// One step of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The object is created, or replaces the one of its name. A Node also says what is on the node's interfaces.
    Apply(Object),
    /// The object goes, if it is there.
    Delete(Reference),
}

impl World {
    /// The same world with a proxy in another mode.
    #[must_use]
    pub fn in_mode(self, mode: Mode) -> Self {
        Self { proxy: ProxyConfig { mode, ..self.proxy }, ..self }
    }

    /// Makes the change.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Apply(object) => self.put(object),
            Change::Delete(reference) => self.remove(&reference),
        }
    }

    fn put(&mut self, object: Object) {
        if let Some(reference) = object.reference() {
            self.remove(&reference);
        }
        match object {
            Object::Service(service) => self.services.push(service),
            Object::Slice(slice) => self.slices.push(slice),
            Object::Node(node) => self.node = node,
            Object::ServiceCidr(cidr) => self.service_cidrs.push(cidr),
        }
    }

    fn remove(&mut self, reference: &Reference) {
        self.services.retain(|service| service.reference() != *reference);
        self.slices.retain(|slice| slice.reference() != *reference);
        self.service_cidrs.retain(|cidr| cidr.reference() != *reference);
    }
}

impl Object {
    /// What names this object; `None` for the proxy's own Node, of which there is one.
    pub fn reference(&self) -> Option<Reference> {
        match self {
            Object::Service(service) => Some(service.reference()),
            Object::Slice(slice) => Some(slice.reference()),
            Object::Node(_) => None,
            Object::ServiceCidr(cidr) => Some(cidr.reference()),
        }
    }
}

impl Service {
    /// What names this Service.
    pub fn reference(&self) -> Reference {
        Reference::Service(self.namespace.clone(), self.name.clone())
    }
}

impl Slice {
    /// What names this slice.
    pub fn reference(&self) -> Reference {
        Reference::Slice(self.namespace.clone(), self.name.clone())
    }
}

impl ServiceCidr {
    /// What names this `ServiceCIDR`.
    pub fn reference(&self) -> Reference {
        Reference::ServiceCidr(self.name.clone())
    }
}
