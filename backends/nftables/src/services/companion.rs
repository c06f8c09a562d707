//! The layout beside IPVS: what is otherwise where virtual servers pick the endpoint of a connection.
//!
//! ```text
//!   client --> nat-prerouting --> the node itself --> filter-input --> IPVS --> (output) --> nat-postrouting --> endpoint
//!              mark? policy?      its address is      refuse           picks                 masquerade
//!                                 on kube-ipvs0
//!   node ----> nat-output ----------------------------------> IPVS --> filter-output ------> nat-postrouting --> endpoint
//! ```
//!
//! A frontend that a virtual server serves has no endpoints in the sets. So its packets keep its address, are found to be for
//! this node, and IPVS gives them an endpoint's address at LOCAL_IN, or at LOCAL_OUT for what the node sends (`ip_vs_core.c`).
//! It changes no connection into one that is translated (`IPS_DST_NAT`), but with `net.ipv4.vs.conntrack` conntrack
//! knows what the client asked: that is how such a packet is told. All other frontends are what they are in nftables mode.

use std::net::IpAddr;

use portolan_core::{
    addr::{Family, Protocol},
    desired::{DesiredPort, Frontend, FrontendKind, NodePolicy},
    inspect::Objects,
    trace::{Packet, Trace, World},
};

pub use super::trace::Servers;
use super::{
    Key, Nft, Nftables, Rule, Statement, Value,
    layout::{self, commented, rule},
    names::{SetName, TABLE},
    render, trace,
};
use crate::table::{
    element::ElementKey,
    error::Error,
    field::{
        Field::{Asked, Destination, Source},
        Scope, VIP,
    },
    lower::protocol_family,
    rule::Statement::{Drop, In, Is, Masquerade, NotIn, Reject, RejectWithReset, Return},
};

/// What sends connections on to endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// The rules of our tables, all of them.
    Rules,
    /// IPVS those that a virtual server [can serve](Self::schedules), and the rules all others.
    Ipvs,
}

impl Sender {
    /// Whether the address of a frontend is one of the node's own, on its link kube-ipvs0.
    #[must_use]
    pub fn has_address(self, frontend: &Frontend) -> bool {
        self == Self::Ipvs && frontend.kind == FrontendKind::ClusterIp
    }

    /// Whether a virtual server serves a frontend. Session affinity lasts longer than a connection and is the same at all
    /// frontends (S9.4), as IPVS has none, so rules serve those that have it.
    #[must_use]
    pub fn schedules(self, port: &DesiredPort, frontend: &Frontend) -> bool {
        self.has_address(frontend) && port.affinity.is_none()
    }
}

/// The objects of our tables that this node needs whatever its Services; `need` as for
/// [`Dialect::base`](portolan_core::object::Dialect::base).
pub fn base(policy: &NodePolicy, need: &dyn Fn(&Key) -> usize) -> Vec<(Key, Value)> {
    layout::objects(policy, Sender::Ipvs, need)
}

/// Appends the objects of one ServicePort in our tables; no key twice.
pub fn render(port: &DesiredPort, objects: &mut Vec<(Key, Value)>) {
    render::render(port, Sender::Ipvs, objects);
}

/// The object that says of an address that IPVS sends connections on there.
#[must_use]
pub fn address(address: IpAddr) -> Key {
    Key::Element(Family::of(address), SetName::Scheduled, ElementKey::address(address))
}

/// Whether our tables are those beside IPVS.
///
/// # Errors
/// When the kernel cannot be read.
pub fn is_there(tables: &mut Nftables) -> Result<bool, Error> {
    for family in tables.tables()? {
        let sets = tables.connection().sets(protocol_family(family), TABLE)?;
        if sets.iter().any(|set| set.name == SetName::Scheduled.as_str()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Follows a packet through objects and virtual servers.
#[must_use]
pub fn trace(objects: &Objects<'_, Nft>, packet: &Packet, world: &World<'_>, servers: &Servers<'_>) -> Trace {
    trace::trace(objects, packet, world, servers)
}

/// The client asked for an address at which IPVS sends connections on.
pub(super) fn scheduled() -> Statement {
    In(vec![Asked], SetName::Scheduled)
}

/// What IPVS has given an endpoint's address, which may be somebody's frontend too.
pub(super) fn on_its_way() -> [Rule; 1] {
    [rule([scheduled(), NotIn(vec![Destination], SetName::Scheduled), Return])]
}

/// The addresses are the node's own, so without this its processes that listen at all addresses would answer there. While
/// connections to a Service drain that is gone its cluster IP is one of nobody.
pub(super) fn refuse() -> [Rule; 3] {
    let address = || In(vec![Destination], SetName::Scheduled);
    let no_such_port = || NotIn(VIP.to_vec(), SetName::Services(Scope::Vip));
    [
        commented("no such cluster IP", [address(), NotIn(vec![Destination], SetName::ClusterIps), Drop]),
        commented("no such port", [Is(Protocol::Tcp), address(), no_such_port(), RejectWithReset]),
        commented("no such port", [address(), no_such_port(), Reject]),
    ]
}

/// What the node itself sends to an address of its own comes from that address, at which no endpoint could answer.
pub(super) fn masquerade() -> [Rule; 1] {
    [rule([In(vec![Source], SetName::Scheduled), Masquerade])]
}
