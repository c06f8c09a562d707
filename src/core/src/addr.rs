//! Addresses: IP families, protocols, and the one place where text becomes an address.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
};

use ipnet::IpNet;

/// An IP family. Every rule acts in one family; nothing is shared between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4
    V4,
    /// IPv6
    V6,
}

impl Family {
    /// Both, in the order in which everything is listed.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address.
    #[must_use]
    pub const fn of(addr: IpAddr) -> Self {
        match addr {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

/// As Kubernetes writes it in `ipFamilies` and `addressType`: `IPv4` and `IPv6`.
impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// One value for each family.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PerFamily<T> {
    /// The value for IPv4.
    pub v4: T,
    /// The value for IPv6.
    pub v6: T,
}

impl<T> PerFamily<T> {
    /// The value for one family.
    pub const fn get(&self, family: Family) -> &T {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }

    /// The value for one family, to be changed.
    pub const fn get_mut(&mut self, family: Family) -> &mut T {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }
}

/// A transport protocol that a Service can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP, number 6
    Tcp,
    /// UDP, number 17
    Udp,
    /// SCTP, number 132
    Sctp,
}

impl Protocol {
    /// All three, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Tcp, Self::Udp, Self::Sctp];

    /// The protocol number in an IP header (IANA, `IPPROTO_*` of linux/in.h).
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}

/// In lower case, as nftables and `ss` write it.
impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

/// An address that was read from text, and whether the text was in its usual form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadAddr {
    /// The address; an IPv4-mapped IPv6 address is given as IPv4.
    pub addr: IpAddr,
    /// Whether the text had leading zeros or was an IPv4-mapped IPv6 address.
    pub normalised: bool,
}

/// Reads an address as Kubernetes does (`ParseIPSloppy` of k8s.io/utils/net): leading zeros of IPv4 are decimal, and
/// `::ffff:10.0.0.1` is 10.0.0.1. No zone, no blanks. `None` when the text is no address.
#[must_use]
pub fn read_ip(text: &str) -> Option<ReadAddr> {
    match text.parse::<IpAddr>() {
        Ok(addr) => {
            let canonical = addr.to_canonical();
            Some(ReadAddr { addr: canonical, normalised: canonical != addr })
        }
        // Rust's own parser refuses leading zeros, since some programs read them as octal; old API objects hold them.
        Err(_) => read_decimal(text).map(|addr| ReadAddr { addr: addr.into(), normalised: true }),
    }
}

fn read_decimal(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let part = parts.next().filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()))?;
        *octet = part.parse().ok()?;
    }
    parts.next().is_none().then(|| octets.into())
}

/// A CIDR that was read from text, and whether the text was in its usual form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadCidr {
    /// The CIDR without host bits; one of IPv4-mapped IPv6 addresses is given as IPv4.
    pub cidr: IpNet,
    /// Whether the text had leading zeros or host bits, or was of IPv4-mapped IPv6 addresses.
    pub normalised: bool,
}

/// Reads a CIDR as Kubernetes does (`ParseCIDRSloppy` of k8s.io/utils/net): leading zeros are decimal also in the prefix
/// length, host bits are cut off, `::ffff:10.0.0.0/104` is 10.0.0.0/8. `None` when the text is no CIDR.
#[must_use]
pub fn read_cidr(text: &str) -> Option<ReadCidr> {
    let (addr, length) = text.split_once('/')?;
    let read = read_ip(addr)?;
    let number: u8 = length.parse().ok().filter(|_| length.bytes().all(|byte| byte.is_ascii_digit()))?;
    let mapped = read.addr.is_ipv4() && addr.contains(':');
    let number_of_family = if mapped { number.checked_sub(96)? } else { number };
    let given = IpNet::new(read.addr, number_of_family).ok()?;
    let cidr = given.trunc();
    let normalised = read.normalised || cidr != given || length != number.to_string();
    Some(ReadCidr { cidr, normalised })
}

/// A kind of address that can be neither a frontend nor an endpoint: it means something else on every machine, or
/// many machines at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SpecialAddress {
    /// `0.0.0.0` and `::`
    Unspecified,
    /// `127.0.0.0/8` and `::1`
    Loopback,
    /// `169.254.0.0/16` and `fe80::/10`
    LinkLocal,
    /// `224.0.0.0/4` and `ff00::/8`
    Multicast,
    /// `255.255.255.255`
    Broadcast,
}

