//! What this node was told at start, and what follows of it once the Node object and the ServiceCIDRs are known.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::node::Node;
use crate::{
    addr::{Family, PerFamily},
    desired::{InterfaceName, LocalDetector, NodePolicy, NodePortsAt},
};

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
    /// The gate `AllowServiceExternalIPs` (KEP-5707): whether `spec.externalIPs` are served.
    pub external_ips: bool,
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

/// Which of the node's addresses NodePorts can be reached at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodePortAddresses {
    /// One address of each family, from the Node object: the first internal one, else the first external one.
    Primary,
    /// The addresses that the node has at that moment inside one of these, loopback excepted. A family without any CIDR
    /// in the list has all its addresses, as in kube-proxy.
    Cidrs(Vec<IpNet>),
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
            nodeport_addresses: NodePortAddresses::Primary,
            bind_address: None,
            external_ips: true,
        }
    }

    /// What holds for every Service on the node. The node may be unknown still.
    #[must_use]
    pub fn policy(&self, node: Option<&Node>, service_cidrs: PerFamily<Vec<IpNet>>) -> NodePolicy {
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
            node_ports: PerFamily {
                v4: self.nodeport_addresses.of_family(Family::V4),
                v6: self.nodeport_addresses.of_family(Family::V6),
            },
            service_cidrs,
        }
    }

    /// The address that stands for the node in a family.
    #[must_use]
    pub fn primary(&self, node: Option<&Node>, family: Family) -> Option<IpAddr> {
        let bound = self.bind_address.filter(|addr| Family::of(*addr) == family);
        bound.or_else(|| node.and_then(|node| node.primary(family)))
    }

    /// The addresses that NodePorts' Frontends have in a family.
    #[must_use]
    pub fn node_port_addresses(&self, node: Option<&Node>, family: Family) -> Vec<IpAddr> {
        match &self.nodeport_addresses {
            NodePortAddresses::Primary => self.primary(node, family).into_iter().collect(),
            NodePortAddresses::Cidrs(_) => vec![match family {
                Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
                Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
            }],
        }
    }
}

impl NodePortAddresses {
    /// The CIDRs of one family; none means that all its addresses are chosen.
    pub(super) fn cidrs(&self, family: Family) -> impl Iterator<Item = IpNet> {
        let all = match self {
            Self::Primary => &[][..],
            Self::Cidrs(all) => all,
        };
        all.iter().copied().filter(move |cidr| Family::of(cidr.addr()) == family)
    }

    /// Whether NodePorts with the unspecified address are at this one, if it is the node's own.
    pub(super) fn may_be(&self, addr: IpAddr) -> bool {
        let mut cidrs = self.cidrs(Family::of(addr)).peekable();
        *self != Self::Primary
            && !addr.is_loopback()
            && (cidrs.peek().is_none() || cidrs.any(|cidr| cidr.contains(&addr)))
    }

    fn of_family(&self, family: Family) -> NodePortsAt {
        match self {
            Self::Primary => NodePortsAt::Frontends,
            // A CIDR of everything is as good as none.
            Self::Cidrs(_) if self.cidrs(family).any(|cidr| cidr.prefix_len() == 0) => NodePortsAt::Local(Vec::new()),
            Self::Cidrs(_) => NodePortsAt::Local(IpNet::aggregate(&self.cidrs(family).collect())),
        }
    }
}
