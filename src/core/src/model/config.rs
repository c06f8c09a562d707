//! What this node was told at start, and what follows of it once the Node object and the ServiceCIDRs are known.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::node::Node;
use crate::{
    addr::{Family, PerFamily},
    desired::{InterfaceName, LocalDetector, NodePolicy, NodePortsAt, Scheduler},
};

/// With more endpoints in a family a cluster counts as large (`largeClusterEndpointsThreshold` of kube-proxy's iptables mode).
const LARGE: usize = 1000;

/// What this node was configured to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeConfig {
    /// The name of this node's Node object, in lower case; endpoints with this `nodeName` are local.
    pub hostname: String,
    /// How pods are told from other clients.
    pub detect_local: DetectLocal,
    /// `--masquerade-all`: every client of a cluster IP is masqueraded, pods too.
    pub masquerade_all: bool,
    /// The one bit of the packet mark that means "masquerade".
    pub masquerade_mark: u32,
    /// `--count-connections`: whether new connections are counted for each Frontend.
    pub count_connections: bool,
    /// `--nodeport-addresses`: which of the node's addresses have NodePorts.
    pub nodeport_addresses: NodePortAddresses,
    /// `--bind-address`: the node's primary address of its family, in place of the Node object's.
    pub bind_address: Option<IpAddr>,
    /// Who serves NodePorts at loopback addresses, where `nodeport_addresses` has these.
    pub at_loopback: AtLoopback,
    /// Whether forwarded packets that belong to no connection, by what conntrack says, are dropped.
    pub drop_invalid: bool,
    /// The gate `AllowServiceExternalIPs` (KEP-5707): whether `spec.externalIPs` are served.
    pub external_ips: bool,
    /// How virtual servers pick an endpoint, where there are any.
    pub scheduler: Scheduler,
}

/// `--detect-local-mode`, with what each mode needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DetectLocal {
    /// The source address is inside `--cluster-cidr`; without one nobody is a pod.
    ClusterCidr(PerFamily<Option<IpNet>>),
    /// The source address is inside the Node's `spec.podCIDRs`.
    NodeCidr,
    /// The connection comes in by this interface.
    BridgeInterface(InterfaceName),
    /// The connection comes in by an interface whose name begins so.
    InterfaceNamePrefix(InterfaceName),
}

/// Who serves NodePorts at the node's loopback addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtLoopback {
    /// Nobody of ours.
    Nobody,
    /// A listener, for TCP at 127.0.0.1 and ::1 (KEP-6032).
    Listener,
    /// Rules, for every protocol at every IPv4 address. It needs `route_localnet`.
    Rules,
}

/// Which of the node's addresses NodePorts can be reached at. A family that the list says nothing about has all its
/// addresses, as in kube-proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePortAddresses {
    /// `primary`: one address of each family, from the Node object: the first internal one, else the first external one.
    pub primary: bool,
    /// The addresses that the node has at that moment inside one of these. Rules serve none of the loopback addresses.
    pub cidrs: Vec<IpNet>,
}

impl NodeConfig {
    /// kube-proxy's defaults for a node of this name.
    #[must_use]
    pub fn of(hostname: impl Into<String>) -> Self {
        Self {
            hostname: hostname.into(),
            detect_local: DetectLocal::ClusterCidr(PerFamily::default()),
            masquerade_all: false,
            masquerade_mark: NodePolicy::MASQUERADE_MARK,
            count_connections: false,
            nodeport_addresses: NodePortAddresses::PRIMARY,
            bind_address: None,
            at_loopback: AtLoopback::Listener,
            drop_invalid: false,
            external_ips: true,
            scheduler: Scheduler::default(),
        }
    }

    /// What holds for every Service on the node. The node may be unknown still.
    #[must_use]
    pub fn policy(
        &self,
        node: Option<&Node>,
        service_cidrs: PerFamily<Vec<IpNet>>,
        endpoints: PerFamily<usize>,
    ) -> NodePolicy {
        let per_family =
            |of: &dyn Fn(Family) -> Option<LocalDetector>| PerFamily { v4: of(Family::V4), v6: of(Family::V6) };
        let detector = per_family(&|family| match &self.detect_local {
            DetectLocal::ClusterCidr(cidrs) => cidrs.get(family).map(LocalDetector::Cidr),
            DetectLocal::NodeCidr => node.and_then(|node| *node.pod_cidrs.get(family)).map(LocalDetector::Cidr),
            DetectLocal::BridgeInterface(name) => Some(LocalDetector::Interface(name.clone())),
            DetectLocal::InterfaceNamePrefix(prefix) => Some(LocalDetector::InterfacePrefix(prefix.clone())),
        });
        NodePolicy {
            detector,
            masquerade_all: self.masquerade_all,
            masquerade_mark: self.masquerade_mark,
            count_connections: self.count_connections,
            node_ports: PerFamily { v4: self.node_ports_at(Family::V4), v6: self.node_ports_at(Family::V6) },
            node_ports_at_loopback: self.rules_serve_loopback(Family::V4),
            service_cidrs,
            drop_invalid: self.drop_invalid,
            is_large: PerFamily { v4: endpoints.v4 > LARGE, v6: endpoints.v6 > LARGE },
            scheduler: self.scheduler,
        }
    }

