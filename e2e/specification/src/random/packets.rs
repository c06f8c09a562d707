//! The packets that are worth asking about in a world.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::addresses::{parse_ip, refused};
use crate::node::is_local;
use crate::objects::{Family, Protocol};
use crate::world::{Origin, Packet, World};

/// Pods, nodes and strangers that no object names.
const STRANGERS: &[(Origin, &str)] = &[
    (Origin::Pod, "10.0.1.9"),
    (Origin::Outside, "10.0.2.9"),
    (Origin::Outside, "192.168.0.3"),
    (Origin::Outside, "203.0.113.2"),
    (Origin::Outside, "203.0.113.130"),
    (Origin::Pod, "fd00:10:1::9"),
    (Origin::Outside, "fd00:10:2::9"),
    (Origin::Outside, "fd00:192::3"),
    (Origin::Outside, "2001:db8::2"),
    (Origin::Outside, "2001:db9::2"),
    (Origin::Node, "127.0.0.1"),
    (Origin::Node, "::1"),
];

/// Addresses that are nobody's frontend: unallocated, and of the wide world.
const NOWHERE: &[&str] = &["172.30.0.77", "198.51.100.1", "127.0.0.1", "fd00:172::77", "2001:db8:1::1", "::1"];

/// Every address that could be a frontend × every port that could be × every kind of client, sorted.
/// Only what a kernel can see: of one family, and loopback only within the node.
pub fn packets(world: &World) -> Vec<Packet> {
    let mut packets = Vec::new();
    for destination in destinations(world) {
        for (origin, source) in clients(world) {
            let possible = Family::of(source) == Family::of(destination)
                && (!destination.is_loopback() || origin == Origin::Node)
                && (!source.is_loopback() || is_local(world, destination));
            for (port, protocol) in ports(world).into_iter().filter(|_| possible) {
                packets.push(Packet { source, origin, destination, port, protocol });
            }
        }
    }
    packets
}

fn destinations(world: &World) -> BTreeSet<IpAddr> {
    let services = &world.services;
    let cluster_ips = services.iter().flat_map(|service| &service.cluster_ips);
    let external_ips = services.iter().flat_map(|service| &service.external_ips);
    let load_balancer_ips =
        services.iter().flat_map(|service| &service.ingress).filter_map(|ingress| ingress.ip.as_ref());
    let named = cluster_ips.chain(external_ips).chain(load_balancer_ips).filter_map(|ip| parse_ip(ip));
    let nowhere = NOWHERE.iter().filter_map(|ip| parse_ip(ip));
    named.chain(nowhere).chain(world.node.local.iter().copied()).collect()
}

/// The ports of Services, their nodePorts, the number of each with another protocol, those of slices, and one of nobody.
fn ports(world: &World) -> BTreeSet<(u16, Protocol)> {
    let mut ports = BTreeSet::from([(9, Protocol::Tcp)]);
    for port in world.services.iter().flat_map(|service| &service.ports) {
        let other = if port.protocol == Protocol::Udp { Protocol::Tcp } else { Protocol::Udp };
        ports.extend([(port.port, port.protocol), (port.port, other), (port.node_port, port.protocol)]);
    }
    for port in world.slices.iter().flat_map(|slice| &slice.ports) {
        ports.extend(port.port.and_then(|number| Some((u16::try_from(number).ok()?, port.protocol))));
    }
    ports.into_iter().filter(|(number, _)| *number != 0).collect()
}

/// Strangers, the node by each of its addresses and by each LB IP, and every endpoint (hairpin).
fn clients(world: &World) -> BTreeSet<(Origin, IpAddr)> {
    let mut clients = BTreeSet::new();
    clients.extend(STRANGERS.iter().filter_map(|(origin, ip)| Some((*origin, parse_ip(ip)?))));
    clients.extend(world.node.local.iter().map(|ip| (Origin::Node, *ip)));
    for ingress in world.services.iter().flat_map(|service| &service.ingress) {
        let ip = ingress.ip.as_ref().and_then(|ip| parse_ip(ip)).filter(|ip| !refused(*ip));
        clients.extend(ip.map(|ip| (Origin::Node, ip)));
    }
    for endpoint in world.slices.iter().flat_map(|slice| &slice.endpoints) {
        for ip in endpoint.addresses.iter().filter_map(|ip| parse_ip(ip)).filter(|ip| !refused(*ip)) {
            let origin = match (is_local(world, ip), endpoint.node_name.as_ref() == Some(&world.node.name)) {
                (true, _) => Origin::Node,
                (false, true) => Origin::Pod,
                (false, false) => Origin::Outside,
            };
            clients.insert((origin, ip));
        }
    }
    clients
}
