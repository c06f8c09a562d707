//! From a Service to what it touches: the VIPs that it claims, and the ServicePorts that a change makes dirty.

use std::{net::IpAddr, sync::Arc};

use super::{
    service::{Service, ServicePort},
    slice::Slice,
    vips::{Claim, Vips},
};
use crate::{
    addr::{Family, PerFamily},
    desired::{self, Vip},
    name::ServicePortName,
};

/// The ServicePorts to be decided anew, with their family; some more than once, until they are sorted.
pub(super) type Dirty = Vec<(Arc<ServicePortName>, Family)>;

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
        if after.binary_search(old).is_err()
            && let Some(heir) = vips.release(old.0, &old.1)
        {
            dirty.push((heir, Family::of(old.0.addr)));
        }
    }
    for new in after {
        if before.binary_search(new).is_err() {
            vips.claim(new.0, new.1.clone());
        }
    }
}

/// Marks the ServicePorts that are chosen, each in the families that the Service has.
pub(super) fn mark(dirty: &mut Dirty, service: &Service, chosen: impl Fn(&ServicePort, Family) -> bool) {
    let all = ports(service).filter(|(port, family)| chosen(port, *family));
    dirty.extend(all.map(|(port, family)| (port.id.clone(), family)));
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
        dirty.push((port.id.clone(), family));
        if vips.is_contested() {
            let frontends = desired::claimed(service, port, family, node_addrs.get(family));
            frontends.iter().for_each(|frontend| vips.reopen(frontend.vip));
        }
    }
}

fn ports(service: &Service) -> impl Iterator<Item = (&ServicePort, Family)> {
    service.ports.iter().flat_map(|port| service.families().map(move |family| (port, family)))
}
