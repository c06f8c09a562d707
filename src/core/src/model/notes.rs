//! What to tell about the node itself: where NodePorts are closed although somebody wants them, or open without having
//! been asked for by name, and that nobody counts as a pod.

use std::fmt;

use ipnet::IpNet;

use super::{
    config::{DetectLocal, NodeConfig},
    node::NodeState,
};
use crate::addr::{Family, PerFamily};

/// Why the node serves otherwise than somebody may expect. One line: what, what still works, what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeNote {
    /// There is no Node object of this node.
    NoNode {
        /// The name that it would have.
        hostname: String,
    },
    /// The Node has no address of a family.
    NoAddress {
        /// The node's name.
        hostname: String,
        /// The family.
        family: Family,
    },
    /// The local detector has nothing to go by: nobody counts as a pod.
    NoDetector {
        /// What is missing.
        lacks: &'static str,
    },
    /// A CIDR of loopback addresses at none of which anybody listens.
    Loopback {
        /// The CIDR.
        cidr: IpNet,
    },
    /// The list says nothing about a family, which then has NodePorts on all addresses of the node, as in kube-proxy.
    AllOpen {
        /// The family.
        family: Family,
    },
}

impl fmt::Display for NodeNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNode { hostname } => write!(
                f,
                "no Node object named `{hostname}` was read: what comes from it is missing (the `primary` address of NodePorts, \
                 the zone, the pod CIDRs), everything else is served; see that it is there, or name the right one with \
                 --hostname-override"
            ),
            Self::NoAddress { hostname, family } => write!(
                f,
                "Node {hostname}: `status.addresses` has no InternalIP or ExternalIP that is an {family} address: no \
                 {family} NodePort is open at `primary`, everything else is served; add the address if they are wanted"
            ),
            Self::NoDetector { lacks } => write!(
                f,
                "{lacks}: nobody counts as a pod of this node, so clients outside are not masqueraded at cluster IPs and pods are \
                 treated as clients outside where externalTrafficPolicy is Local; everything else is served; give it, or choose \
                 another --detect-local-mode"
            ),
            Self::Loopback { cidr } => write!(
                f,
                "--nodeport-addresses = `{cidr}` is of loopback addresses, and no NodePort is open there, at other chosen \
                 addresses they are: of loopback addresses 127.0.0.1 and ::1 have them, for TCP, unless the gate \
                 KubeProxyNFTablesLocalhostNodePorts is off; give `localhost`, or take the CIDR away"
            ),
            Self::AllOpen { family } => write!(
                f,
                "--nodeport-addresses has no {family} CIDR: {family} NodePorts are open on all {family} addresses of the \
                 node; add an {family} CIDR to choose among them"
            ),
        }
    }
}

