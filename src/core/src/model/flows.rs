//! Which flows lead to the wrong place. The kernel remembers for each client where its datagrams go (conntrack), and asks
//! no rule again as long as they keep coming: an endpoint that is gone would get them for ever.
//!
//! ```text
//!   what the entry says                        the address now               and so
//!   client -> 10.96.0.10:53 => endpoint        that endpoint still serves    stays, whatever policies say
//!                                              another's, or it has none     stale
//!                                              nobody's any more             stale: nothing would ever look at it again
//!   client -> 10.96.0.10:53, not translated    a Service's                   stale: sent when there was none
//!                                              nobody's any more             stays: it is the client's own affair
//! ```
//!
//! What is stale follows from the cluster alone. What changed ([`Touched`]) only says where to look.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use super::{cluster::Cluster, endpoints};
use crate::{
    addr::{Family, Protocol},
    desired::Vip,
};

/// An entry of conntrack, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    /// The protocol.
    pub protocol: Protocol,
    /// Where the client sends to.
    pub destination: SocketAddr,
    /// Where answers come from: the endpoint, or the destination itself where nothing is translated.
    pub reply_source: SocketAddr,
}

/// The VIPs whose flows may have become stale: they were given or taken away, or other endpoints serve them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Touched(BTreeSet<Vip>);

impl Touched {
    /// Whether there is nothing to look at.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds others.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// The VIPs of one protocol and family. One with the unspecified address stands for all NodePort addresses.
    pub fn of(&self, protocol: Protocol, family: Family) -> impl Iterator<Item = &Vip> {
        self.0.iter().filter(move |vip| vip.protocol == protocol && Family::of(vip.addr) == family)
    }
}

impl Cluster {
    /// The VIPs that were touched since the last call, of the protocols that are looked after: UDP, TCP or both. Not those at
    /// loopback addresses: who listens there is told by the connections themselves. To be asked after
    /// [`Cluster::take_changes`], which decides who has a VIP.
    pub fn take_touched(&mut self, looked_after: impl Fn(Protocol) -> bool) -> Touched {
        let all = std::mem::take(&mut self.dirty.vips).into_iter();
        Touched(all.filter(|vip| looked_after(vip.protocol) && !vip.addr.is_loopback()).collect())
    }

    /// Whether a flow to a touched VIP leads elsewhere than a new one may. `is_local` says whether an address is the
    /// node's own.
    #[must_use]
    pub fn is_stale(&self, flow: &Flow, touched: &Touched, is_local: impl Fn(IpAddr) -> bool) -> bool {
        let exact = Vip { addr: flow.destination.ip(), protocol: flow.protocol, port: flow.destination.port() };
        let node_port = Vip { addr: unspecified(Family::of(exact.addr)), ..exact };
        if !touched.0.contains(&exact) && !touched.0.contains(&node_port) {
            return false;
        }
        let at_node_port = || self.config().may_have_node_ports(exact.addr) && is_local(exact.addr);
        let owner = self.vips.owner(&exact).or_else(|| self.vips.owner(&node_port).filter(|_| at_node_port()));
        match owner {
            Some(id) => {
                let slices = self.services.get(&id.service).map_or(&[][..], |entry| &entry.slices);
                !endpoints::serves(slices, id, flow.reply_source)
            }
            None => {
                let is_translated = flow.reply_source != flow.destination;
                is_translated && (touched.0.contains(&exact) || at_node_port())
            }
        }
    }
}

const fn unspecified(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Family::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}
