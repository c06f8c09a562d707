//! An address of a link (include/uapi/linux/if_addr.h).

use std::net::IpAddr;

use crate::{
    attr::{Attr, Writer},
    error::Malformed,
    fields::Fields,
    message::Message,
};

/// `struct ifaddrmsg`: family, length of the prefix, flags, scope, the link's number.
pub(super) const HEADER: usize = 8;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_CACHEINFO: u16 = 6;
const IFA_FLAGS: u16 = 8;
const IFA_F_NODAD: u32 = 0x2;

/// An address, and how many of its first bits its network has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// The address.
    pub addr: IpAddr,
    /// At most 32 or 128; these make it a network of its own.
    pub prefix: u8,
}

impl Address {
    /// An address without others around it.
    #[must_use]
    pub const fn alone(addr: IpAddr) -> Self {
        Self { addr, prefix: if addr.is_ipv4() { 32 } else { 128 } }
    }

    pub(super) fn header(self, index: u32) -> [u8; HEADER] {
        let [a, b, c, d] = index.to_ne_bytes();
        let family = if self.addr.is_ipv4() { AF_INET } else { AF_INET6 };
        [family, self.prefix, 0, 0, a, b, c, d]
    }

    pub(super) fn put(self, w: &mut Writer<'_>) {
        match self.addr {
            IpAddr::V4(addr) => {
                w.bytes(IFA_LOCAL, &addr.octets());
                w.bytes(IFA_ADDRESS, &addr.octets());
            }
            IpAddr::V6(addr) => {
                w.bytes(IFA_LOCAL, &addr.octets());
                w.u32(IFA_FLAGS, IFA_F_NODAD);
                // struct ifa_cacheinfo: preferred for so many seconds, valid for ever
                w.bytes(IFA_CACHEINFO, &[0, u32::MAX, 0, 0].map(u32::to_ne_bytes).concat());
            }
        }
    }

    /// Reads a message about an address, with the number of its link; `None` of families that are not IP.
    pub(crate) fn parse(message: &Message<'_>) -> Result<Option<(u32, Self)>, Malformed> {
        let fields = Fields::new("address", message.attrs_after(HEADER));
        let header = message.payload.first_chunk::<HEADER>().ok_or(fields.malformed("header"))?;
        let [family, prefix, _, _, a, b, c, d] = *header;
        if !matches!(family, AF_INET | AF_INET6) {
            return Ok(None);
        }
        // Of a link between two addresses the other one is IFA_ADDRESS; IPv6 has it alone elsewhere.
        let kind = if fields.get(IFA_LOCAL).is_some() { IFA_LOCAL } else { IFA_ADDRESS };
        let addr = fields.read(kind, "value", |attr: Attr<'_>| match family {
            AF_INET => <[u8; 4]>::try_from(attr.value).ok().map(IpAddr::from),
            _ => <[u8; 16]>::try_from(attr.value).ok().map(IpAddr::from),
        })?;
        Ok(Some((u32::from_ne_bytes([a, b, c, d]), Self { addr, prefix })))
    }
}
