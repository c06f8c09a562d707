//! The keys of elements: bytes as the kernel holds them, read as fields where somebody wants to know.
//!
//! There are hundreds of thousands of them and they are compared all the time, so they are kept as the bytes that are
//! sent ([`lower`](super::lower) draws their layout), whose order is that of the fields: address, protocol, port, slot.

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use portolan_core::{
    addr::{Family, Protocol},
    desired::Vip,
};

use super::field::{Field, Scope};

/// The key of an element of a set.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ElementKey {
    bytes: [u8; Self::MAX],
    len: u8,
}

/// As equality: the bytes that count.
impl Hash for ElementKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_slice().hash(state);
    }
}

/// What a key says, by the kinds of key that sets have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fields {
    /// `ip daddr . meta l4proto . th dport`, or `meta l4proto . th dport` of NodePorts, whose address is the unspecified
    /// one.
    Vip(Vip),
    /// The same `. numgen random`: the endpoint of this number, counted from 0.
    Slot(Vip, u32),
    /// `ip daddr`
    Address(IpAddr),
    /// `ip saddr . ip daddr`
    Pair(IpAddr, IpAddr),
    /// Bytes that are no key of ours: somebody else's element in a set of ours.
    Strange(ElementKey),
}

impl ElementKey {
    /// The longest is two IPv6 addresses, or one with protocol, port and number.
    const MAX: usize = 32;
    /// To be filled field by field.
    pub(crate) const EMPTY: Self = Self { bytes: [0; Self::MAX], len: 0 };

    /// The key of a VIP.
    #[must_use]
    pub fn vip(vip: Vip) -> Self {
        Self::EMPTY.put_address(vip.addr).put(&[vip.protocol.number()]).put(&vip.port.to_be_bytes())
    }

    /// The key of a frontend.
    #[must_use]
    pub fn frontend(scope: Scope, vip: Vip) -> Self {
        match scope {
            Scope::Vip => Self::vip(vip),
            Scope::NodePort => Self::EMPTY.put(&[vip.protocol.number()]).put(&vip.port.to_be_bytes()),
        }
    }

    /// The key of one endpoint of a frontend, counted from 0.
    #[must_use]
    pub fn slot(scope: Scope, vip: Vip, slot: u32) -> Self {
        Self::frontend(scope, vip).put(&slot.to_ne_bytes())
    }

    /// The key of an address.
    #[must_use]
    pub fn address(addr: IpAddr) -> Self {
        Self::EMPTY.put_address(addr)
    }

    /// The key of a source and a destination.
    #[must_use]
    pub fn pair(from: IpAddr, to: IpAddr) -> Self {
        Self::EMPTY.put_address(from).put_address(to)
    }

    /// An endpoint as a map's data, which is laid out as keys are.
    #[must_use]
    pub fn endpoint(addr: IpAddr, port: u16) -> Self {
        Self::EMPTY.put_address(addr).put(&port.to_be_bytes())
    }

    /// A key as the kernel lists it. None of our sets has keys longer than this can hold.
    #[must_use]
    pub fn found(bytes: &[u8]) -> Self {
        Self::EMPTY.put(bytes.get(..Self::MAX).unwrap_or(bytes))
    }

    /// The bytes as they are sent.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// The bytes before the number of an endpoint, in a set whose keys end with one.
    #[must_use]
    pub(crate) fn without_slot(&self) -> &[u8] {
        self.as_slice().split_last_chunk::<4>().map_or(&[], |(frontend, _)| frontend)
    }

    /// Appends a field, padded to whole words.
    #[must_use]
    pub(crate) fn put(mut self, field: &[u8]) -> Self {
        let at = usize::from(self.len);
        let end = at + field.len().next_multiple_of(4);
        if let (Some(place), Ok(len)) = (self.bytes.get_mut(at..at + field.len()), u8::try_from(end)) {
            place.copy_from_slice(field);
            self.len = len;
        }
        self
    }

    /// Appends an address.
    #[must_use]
    pub(crate) fn put_address(self, addr: IpAddr) -> Self {
        match addr {
            IpAddr::V4(addr) => self.put(&addr.octets()),
            IpAddr::V6(addr) => self.put(&addr.octets()),
        }
    }

    /// Reads it as a key of these fields. What does not read as exactly the bytes that we would write is not ours.
    #[must_use]
    pub fn read(&self, family: Family, key: &[Field]) -> Fields {
        let mut rest = self.as_slice();
        let scope = if key.first() == Some(&Field::Protocol) { Scope::NodePort } else { Scope::Vip };
        let read = match *key {
            [Field::Destination] => address(family, &mut rest).map(|addr| (Self::address(addr), Fields::Address(addr))),
            [Field::Source, Field::Destination] => address(family, &mut rest)
                .and_then(|from| Some((from, address(family, &mut rest)?)))
                .map(|(from, to)| (Self::pair(from, to), Fields::Pair(from, to))),
            [.., Field::Port] => {
                frontend(family, scope, &mut rest).map(|vip| (Self::frontend(scope, vip), Fields::Vip(vip)))
            }
            _ => frontend(family, scope, &mut rest)
                .and_then(|vip| Some((vip, u32::from_ne_bytes(*take(&mut rest)?))))
                .map(|(vip, slot)| (Self::slot(scope, vip, slot), Fields::Slot(vip, slot))),
        };
        read.filter(|(ours, _)| ours == self).map_or(Fields::Strange(*self), |(_, fields)| fields)
    }
}

