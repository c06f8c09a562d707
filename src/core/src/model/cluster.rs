//! The cluster's state and how one object changes it.

mod viewpoint;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use ipnet::IpNet;

use super::{
    claims::{Dirty, mark, mark_endpoints, mark_service},
    config::NodeConfig,
    names::Names,
    node::NodeState,
    notes::NodeNote,
    service::Service,
    slice::Slice,
    vips::Vips,
};
use crate::{
    addr::{Family, PerFamily},
    ingest::{
        self, EndpointSliceObject, Finding, Kind, Object, ObjectRef, ReadSlice, ServiceCidrObject, ServiceObject,
    },
    name::ServiceName,
};

/// All Services, their endpoints and this node.
#[derive(Debug)]
pub struct Cluster {
    config: NodeConfig,
    names: Names,
    /// Boxed: a tree keeps room free for half as many again.
    pub(super) services: BTreeMap<ServiceName, Box<Entry>>,
    /// Which Service each slice (namespace, name) is filed under; the namespace is the same.
    pub(super) homes: BTreeMap<(Arc<str>, Arc<str>), Arc<str>>,
    node: NodeState,
    /// What [`Cluster::node_eligible`] says.
    node_eligible: bool,
    /// The CIDRs of each ServiceCIDR object.
    pub(super) service_cidrs: BTreeMap<Arc<str>, Box<[IpNet]>>,
    /// The Services that ServiceCIDRs make good or bad, to be read anew when these change: none, as a rule.
    ranged: BTreeMap<ObjectRef, ServiceObject>,
    /// What was found when they were.
    pub(super) reread: Vec<Finding>,
    /// The addresses of NodePorts.
    pub(super) node_addrs: PerFamily<Vec<IpAddr>>,
    /// How many endpoints there are in the slices of each family, one with several ports as often as it has ports.
    slice_endpoints: PerFamily<usize>,
    /// How many Services have NodePorts in each family.
    node_port_services: PerFamily<usize>,
    /// The Services with a health-check node port: few, and asked about after every sync.
    pub(super) health_checked: BTreeSet<ServiceName>,
    /// What [`Cluster::take_node_notes`] gave last or would have given again.
    told: Vec<NodeNote>,
    pub(super) vips: Vips,
    /// What [`Cluster::take_changes`] has to decide anew, and [`Cluster::take_touched`] to tell.
    pub(super) dirty: Dirty,
    pub(super) findings: BTreeMap<ObjectRef, Vec<Finding>>,
    pub(super) new_conflicts: Vec<Finding>,
}

/// What is known under a Service's name. Slices may come before their Service and stay after it.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) service: Option<Service>,
    /// Sorted by name.
    pub(super) slices: Vec<Slice>,
}

impl Entry {
    fn place_of(&self, slice: &str) -> Result<usize, usize> {
        self.slices.binary_search_by(|other| (*other.name).cmp(slice))
    }

    /// Puts a slice in at the place that [`Entry::place_of`] gave.
    fn put(&mut self, place: Result<usize, usize>, slice: Slice) {
        match place {
            Ok(place) => {
                if let Some(old) = self.slices.get_mut(place) {
                    *old = slice;
                }
            }
            Err(place) => {
                if self.slices.is_empty() {
                    // Most Services have one slice; a Vec's first growth makes room for four.
                    self.slices.reserve_exact(1);
                }
                self.slices.insert(place, slice);
            }
        }
    }
}

impl Cluster {
    /// An empty cluster, seen from this node.
    #[must_use]
    pub fn new(config: NodeConfig) -> Self {
        let node_addrs = |family| config.node_port_addresses(None, family);
        Self {
            node_addrs: PerFamily { v4: node_addrs(Family::V4), v6: node_addrs(Family::V6) },
            config,
            names: Names::default(),
            services: BTreeMap::new(),
            homes: BTreeMap::new(),
            node: NodeState::Unknown,
            node_eligible: false,
            service_cidrs: BTreeMap::new(),
            ranged: BTreeMap::new(),
            reread: Vec::new(),
            slice_endpoints: PerFamily::default(),
            node_port_services: PerFamily::default(),
            health_checked: BTreeSet::new(),
            told: Vec::new(),
            vips: Vips::default(),
            dirty: Dirty::default(),
            findings: BTreeMap::new(),
            new_conflicts: Vec::new(),
        }
    }

