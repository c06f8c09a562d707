//! The packet that is traced: the first one of a connection.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use crate::addr::{Family, Protocol};

/// The first packet of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// The client's address.
    pub source: IpAddr,
    /// The client's place.
    pub origin: Origin,
    /// The address that it asks, of the same family.
    pub destination: IpAddr,
    /// What it asks there.
    pub asks: Asks,
}

/// Where a packet comes from, as this node's kernel sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A pod of this node: it comes in by an interface that detectors know as a pod's.
    Pod,
    /// A process of this node: it comes in by no interface.
    Node,
    /// Anybody else: it comes in by another interface, by which this node reaches everything that is not its own.
    Outside,
}

/// What a packet asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asks {
    /// A port.
    Port(Protocol, u16),
    /// An ICMP or ICMPv6 echo.
    Echo,
}

impl Packet {
    /// The family whose rules it meets.
    #[must_use]
    pub const fn family(&self) -> Family {
        Family::of(self.destination)
    }
}

/// `10.96.0.1:80/tcp`, `[fd00::1]:53/udp`, `10.96.0.1/icmp`.
impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.asks {
            Asks::Port(protocol, port) => write!(f, "{}/{protocol}", SocketAddr::new(self.destination, port)),
            Asks::Echo => write!(f, "{}/icmp", self.destination),
        }
    }
}
