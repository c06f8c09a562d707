//! What becomes of a packet.
//!
//! ```text
//!  claimed by a ServicePort?                                 no ─► S7.3, S7.4: unknown port, unallocated, untouched
//!      │ yes
//!  outside the source ranges?                               yes ─► Dropped
//!      │ no
//!  no usable endpoint anywhere?                             yes ─► Rejected
//!      │ no
//!  by cluster IP: internalTrafficPolicy chooses the list;
//!  else externalTrafficPolicy and who asks                 empty ─► Dropped
//!      │
//!  Endpoints, each masqueraded or not
//! ```

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::addresses::parse_cidr;
use crate::endpoints::{Endpoint, cluster_list, endpoints, has_endpoints, local_list};
use crate::node::{is_guarded, is_local, is_pod_source, node_ip, same_family};
use crate::objects::Policy;
use crate::services::{Frontend, ServicePort, is_external_policy_local, is_live_cluster_ip, load_balancer_ips, winner};
use crate::world::{Mode, Origin, Packet, World};

/// What a packet meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes to one of these endpoints, chosen at random; with `true` the server sees an address of the node.
    Endpoints(BTreeMap<(IpAddr, u16), bool>),
    /// The same, but where chance chooses one that cannot be one the client is told that nobody is there.
    SomeRefused(BTreeMap<(IpAddr, u16), bool>),
    /// The client is told that nobody is there.
    Rejected,
    /// The client hears nothing.
    Dropped,
    /// It goes on as though there were no proxy.
    Untouched,
}

/// What the first packet of a connection meets in this world.
pub fn verdict(world: &World, packet: &Packet) -> Verdict {
    let Some((frontend, port)) = winner(world, packet) else {
        return unclaimed(world, packet);
    };
    if !source_allowed(world, &port, packet) {
        return Verdict::Dropped;
    }
    let all = endpoints(world, &port);
    if !has_endpoints(&all) {
        return rejected(world, frontend, packet);
    }
    let (list, masquerade) = match frontend {
        Frontend::ClusterIp => (internal(world, &port, &all), false),
        Frontend::ExternalOrLoadBalancerIp | Frontend::NodePort => external(world, &port, packet, &all),
    };
    if list.is_empty() {
        return Verdict::Dropped; // S5.3, S5.11
    }
    let by_address = match world.proxy.mode {
        Mode::Nftables => frontend != Frontend::NodePort,
        Mode::Iptables => frontend == Frontend::ClusterIp,
    };
    let masquerade = masquerade || by_address && at_cluster_ip(world, packet);
    let short_cut = frontend != Frontend::ClusterIp && is_external_policy_local(port.service);
    let seen = |endpoint: &Endpoint<'_>| {
        // S6.6
        let hairpin = endpoint.address == packet.source && endpoint.local;
        let passing = short_cut && passes_through(world, packet, endpoint);
        // Who asks the endpoint by its own address is answered in any case.
        let elsewhere = (endpoint.address, endpoint.port) != (packet.destination, packet.port);
        (masquerade || elsewhere && (hairpin || passing)) && !arrives_and_stays(world, packet, endpoint.address)
    };
    let (refused, good): (Vec<_>, Vec<_>) = list.iter().partition(|endpoint| is_refused(world, packet, endpoint));
    let good: BTreeMap<_, _> =
        good.into_iter().map(|endpoint| ((endpoint.address, endpoint.port), seen(endpoint))).collect();
    let is_itself = good.contains_key(&(packet.destination, packet.port));
    match (refused.is_empty(), good.is_empty()) {
        // At a NodePort output takes it for what it still has as its destination.
        (true, false)
            if is_itself && frontend == Frontend::NodePort && unclaimed(world, packet) == Verdict::Dropped =>
        {
            Verdict::Dropped
        }
        (true, _) => Verdict::Endpoints(good),
        (false, true) => Verdict::Rejected,
        (false, false) => Verdict::SomeRefused(good),
    }
}

/// S7.7: a cluster IP is nobody's endpoint, but for what arrives and stays on the node.
fn is_refused(world: &World, packet: &Packet, endpoint: &Endpoint<'_>) -> bool {
    is_live_cluster_ip(world, endpoint.address) && !arrives_and_stays(world, packet, endpoint.address)
}

