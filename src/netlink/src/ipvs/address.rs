//! Addresses as IPVS has them: 16 bytes of either family (`union nf_inet_addr`), of IPv4 the first four.

use std::net::IpAddr;

use super::uapi::{AF_INET, AF_INET6};

pub(super) const fn family_of(addr: IpAddr) -> u16 {
    if addr.is_ipv4() { AF_INET } else { AF_INET6 }
}

pub(super) fn bytes(addr: IpAddr) -> [u8; 16] {
    match addr {
        IpAddr::V4(addr) => {
            let [a, b, c, d] = addr.octets();
            [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        }
        IpAddr::V6(addr) => addr.octets(),
    }
}

pub(super) fn parse(family: u16, bytes: &[u8]) -> Option<IpAddr> {
    match family {
        AF_INET => bytes.first_chunk::<4>().map(|bytes| IpAddr::from(*bytes)),
        AF_INET6 => bytes.first_chunk::<16>().map(|bytes| IpAddr::from(*bytes)),
        _ => None,
    }
}
