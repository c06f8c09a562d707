//! Which entries a listing is about. The kernel picks them (`CTA_FILTER`, since 5.8), so that only those are copied; but
//! not by an IPv6 address: there it lists all but those with the address (6.18; `ctnetlink_filter_match_tuple` takes
//! `ipv6_addr_cmp` the wrong way round).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::entry::{Entry, Tuple};
use crate::{
    attr::Writer,
    uapi::{NFPROTO_IPV4, ct},
};

/// What entries must have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filter {
    /// The IP family, `uapi::NFPROTO_*`.
    pub family: u8,
    /// The transport protocol's number.
    pub protocol: u8,
    /// What the client sends to, before any translation.
    pub destination: Option<IpAddr>,
    /// At which port.
    pub port: Option<u16>,
    /// Where answers come from: where the client's packets end.
    pub reply_source: Option<IpAddr>,
}

impl Filter {
    /// All entries of a protocol in a family.
    #[must_use]
    pub const fn all(family: u8, protocol: u8) -> Self {
        Self { family, protocol, destination: None, port: None, reply_source: None }
    }

    /// Writes the tuples to compare with, and which of their fields count; what stands in the others does not matter.
    pub(super) fn put(&self, w: &mut Writer<'_>) {
        let any = if self.family == NFPROTO_IPV4 {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED)
        } else {
            IpAddr::V6(Ipv6Addr::UNSPECIFIED)
        };
        let tuple = |source: Option<IpAddr>, destination: Option<IpAddr>, port: Option<u16>| Tuple {
            source: SocketAddr::new(source.unwrap_or(any), 0),
            destination: SocketAddr::new(destination.unwrap_or(any), port.unwrap_or_default()),
        };
        let flag = |wanted: bool, flag: u32| if wanted { flag } else { 0 };
        let by_addr = |addr: Option<IpAddr>| addr.is_some_and(|addr| addr.is_ipv4());
        tuple(None, self.destination, self.port).put(w, ct::TUPLE_ORIG, self.protocol);
        let original = ct::FILTER_F_PROTO_NUM
            | flag(by_addr(self.destination), ct::FILTER_F_IP_DST)
            | flag(self.port.is_some(), ct::FILTER_F_PROTO_DST_PORT);
        if by_addr(self.reply_source) {
            tuple(self.reply_source, None, None).put(w, ct::TUPLE_REPLY, self.protocol);
        }
        let reply = flag(by_addr(self.reply_source), ct::FILTER_F_PROTO_NUM | ct::FILTER_F_IP_SRC);
        w.nest(ct::FILTER, |w| {
            // Not as everything else: the kernel's own byte order.
            w.bytes(ct::FILTER_ORIG_FLAGS, &original.to_ne_bytes());
            w.bytes(ct::FILTER_REPLY_FLAGS, &reply.to_ne_bytes());
        });
    }

    /// The same question to one entry, for what the kernel is not asked.
    pub(super) fn matches(&self, entry: &Entry) -> bool {
        let is = |wanted: Option<IpAddr>, addr: IpAddr| wanted.is_none_or(|wanted| wanted == addr);
        entry.protocol == self.protocol
            && entry.original.destination.is_ipv4() == (self.family == NFPROTO_IPV4)
            && is(self.destination, entry.original.destination.ip())
            && self.port.is_none_or(|port| port == entry.original.destination.port())
            && is(self.reply_source, entry.reply.source.ip())
    }
}