    /// Takes in a new or changed object. Gives what was found about it and was not found the last time.
    ///
    /// An object that is no longer served (refused, or not for us) is taken out. Nodes other than this one are ignored.
    pub fn apply(&mut self, object: &Object) -> Vec<Finding> {
        let reference = object.reference();
        let findings = match object {
            Object::Service(service) => self.apply_service(service, &reference),
            Object::EndpointSlice(slice) => self.apply_slice(slice, &reference),
            Object::Node(node) => self.apply_node(node, &reference),
            Object::ServiceCidr(cidr) => self.apply_service_cidr(cidr, &reference),
        };
        let new = self.note(reference, findings);
        if let Object::ServiceCidr(_) = object {
            self.read_ranged();
        }
        new
    }

    /// Reads those Services anew that ServiceCIDRs make good or bad.
    fn read_ranged(&mut self) {
        for (reference, object) in self.ranged.clone() {
            let findings = self.apply_service(&object, &reference);
            let new = self.note(reference, findings);
            self.reread.extend(new);
        }
    }

    /// Forgets an object; one that is not known changes nothing.
    pub fn delete(&mut self, reference: &ObjectRef) {
        match reference.kind {
            Kind::Service => {
                self.ranged.remove(reference);
                self.remove_service(&service_name(reference));
            }
            Kind::EndpointSlice => self.remove_slice(reference),
            Kind::Node if *reference.name == *self.config.hostname => self.put_node(NodeState::Unknown),
            Kind::Node => {}
            Kind::ServiceCidr => {
                self.service_cidrs.remove(&reference.name);
                self.read_ranged();
            }
        }
        self.findings.remove(reference);
    }

    /// How many marks there are of what [`Cluster::take_changes`] has to decide anew; one that is there may be set again.
    #[must_use]
    pub const fn marks(&self) -> usize {
        self.dirty.ports.len()
    }

    /// Whether [`Cluster::take_changes`] has anything to decide anew.
    #[must_use]
    pub fn has_changes(&self) -> bool {
        !self.dirty.ports.is_empty() || !self.dirty.vips.is_empty() || self.vips.is_open()
    }

    /// Has [`Cluster::take_changes`] hand out every ServicePort again.
    pub fn decide_all(&mut self) {
        let services = self.services.values().filter_map(|entry| entry.service.as_ref());
        services.for_each(|service| mark(&mut self.dirty, service, |_, _| true));
    }

