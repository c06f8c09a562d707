//! The layout beside IPVS: what is otherwise where virtual servers pick the endpoint of a connection.
//!
//! ```text
//!   client --> nat-prerouting --> the node itself --> filter-input --> IPVS --> (output) --> nat-postrouting --> endpoint
//!              mark? policy?      its address is      refuse           picks                 masquerade
//!                                 on kube-ipvs0
//!   node ----> nat-output --> filter-output-early ----------------------> IPVS --> (output) --> nat-postrouting --> endpoint
//! ```
//!
//! A cluster IP with a virtual server has no endpoints in the sets. So a packet to it keeps its address, is found to be for this node,
//! and IPVS gives it an endpoint's address at LOCAL_IN, or at LOCAL_OUT for what the node sends (`ip_vs_core.c`). IPVS does not
//! mark the connection as translated (`IPS_DST_NAT`), but with `net.ipv4.vs.conntrack` conntrack knows what the client asked: that
//! is how such a packet is told. Rules translate what comes to other frontends to the cluster IP, if that has the same endpoints.

use std::net::IpAddr;

use portolan_core::{
    addr::Family,
    desired::{DesiredPort, NodePolicy},
    inspect::Objects,
    trace::{Packet, Trace, World},
};

use super::{
    Key, Nft, Nftables, Value, closed, layout,
    names::{SetName, TABLE},
    render, trace,
};
pub use super::{sender::Sender, trace::Servers};
use crate::table::{element::ElementKey, error::Error, lower::protocol_family};

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

/// Whether the object says where a frontend's connections are sent, which may be a cluster IP.
#[must_use]
pub const fn leads_on(key: &Key) -> bool {
    use SetName::{Direct, Endpoints, LocalEndpoints};
    matches!(key, Key::Element(_, Direct(_) | Endpoints(_) | LocalEndpoints(_), _))
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

/// The chains of other programs in which packets to Services may end: here they are for the node itself, and nothing that our
/// rules say keeps another chain from dropping them.
///
/// # Errors
/// When the kernel cannot be read.
pub fn closed_inputs(tables: &mut Nftables) -> Result<Vec<String>, Error> {
    Ok(closed::closed_inputs(tables.connection())?)
}

/// Follows a packet through objects and virtual servers.
#[must_use]
pub fn trace(objects: &Objects<'_, Nft>, packet: &Packet, world: &World<'_>, servers: &Servers<'_>) -> Trace {
    trace::trace(objects, packet, world, servers)
}
