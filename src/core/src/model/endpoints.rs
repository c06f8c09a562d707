//! Which endpoints a ServicePort has on this node: from all slices of its Service to the two lists that traffic policies
//! choose from.
//!
//! ```text
//!   slices --merge--> each address and port once --+-- ready, near enough (hints)   or else  terminating --> cluster
//!                                                  '-- ready, on this node          or else  terminating --> local
//! ```
//!
//! Each list falls back on its own, and only to endpoints that still serve. As kube-proxy does
//! (`CategorizeEndpoints` of pkg/proxy/topology.go).

use std::{net::SocketAddr, sync::Arc};

use super::slice::{EndpointState, Hints, NodeHint, Slice};
use crate::{addr::Family, desired::Endpoint, name::ServicePortName};

/// The endpoints that connections of a ServicePort may be sent to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lists {
    /// For traffic policy `Cluster`; empty only if there is no usable endpoint at all.
    pub cluster: Vec<Endpoint>,
    /// For traffic policy `Local`: those of this node.
    pub local: Vec<Endpoint>,
}

impl Lists {
    /// From the slices of a Service, sorted by name. `zone` is this node's, if it has one.
    pub(super) fn of(slices: &[Slice], id: &ServicePortName, family: Family, zone: Option<&Arc<str>>) -> Self {
        let all = merge(slices, id, family);
        let nearness = Nearness::of(&all, zone);
        let choose = |chosen: &dyn Fn(&Candidate<'_>) -> bool, state| -> Vec<Endpoint> {
            all.iter().filter(|found| found.state == state && chosen(found)).map(|found| found.endpoint).collect()
        };
        let or_terminating = |ready: Vec<Endpoint>, chosen: &dyn Fn(&Candidate<'_>) -> bool| {
            if ready.is_empty() { choose(chosen, EndpointState::Terminating) } else { ready }
        };
        let is_local = |found: &Candidate<'_>| found.endpoint.local;
        Self {
            cluster: or_terminating(choose(&|found| nearness.allows(found), EndpointState::Ready), &|_| true),
            local: or_terminating(choose(&is_local, EndpointState::Ready), &is_local),
        }
    }
}

/// An endpoint of a ServicePort, with what decides whether it is used.
#[derive(Debug, Clone, Copy)]
struct Candidate<'a> {
    endpoint: Endpoint,
    state: EndpointState,
    hints: Option<&'a Hints>,
}

/// The endpoints of one ServicePort in one family from all slices of its Service: sorted, each address and port once.
///
/// While a pod moves from one slice to another both may have it (KEP-752), and a new pod may get the address of one that
/// still ends. A ready one counts before one that ends, and then the one in the slice with the smallest name, in whatever
/// order they came.
fn merge<'a>(slices: &'a [Slice], id: &ServicePortName, family: Family) -> Vec<Candidate<'a>> {
    let of_family = || slices.iter().filter(|slice| slice.family == family);
    let count = of_family().map(|slice| slice.ports_of(id).count() * slice.endpoints.len()).sum();
    let mut all = Vec::with_capacity(count);
    for slice in of_family() {
        for port in slice.ports_of(id) {
            all.extend(slice.endpoints.iter().map(|found| Candidate {
                endpoint: Endpoint { addr: found.addr, port, local: found.local },
                state: found.state,
                hints: found.hints.as_deref(),
            }));
        }
    }
    // Stable: of equals the one of the first slice stays.
    all.sort_by_key(|found| (found.endpoint.addr, found.endpoint.port, found.state));
    all.dedup_by_key(|found| (found.endpoint.addr, found.endpoint.port));
    all
}

/// Whether a ServicePort has any endpoint in a family.
pub(super) fn any(slices: &[Slice], id: &ServicePortName, family: Family) -> bool {
    slices.iter().any(|slice| slice.family == family && !slice.endpoints.is_empty() && slice.has_port(id))
}

/// Whether an address and port is one of a ServicePort's endpoints, whichever clients may use it.
pub(super) fn serves(slices: &[Slice], id: &ServicePortName, at: SocketAddr) -> bool {
    let family = Family::of(at.ip());
    slices.iter().filter(|slice| slice.family == family).any(|slice| {
        slice.ports_of(id).any(|port| port == at.port()) && slice.endpoints.iter().any(|found| found.addr == at.ip())
    })
}

/// How near ready endpoints must be, by the hints of all of them (KEP-2433, KEP-3015): one endpoint without a hint switches
/// a level off, and so does having none for this place, so that there is always one left.
#[derive(Debug, Clone, Copy)]
enum Nearness<'a> {
    /// Those that name this node.
    Node,
    /// Those that name this zone.
    Zone(&'a Arc<str>),
    /// All.
    Any,
}

impl<'a> Nearness<'a> {
    fn of(all: &[Candidate<'_>], zone: Option<&'a Arc<str>>) -> Self {
        let ready = || all.iter().filter(|found| found.state == EndpointState::Ready);
        let usable = |level: Self, has_hint: fn(&Hints) -> bool| {
            ready().all(|found| found.hints.is_some_and(has_hint)) && ready().any(|found| level.allows(found))
        };
        if usable(Self::Node, |hints| hints.node != NodeHint::None) {
            return Self::Node;
        }
        let zone = zone.map(Self::Zone).filter(|level| usable(*level, |hints| !hints.zones.is_empty()));
        zone.unwrap_or(Self::Any)
    }

    fn allows(self, found: &Candidate<'_>) -> bool {
        match self {
            Self::Any => true,
            Self::Node => found.hints.is_some_and(|hints| hints.node == NodeHint::Here),
            Self::Zone(zone) => found.hints.is_some_and(|hints| hints.zones.contains(zone)),
        }
    }
}
