//! The specification's worlds as Portolan is told of them, and what Portolan's rules say in the specification's words.
//!
//! ```text
//!   World --JSON--> ingest --> Cluster --> DesiredPorts --> rendered objects --trace--> said
//!     |                                                                                  |
//!     '----------------------------- verdict ------------------------------------- is it the same?
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use portolan_core::{
    addr::{PerFamily, Protocol},
    ingest::{Kind, ObjectRef},
    inspect::Ruleset,
    model::{AtLoopback, Cluster, DetectLocal, NodeConfig, NodePortAddresses},
    trace::{self, Asks, Origin, Trace},
};
use portolan_specification as specification;
use specification::{Change, Detector, Packet, Reference, Verdict, World};

use crate::{Mode, objects};

/// What Portolan on the world's node is told at its start.
///
/// # Errors
/// When Portolan cannot be told so, in words.
pub fn config(world: &World) -> Result<NodeConfig, String> {
    let name = |name: &str| name.parse().map_err(|error| format!("{error}"));
    let detect_local = match &world.proxy.detector {
        Detector::ClusterCidr { ipv4, ipv6 } => DetectLocal::ClusterCidr(PerFamily { v4: *ipv4, v6: *ipv6 }),
        Detector::NodeCidr => DetectLocal::NodeCidr,
        Detector::BridgeInterface => DetectLocal::BridgeInterface(name("cni0")?),
        Detector::InterfaceNamePrefix => DetectLocal::InterfaceNamePrefix(name("veth")?),
    };
    let chosen = world.proxy.node_port_addresses.iter();
    let nodeport_addresses = NodePortAddresses {
        primary: chosen.clone().any(|chosen| *chosen == specification::NodePortAddresses::Primary),
        cidrs: chosen
            .filter_map(|chosen| match chosen {
                specification::NodePortAddresses::Primary => None,
                specification::NodePortAddresses::Cidr(cidr) => Some(*cidr),
            })
            .collect(),
    };
    let masquerade_all = world.proxy.masquerade_all;
    let at_loopback = match world.proxy.mode {
        specification::Mode::Nftables => AtLoopback::Listener,
        specification::Mode::Iptables => AtLoopback::Rules,
    };
    Ok(NodeConfig {
        detect_local,
        masquerade_all,
        nodeport_addresses,
        at_loopback,
        ..NodeConfig::of(&*world.node.name)
    })
}

/// The same world with a proxy in a mode of Portolan.
#[must_use]
pub fn in_mode(world: World, mode: Mode) -> World {
    world.in_mode(match mode {
        Mode::Iptables => specification::Mode::Iptables,
        Mode::Nftables | Mode::Ipvs => specification::Mode::Nftables,
    })
}

/// The world's objects, in its order.
///
/// # Errors
/// When Portolan cannot be told so, in words.
pub fn cluster(world: &World) -> Result<Cluster, String> {
    let mut cluster = Cluster::new(config(world)?);
    for object in all(world) {
        cluster.apply(&objects::read(&object.to_json())?);
    }
    Ok(cluster)
}

fn all(world: &World) -> impl Iterator<Item = specification::Object> {
    use specification::Object::{Node, Service, ServiceCidr, Slice};
    let services = world.services.iter().cloned().map(Service);
    let slices = world.slices.iter().cloned().map(Slice);
    let service_cidrs = world.service_cidrs.iter().cloned().map(ServiceCidr);
    services.chain(slices).chain(service_cidrs).chain([Node(world.node.clone())])
}

/// Tells Portolan of a change.
///
/// # Errors
/// When Portolan cannot be told so, in words.
pub fn apply(cluster: &mut Cluster, change: &Change) -> Result<(), String> {
    match change {
        Change::Apply(changed) => drop(cluster.apply(&objects::read(&changed.to_json())?)),
        Change::Delete(Reference::Service(namespace, name)) => cluster.delete(&named(Kind::Service, namespace, name)),
        Change::Delete(Reference::Slice(namespace, name)) => {
            cluster.delete(&named(Kind::EndpointSlice, namespace, name));
        }
        Change::Delete(Reference::ServiceCidr(name)) => cluster.delete(&named(Kind::ServiceCidr, "", name)),
    }
    Ok(())
}

fn named(kind: Kind, namespace: &str, name: &str) -> ObjectRef {
    ObjectRef { kind, namespace: namespace.into(), name: name.into() }
}

/// What rules say of a packet.
#[must_use]
pub fn traced(world: &World, rules: &dyn Ruleset, packet: &Packet) -> Trace {
    let local: BTreeSet<_> = world.node.local.iter().copied().collect();
    let is_local = |address: IpAddr| address.is_loopback() || local.contains(&address);
    let protocol = match packet.protocol {
        specification::Protocol::Tcp => Protocol::Tcp,
        specification::Protocol::Udp => Protocol::Udp,
        specification::Protocol::Sctp => Protocol::Sctp,
    };
    let asked = trace::Packet {
        source: packet.source,
        origin: match packet.origin {
            specification::Origin::Pod => Origin::Pod,
            specification::Origin::Node => Origin::Node,
            specification::Origin::Outside => Origin::Outside,
        },
        destination: packet.destination,
        asks: Asks::Port(protocol, packet.port),
    };
    rules.trace(&asked, &trace::World { is_local: &is_local, remembered: &BTreeMap::new() })
}

/// A trace in the specification's words.
///
/// # Errors
/// When there are no words for it: several verdicts at once, endpoints that are not equally likely, doubts.
pub fn said(trace: &Trace) -> Result<Verdict, &'static str> {
    let mut endpoints = BTreeMap::new();
    let mut others = Vec::new();
    for outcome in &trace.outcomes {
        match &outcome.verdict {
            trace::Verdict::Endpoint { to, masqueraded, .. } => {
                if endpoints.insert((to.ip(), to.port()), masqueraded.is_some()).is_some() {
                    return Err("an endpoint sees the client and does not");
                }
            }
            trace::Verdict::Rejected(_) => others.push(Verdict::Rejected),
            trace::Verdict::Dropped(_) => others.push(Verdict::Dropped),
            trace::Verdict::Untouched => others.push(Verdict::Untouched),
        }
    }
    if !trace.doubts.is_empty() {
        return Err("the rules are not all understood");
    }
    let answered = |outcome: &&trace::Outcome| matches!(outcome.verdict, trace::Verdict::Endpoint { .. });
    let chances: Vec<_> = trace.outcomes.iter().filter(answered).map(|outcome| outcome.chance).collect();
    if chances.windows(2).any(|pair| matches!(pair, [one, other] if one != other)) {
        return Err("not every endpoint is as likely as any other");
    }
    match (&*others, endpoints.is_empty()) {
        ([], false) => Ok(Verdict::Endpoints(endpoints)),
        ([Verdict::Rejected], false) => Ok(Verdict::SomeRefused(endpoints)),
        ([verdict], true) => Ok(verdict.clone()),
        _ => Err("there is more than one verdict"),
    }
}