/// Reads an endpoint from a map's data.
#[must_use]
pub(crate) fn read_endpoint(family: Family, bytes: &[u8]) -> Option<(IpAddr, u16)> {
    let mut rest = bytes;
    let (addr, port) = (address(family, &mut rest)?, port(&mut rest)?);
    (ElementKey::endpoint(addr, port).as_slice() == bytes).then_some((addr, port))
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (head, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(head)
}

fn address(family: Family, rest: &mut &[u8]) -> Option<IpAddr> {
    Some(match family {
        Family::V4 => Ipv4Addr::from(*take::<4>(rest)?).into(),
        Family::V6 => Ipv6Addr::from(*take::<16>(rest)?).into(),
    })
}

fn port(rest: &mut &[u8]) -> Option<u16> {
    let &[high, low, ..] = take::<4>(rest)?;
    Some(u16::from_be_bytes([high, low]))
}

fn frontend(family: Family, scope: Scope, rest: &mut &[u8]) -> Option<Vip> {
    let addr = match (scope, family) {
        (Scope::Vip, _) => address(family, rest)?,
        (Scope::NodePort, Family::V4) => Ipv4Addr::UNSPECIFIED.into(),
        (Scope::NodePort, Family::V6) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let &[number, ..] = take::<4>(rest)?;
    let protocol = Protocol::ALL.into_iter().find(|protocol| protocol.number() == number)?;
    Some(Vip { addr, protocol, port: port(rest)? })
}

/// The order of the bytes, by whole numbers: comparing keys is half of what a first sync does.
impl Ord for ElementKey {
    fn cmp(&self, other: &Self) -> Ordering {
        let halves = |key: &Self| {
            let (high, low) = key.bytes.split_at(Self::MAX / 2);
            let number = |half: &[u8]| half.try_into().map_or(0, u128::from_be_bytes);
            (number(high), number(low), key.len)
        };
        halves(self).cmp(&halves(other))
    }
}

impl PartialOrd for ElementKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for ElementKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x?}", self.as_slice())
    }
}

/// As nft writes it.
impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vip(vip) => write_frontend(f, *vip),
            Self::Slot(vip, slot) => write_frontend(f, *vip).and_then(|()| write!(f, " . {slot}")),
            Self::Address(addr) => write!(f, "{addr}"),
            Self::Pair(from, to) => write!(f, "{from} . {to}"),
            Self::Strange(bytes) if bytes.as_slice().is_empty() => f.write_str("*"),
            Self::Strange(bytes) => write!(f, "{bytes:?}"),
        }
    }
}

fn write_frontend(f: &mut fmt::Formatter<'_>, vip: Vip) -> fmt::Result {
    if !vip.addr.is_unspecified() {
        write!(f, "{} . ", vip.addr)?;
    }
    write!(f, "{} . {}", vip.protocol, vip.port)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::services::{names::SetName, sets::shape};

    fn an_address(family: Family) -> BoxedStrategy<IpAddr> {
        match family {
            Family::V4 => any::<Ipv4Addr>().prop_map(IpAddr::from).boxed(),
            Family::V6 => any::<Ipv6Addr>().prop_map(IpAddr::from).boxed(),
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_key_of_ours_or_stay_bytes(bytes: Vec<u8>, set in prop::sample::select(&SetName::ALL)) {
            for family in Family::ALL {
                let found = ElementKey::found(&bytes);
                let again = match found.read(family, &shape(set).key) {
                    Fields::Vip(vip) => ElementKey::frontend(set.scope(), vip),
                    Fields::Slot(vip, slot) => ElementKey::slot(set.scope(), vip, slot),
                    Fields::Address(addr) => ElementKey::address(addr),
                    Fields::Pair(from, to) => ElementKey::pair(from, to),
                    Fields::Strange(bytes) => bytes,
                };
                prop_assert_eq!(again, found);
                if let Some((addr, port)) = read_endpoint(family, &bytes) {
                    let again = ElementKey::endpoint(addr, port);
                    prop_assert_eq!(again.as_slice(), bytes.as_slice());
                }
            }
        }

        #[test]
        fn keys_and_endpoints_are_read_again(
            (family, a, b) in prop::sample::select(&Family::ALL)
                .prop_flat_map(|family| (Just(family), an_address(family), an_address(family))),
            port: u16, slot: u32, protocol in prop::sample::select(&Protocol::ALL),
        ) {
            let vip = Vip { addr: a, protocol, port };
            for (set, key, fields) in [
                (SetName::Services(Scope::Vip), ElementKey::vip(vip), Fields::Vip(vip)),
                (SetName::Direct(1), ElementKey::vip(vip), Fields::Vip(vip)),
                (SetName::Endpoints(Scope::Vip), ElementKey::slot(Scope::Vip, vip, slot), Fields::Slot(vip, slot)),
                (SetName::ClusterIps, ElementKey::address(a), Fields::Address(a)),
                (SetName::Hairpin, ElementKey::pair(a, b), Fields::Pair(a, b)),
            ] {
                prop_assert_eq!(ElementKey::found(key.as_slice()).read(family, &shape(set).key), fields);
            }
            prop_assert_eq!(read_endpoint(family, ElementKey::endpoint(a, port).as_slice()), Some((a, port)));
        }
    }
}
