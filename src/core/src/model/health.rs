//! What load balancers are told when they ask a node whether it has endpoints of a Service (`healthCheckNodePort`).

use std::collections::BTreeSet;

use super::{cluster::Cluster, slice::EndpointState};
use crate::{addr::Family, name::ServiceName};

/// The answer of one health-check node port in one family.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HealthCheck {
    /// Whose it is.
    pub service: ServiceName,
    /// In which family.
    pub family: Family,
    /// Where it is asked, 1 to 65535.
    pub port: u16,
    /// How many ready endpoints this node has, by address: one with two ports counts once. Those that end count no longer,
    /// so that the load balancer turns to other nodes while they still serve (KEP-1669).
    pub local_endpoints: usize,
}

impl Cluster {
    /// All health-check node ports, sorted by Service.
    #[must_use]
    pub fn health_checks(&self) -> Vec<HealthCheck> {
        let mut all = Vec::new();
        for name in &self.health_checked {
            let Some(entry) = self.services.get(name) else { continue };
            let Some(service) = &entry.service else { continue };
            let Some(port) = service.health_check_node_port else { continue };
            for family in service.families() {
                let slices = entry.slices.iter().filter(|slice| slice.family == family && !slice.ports.is_empty());
                let endpoints = slices.flat_map(|slice| &slice.endpoints);
                let ready = endpoints.filter(|endpoint| endpoint.local && endpoint.state == EndpointState::Ready);
                let local_endpoints = ready.map(|endpoint| endpoint.addr).collect::<BTreeSet<_>>().len();
                all.push(HealthCheck { service: name.clone(), family, port, local_endpoints });
            }
        }
        all
    }
}
