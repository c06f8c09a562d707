//! What can be named: virtual servers and their destinations, the addresses of the link, and objects of our tables.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use portolan_core::desired::Vip;
use portolan_nftables as nft;

/// The link that has the addresses of Services, called as kube-proxy calls it (pkg/proxy/ipvs/proxier.go,
/// defaultDummyDevice): CNIs look for it.
pub const LINK: &str = "kube-ipvs0";

/// One object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// The link [`LINK`].
    Link,
    /// One of its addresses.
    Address(IpAddr),
    /// A virtual server.
    Server(Vip),
    /// Where a virtual server sends connections.
    Destination(Vip, SocketAddr),
    /// An object of the tables beside IPVS.
    Beside(nft::Key),
}

/// As the logs and `portolan diff` name it.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link => write!(f, "link {LINK}"),
            Self::Address(address) => write!(f, "address {address} of link {LINK}"),
            Self::Server(vip) => write!(f, "virtual server {vip}"),
            Self::Destination(vip, endpoint) => write!(f, "destination {endpoint} of virtual server {vip}"),
            Self::Beside(key) => key.fmt(f),
        }
    }
}
