//! This node: what it was told at start, and what its Node object says.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::addr::{Family, PerFamily};

/// What this node was configured to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeConfig {
    /// The name of this node's Node object, in lower case; endpoints with this `nodeName` are local.
    pub hostname: String,
    /// `--cluster-cidr`: the addresses of pods, for the local detector.
    pub cluster_cidr: PerFamily<Option<IpNet>>,
    /// `--nodeport-addresses`: which of the node's addresses have NodePorts.
    pub nodeport_addresses: NodePortAddresses,
}

/// Which of a Node's addresses NodePorts can be reached at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodePortAddresses {
    /// One address of each family: the first internal one, else the first external one.
    Primary,
    /// The addresses inside one of these. A family without any CIDR in the list has all its addresses, as in kube-proxy.
    Cidrs(Vec<IpNet>),
}

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

    /// The addresses of a family that NodePorts can be reached at: sorted, each once.
    #[must_use]
    pub fn nodeport_addresses(&self, chosen: &NodePortAddresses, family: Family) -> Vec<IpAddr> {
        let cidrs = match chosen {
            NodePortAddresses::Primary => return self.primary(family).into_iter().collect(),
            NodePortAddresses::Cidrs(cidrs) => cidrs,
        };
        let cidrs: Vec<&IpNet> = cidrs.iter().filter(|cidr| Family::of(cidr.addr()) == family).collect();
        let chosen = |addr: &IpAddr| cidrs.is_empty() || cidrs.iter().any(|cidr| cidr.contains(addr));
        let of_family = self.addresses.iter().map(|address| address.addr).filter(|addr| Family::of(*addr) == family);
        let mut all: Vec<IpAddr> = of_family.filter(chosen).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(addresses: &[(NodeAddressKind, &str)]) -> Node {
        let read = |&(kind, addr): &(NodeAddressKind, &str)| NodeAddress { kind, addr: addr.parse().unwrap() };
        Node { addresses: addresses.iter().map(read).collect() }
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

    #[test]
    fn nodeport_addresses_by_choice() {
        use NodeAddressKind::{External, Internal};
        let node = node(&[
            (Internal, "10.0.0.2"),
            (Internal, "10.0.0.1"),
            (External, "203.0.113.1"),
            (Internal, "fd00::1"),
            (Internal, "10.0.0.1"),
        ]);
        let all = ["10.0.0.1", "10.0.0.2", "203.0.113.1"];
        for (cidrs, v4, v6) in [
            (None, &["10.0.0.2"][..], &["fd00::1"][..]),
            (Some(vec![]), &all, &["fd00::1"]),
            (Some(vec!["10.0.0.0/8"]), &all[..2], &["fd00::1"]),
            (Some(vec!["10.0.0.2/32", "203.0.113.0/24", "fd01::/16"]), &all[1..], &[]),
            (Some(vec!["0.0.0.0/0", "::/0"]), &all, &["fd00::1"]),
            (Some(vec!["192.0.2.0/24"]), &[], &["fd00::1"]),
        ] {
            let chosen = cidrs.map_or(NodePortAddresses::Primary, |cidrs| {
                NodePortAddresses::Cidrs(cidrs.iter().map(|cidr| cidr.parse().unwrap()).collect())
            });
            for (family, expected) in [(Family::V4, v4), (Family::V6, v6)] {
                let expected: Vec<IpAddr> = expected.iter().map(|addr| addr.parse().unwrap()).collect();
                assert_eq!(node.nodeport_addresses(&chosen, family), expected, "{chosen:?} {family}");
            }
        }
    }
}