/// S7.1. NodePorts reject in input only, where what the node sends to an unallocated IP of its own never comes: output drops
/// it.
fn rejected(world: &World, frontend: Frontend, packet: &Packet) -> Verdict {
    match frontend == Frontend::NodePort && unclaimed(world, packet) == Verdict::Dropped {
        true => Verdict::Dropped,
        false => Verdict::Rejected,
    }
}

/// S7.3 unknown port on a live cluster IP, S7.4 unallocated IP inside a ServiceCIDR: in forward and output, so not for a
/// packet that arrives and stays here.
fn unclaimed(world: &World, packet: &Packet) -> Verdict {
    let destination = packet.destination;
    if is_guarded(world, packet) {
        return Verdict::Dropped;
    }
    if arrives_and_stays(world, packet, destination) {
        return Verdict::Untouched;
    }
    if is_live_cluster_ip(world, destination) {
        return Verdict::Rejected;
    }
    match world.service_cidrs.iter().flat_map(|object| &object.cidrs).any(|cidr| cidr.contains(&destination)) {
        true => Verdict::Dropped,
        false => Verdict::Untouched,
    }
}

/// S8.1 to S8.6 `loadBalancerSourceRanges`: only for LB IPs, before anything else, for everybody.
/// No range of this family allows all, as a /0 does.
fn source_allowed(world: &World, port: &ServicePort<'_>, packet: &Packet) -> bool {
    let load_balancer_ips = load_balancer_ips(port);
    if !load_balancer_ips.contains(&packet.destination) || packet.port != port.port.port {
        return true;
    }
    let ranges = port.service.source_ranges.iter().filter_map(|range| parse_cidr(range));
    let ranges: Vec<_> = ranges.filter(|range| same_family(range, packet.destination)).collect();
    let in_ranges = |address: &IpAddr| ranges.iter().any(|range| range.contains(address));
    let from_own_vip = load_balancer_ips.contains(&packet.source)
        && node_ip(world, port.family).is_some_and(|node_ip| in_ranges(&node_ip));
    ranges.is_empty() || in_ranges(&packet.source) || from_own_vip
}

/// S5.10 `internalTrafficPolicy`: the list.
fn internal<'a>(world: &World, port: &ServicePort<'_>, all: &[Endpoint<'a>]) -> Vec<Endpoint<'a>> {
    match port.service.internal_traffic_policy {
        Some(Policy::Local) => local_list(all),
        Some(Policy::Cluster) | None => cluster_list(world, all),
    }
}

/// S6.1 to S6.3: who is masqueraded on a way to a cluster IP. It goes by the address, also where the port there is another
/// Service's, but in iptables mode, where each Service has rules of its own. A NodePort there is as any other: S6.4 and S6.5
/// say who is masqueraded.
fn at_cluster_ip(world: &World, packet: &Packet) -> bool {
    let masquerade = world.proxy.masquerade_all || is_pod_source(world, packet) == Some(false);
    masquerade && is_live_cluster_ip(world, packet.destination)
}

/// S5.1 to S5.6 `externalTrafficPolicy`, S6.4, S6.5: the list, and whether it is to be masqueraded.
fn external<'a>(
    world: &World,
    port: &ServicePort<'_>,
    packet: &Packet,
    all: &[Endpoint<'a>],
) -> (Vec<Endpoint<'a>>, bool) {
    if !is_external_policy_local(port.service) {
        (cluster_list(world, all), true)
    } else if is_pod_source(world, packet) == Some(true) {
        (cluster_list(world, all), false)
    } else if is_local(world, packet.source) {
        (cluster_list(world, all), true)
    } else {
        (local_list(all), false)
    }
}

/// S6.7: a pod of another node that is sent to an endpoint of another node. Only its link tells it from a pod of this node;
/// an address that is a cluster IP too is not looked at. No rule of iptables can ask for that link.
fn passes_through(world: &World, packet: &Packet, endpoint: &Endpoint<'_>) -> bool {
    let stranger = packet.origin == Origin::Outside && is_pod_source(world, packet) == Some(true);
    world.proxy.mode == Mode::Nftables && stranger && !endpoint.local && !is_live_cluster_ip(world, packet.destination)
}

/// S6.8, S7.7: masquerade lives in postrouting, and what looks at cluster IPs in forward and output, where a packet that
/// arrived and stays on the node never comes.
fn arrives_and_stays(world: &World, packet: &Packet, destination: IpAddr) -> bool {
    packet.origin != Origin::Node && is_local(world, destination)
}
