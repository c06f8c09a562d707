//! How much there is: for metrics.

use super::{claims::claims, cluster::Cluster};

/// How much there is in the cluster, as this node sees it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Services that are served.
    pub services: usize,
    /// Endpoints in their slices, an address as often as it is listed.
    pub endpoints: usize,
    /// Addresses and ports that they claim.
    pub frontends: usize,
}

impl Cluster {
    /// How much there is. It takes a look at each Service.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for entry in self.services.values() {
            let Some(service) = &entry.service else { continue };
            counts.services += 1;
            counts.frontends += claims(service, &self.node_addrs).len();
            counts.endpoints += entry.slices.iter().map(|slice| slice.endpoints.len()).sum::<usize>();
        }
        counts
    }
}