impl SpecialAddress {
    /// What is special about an address, if anything.
    #[must_use]
    pub fn of(addr: IpAddr) -> Option<Self> {
        let link_local = match addr {
            IpAddr::V4(v4) => v4.is_link_local(),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        };
        match addr {
            _ if addr.is_unspecified() => Some(Self::Unspecified),
            _ if addr.is_loopback() => Some(Self::Loopback),
            _ if link_local => Some(Self::LinkLocal),
            _ if addr.is_multicast() => Some(Self::Multicast),
            IpAddr::V4(v4) if v4.is_broadcast() => Some(Self::Broadcast),
            _ => None,
        }
    }
}

/// With its article: `a loopback address`.
impl fmt::Display for SpecialAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "the unspecified address",
            Self::Loopback => "a loopback address",
            Self::LinkLocal => "a link-local address",
            Self::Multicast => "a multicast address",
            Self::Broadcast => "the broadcast address",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_an_address_as_in_kubernetes() {
        for (text, addr, normalised) in [
            ("10.0.0.1", "10.0.0.1", false),
            ("010.000.0.001", "10.0.0.1", true),
            ("08.09.0.1", "8.9.0.1", true),
            ("::ffff:10.0.0.1", "10.0.0.1", true),
            ("2001:DB8::1", "2001:db8::1", false),
        ] {
            let expected = ReadAddr { addr: addr.parse().unwrap(), normalised };
            assert_eq!(read_ip(text), Some(expected), "{text}");
        }
        for text in
            ["", " 10.0.0.1", "10.0.0", "10.0.0.1.", "10.0.0.256", "10.0.0.+1", "1.2.3.4.5", "fe80::1%eth0", "a"]
        {
            assert_eq!(read_ip(text), None, "{text}");
        }
    }

    #[test]
    fn text_becomes_a_cidr_as_in_kubernetes() {
        for (text, cidr, normalised) in [
            ("10.0.0.0/8", "10.0.0.0/8", false),
            ("0.0.0.0/0", "0.0.0.0/0", false),
            ("10.1.2.3/8", "10.0.0.0/8", true),
            ("010.0.0.0/8", "10.0.0.0/8", true),
            ("10.0.0.0/008", "10.0.0.0/8", true),
            ("10.0.0.1/32", "10.0.0.1/32", false),
            ("FD00::/8", "fd00::/8", false),
            ("fd00::1/8", "fd00::/8", true),
            ("::ffff:10.1.0.0/112", "10.1.0.0/16", true),
            ("::ffff:0:0/96", "0.0.0.0/0", true),
        ] {
            let expected = ReadCidr { cidr: cidr.parse().unwrap(), normalised };
            assert_eq!(read_cidr(text), Some(expected), "{text}");
        }
        for text in [
            "",
            "/",
            "10.0.0.0",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/-1",
            "10.0.0.0/8/8",
            "10.0.0/8",
            "10.0.0.0/255.0.0.0",
            "10.0.0.0/1000",
            " 10.0.0.0/8",
            "fd00::/129",
            "fe80::%eth0/64",
            "::ffff:10.0.0.0/95",
        ] {
            assert_eq!(read_cidr(text), None, "{text}");
        }
    }

    #[test]
    fn special_addresses() {
        for (text, special) in [
            ("0.0.0.0", Some(SpecialAddress::Unspecified)),
            ("::", Some(SpecialAddress::Unspecified)),
            ("127.9.0.1", Some(SpecialAddress::Loopback)),
            ("::1", Some(SpecialAddress::Loopback)),
            ("169.254.169.254", Some(SpecialAddress::LinkLocal)),
            ("febf::1", Some(SpecialAddress::LinkLocal)),
            ("224.0.0.1", Some(SpecialAddress::Multicast)),
            ("ff02::1", Some(SpecialAddress::Multicast)),
            ("255.255.255.255", Some(SpecialAddress::Broadcast)),
            ("255.255.255.254", None),
            ("10.0.0.1", None),
            ("fd00::1", None),
        ] {
            assert_eq!(SpecialAddress::of(text.parse().unwrap()), special, "{text}");
        }
    }
}
