//! This node, as its Node object has it.

use std::{net::IpAddr, sync::Arc};

use ipnet::IpNet;

use crate::addr::{Family, PerFamily};

/// Which kind of address a Node has (`status.addresses[].type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeAddressKind {
    /// `InternalIP`
    Internal,
    /// `ExternalIP`
    External,
}

/// An address of a Node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeAddress {
    /// Its kind.
    pub kind: NodeAddressKind,
    /// The address.
    pub addr: IpAddr,
}

/// A Node object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    /// Internal and external addresses, in the order of the object.
    pub addresses: Vec<NodeAddress>,
    /// The label `topology.kubernetes.io/zone`: which zone this node is in.
    pub zone: Option<Arc<str>>,
    /// `spec.podCIDRs`: the addresses of this node's pods, the first CIDR of each family.
    pub pod_cidrs: PerFamily<Option<IpNet>>,
    /// Whether it is about to go: it has a `deletionTimestamp`, or the cluster autoscaler's taint
    /// `ToBeDeletedByClusterAutoscaler`. Load balancers should send nothing new here.
    pub leaving: bool,
}

/// What is known of this node's Node object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NodeState {
    /// No object of its name was seen.
    Unknown,
    /// There is one, but it is refused as a whole.
    Refused,
    /// The object.
    Known(Node),
}

impl NodeState {
    pub(super) const fn known(&self) -> Option<&Node> {
        match self {
            Self::Known(node) => Some(node),
            Self::Unknown | Self::Refused => None,
        }
    }
}

impl Node {
    /// The address that stands for the node in a family: the first internal one, else the first external one.
    #[must_use]
    pub fn primary(&self, family: Family) -> Option<IpAddr> {
        let of_family = self.addresses.iter().filter(|address| Family::of(address.addr) == family);
        // `min_by_key` gives the first of equals.
        of_family.min_by_key(|address| address.kind).map(|address| address.addr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(addresses: &[(NodeAddressKind, &str)]) -> Node {
        let read = |&(kind, addr): &(NodeAddressKind, &str)| NodeAddress { kind, addr: addr.parse().unwrap() };
        Node { addresses: addresses.iter().map(read).collect(), ..Node::default() }
    }

    #[test]
    fn primary_prefers_internal_addresses() {
        use NodeAddressKind::{External, Internal};
        let node = node(&[
            (External, "203.0.113.1"),
            (Internal, "10.0.0.2"),
            (Internal, "10.0.0.1"),
            (External, "2001:db8::1"),
        ]);
        assert_eq!(node.primary(Family::V4), Some("10.0.0.2".parse().unwrap()));
        assert_eq!(node.primary(Family::V6), Some("2001:db8::1".parse().unwrap()));
        assert_eq!(Node::default().primary(Family::V4), None);
    }
}