    /// The address that stands for the node in a family.
    #[must_use]
    pub fn primary(&self, node: Option<&Node>, family: Family) -> Option<IpAddr> {
        let bound = self.bind_address.filter(|addr| Family::of(*addr) == family);
        bound.or_else(|| node.and_then(|node| node.primary(family)))
    }

    /// The addresses that NodePorts' Frontends have in a family: the primary one where it is chosen, the unspecified
    /// one for those that [`NodePolicy::node_ports`] says, and the loopback one where somebody listens.
    #[must_use]
    pub fn node_port_addresses(&self, node: Option<&Node>, family: Family) -> Vec<IpAddr> {
        let chosen = &self.nodeport_addresses;
        // A `bindAddress` may be a loopback address, which only `localhost` and CIDRs open.
        let primary = self.primary(node, family).filter(|addr| chosen.primary && !addr.is_loopback());
        let unspecified = match family {
            Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
        };
        let local = (self.node_ports_at(family) != NodePortsAt::Frontends).then_some(unspecified);
        let loopback = self.listens_at_loopback(family).then_some(localhost(family));
        primary.into_iter().chain(local).chain(loopback).collect()
    }

    /// Whether TCP NodePorts are listened for at the loopback address of a family: only where a CIDR chooses it that does not
    /// choose everything (the rule of kube-proxy 1.38).
    pub(super) fn listens_at_loopback(&self, family: Family) -> bool {
        let mut cidrs = self.nodeport_addresses.cidrs(family).filter(|cidr| cidr.prefix_len() > 0);
        self.at_loopback == AtLoopback::Listener && cidrs.any(|cidr| cidr.contains(&localhost(family)))
    }

    /// Whether NodePorts with the unspecified address are at this one, if it is the node's own.
    pub(super) fn may_have_node_ports(&self, addr: IpAddr) -> bool {
        let is_served = !addr.is_loopback() || self.rules_serve_loopback(Family::of(addr));
        is_served && self.nodeport_addresses.contains(addr)
    }

    /// Whether rules serve NodePorts at loopback addresses of a family: where any of them is chosen (kube-proxy's
    /// `ContainsIPv4Loopback`).
    #[must_use]
    pub fn rules_serve_loopback(&self, family: Family) -> bool {
        let chosen = &self.nodeport_addresses;
        let is_chosen = || chosen.cidrs(family).any(|cidr| cidr.contains(&localhost(family)) || is_loopback(&cidr));
        self.at_loopback == AtLoopback::Rules && family == Family::V4 && (chosen.is_silent(family) || is_chosen())
    }

    fn node_ports_at(&self, family: Family) -> NodePortsAt {
        let chosen = &self.nodeport_addresses;
        if chosen.is_everywhere(family) {
            NodePortsAt::Local(Vec::new())
        } else if chosen.cidrs(family).all(|cidr| is_loopback(&cidr)) && !self.rules_serve_loopback(family) {
            NodePortsAt::Frontends
        } else {
            NodePortsAt::Local(chosen.aggregated(family))
        }
    }
}

impl NodePortAddresses {
    /// The word `primary` alone.
    pub const PRIMARY: Self = Self { primary: true, cidrs: Vec::new() };

    /// These CIDRs alone; without any they are all addresses.
    #[must_use]
    pub const fn within(cidrs: Vec<IpNet>) -> Self {
        Self { primary: false, cidrs }
    }

    /// The CIDRs of one family.
    pub(super) fn cidrs(&self, family: Family) -> impl Iterator<Item = IpNet> {
        self.cidrs.iter().copied().filter(move |cidr| Family::of(cidr.addr()) == family)
    }

    /// Whether the list says nothing about a family, which then has all its addresses.
    pub(super) fn is_silent(&self, family: Family) -> bool {
        !self.primary && self.cidrs(family).next().is_none()
    }

    /// The CIDRs of one family, with those made one that are one: 0.0.0.0/1 and 128.0.0.0/1 are everything.
    fn aggregated(&self, family: Family) -> Vec<IpNet> {
        IpNet::aggregate(&self.cidrs(family).collect())
    }

    /// Whether all addresses of a family are chosen.
    #[must_use]
    pub fn is_everywhere(&self, family: Family) -> bool {
        self.is_silent(family) || self.aggregated(family).iter().any(|cidr| cidr.prefix_len() == 0)
    }

    /// Whether an address is chosen otherwise than by being the primary one, if it is the node's own.
    #[must_use]
    pub fn contains(&self, addr: IpAddr) -> bool {
        self.is_silent(Family::of(addr)) || self.cidrs.iter().any(|cidr| cidr.contains(&addr))
    }
}

const fn localhost(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Family::V6 => IpAddr::V6(Ipv6Addr::LOCALHOST),
    }
}

/// Whether a CIDR has loopback addresses alone. 127.0.0.0/8 and ::1 begin with such a one, and no shorter CIDR does.
fn is_loopback(cidr: &IpNet) -> bool {
    cidr.network().is_loopback()
}
