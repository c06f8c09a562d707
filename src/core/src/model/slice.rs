//! EndpointSlices after their check. How they become the endpoints of a ServicePort is decided in `endpoints.rs`.

use std::{net::IpAddr, sync::Arc};

use crate::{
    addr::{Family, Protocol},
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
    /// The endpoints that can be used, if only when no better one is there.
    pub(crate) endpoints: Box<[SliceEndpoint]>,
}

impl Slice {
    /// Whether it can have endpoints for a ServicePort.
    pub(crate) fn has_port(&self, id: &ServicePortName) -> bool {
        self.ports_of(id).next().is_some()
    }

    /// Whether any of its endpoints is meant for some clients only.
    pub(crate) fn has_hints(&self) -> bool {
        self.endpoints.iter().any(|endpoint| endpoint.hints.is_some())
    }

    /// Its ports for a ServicePort: one, or none as a rule.
    pub(crate) fn ports_of(&self, id: &ServicePortName) -> impl Iterator<Item = u16> {
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

/// An endpoint of a slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SliceEndpoint {
    /// Its address.
    pub(crate) addr: IpAddr,
    /// Whether it is on this node.
    pub(crate) local: bool,
    /// Whether it is used at once or as a fall-back.
    pub(crate) state: EndpointState,
    /// Whom it is meant for. `None` where the slice names neither a zone nor a node: for everybody. Boxed, since few
    /// have it.
    pub(crate) hints: Option<Box<Hints>>,
}

/// What an endpoint's conditions say; the better one first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum EndpointState {
    /// It takes connections.
    Ready,
    /// It ends and still serves: for connections that no ready one can take.
    Terminating,
}

/// Which clients an endpoint is meant for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hints {
    /// `forZones`: the zones, as the slice lists them; empty where it names none.
    pub(crate) zones: Box<[Arc<str>]>,
    /// `forNodes`, as seen from this node.
    pub(crate) node: NodeHint,
}

/// Whether `forNodes` names this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum NodeHint {
    /// It names none.
    None,
    /// It names this node, perhaps among others.
    Here,
    /// It names others only.
    Elsewhere,
}
