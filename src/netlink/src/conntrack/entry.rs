//! An entry of conntrack's table: both directions of a connection, as far as it takes to know where it leads and to
//! delete it.

use std::net::{IpAddr, SocketAddr};

use crate::{
    attr::{Attr, Attrs, Writer},
    uapi::ct,
};

/// A connection that conntrack follows.
///
/// ```text
///   original   10.244.1.11:40000 -> 10.96.0.10:53       what the client sends
///   reply      10.244.2.11:8053  -> 10.244.1.11:40000   what must come back: its source is the endpoint
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The transport protocol's number.
    pub protocol: u8,
    /// What the client sends, before any translation.
    pub original: Tuple,
    /// What is expected to come back.
    pub reply: Tuple,
    /// Tells the entry from a later one of the same client and port; without it every such entry is meant.
    pub id: Option<u32>,
    /// The conntrack zone of both directions; 0 unless somebody's rules say otherwise.
    pub zone: u16,
    /// Whether it is a TCP connection whose first SYN nobody has answered.
    pub syn_sent: bool,
}

/// One direction of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuple {
    /// Who sends.
    pub source: SocketAddr,
    /// To whom.
    pub destination: SocketAddr,
}

impl Entry {
    /// Whether its destination is translated.
    #[must_use]
    pub fn is_translated(&self) -> bool {
        self.reply.source != self.original.destination
    }

    /// The entry that an answer makes which comes when this one is gone: the same connection the other way round. It
    /// holds what the client sends next, before any rule sees it.
    #[must_use]
    pub const fn of_late_answer(&self) -> Self {
        Self { original: self.reply, reply: self.original, id: None, ..*self }
    }

    /// Reads an entry; `None` where the protocol has no ports (ICMP), and for any bytes that are no entry.
    pub(crate) fn parse(attrs: Attrs<'_>) -> Option<Self> {
        let (protocol, original) = Tuple::parse(attrs.get(ct::TUPLE_ORIG)?)?;
        let (_, reply) = Tuple::parse(attrs.get(ct::TUPLE_REPLY)?)?;
        let tcp = || attrs.get(ct::PROTOINFO)?.nested().get(ct::PROTOINFO_TCP);
        let state = tcp().and_then(|tcp| tcp.nested().get(ct::PROTOINFO_TCP_STATE)?.u8());
        Some(Self {
            protocol,
            original,
            reply,
            id: Some(attrs.get(ct::ID)?.be32()?),
            zone: attrs.get(ct::ZONE).and_then(|zone| zone.be16()).unwrap_or_default(),
            syn_sent: state == Some(ct::TCP_SYN_SENT),
        })
    }

    /// Writes what names it. A request to delete without a tuple would empty the table.
    pub(crate) fn put(&self, w: &mut Writer<'_>) {
        self.original.put(w, ct::TUPLE_ORIG, self.protocol);
        if let Some(id) = self.id {
            w.be32(ct::ID, id);
        }
        if self.zone != 0 {
            w.be16(ct::ZONE, self.zone);
        }
    }
}

impl Tuple {
    fn parse(attr: Attr<'_>) -> Option<(u8, Self)> {
        let ip = attr.nested().get(ct::TUPLE_IP)?.nested();
        let proto = attr.nested().get(ct::TUPLE_PROTO)?.nested();
        let addr = |v4, v6| match ip.get(v4) {
            Some(attr) => <[u8; 4]>::try_from(attr.value).ok().map(IpAddr::from),
            None => <[u8; 16]>::try_from(ip.get(v6)?.value).ok().map(IpAddr::from),
        };
        let socket = |v4, v6, port| Some(SocketAddr::new(addr(v4, v6)?, proto.get(port)?.be16()?));
        let source = socket(ct::IP_V4_SRC, ct::IP_V6_SRC, ct::PROTO_SRC_PORT)?;
        let destination = socket(ct::IP_V4_DST, ct::IP_V6_DST, ct::PROTO_DST_PORT)?;
        Some((proto.get(ct::PROTO_NUM)?.u8()?, Self { source, destination }))
    }

    pub(super) fn put(&self, w: &mut Writer<'_>, kind: u16, protocol: u8) {
        w.nest(kind, |w| {
            w.nest(ct::TUPLE_IP, |w| {
                put_addr(w, ct::IP_V4_SRC, ct::IP_V6_SRC, self.source.ip());
                put_addr(w, ct::IP_V4_DST, ct::IP_V6_DST, self.destination.ip());
            });
            w.nest(ct::TUPLE_PROTO, |w| {
                w.u8(ct::PROTO_NUM, protocol);
                w.be16(ct::PROTO_SRC_PORT, self.source.port());
                w.be16(ct::PROTO_DST_PORT, self.destination.port());
            });
        });
    }
}

fn put_addr(w: &mut Writer<'_>, v4: u16, v6: u16, addr: IpAddr) {
    match addr {
        IpAddr::V4(addr) => w.bytes(v4, &addr.octets()),
        IpAddr::V6(addr) => w.bytes(v6, &addr.octets()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attr::encode;

    fn tuple(source: &str, destination: &str) -> Tuple {
        Tuple { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
    }

    #[test]
    fn what_is_written_is_read() {
        for (original, reply) in [
            (tuple("10.0.0.1:4000", "10.96.0.10:53"), tuple("10.0.0.2:8053", "10.0.0.1:4000")),
            (tuple("[fd00::1]:4000", "[fd00::10]:53"), tuple("[fd00::10]:53", "[fd00::1]:4000")),
        ] {
            let entry = Entry { protocol: 17, original, reply, id: Some(7), zone: 9, syn_sent: false };
            let bytes = encode(|w| {
                entry.put(w);
                reply.put(w, ct::TUPLE_REPLY, 17);
            });
            assert_eq!(Entry::parse(Attrs::new(&bytes.unwrap())), Some(entry));
            assert_eq!(entry.is_translated(), original.destination != reply.source);
        }
    }

    #[test]
    fn what_is_no_entry_is_none() {
        let entry = tuple("10.0.0.1:4000", "10.96.0.10:53");
        for bytes in [
            encode(|w| entry.put(w, ct::TUPLE_ORIG, 17)),
            encode(|w| w.be32(ct::TUPLE_ORIG, 1)),
            encode(|w| {
                entry.put(w, ct::TUPLE_ORIG, 17);
                entry.put(w, ct::TUPLE_REPLY, 17);
                w.be16(ct::ID, 1);
            }),
        ] {
            assert_eq!(Entry::parse(Attrs::new(&bytes.unwrap())), None);
        }
    }
}
