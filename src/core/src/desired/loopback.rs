//! NodePorts at loopback addresses. What is sent to one does not leave the node, so no rule can lead it to an endpoint; who
//! serves it must listen there, in user space, and connect to an endpoint (KEP-6032). That is for TCP only.
//!
//! Who has such a NodePort and which endpoints it may use is decided like everything else; only nothing of it is in the
//! kernel's rules.

use std::net::{IpAddr, SocketAddr};

use super::{Vip, decide::claimed};
use crate::{
    addr::Family,
    model::{Lists, Service, ServicePort, TrafficPolicy},
};

/// A NodePort of a ServicePort at the loopback address of a family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoopbackNodePort {
    /// Where clients on the node connect to.
    pub address: SocketAddr,
    /// Where their connections go, each with the same chance; at least one.
    pub endpoints: Vec<SocketAddr>,
    /// For how many seconds they stay with one endpoint, from the last new connection on; all of them, since they are one
    /// client, the node.
    pub affinity: Option<u32>,
}

/// What must be listened for, if anything: nothing where the NodePort has no endpoint that its policy allows, so that the
/// kernel refuses who connects. With policy Local that is so where the node has none: there is no short-cut for the node's
/// own processes, as there is none in kube-proxy.
#[must_use]
pub fn at_loopback(
    service: &Service,
    port: &ServicePort,
    family: Family,
    node_ports: &[IpAddr],
    has: impl Fn(&Vip) -> bool,
    lists: impl FnOnce() -> Lists,
) -> Option<LoopbackNodePort> {
    if !node_ports.iter().any(IpAddr::is_loopback) {
        return None;
    }
    let mut claimed = claimed(service, port, family, node_ports).into_iter();
    let frontend = claimed.find(|frontend| frontend.vip.addr.is_loopback() && has(&frontend.vip))?;
    let Lists { cluster, local } = lists();
    let endpoints = match frontend.policy {
        TrafficPolicy::Cluster => cluster,
        TrafficPolicy::Local => local,
    };
    let endpoints: Vec<_> = endpoints.iter().map(|endpoint| SocketAddr::new(endpoint.addr, endpoint.port)).collect();
    let address = SocketAddr::new(frontend.vip.addr, frontend.vip.port);
    (!endpoints.is_empty()).then_some(LoopbackNodePort { address, endpoints, affinity: service.affinity })
}
