//! Destinations of a virtual server (`IPVS_DEST_ATTR_*`).

use std::net::SocketAddr;

use super::{
    ServerId,
    address::{self, family_of},
    stats::Stats,
    uapi::{AF_INET, AF_INET6, dest, top},
};
use crate::{
    attr::{Attrs, Writer},
    error::Malformed,
    fields::Fields,
};

/// Where a virtual server sends connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Destination {
    /// Which tells it from the others of the server.
    pub socket: SocketAddr,
    /// How packets get there.
    pub forwarding: Forwarding,
    /// How much of all it gets, as the scheduler understands that: 0 to 2^31 - 1, more is ERANGE. With 0 it gets no new
    /// connection, and keeps those that it has.
    pub weight: u32,
    /// With so many connections it gets no more; 0 stands for no limit.
    pub upper: u32,
    /// With fewer than so many it gets some again.
    pub lower: u32,
}

/// How packets get to a destination (`IP_VS_CONN_F_FWD_MASK`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Forwarding {
    /// With their destination translated, as all of Portolan's.
    Masquerade,
    /// They are for this node.
    Local,
    /// In packets of a tunnel.
    Tunnel,
    /// As they are, to the link address of the destination.
    Direct,
    /// In a way that has no name here.
    Other(u32),
}

/// A destination that the kernel has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedDestination {
    /// It.
    pub destination: Destination,
    /// Connections that are established.
    pub active: u32,
    /// Connections that are not, or no more: of UDP all are.
    pub inactive: u32,
    /// Clients that a persistent server keeps here.
    pub persistent: u32,
    /// What has come to it.
    pub stats: Stats,
}

impl Destination {
    /// Writes all of it, for its server: a request without one of these attributes is EINVAL.
    pub(super) fn put(&self, w: &mut Writer<'_>, server: &ServerId) {
        server.put(w);
        w.nest(top::DEST, |w| {
            put_socket(w, self.socket);
            w.u32(dest::FWD_METHOD, self.forwarding.number());
            w.u32(dest::WEIGHT, self.weight);
            w.u32(dest::U_THRESH, self.upper);
            w.u32(dest::L_THRESH, self.lower);
        });
    }
}

/// Writes what names a destination of a server.
pub(super) fn put_id(w: &mut Writer<'_>, server: &ServerId, socket: SocketAddr) {
    server.put(w);
    w.nest(top::DEST, |w| put_socket(w, socket));
}

fn put_socket(w: &mut Writer<'_>, socket: SocketAddr) {
    w.u16(dest::ADDR_FAMILY, family_of(socket.ip()));
    w.bytes(dest::ADDR, &address::bytes(socket.ip()));
    w.be16(dest::PORT, socket.port());
}

impl Forwarding {
    const fn number(self) -> u32 {
        match self {
            Self::Masquerade => 0,
            Self::Local => 1,
            Self::Tunnel => 2,
            Self::Direct => 3,
            Self::Other(number) => number,
        }
    }

    const fn of(number: u32) -> Self {
        match number {
            0 => Self::Masquerade,
            1 => Self::Local,
            2 => Self::Tunnel,
            3 => Self::Direct,
            number => Self::Other(number),
        }
    }
}

impl ListedDestination {
    /// Reads the attributes of a message about a destination of a server. Kernels before 3.18 say no family: it is the
    /// server's.
    pub(crate) fn parse(attrs: Attrs<'_>, server: &ServerId) -> Result<Self, Malformed> {
        let fields = Fields::new("destination", attrs).nested(top::DEST, "content")?;
        let of_server = if server.is_ipv6() { AF_INET6 } else { AF_INET };
        let family = fields.get(dest::ADDR_FAMILY).map_or(Some(of_server), |attr| attr.u16());
        let addr = fields.read(dest::ADDR, "address", |attr| address::parse(family?, attr.value))?;
        Ok(Self {
            destination: Destination {
                socket: SocketAddr::new(addr, fields.read(dest::PORT, "port", |attr| attr.be16())?),
                forwarding: Forwarding::of(fields.u32(dest::FWD_METHOD, "forwarding")?),
                weight: fields.u32(dest::WEIGHT, "weight")?,
                upper: fields.u32(dest::U_THRESH, "upper threshold")?,
                lower: fields.u32(dest::L_THRESH, "lower threshold")?,
            },
            active: fields.u32(dest::ACTIVE_CONNS, "number of active connections")?,
            inactive: fields.u32(dest::INACT_CONNS, "number of inactive connections")?,
            persistent: fields.u32(dest::PERSIST_CONNS, "number of persistent clients")?,
            stats: Stats::parse(fields, dest::STATS64, dest::STATS),
        })
    }
}
