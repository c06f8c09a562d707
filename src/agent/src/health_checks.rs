//! The health-check node ports of this node: which are open, and at which of its addresses.

use std::{io, net::IpAddr};

use portolan_core::{
    addr::{Family, PerFamily},
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

/// As in kube-proxy: everywhere, unless `nodePortAddresses` chooses some addresses; then at those, loopback included.
fn addresses(cluster: &Cluster) -> io::Result<PerFamily<Vec<IpAddr>>> {
    let chosen = &cluster.config().nodeport_addresses;
    let everywhere = HealthCheckServers::everywhere();
    let of = |family: Family| {
        if chosen.is_everywhere(family) {
            return io::Result::Ok(everywhere.get(family).clone());
        }
        let primary = cluster
            .node_port_addresses(family)
            .iter()
            .copied()
            .filter(|addr| !addr.is_unspecified() && !addr.is_loopback());
        let local = LocalAddresses::read()?;
        Ok(primary.chain(local.single(family).filter(|addr| chosen.contains(*addr))).collect())
    };
    Ok(PerFamily { v4: of(Family::V4)?, v6: of(Family::V6)? })
}
