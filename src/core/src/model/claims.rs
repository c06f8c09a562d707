//! From a Service to what it touches: the VIPs that it claims, the ServicePorts that a change makes dirty, and the VIPs
//! whose flows it may have made stale.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use super::{
    service::{Service, ServicePort},
    slice::Slice,
    vips::{Claim, Vips},
};
use crate::{
    addr::{Family, PerFamily, Protocol},
    desired::{self, Vip},
    name::ServicePortName,
};

/// What changes leave behind; some of it more than once, until it is sorted.
#[derive(Debug, Default)]
pub(super) struct Dirty {
    /// The ServicePorts to be decided anew, with their family.
    pub(super) ports: Vec<(Arc<ServicePortName>, Family)>,
    /// Those of [`follows`] that lead, or may lead, elsewhere than before.
    pub(super) vips: Vec<Vip>,
}

/// Whether the flows of a protocol may have to be cut off. Those of SCTP are connections that notice by themselves, in
/// all states.
const fn follows(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::Udp | Protocol::Tcp)
}

/// Everything that a Service claims on this node, sorted.
pub(super) fn claims(service: &Service, node_addrs: &PerFamily<Vec<IpAddr>>) -> Vec<(Vip, Claim)> {
    let mut all = Vec::new();
    for (port, family) in ports(service) {
        let frontends = desired::claimed(service, port, family, node_addrs.get(family));
        let claim = |kind| Claim { port: port.id.clone(), kind };
        all.extend(frontends.iter().map(|frontend| (frontend.vip, claim(frontend.kind))));
    }
    all.sort_unstable();
    all
}

/// Replaces the claims of a Service; whoever inherits a VIP by it becomes dirty. Both lists are sorted.
pub(super) fn exchange(vips: &mut Vips, dirty: &mut Dirty, before: &[(Vip, Claim)], after: &[(Vip, Claim)]) {
    for old in before {
        if after.binary_search(old).is_ok() {
            continue;
        }
        dirty.vips.extend(follows(old.0.protocol).then_some(old.0));
        if let Some(heir) = vips.release(old.0, &old.1) {
            dirty.ports.push((heir, Family::of(old.0.addr)));
        }
    }
    for new in after {
        if before.binary_search(new).is_err() {
            dirty.vips.extend(follows(new.0.protocol).then_some(new.0));
            vips.claim(new.0, new.1.clone());
        }
    }
}

/// Marks the ServicePorts that are chosen, each in the families that the Service has.
pub(super) fn mark(dirty: &mut Dirty, service: &Service, chosen: impl Fn(&ServicePort, Family) -> bool) {
    let all = ports(service).filter(|(port, family)| chosen(port, *family));
    dirty.ports.extend(all.map(|(port, family)| (port.id.clone(), family)));
}

/// Exchanges the claims of a changed Service and marks all its ports, old and new. Its age decides contests too.
pub(super) fn mark_service(
    vips: &mut Vips,
    dirty: &mut Dirty,
    node_addrs: &PerFamily<Vec<IpAddr>>,
    old: Option<&Service>,
    new: Option<&Service>,
) {
    let of = |service: Option<&Service>| service.map_or_else(Vec::new, |known| claims(known, node_addrs));
    let (before, after) = (of(old), of(new));
    exchange(vips, dirty, &before, &after);
    if vips.is_contested() && old.map(|old| old.created) != new.map(|new| new.created) {
        after.iter().for_each(|(vip, _)| vips.reopen(*vip));
    }
    old.into_iter().chain(new).for_each(|service| mark(dirty, service, |_, _| true));
}

/// Marks the ServicePorts that changed slices can have endpoints for, and reopens their contests: having endpoints or
/// none decides those too.
pub(super) fn mark_endpoints(
    vips: &mut Vips,
    dirty: &mut Dirty,
    service: &Service,
    node_addrs: &PerFamily<Vec<IpAddr>>,
    slices: [Option<&Slice>; 2],
) {
    for (port, family) in ports(service) {
        if !slices.iter().flatten().any(|slice| slice.family == family && slice.has_port(&port.id)) {
            continue;
        }
        dirty.ports.push((port.id.clone(), family));
        let moved = follows(port.id.protocol) && serving(slices[0], &port.id) != serving(slices[1], &port.id);
        if !moved && !vips.is_contested() {
            continue;
        }
        for frontend in desired::claimed(service, port, family, node_addrs.get(family)) {
            vips.reopen(frontend.vip);
            dirty.vips.extend(moved.then_some(frontend.vip));
        }
    }
}

/// The endpoints of a slice for a ServicePort, whichever clients may use them.
fn serving(slice: Option<&Slice>, id: &ServicePortName) -> BTreeSet<(IpAddr, u16)> {
    let of_port =
        |slice: &Slice, port| slice.endpoints.iter().map(move |endpoint| (endpoint.addr, port)).collect::<Vec<_>>();
    slice.into_iter().flat_map(|slice| slice.ports_of(id).flat_map(|port| of_port(slice, port))).collect()
}

fn ports(service: &Service) -> impl Iterator<Item = (&ServicePort, Family)> {
    service.ports.iter().flat_map(|port| service.families().map(move |family| (port, family)))
}
