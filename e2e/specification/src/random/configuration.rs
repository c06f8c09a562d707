//! Random nodes and configurations.

use std::iter;

use proptest::option;
use proptest::prelude::*;

use crate::addresses::parse_cidr;
use crate::objects::{Node, NodeAddress};
use crate::world::{Detector, Mode, NodePortAddresses, ProxyConfig};

use super::pool;

/// The proxy's own Node. Its name never changes.
pub(super) fn node() -> impl Strategy<Value = Node> {
    let ips = prop_oneof![9 => pool::some_ips(pool::NODE_ADDRESSES), 1 => Just(Vec::new())];
    let addresses = (any::<bool>(), ips).prop_map(|(external_first, ips)| {
        let kind = |(index, ip)| match external_first && index == 0 {
            true => NodeAddress::External(ip),
            false => NodeAddress::Internal(ip),
        };
        ips.into_iter().enumerate().map(kind).collect()
    });
    let zone = option::weighted(0.8, pool::text(pool::ZONES));
    (zone, pool::some_cidrs(pool::POD_CIDRS), addresses, pool::some_ips(pool::ON_INTERFACES)).prop_map(
        |(zone, pod_cidrs, addresses, local)| Node { name: pool::NODE.to_owned(), zone, pod_cidrs, addresses, local },
    )
}

/// A configuration of the proxy, in nftables mode.
pub(super) fn proxy() -> impl Strategy<Value = ProxyConfig> {
    (detector(), prop::bool::weighted(0.2), node_port_addresses()).prop_map(
        |(detector, masquerade_all, node_port_addresses)| ProxyConfig {
            mode: Mode::Nftables,
            detector,
            masquerade_all,
            node_port_addresses,
        },
    )
}

fn detector() -> impl Strategy<Value = Detector> {
    let cluster_cidr = (any::<bool>(), any::<bool>()).prop_map(|(ipv4, ipv6)| Detector::ClusterCidr {
        ipv4: parse_cidr("10.0.0.0/16").filter(|_| ipv4),
        ipv6: parse_cidr("fd00:10::/32").filter(|_| ipv6),
    });
    prop_oneof![
        4 => cluster_cidr,
        2 => Just(Detector::NodeCidr),
        1 => Just(Detector::BridgeInterface),
        1 => Just(Detector::InterfaceNamePrefix),
    ]
}

/// `primary`, CIDRs, or both.
fn node_port_addresses() -> impl Strategy<Value = Vec<NodePortAddresses>> {
    let cidrs = || {
        pool::some_cidrs(pool::NODE_PORT_CIDRS)
            .prop_map(|cidrs| cidrs.into_iter().map(NodePortAddresses::Cidr).collect::<Vec<_>>())
    };
    let mixed = || cidrs().prop_map(|cidrs| iter::once(NodePortAddresses::Primary).chain(cidrs).collect());
    prop_oneof![
        2 => Just(vec![NodePortAddresses::Primary]),
        1 => Just(Vec::new()),
        3 => cidrs(),
        1 => mixed(),
    ]
}
