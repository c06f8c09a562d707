//! Which endpoints a ServicePort has, and which of them it may use.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::addresses::{parse_ip, refused};
use crate::objects::{self, AddressType, Family, Slice};
use crate::services::ServicePort;
use crate::world::World;

/// An endpoint of a ServicePort, its conditions filled in.
#[derive(Clone)]
pub(crate) struct Endpoint<'a> {
    pub(crate) address: IpAddr,
    pub(crate) port: u16,
    pub(crate) local: bool,
    ready: bool,
    serving: bool,
    terminating: bool,
    zone_hints: &'a [String],
    node_hints: &'a [String],
}

impl Endpoint<'_> {
    /// S3.6, S3.7: what stands in when no endpoint is ready.
    fn serving_terminating(&self) -> bool {
        self.serving && self.terminating
    }
}

/// S3.1, S3.2: the endpoints of a ServicePort, from all its slices. The same IP:port twice is one endpoint: the one that can
/// be used wins (ready, then serving and terminating), then the smallest slice name.
pub(crate) fn endpoints<'a>(world: &'a World, of: &ServicePort<'_>) -> Vec<Endpoint<'a>> {
    let mut slices: Vec<&Slice> = world.slices.iter().filter(|slice| belongs(slice, of)).collect();
    slices.sort_by_key(|slice| &slice.name);

    let mut found: BTreeMap<(IpAddr, u16), Endpoint<'a>> = BTreeMap::new();
    for slice in slices {
        for port in ports(slice, of) {
            for endpoint in slice.endpoints.iter().filter_map(|endpoint| read(world, endpoint, port, of.family)) {
                let place = (endpoint.address, endpoint.port);
                let rank =
                    |endpoint: &Endpoint<'_>| (endpoint.ready, !endpoint.ready && endpoint.serving_terminating());
                if found.get(&place).is_none_or(|other| rank(&endpoint) > rank(other)) {
                    found.insert(place, endpoint);
                }
            }
        }
    }
    found.into_values().collect()
}

/// S1.5 label `kubernetes.io/service-name`, S1.6 label `headless`, S1.7 `addressType`.
fn belongs(slice: &Slice, of: &ServicePort<'_>) -> bool {
    let address_type = match of.family {
        Family::Ipv4 => AddressType::Ipv4,
        Family::Ipv6 => AddressType::Ipv6,
    };
    slice.address_type == address_type
        && slice.namespace == of.service.namespace
        && slice.labels.get("kubernetes.io/service-name") == Some(&of.service.name)
        && !slice.labels.contains_key("service.kubernetes.io/headless")
        && !slice.name.is_empty()
}

/// S3.3 `ports[]`, S13.4 an impossible port: the slice's ports for this ServicePort.
fn ports(slice: &Slice, of: &ServicePort<'_>) -> Vec<u16> {
    let named = slice.ports.iter().filter(|port| port.name.as_deref().unwrap_or("") == of.port.name);
    let fitting = named.filter(|port| port.protocol == of.port.protocol);
    fitting.filter_map(|port| u16::try_from(port.port?).ok()).filter(|port| *port != 0).collect()
}

/// S3.10 `addresses`, S3.4 `conditions`, S3.9 `nodeName`; S13.3 refused addresses.
fn read<'a>(world: &World, from: &'a objects::Endpoint, port: u16, family: Family) -> Option<Endpoint<'a>> {
    let address = parse_ip(from.addresses.first()?)?;
    (Family::of(address) == family && !refused(address)).then(|| Endpoint {
        address,
        port,
        local: from.node_name.as_ref() == Some(&world.node.name),
        ready: from.ready.unwrap_or(true),
        serving: from.serving.unwrap_or(true),
        terminating: from.terminating.unwrap_or(false),
        zone_hints: &from.zone_hints,
        node_hints: &from.node_hints,
    })
}

/// S3.8, S7.1: some endpoint anywhere is ready, or serving and terminating.
pub(crate) fn has_endpoints(all: &[Endpoint<'_>]) -> bool {
    all.iter().any(|endpoint| endpoint.ready || endpoint.serving_terminating())
}

/// S3.6: the ready endpoints that the topology leaves; none left: the serving and terminating ones.
pub(crate) fn cluster_list<'a>(world: &World, all: &[Endpoint<'a>]) -> Vec<Endpoint<'a>> {
    let ready: Vec<_> = all.iter().filter(|endpoint| endpoint.ready).cloned().collect();
    let near = near(world, &ready);
    match near.is_empty() {
        true => all.iter().filter(|endpoint| endpoint.serving_terminating()).cloned().collect(),
        false => near,
    }
}

/// S3.7, S4.6: the local ready endpoints, whatever the topology; none: the local serving and terminating ones.
pub(crate) fn local_list<'a>(all: &[Endpoint<'a>]) -> Vec<Endpoint<'a>> {
    let local: Vec<_> = all.iter().filter(|endpoint| endpoint.local).cloned().collect();
    match local.iter().any(|endpoint| endpoint.ready) {
        true => local.into_iter().filter(|endpoint| endpoint.ready).collect(),
        false => local.into_iter().filter(Endpoint::serving_terminating).collect(),
    }
}

/// S4.1 to S4.3: of the ready endpoints those hinted for this node, else those for its zone, else all. One endpoint
/// without a hint of that kind, or no hint that names us, and that kind of hint is not looked at.
fn near<'a>(world: &World, ready: &[Endpoint<'a>]) -> Vec<Endpoint<'a>> {
    let for_node = |endpoint: &&Endpoint<'_>| endpoint.node_hints.contains(&world.node.name);
    let for_zone = |endpoint: &&Endpoint<'_>| world.node.zone.as_ref().is_some_and(|z| endpoint.zone_hints.contains(z));

    if ready.iter().all(|endpoint| !endpoint.node_hints.is_empty()) && ready.iter().any(|endpoint| for_node(&endpoint))
    {
        return ready.iter().filter(for_node).cloned().collect();
    }
    if ready.iter().all(|endpoint| !endpoint.zone_hints.is_empty()) && ready.iter().any(|endpoint| for_zone(&endpoint))
    {
        return ready.iter().filter(for_zone).cloned().collect();
    }
    ready.to_vec()
}
