//! What to tell about the addresses of NodePorts: where they are closed although somebody wants them, and where they are
//! open without having been asked for by name.

use std::fmt;

use ipnet::IpNet;

use super::node::{NodeConfig, NodePortAddresses, NodeState};
use crate::addr::{Family, PerFamily};

/// Why NodePorts are open at fewer or more addresses than somebody may expect. One line: what, what still works, what to
/// do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodePortNote {
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
    /// No address of the Node is inside the CIDRs of its family.
    NoneInside {
        /// The node's name.
        hostname: String,
        /// The family.
        family: Family,
        /// The CIDRs of the list that are of this family.
        cidrs: Vec<IpNet>,
    },
    /// A CIDR of loopback addresses. Connections to 127.0.0.1 leave the node only with the sysctl `route_localnet`, which
    /// lets others in: kube-proxy's nftables mode has no NodePorts there either (KEP-3866).
    Loopback {
        /// The CIDR.
        cidr: IpNet,
    },
    /// The list has no CIDR of a family, which then has NodePorts on all addresses of the Node, as in kube-proxy.
    AllOpen {
        /// The family.
        family: Family,
    },
}

impl fmt::Display for NodePortNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNode { hostname } => write!(
                f,
                "no Node object named `{hostname}` was read: NodePorts are closed until there is one with an address, \
                 everything else is served; add it to the manifests, or name the right one with --hostname-override"
            ),
            Self::NoAddress { hostname, family } => write!(
                f,
                "Node {hostname}: `status.addresses` has no InternalIP or ExternalIP that is an {family} address: {family} \
                 NodePorts are closed, everything else is served; add the address if they are wanted"
            ),
            Self::NoneInside { hostname, family, cidrs } => {
                let cidrs: Vec<_> = cidrs.iter().map(IpNet::to_string).collect();
                write!(
                    f,
                    "--nodeport-addresses = `{}`: no {family} address of Node {hostname} is inside: {family} NodePorts are \
                     closed, everything else is served; give a CIDR that has one of the Node's addresses",
                    cidrs.join(",")
                )
            }
            Self::Loopback { cidr } => write!(
                f,
                "--nodeport-addresses = `{cidr}` is of loopback addresses: no NodePort is open there, at the node's other \
                 chosen addresses they are; take it away, and connect to an address of the Node"
            ),
            Self::AllOpen { family } => write!(
                f,
                "--nodeport-addresses has no {family} CIDR: {family} NodePorts are open on all {family} addresses of the \
                 Node; add an {family} CIDR to choose among them"
            ),
        }
    }
}

/// What there is to tell. Of the families only those in which Services have NodePorts (`wanted`); a Node that is missing
/// is told in any case, since it comes from a wrong name as a rule.
pub(super) fn notes(config: &NodeConfig, node: &NodeState, wanted: PerFamily<bool>) -> Vec<NodePortNote> {
    let hostname = || config.hostname.clone();
    let mut all = Vec::new();
    if *node == NodeState::Unknown {
        all.push(NodePortNote::NoNode { hostname: hostname() });
    }
    for family in Family::ALL.into_iter().filter(|family| *wanted.get(*family)) {
        let cidrs = match &config.nodeport_addresses {
            NodePortAddresses::Primary => None,
            NodePortAddresses::Cidrs(all) => {
                Some(all.iter().copied().filter(|cidr| Family::of(cidr.addr()) == family).collect::<Vec<_>>())
            }
        };
        let loopback = cidrs.iter().flatten().filter(|cidr| cidr.addr().is_loopback());
        all.extend(loopback.map(|cidr| NodePortNote::Loopback { cidr: *cidr }));
        // A Node that was refused is told as such.
        let Some(node) = node.known() else { continue };
        if node.primary(family).is_none() {
            all.push(NodePortNote::NoAddress { hostname: hostname(), family });
        } else if let Some(cidrs) = cidrs {
            if cidrs.is_empty() {
                all.push(NodePortNote::AllOpen { family });
            } else if node.nodeport_addresses(&config.nodeport_addresses, family).is_empty() {
                all.push(NodePortNote::NoneInside { hostname: hostname(), family, cidrs });
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Node, NodeAddress, NodeAddressKind};

    fn config(list: &[&str]) -> NodeConfig {
        let cidrs = list.iter().map(|cidr| cidr.parse().unwrap()).collect();
        NodeConfig {
            hostname: "node-a".to_owned(),
            cluster_cidr: PerFamily::default(),
            nodeport_addresses: if list.is_empty() {
                NodePortAddresses::Primary
            } else {
                NodePortAddresses::Cidrs(cidrs)
            },
        }
    }

    fn known(addresses: &[&str]) -> NodeState {
        let address = |addr: &&str| NodeAddress { kind: NodeAddressKind::Internal, addr: addr.parse().unwrap() };
        NodeState::Known(Node { addresses: addresses.iter().map(address).collect() })
    }

    #[test]
    fn notes_by_configuration_and_node() {
        let both = ["192.0.2.1", "fd00::1"];
        let no_node = "no Node object named `node-a` was read: NodePorts are closed until";
        let loopback = "--nodeport-addresses = `127.0.0.0/8` is of loopback addresses";
        for (list, node, expected) in [
            (&[][..], known(&both), &[][..]),
            (&[], NodeState::Unknown, &[no_node]),
            (&["192.0.2.0/24"], NodeState::Unknown, &[no_node]),
            (&[], NodeState::Refused, &[]),
            (
                &[],
                known(&both[..1]),
                &["Node node-a: `status.addresses` has no InternalIP or ExternalIP that is an IPv6"],
            ),
            (&["0.0.0.0/0", "::/0"], known(&both), &[]),
            (
                &["192.0.2.0/24"],
                known(&both),
                &["--nodeport-addresses has no IPv6 CIDR: IPv6 NodePorts are open on all"],
            ),
            (
                &["10.0.0.0/8", "11.0.0.0/8", "fd00::/8"],
                known(&both),
                &[
                    "--nodeport-addresses = `10.0.0.0/8,11.0.0.0/8`: no IPv4 address of Node node-a is inside: IPv4 NodePorts",
                ],
            ),
            (&["127.0.0.0/8", "192.0.2.0/24", "fd00::/8"], known(&both), &[loopback]),
            (
                &["127.0.0.0/8", "fd00::/8"],
                known(&both),
                &[loopback, "--nodeport-addresses = `127.0.0.0/8`: no IPv4 address of Node node-a is inside"],
            ),
            (&["::1/128", "0.0.0.0/0"], NodeState::Refused, &["--nodeport-addresses = `::1/128` is of loopback"]),
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
}
