//! The decision itself: which Frontends a ServicePort has on this node, and what becomes of its connections.

use std::net::IpAddr;

use super::{DesiredPort, Endpoint, Frontend, FrontendKind, Masquerade, Vip};
use crate::{
    addr::Family,
    model::{Service, ServicePort},
};

/// The Frontends that a ServicePort claims in one family: sorted by VIP, each VIP once.
///
/// `node_addrs` are this node's addresses that have NodePorts. Without a cluster IP of the family there is nothing: the
/// Service is unknown in it, whatever other addresses it has.
#[must_use]
pub fn claimed(service: &Service, port: &ServicePort, family: Family, node_addrs: &[IpAddr]) -> Vec<Frontend> {
    let Some(cluster_ip) = *service.cluster_ips.get(family) else { return Vec::new() };
    let frontend = |addr, number, kind| {
        let vip = Vip { addr, protocol: port.id.protocol, port: number };
        Frontend { vip, kind, masquerade: masquerade(kind) }
    };
    let at_port = |addrs: &[IpAddr], kind| -> Vec<Frontend> {
        let of_family = addrs.iter().filter(|addr| Family::of(**addr) == family);
        of_family.map(|addr| frontend(*addr, port.number, kind)).collect()
    };
    let mut all = vec![frontend(cluster_ip, port.number, FrontendKind::ClusterIp)];
    all.extend(at_port(&service.external_ips, FrontendKind::ExternalIp));
    all.extend(at_port(&service.load_balancer_ips, FrontendKind::LoadBalancerIp));
    if let Some(number) = port.node_port {
        let of_family = node_addrs.iter().filter(|addr| Family::of(**addr) == family);
        all.extend(of_family.map(|addr| frontend(*addr, number, FrontendKind::NodePort)));
    }
    // By VIP, then by kind in the order of precedence: an address that is both stays what it is first.
    all.sort_unstable();
    all.dedup_by_key(|frontend| frontend.vip);
    all
}

/// Cluster IPs keep the address of pods; connections to the other kinds may have come through any node and must go back
/// through this one.
const fn masquerade(kind: FrontendKind) -> Masquerade {
    match kind {
        FrontendKind::ClusterIp => Masquerade::NonLocal,
        FrontendKind::ExternalIp | FrontendKind::LoadBalancerIp | FrontendKind::NodePort => Masquerade::Always,
    }
}

/// The state of a ServicePort in one family; `None` when it has no Frontend there.
///
/// `has` says whether a VIP is this ServicePort's and not another's who claims it too; `endpoints` gives the usable ones,
/// sorted, each once.
#[must_use]
pub fn decide(
    service: &Service,
    port: &ServicePort,
    family: Family,
    node_addrs: &[IpAddr],
    has: impl Fn(&Vip) -> bool,
    endpoints: impl FnOnce() -> Vec<Endpoint>,
) -> Option<DesiredPort> {
    let mut frontends = claimed(service, port, family, node_addrs);
    frontends.retain(|frontend| has(&frontend.vip));
    if frontends.is_empty() {
        return None;
    }
    Some(DesiredPort { name: (*port.id).clone(), family, frontends, endpoints: endpoints() })
}
