//! The decision itself: which Frontends a ServicePort has on this node, and what becomes of their connections.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{DesiredPort, Frontend, FrontendKind, Vip};
use crate::{
    addr::{Family, Protocol},
    model::{Lists, Service, ServicePort, TrafficPolicy},
};

/// What a decision takes from the node, in one family.
#[derive(Debug, Clone, Copy)]
pub struct Viewpoint<'a> {
    /// The addresses of NodePorts; the unspecified one stands for all that are local to the node and not loopback.
    pub node_ports: &'a [IpAddr],
    /// The address that stands for the node.
    pub primary: Option<IpAddr>,
}

/// The Frontends that a ServicePort claims in one family: sorted by VIP, each VIP once.
///
/// Without a cluster IP of the family there is nothing: the Service is unknown in it, whatever other addresses it has.
#[must_use]
pub fn claimed(service: &Service, port: &ServicePort, family: Family, node_ports: &[IpAddr]) -> Vec<Frontend> {
    let Some(cluster_ip) = *service.cluster_ips.get(family) else { return Vec::new() };
    let has_ranges = service.source_ranges(family).is_some();
    let frontend = |addr, number, kind| Frontend {
        vip: Vip { addr, protocol: port.id.protocol, port: number },
        kind,
        policy: policy(service, kind),
        // The ranges hold for the address, whichever field gives it; never for NodePorts.
        restricted: has_ranges && kind != FrontendKind::NodePort && service.load_balancer_ips.contains(&addr),
    };
    let at_port = |addrs: &[IpAddr], kind| -> Vec<Frontend> {
        let of_family = addrs.iter().filter(|addr| Family::of(**addr) == family);
        of_family.map(|addr| frontend(*addr, port.number, kind)).collect()
    };
    let mut all = vec![frontend(cluster_ip, port.number, FrontendKind::ClusterIp)];
    all.extend(at_port(&service.external_ips, FrontendKind::ExternalIp));
    all.extend(at_port(&service.load_balancer_ips, FrontendKind::LoadBalancerIp));
    if let Some(number) = port.node_port {
        let of_family = node_ports.iter().filter(|addr| Family::of(**addr) == family);
        // At loopback addresses somebody listens, which is for TCP only.
        let open = of_family.filter(|addr| !addr.is_loopback() || port.id.protocol == Protocol::Tcp);
        all.extend(open.map(|addr| frontend(*addr, number, FrontendKind::NodePort)));
    }
    // By VIP, then by kind in the order of precedence: an address that is both stays what it is first.
    all.sort_unstable();
    all.dedup_by_key(|frontend| frontend.vip);
    all
}

const fn policy(service: &Service, kind: FrontendKind) -> TrafficPolicy {
    match kind {
        FrontendKind::ClusterIp => service.internal_policy,
        FrontendKind::ExternalIp | FrontendKind::LoadBalancerIp | FrontendKind::NodePort => service.external_policy,
    }
}

/// The state of a ServicePort in one family; `None` when it has no Frontend there.
///
/// `has` says whether a VIP is this ServicePort's and not another's who claims it too; `lists` gives its endpoints.
#[must_use]
pub fn decide(
    service: &Service,
    port: &ServicePort,
    family: Family,
    node: Viewpoint<'_>,
    has: impl Fn(&Vip) -> bool,
    lists: impl FnOnce() -> Lists,
) -> Option<DesiredPort> {
    let mut frontends = claimed(service, port, family, node.node_ports);
    // What is at loopback is no matter of the kernel's rules.
    frontends.retain(|frontend| !frontend.vip.addr.is_loopback() && has(&frontend.vip));
    if frontends.is_empty() {
        return None;
    }
    let Lists { cluster, mut local } = lists();
    if frontends.iter().all(|frontend| frontend.policy == TrafficPolicy::Cluster) {
        local.clear();
    }
    let restricted = frontends.iter().any(|frontend| frontend.restricted);
    let sources = if restricted { sources(service, family, node.primary) } else { Vec::new() };
    Some(DesiredPort {
        name: (*port.id).clone(),
        family,
        frontends,
        endpoints: cluster,
        local_endpoints: local,
        affinity: service.affinity,
        scheduling: service.scheduling,
        sources,
        health_check_node_port: service.health_check_node_port,
    })
}

/// Who may connect to a Service's load-balancer addresses. Where the node itself may, so may those addresses: a node that
/// holds one of them connects from it (kube-proxy since 1.10, kubernetes#40654).
fn sources(service: &Service, family: Family, primary: Option<IpAddr>) -> Vec<IpNet> {
    let mut all = service.source_ranges(family).unwrap_or_default().to_vec();
    if primary.is_some_and(|addr| all.iter().any(|range| range.contains(&addr))) {
        let of_family = service.load_balancer_ips.iter().filter(|addr| Family::of(**addr) == family);
        all.extend(of_family.map(|addr| IpNet::from(*addr)));
    }
    IpNet::aggregate(&all)
}
