//! What is the node's own: its addresses, its pods, its NodePorts.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use crate::objects::{Family, NodeAddress};
use crate::world::{Detector, Mode, NodePortAddresses, Origin, Packet, World};

/// S5.6, S10.3: an address on one of the node's interfaces, or loopback.
pub(crate) fn is_local(world: &World, address: IpAddr) -> bool {
    address.is_loopback() || world.node.local.contains(&address)
}

/// S10.1 `status.addresses`: the node IP of a family is the first `InternalIP` of it, else the first `ExternalIP`.
pub(crate) fn node_ip(world: &World, family: Family) -> Option<IpAddr> {
    let addresses = &world.node.addresses;
    let internal = addresses.iter().filter_map(|address| match address {
        NodeAddress::Internal(ip) => Some(*ip),
        NodeAddress::External(_) => None,
    });
    let external = addresses.iter().filter_map(|address| match address {
        NodeAddress::External(ip) => Some(*ip),
        NodeAddress::Internal(_) => None,
    });
    internal.chain(external).find(|ip| Family::of(*ip) == family)
}

/// S12.1, S12.2: whether the local detector takes the packet for a pod's; `None` when this family has no detector.
pub(crate) fn is_pod_source(world: &World, packet: &Packet) -> Option<bool> {
    let cidr = match &world.proxy.detector {
        Detector::BridgeInterface | Detector::InterfaceNamePrefix => return Some(packet.origin == Origin::Pod),
        Detector::ClusterCidr { ipv4, ipv6 } => match packet.source {
            IpAddr::V4(_) => *ipv4,
            IpAddr::V6(_) => *ipv6,
        },
        Detector::NodeCidr => world.node.pod_cidrs.iter().copied().find(|cidr| same_family(cidr, packet.source)),
    };
    cidr.map(|cidr| cidr.contains(&packet.source))
}

/// S10.1 to S10.4, S10.6: whether NodePorts answer here. `primary` is the node IP, be it on an interface or not; nothing where
/// it is unknown. CIDRs choose among the addresses that the node has, loopback never; a family for which nothing is chosen
/// has all of them, as with a /0. In iptables mode IPv4 loopback addresses are chosen as others are.
pub(crate) fn has_node_ports(world: &World, address: IpAddr) -> bool {
    let mut chosen = false;
    let mut any_for_family = false;
    for addresses in &world.proxy.node_port_addresses {
        match addresses {
            NodePortAddresses::Primary => {
                any_for_family = true;
                if node_ip(world, Family::of(address)) == Some(address) {
                    return true;
                }
            }
            NodePortAddresses::Cidr(cidr) if same_family(cidr, address) => {
                any_for_family = true;
                chosen |= cidr.contains(&address);
            }
            NodePortAddresses::Cidr(_) => {} // of the other family
        }
    }
    let is_served = !address.is_loopback() || world.proxy.mode == Mode::Iptables && address.is_ipv4();
    (chosen || !any_for_family) && is_local(world, address) && is_served
}

/// Iptables mode, where rules serve NodePorts at loopback addresses: the guard of KUBE-FIREWALL, which lets only loopback
/// addresses talk to loopback addresses.
pub(crate) fn is_guarded(world: &World, packet: &Packet) -> bool {
    let localhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let is_for_loopback = packet.destination.is_ipv4() && packet.destination.is_loopback();
    is_for_loopback && !packet.source.is_loopback() && has_node_ports(world, localhost)
}

/// Whether the CIDR is of the address's family.
pub(crate) fn same_family(cidr: &IpNet, address: IpAddr) -> bool {
    Family::of(cidr.addr()) == Family::of(address)
}
