//! The health-check node ports of this node: which are open, and at which of its addresses.

use std::{io, net::IpAddr};

use portolan_core::{
    addr::{Family, PerFamily},
    desired::NodePortsAt,
    model::Cluster,
};

use crate::{
    http::{HealthCheckServers, ListenFailure},
    local_addresses::LocalAddresses,
};

/// Keeps them as the cluster wants them.
pub struct HealthChecks {
    servers: HealthCheckServers,
    /// Whether any is open, or should be.
    any: bool,
}

impl HealthChecks {
    /// None is open yet.
    #[must_use]
    pub const fn new(servers: HealthCheckServers) -> Self {
        Self { servers, any: false }
    }

    /// To be called after each sync that succeeded: what is in the kernel is what may be told. Returns what could not be
    /// opened; it is tried again at the next call.
    pub fn update(&mut self, cluster: &Cluster) -> Vec<ListenFailure> {
        let checks = cluster.health_checks();
        if checks.is_empty() && !self.any {
            return Vec::new();
        }
        self.any = !checks.is_empty();
        match addresses(cluster) {
            Ok(addresses) => self.servers.set(&checks, &addresses),
            Err(error) => {
                tracing::warn!(%error, "the node's addresses cannot be read: its health check node ports stay as they are");
                Vec::new()
            }
        }
    }
}

/// As in kube-proxy: everywhere, unless NodePorts are at some addresses only; then at those.
fn addresses(cluster: &Cluster) -> io::Result<PerFamily<Vec<IpAddr>>> {
    let policy = cluster.policy();
    let everywhere = HealthCheckServers::everywhere();
    let of = |family: Family| {
        io::Result::Ok(match policy.node_ports.get(family) {
            NodePortsAt::Frontends => cluster.node_port_addresses(family).clone(),
            NodePortsAt::Local(cidrs) if cidrs.is_empty() => everywhere.get(family).clone(),
            NodePortsAt::Local(cidrs) => {
                let is_chosen = |addr: &IpAddr| cidrs.iter().any(|cidr| cidr.contains(addr));
                LocalAddresses::read()?.single(family).filter(is_chosen).collect()
            }
        })
    };
    Ok(PerFamily { v4: of(Family::V4)?, v6: of(Family::V6)? })
}
