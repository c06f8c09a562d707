//! Addresses and CIDRs as the API writes them.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use crate::objects::Family;

impl Family {
    /// The family of an address.
    pub fn of(address: IpAddr) -> Family {
        match address {
            IpAddr::V4(_) => Family::Ipv4,
            IpAddr::V6(_) => Family::Ipv6,
        }
    }
}

/// S2.9, kube-proxy's `TestBadIPs`: IPv4 may have leading zeros, which mean nothing.
pub(crate) fn parse_ip(text: &str) -> Option<IpAddr> {
    if text.contains(':') {
        return text.parse().ok();
    }
    let octets = text.split('.').map(parse_decimal).collect::<Option<Vec<u8>>>()?;
    Some(IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(octets).ok()?)))
}

/// S2.9, S8.4, kube-proxy's `TestBadIPs`: blanks around it are trimmed, leading zeros mean nothing.
pub(crate) fn parse_cidr(text: &str) -> Option<IpNet> {
    let (address, length) = text.trim().split_once('/')?;
    Some(IpNet::new(parse_ip(address)?, parse_decimal(length)?).ok()?.trunc())
}

fn parse_decimal(text: &str) -> Option<u8> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// S13.3: unspecified, loopback, link-local and multicast addresses are refused as frontend and endpoint.
pub(crate) fn refused(address: IpAddr) -> bool {
    address.is_unspecified() || address.is_loopback() || address.is_multicast() || link_local(address)
}

pub(crate) fn link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}
