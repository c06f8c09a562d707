//! From marks to changes: the ServicePorts that something may have changed for, decided anew.

use std::sync::Arc;

use super::{cluster::Cluster, endpoints::Lists};
use crate::{
    addr::Family,
    desired::{self, PortChange, PortId},
    ingest::Finding,
    name::ServicePortName,
};

impl Cluster {
    /// The new state of every ServicePort that may have changed since the last call, sorted; each once. They are decided one
    /// by one as they are taken: those of a first sync, all at once, would need as much memory as all that is kept.
    ///
    /// It may equal what was handed out before, also as `None` for one that never was: the next stage compares.
    pub fn take_changes(&mut self) -> impl Iterator<Item = PortChange> {
        self.decide_contests();
        let mut dirty = std::mem::take(&mut self.dirty.ports);
        dirty.sort();
        dirty.dedup();
        dirty.into_iter().map(|(id, family)| self.change(id, family))
    }

    /// What was found in Services that were read anew because a ServiceCIDR came, changed or went, since it was last asked for.
    #[must_use]
    pub fn take_reread(&mut self) -> Vec<Finding> {
        std::mem::take(&mut self.reread)
    }

    /// The Services that lost a VIP to another by the last [`Cluster::take_changes`]; a second call gives none.
    pub fn take_conflicts(&mut self) -> Vec<Finding> {
        std::mem::take(&mut self.new_conflicts)
    }

    fn change(&self, id: Arc<ServicePortName>, family: Family) -> PortChange {
        let decide = || {
            let entry = self.services.get(&id.service)?;
            let service = entry.service.as_ref()?;
            let port = service.port(&id)?;
            let has = |vip: &_| self.vips.has(vip, &id);
            let lists = || Lists::of(&entry.slices, &id, family, self.zone());
            let node = self.viewpoint(family);
            let loopback = desired::at_loopback(service, port, family, node.node_ports, has, lists);
            Some((desired::decide(service, port, family, node, has, lists), loopback))
        };
        let (desired, loopback) = decide().unwrap_or_default();
        PortChange { id: PortId { name: id, family }, desired, loopback }
    }
}
