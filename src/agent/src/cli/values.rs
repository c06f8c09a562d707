//! Values on the command line, parsed once into the types that commands want.

use std::{
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use portolan_core::{addr::Protocol, trace::Asks};

/// The rule that a value breaks.
#[derive(Debug, thiserror::Error)]
pub enum ValueError {
    /// Not of the form address:port/protocol.
    #[error(
        "{0:?} is not an address with port and protocol, such as 10.96.0.1:443/tcp, [fd00::1]:53/udp or 10.96.0.1/icmp"
    )]
    NotAsked(String),
}

/// `--to`: an address and what is asked there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// The address.
    pub address: IpAddr,
    /// A port, or an echo.
    pub asks: Asks,
}

impl FromStr for Asked {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let (to, protocol) = text.rsplit_once('/').ok_or_else(|| ValueError::NotAsked(text.to_owned()))?;
        let known = Protocol::ALL.into_iter().find(|known| known.to_string() == protocol.to_lowercase());
        let asked = match known {
            Some(protocol) => to.parse::<SocketAddr>().ok().map(|to| (to.ip(), Asks::Port(protocol, to.port()))),
            None => to.parse().ok().filter(|_| protocol == "icmp").map(|address| (address, Asks::Echo)),
        };
        asked.map(|(address, asks)| Self { address, asks }).ok_or_else(|| ValueError::NotAsked(text.to_owned()))
    }
}