/// What there is to tell. Of the families only those in which Services have NodePorts (`wanted`); a Node that is missing
/// is told in any case, since it comes from a wrong name as a rule.
pub(super) fn notes(config: &NodeConfig, node: &NodeState, wanted: PerFamily<bool>) -> Vec<NodeNote> {
    let hostname = || config.hostname.clone();
    let mut all = Vec::new();
    if *node == NodeState::Unknown {
        all.push(NodeNote::NoNode { hostname: hostname() });
    }
    let lacks = match (&config.detect_local, node.known()) {
        (DetectLocal::ClusterCidr(cidrs), _) if *cidrs == PerFamily::default() => Some("--cluster-cidr is not given"),
        (DetectLocal::NodeCidr, Some(node)) if node.pod_cidrs == PerFamily::default() => {
            Some("the Node has no `spec.podCIDRs`")
        }
        _ => None,
    };
    all.extend(lacks.map(|lacks| NodeNote::NoDetector { lacks }));
    for family in Family::ALL.into_iter().filter(|family| *wanted.get(*family)) {
        let chosen = &config.nodeport_addresses;
        // A Node that is missing, or was refused, is told as such.
        if chosen.primary && node.known().is_some_and(|node| config.primary(Some(node), family).is_none()) {
            all.push(NodeNote::NoAddress { hostname: hostname(), family });
        }
        let loopback = chosen.cidrs(family).filter(|cidr| cidr.addr().is_loopback());
        let in_vain = loopback.filter(|_| !config.listens_at_loopback(family));
        all.extend(in_vain.map(|cidr| NodeNote::Loopback { cidr }));
        if chosen.is_silent(family) {
            all.push(NodeNote::AllOpen { family });
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Node, NodeAddress, NodeAddressKind, NodePortAddresses};

    fn config(list: &[&str]) -> NodeConfig {
        let cidrs = list.iter().filter(|entry| **entry != "primary").map(|cidr| cidr.parse().unwrap()).collect();
        let chosen = NodePortAddresses { primary: list.contains(&"primary"), cidrs };
        let pods = PerFamily { v4: Some("10.244.0.0/16".parse().unwrap()), v6: None };
        NodeConfig {
            nodeport_addresses: chosen,
            detect_local: DetectLocal::ClusterCidr(pods),
            ..NodeConfig::of("node-a")
        }
    }

    fn known(addresses: &[&str]) -> NodeState {
        let address = |addr: &&str| NodeAddress { kind: NodeAddressKind::Internal, addr: addr.parse().unwrap() };
        NodeState::Known(Node { addresses: addresses.iter().map(address).collect(), ..Node::default() })
    }

    #[test]
    fn notes_by_configuration_and_node() {
        let both = ["192.0.2.1", "fd00::1"];
        let no_node = "no Node object named `node-a` was read: what comes from it is missing";
        let loopback = "--nodeport-addresses = `127.0.2.0/24` is of loopback addresses";
        let no_address = "Node node-a: `status.addresses` has no InternalIP or ExternalIP that is an IPv6";
        let all_open = "--nodeport-addresses has no IPv6 CIDR: IPv6 NodePorts are open on all";
        for (list, node, expected) in [
            (&["primary"][..], known(&both), &[][..]),
            (&["primary"], NodeState::Unknown, &[no_node]),
            (&["192.0.2.0/24", "fd00::/8"], NodeState::Unknown, &[no_node]),
            (&["primary"], NodeState::Refused, &[]),
            (&["primary"], known(&both[..1]), &[no_address]),
            (&["primary", "192.0.2.0/24"], known(&both[..1]), &[no_address]),
            (&["0.0.0.0/0", "::/0"], known(&both), &[]),
            (&["192.0.2.0/24"], known(&both), &[all_open]),
            (&["127.0.2.0/24", "192.0.2.0/24", "fd00::/8"], known(&both), &[loopback]),
            (&["127.0.2.0/24", "127.0.0.0/8", "::1/128"], NodeState::Refused, &[]),
        ] {
            let notes = notes(&config(list), &node, PerFamily { v4: true, v6: true });
            let lines: Vec<_> = notes.iter().map(ToString::to_string).collect();
            assert_eq!(lines.len(), expected.len(), "{list:?}, {node:?}: {lines:?}");
            for (line, start) in lines.iter().zip(expected) {
                assert!(line.starts_with(start), "{list:?}, {node:?}:\n{line}\n{start}");
            }
        }
    }

    #[test]
    fn a_family_without_node_ports_is_not_talked_about() {
        let notes = |node: NodeState| notes(&config(&["127.0.0.0/8"]), &node, PerFamily::default());
        assert_eq!(notes(known(&[])), []);
        assert_eq!(notes(NodeState::Unknown).len(), 1);
    }

    #[test]
    fn a_detector_without_addresses_is_told() {
        let told = |detect_local, node| {
            let config = NodeConfig { detect_local, ..NodeConfig::of("node-a") };
            let notes = notes(&config, &node, PerFamily::default());
            notes.iter().map(|note| note.to_string().split(": nobody").next().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let node = known(&["192.0.2.1"]);
        let without = || DetectLocal::ClusterCidr(PerFamily::default());
        assert_eq!(told(without(), node.clone()), ["--cluster-cidr is not given"]);
        assert_eq!(told(DetectLocal::NodeCidr, node.clone()), ["the Node has no `spec.podCIDRs`"]);
        assert_eq!(told(DetectLocal::BridgeInterface("cni0".parse().unwrap()), node), [""; 0]);
    }
}
