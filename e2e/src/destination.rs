//! What a client asks: a port, or the kernel of whoever has an address.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use portolan_core::addr::Protocol;

/// Where packets of a client go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Destination {
    /// A connection, or a datagram that is answered.
    Port(Protocol, SocketAddr),
    /// An ICMP echo request.
    Echo(IpAddr),
}

/// The text is no destination.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not like 10.96.0.10:80/tcp, \"[fd00:10:96::10]:80/udp\" or 10.96.0.10/icmp")]
pub struct NotADestination(String);

impl Destination {
    /// The address.
    #[must_use]
    pub const fn ip(&self) -> IpAddr {
        match self {
            Self::Port(_, to) => to.ip(),
            Self::Echo(to) => *to,
        }
    }

    /// Address and port, where there is one.
    #[must_use]
    pub const fn socket(&self) -> Option<SocketAddr> {
        match self {
            Self::Port(_, to) => Some(*to),
            Self::Echo(_) => None,
        }
    }

    /// The protocol, where there is a port.
    #[must_use]
    pub const fn protocol(&self) -> Option<Protocol> {
        match self {
            Self::Port(protocol, _) => Some(*protocol),
            Self::Echo(_) => None,
        }
    }
}

impl FromStr for Destination {
    type Err = NotADestination;

    fn from_str(text: &str) -> Result<Self, NotADestination> {
        let parsed = text.rsplit_once('/').and_then(|(to, protocol)| match protocol {
            "icmp" => to.parse().ok().map(Self::Echo),
            _ => Some(Self::Port(protocol_named(protocol)?, to.parse().ok()?)),
        });
        parsed.ok_or_else(|| NotADestination(text.to_owned()))
    }
}

/// As scenarios write it.
impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(protocol, to) => write!(f, "{to}/{protocol}"),
            Self::Echo(to) => write!(f, "{to}/icmp"),
        }
    }
}

/// `tcp`, `udp` or `sctp`.
pub(crate) fn protocol_named(name: &str) -> Option<Protocol> {
    Protocol::ALL.into_iter().find(|protocol| protocol.to_string() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_written_as_it_is_read() {
        for text in
            ["10.96.0.10:80/tcp", "[fd00:10:96::10]:53/udp", "10.96.0.10:3868/sctp", "10.96.0.10/icmp", "::1/icmp"]
        {
            assert_eq!(text.parse::<Destination>().unwrap().to_string(), text);
        }
        for text in ["10.96.0.10:80", "10.96.0.10:80/icmp", "10.96.0.10/tcp", "10.96.0.10:80/TCP", "[::1]/icmp", ""] {
            text.parse::<Destination>().unwrap_err();
        }
    }
}