    /// Everything that is wrong or unusual now, sorted by object. Conflicts are as [`Cluster::take_changes`] decided
    /// them last.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        let mut all: Vec<Finding> = self.findings.values().flatten().cloned().collect();
        all.extend(self.conflicts());
        all.sort_by(|a, b| a.object().cmp(b.object()));
        all
    }

    fn apply_service(&mut self, object: &ServiceObject, reference: &ObjectRef) -> Vec<Finding> {
        if ingest::depends_on_service_cidrs(object) {
            self.ranged.insert(reference.clone(), object.clone());
        } else {
            self.ranged.remove(reference);
        }
        let ranges = if self.ranged.is_empty() { PerFamily::default() } else { self.service_cidrs() };
        let namespace = self.names.share(&reference.namespace);
        let place = self.services.entry(ServiceName { namespace, name: reference.name.clone() });
        let name = place.key().clone();
        let (mut service, findings) = ingest::read_service(object, reference, &name, &mut self.names, &ranges);
        if let Some(service) = service.as_mut().filter(|_| !self.config.external_ips) {
            service.external_ips = Box::default();
        }
        if service.is_none() {
            self.remove_service(&name);
            return findings;
        }
        let entry = place.or_default();
        let old = std::mem::replace(&mut entry.service, service);
        if old != entry.service {
            let (old, new) = (old.as_ref(), entry.service.as_ref());
            if new.is_some_and(|service| service.health_check_node_port.is_some()) {
                self.health_checked.insert(name);
            } else {
                self.health_checked.remove(&name);
            }
            count_node_ports(&mut self.node_port_services, old, new);
            mark_service(&mut self.vips, &mut self.dirty, &self.node_addrs, old, new);
        }
        findings
    }

    fn remove_service(&mut self, name: &ServiceName) {
        let Some(entry) = self.services.get_mut(name) else { return };
        if let Some(old) = entry.service.take() {
            self.health_checked.remove(name);
            count_node_ports(&mut self.node_port_services, Some(&old), None);
            mark_service(&mut self.vips, &mut self.dirty, &self.node_addrs, Some(&old), None);
        }
        if entry.slices.is_empty() {
            self.services.remove(name);
        }
    }

    fn apply_slice(&mut self, object: &EndpointSliceObject, reference: &ObjectRef) -> Vec<Finding> {
        let (read, findings) = ingest::read_slice(object, reference, &self.config.hostname, &mut self.names);
        match read {
            Some(ReadSlice { service, slice }) => self.put_slice(&reference.namespace, service, slice),
            None => self.remove_slice(reference),
        }
        findings
    }

    fn put_slice(&mut self, namespace: &str, service: &str, slice: Slice) {
        let namespace = self.names.share(namespace);
        let place = self.services.entry(ServiceName { namespace: namespace.clone(), name: service.into() });
        let home = place.key().clone();
        let entry = place.or_default();
        let before = self.homes.insert((namespace, slice.name.clone()), home.name.clone());
        let name = slice.name.clone();
        let place = entry.place_of(&name);
        let old = place.ok().and_then(|place| entry.slices.get(place));
        if old != Some(&slice) {
            count_endpoints(&mut self.slice_endpoints, old, Some(&slice));
            if let Some(service) = &entry.service {
                mark_endpoints(&mut self.vips, &mut self.dirty, service, &self.node_addrs, [old, Some(&slice)]);
            }
            entry.put(place, slice);
        }
        if let Some(before) = before
            && before != home.name
        {
            self.remove_from(&ServiceName { namespace: home.namespace, name: before }, &name);
        }
    }

    fn remove_slice(&mut self, reference: &ObjectRef) {
        let key = (reference.namespace.clone(), reference.name.clone());
        if let Some(home) = self.homes.remove(&key) {
            self.remove_from(&ServiceName { namespace: key.0, name: home }, &key.1);
        }
    }

    fn remove_from(&mut self, service: &ServiceName, slice: &str) {
        let Some(entry) = self.services.get_mut(service) else { return };
        let Ok(place) = entry.place_of(slice) else { return };
        let old = entry.slices.remove(place);
        count_endpoints(&mut self.slice_endpoints, Some(&old), None);
        if let Some(service) = &entry.service {
            mark_endpoints(&mut self.vips, &mut self.dirty, service, &self.node_addrs, [Some(&old), None]);
        } else if entry.slices.is_empty() {
            self.services.remove(service);
        }
    }

    fn apply_service_cidr(&mut self, object: &ServiceCidrObject, reference: &ObjectRef) -> Vec<Finding> {
        let (cidrs, findings) = ingest::read_service_cidr(object, reference);
        match cidrs {
            Some(cidrs) => drop(self.service_cidrs.insert(reference.name.clone(), cidrs)),
            None => drop(self.service_cidrs.remove(&reference.name)),
        }
        findings
    }

    /// Keeps an object's findings and gives the new ones among them.
    fn note(&mut self, reference: ObjectRef, findings: Vec<Finding>) -> Vec<Finding> {
        if findings.is_empty() {
            self.findings.remove(&reference);
            return findings;
        }
        let before = self.findings.insert(reference, findings.clone()).unwrap_or_default();
        // A set, since nothing bounds how many bad ports an object can have.
        let known: BTreeSet<_> = before.iter().map(Finding::place).collect();
        findings.into_iter().filter(|finding| !known.contains(&finding.place())).collect()
    }

    /// The CIDRs of all ServiceCIDRs: sorted, each once.
    fn service_cidrs(&self) -> PerFamily<Vec<IpNet>> {
        let all: BTreeSet<IpNet> = self.service_cidrs.values().flatten().copied().collect();
        let of = |family| all.iter().copied().filter(|cidr| Family::of(cidr.addr()) == family).collect();
        PerFamily { v4: of(Family::V4), v6: of(Family::V6) }
    }
}

/// Counts the endpoints after a slice changed.
fn count_endpoints(counts: &mut PerFamily<usize>, old: Option<&Slice>, new: Option<&Slice>) {
    let count = |slice: &Slice| slice.endpoints.len() * slice.ports.len();
    if let Some(new) = new {
        *counts.get_mut(new.family) += count(new);
    }
    if let Some(old) = old {
        *counts.get_mut(old.family) -= count(old);
    }
}

/// Counts the Services with NodePorts after one of them changed.
fn count_node_ports(counts: &mut PerFamily<usize>, old: Option<&Service>, new: Option<&Service>) {
    let with_node_ports = |service: &&Service| service.has_node_ports();
    for family in new.filter(with_node_ports).into_iter().flat_map(Service::families) {
        *counts.get_mut(family) += 1;
    }
    for family in old.filter(with_node_ports).into_iter().flat_map(Service::families) {
        *counts.get_mut(family) -= 1;
    }
}

fn service_name(reference: &ObjectRef) -> ServiceName {
    ServiceName { namespace: reference.namespace.clone(), name: reference.name.clone() }
}
