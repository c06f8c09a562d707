//! The node from which the cluster is seen: its object, its configuration, and what depends on them.

use std::{net::IpAddr, sync::Arc};

use super::Cluster;
use crate::{
    addr::{Family, PerFamily},
    desired::{NodePolicy, Viewpoint},
    ingest::{self, Finding, NodeObject, ObjectRef},
    model::{
        claims::{claims, exchange, mark},
        config::NodeConfig,
        node::{Node, NodeState},
        notes::{self, NodeNote},
        slice::Slice,
    },
};

impl Cluster {
    /// Whether load balancers may send new connections to this node: its Node object is known and not about to go. Once
    /// the object is deleted it is as last seen.
    #[must_use]
    pub const fn node_eligible(&self) -> bool {
        self.node_eligible
    }

    /// What holds for every Service on this node.
    #[must_use]
    pub fn policy(&self) -> NodePolicy {
        self.config.policy(self.node.known(), self.service_cidrs(), self.slice_endpoints)
    }

    /// The addresses of NodePorts in a family; the unspecified one where they are those that [`Cluster::policy`] says.
    #[must_use]
    pub const fn node_port_addresses(&self, family: Family) -> &Vec<IpAddr> {
        self.node_addrs.get(family)
    }

    /// What the cluster is seen from.
    #[must_use]
    pub const fn config(&self) -> &NodeConfig {
        &self.config
    }

    /// Takes over another configuration, while everything is served. The node's name stays what it was: which endpoints are
    /// local was decided by it as they came.
    pub fn reconfigure(&mut self, config: NodeConfig) {
        let hostname = std::mem::take(&mut self.config.hostname);
        self.config = NodeConfig { hostname, ..config };
        self.refresh_node_addrs();
    }

    /// Why the node serves otherwise than somebody may expect: the reasons that were not there at
    /// the last call.
    pub fn take_node_notes(&mut self) -> Vec<NodeNote> {
        let wanted = PerFamily { v4: self.node_port_services.v4 > 0, v6: self.node_port_services.v6 > 0 };
        let notes = notes::notes(&self.config, &self.node, wanted);
        let before = std::mem::replace(&mut self.told, notes.clone());
        notes.into_iter().filter(|note| !before.contains(note)).collect()
    }

    pub(super) fn apply_node(&mut self, object: &NodeObject, reference: &ObjectRef) -> Vec<Finding> {
        if *reference.name != *self.config.hostname {
            return Vec::new();
        }
        let (node, findings) = ingest::read_node(object, reference);
        if let Some(node) = &node {
            self.node_eligible = !node.leaving;
        }
        self.put_node(node.map_or(NodeState::Refused, NodeState::Known));
        findings
    }

    /// Takes in what is known of the Node, and marks what depends on what changed of it.
    pub(super) fn put_node(&mut self, new: NodeState) {
        let old = std::mem::replace(&mut self.node, new);
        let (old, new) = (old.known(), self.node.known());
        if zone(old) != zone(new) {
            let hinted = self.services.values().filter(|entry| entry.slices.iter().any(Slice::has_hints));
            hinted
                .filter_map(|entry| entry.service.as_ref())
                .for_each(|service| mark(&mut self.dirty, service, |_, _| true));
        }
        let primary = |node, family| self.config.primary(node, family);
        let moved = |family| primary(old, family) != primary(new, family);
        if Family::ALL.into_iter().any(moved) {
            for service in self.services.values().filter_map(|entry| entry.service.as_ref()) {
                mark(&mut self.dirty, service, |_, family| moved(family) && service.source_ranges(family).is_some());
            }
        }
        self.refresh_node_addrs();
    }

    fn refresh_node_addrs(&mut self) {
        let addrs = |family| self.config.node_port_addresses(self.node.known(), family);
        let addrs = PerFamily { v4: addrs(Family::V4), v6: addrs(Family::V6) };
        if addrs == self.node_addrs {
            return;
        }
        let before = std::mem::replace(&mut self.node_addrs, addrs);
        let services = self.services.values().filter_map(|entry| entry.service.as_ref());
        for service in services.filter(|service| service.has_node_ports()) {
            let (old, new) = (claims(service, &before), claims(service, &self.node_addrs));
            exchange(&mut self.vips, &mut self.dirty, &old, &new);
            let moved = |family| before.get(family) != self.node_addrs.get(family);
            mark(&mut self.dirty, service, |port, family| port.node_port.is_some() && moved(family));
        }
    }

    /// This node's zone, by which zone hints are followed.
    pub(in crate::model) fn zone(&self) -> Option<&Arc<str>> {
        zone(self.node.known())
    }

    /// What the node contributes to decisions in a family.
    pub(in crate::model) fn viewpoint(&self, family: Family) -> Viewpoint<'_> {
        Viewpoint { node_ports: self.node_addrs.get(family), primary: self.config.primary(self.node.known(), family) }
    }
}

fn zone(node: Option<&Node>) -> Option<&Arc<str>> {
    node.and_then(|node| node.zone.as_ref())
}
