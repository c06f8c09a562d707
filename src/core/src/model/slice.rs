//! EndpointSlices after their check, and how the slices of a Service become the endpoints of a ServicePort.

use std::{net::IpAddr, sync::Arc};

use crate::{
    addr::{Family, Protocol},
    desired::Endpoint,
    name::ServicePortName,
};

/// A slice of a Service's endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Slice {
    /// Its name; the namespace is the Service's.
    pub(crate) name: Arc<str>,
    /// The family of all its addresses.
    pub(crate) family: Family,
    /// The ports that each endpoint has, sorted.
    pub(crate) ports: Box<[SlicePort]>,
    /// The endpoints that are ready.
    pub(crate) endpoints: Box<[SliceEndpoint]>,
}

impl Slice {
    /// Whether it can have endpoints for a ServicePort.
    pub(crate) fn has_port(&self, id: &ServicePortName) -> bool {
        self.ports_of(id).next().is_some()
    }

    fn ports_of(&self, id: &ServicePortName) -> impl Iterator<Item = u16> {
        let key = (&id.port, id.protocol);
        let first = self.ports.partition_point(|port| (&port.name, port.protocol) < key);
        let rest = self.ports.get(first..).unwrap_or_default();
        rest.iter().take_while(move |port| (&port.name, port.protocol) == key).map(|port| port.number)
    }
}

/// A port of a slice, matched with the Service's by name and protocol.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SlicePort {
    /// The name, empty for a single port.
    pub(crate) name: Arc<str>,
    /// The protocol.
    pub(crate) protocol: Protocol,
    /// The number at the endpoint, 1 to 65535.
    pub(crate) number: u16,
}

/// A ready endpoint of a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SliceEndpoint {
    /// Its address.
    pub(crate) addr: IpAddr,
    /// Whether it is on this node.
    pub(crate) local: bool,
}

/// The endpoints of one ServicePort in one family from all slices of its Service: sorted, each address and port once.
///
/// While a pod moves from one slice to another both may have it (KEP-752); the slice with the smallest name then says
/// whether it is local, in whatever order they came. `slices` is sorted by name.
pub(super) fn merge(slices: &[Slice], id: &ServicePortName, family: Family) -> Vec<Endpoint> {
    let of_family = || slices.iter().filter(|slice| slice.family == family);
    let count = of_family().map(|slice| slice.ports_of(id).count() * slice.endpoints.len()).sum();
    let mut all = Vec::with_capacity(count);
    for slice in of_family() {
        for port in slice.ports_of(id) {
            all.extend(slice.endpoints.iter().map(|found| Endpoint { addr: found.addr, port, local: found.local }));
        }
    }
    // Stable: of equals the one of the first slice stays.
    all.sort_by_key(|endpoint| (endpoint.addr, endpoint.port));
    all.dedup_by_key(|endpoint| (endpoint.addr, endpoint.port));
    all
}

/// Whether a ServicePort has any endpoint in a family.
pub(super) fn any(slices: &[Slice], id: &ServicePortName, family: Family) -> bool {
    slices.iter().any(|slice| slice.family == family && !slice.endpoints.is_empty() && slice.has_port(id))
}
