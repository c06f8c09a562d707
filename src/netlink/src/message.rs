//! Netlink messages: the header in front of attributes, and the acknowledgement that answers a request.
//!
//! ```text
//!   | len u32 | type u16 | flags u16 | sequence u32 | port u32 |   struct nlmsghdr
//!   | family u8 | version u8 | resource id u16, big endian |       struct nfgenmsg of netfilter, before the attributes
//! ```

use crate::{
    attr::{Attrs, EncodeError},
    uapi::{
        NFGEN_HEADER, NFNL_SUBSYS_CTNETLINK, NFNL_SUBSYS_NFTABLES, NLMSG_ERROR, NLMSG_HEADER, NLMSGERR_ATTR_MSG,
        NLMSGERR_ATTR_OFFS, flag,
    },
};

/// The type of an nf_tables message as the header has it.
pub(crate) const fn nftables(msg_type: u8) -> u16 {
    u16::from_be_bytes([NFNL_SUBSYS_NFTABLES, msg_type])
}

/// The type of a message about conntrack's entries as the header has it.
pub(crate) const fn ctnetlink(msg_type: u8) -> u16 {
    u16::from_be_bytes([NFNL_SUBSYS_CTNETLINK, msg_type])
}

/// What stands before the attributes of a netfilter message.
pub(crate) const fn nfgen(family: u8, resource: u16) -> [u8; NFGEN_HEADER] {
    let [high, low] = resource.to_be_bytes();
    [family, 0, high, low]
}

/// Starts a message, with what its protocol has before attributes; its length and sequence number are patched later. Gives
/// where it starts.
pub(crate) fn begin(bytes: &mut Vec<u8>, kind: u16, flags: u16, head: &[u8]) -> usize {
    let start = bytes.len();
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(&(flag::REQUEST | flags).to_ne_bytes());
    bytes.extend_from_slice(&[0; 8]);
    bytes.extend_from_slice(head);
    start
}

/// Ends the message that starts at `start`.
pub(crate) fn end(bytes: &mut [u8], start: usize) -> Result<(), EncodeError> {
    let len = u32::try_from(bytes.len().saturating_sub(start)).map_err(|_| EncodeError::TooMany)?;
    patch(bytes, start, len);
    Ok(())
}

/// Gives the message that starts at `start` its sequence number.
pub(crate) fn set_sequence(bytes: &mut [u8], start: usize, sequence: u32) {
    patch(bytes, start.saturating_add(8), sequence);
}

/// Adds flags to the message that starts at `start`.
pub(crate) fn add_flags(bytes: &mut [u8], start: usize, flags: u16) {
    if let Some(place) = bytes.get_mut(start.saturating_add(6)..).and_then(<[u8]>::first_chunk_mut) {
        *place = (u16::from_ne_bytes(*place) | flags).to_ne_bytes();
    }
}

fn patch(bytes: &mut [u8], at: usize, value: u32) {
    if let Some(place) = bytes.get_mut(at..at.saturating_add(4)) {
        place.copy_from_slice(&value.to_ne_bytes());
    }
}

/// One message that was read.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    /// Whose request caused it.
    pub(crate) port: u32,
    /// What follows the header.
    pub payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// The attributes, which stand after so many bytes that the protocol has before them.
    #[must_use]
    pub fn attrs_after(&self, head: usize) -> Attrs<'a> {
        Attrs::new(self.payload.get(head..).unwrap_or_default())
    }

    /// The message type within nf_tables, if it is a message of nf_tables.
    pub(crate) fn nftables_type(&self) -> Option<u8> {
        let [subsystem, msg_type] = self.kind.to_be_bytes();
        (subsystem == NFNL_SUBSYS_NFTABLES).then_some(msg_type)
    }

    /// The family of an nf_tables message.
    pub(crate) fn family(&self) -> u8 {
        self.payload.first().copied().unwrap_or_default()
    }

    /// The lower half of the generation that an nf_tables message was written under (`nfgenmsg.res_id`).
    pub(crate) fn generation(&self) -> Option<u16> {
        self.nftables_type()?;
        let [_, _, high, low] = *self.payload.first_chunk::<NFGEN_HEADER>()?;
        Some(u16::from_be_bytes([high, low]))
    }

    /// The attributes of a netfilter message.
    pub(crate) fn attrs(&self) -> Attrs<'a> {
        self.attrs_after(NFGEN_HEADER)
    }

    /// The error number that starts an acknowledgement or ends a dump, positive; 0 is success.
    pub(crate) fn errno(&self) -> Option<i32> {
        self.payload.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes).saturating_neg())
    }

    /// The acknowledgement in this message, if it is one.
    pub(crate) fn ack(&self) -> Option<Ack<'a>> {
        let errno = self.errno().filter(|_| self.kind == NLMSG_ERROR)?;
        let mut ack = Ack { errno, text: None, offset: None };
        if self.flags & flag::ACK_TLVS != 0 {
            // After the error number stands the request: with NETLINK_CAP_ACK only its header.
            let echo = match (self.flags & flag::CAPPED, self.payload.get(4..).and_then(<[u8]>::first_chunk)) {
                (0, Some(len)) => usize::try_from(u32::from_ne_bytes(*len)).ok()?.checked_next_multiple_of(4)?,
                _ => NLMSG_HEADER,
            };
            for attr in Attrs::new(self.payload.get(echo.checked_add(4)?..).unwrap_or_default()) {
                match attr.kind {
                    NLMSGERR_ATTR_MSG => ack.text = Some(attr.str()),
                    NLMSGERR_ATTR_OFFS => ack.offset = attr.value.try_into().ok().map(u32::from_ne_bytes),
                    _ => {}
                }
            }
        }
        Some(ack)
    }
}

/// The kernel's answer to a request (`struct nlmsgerr` with its extended attributes).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ack<'a> {
    /// Positive; 0 is success.
    pub(crate) errno: i32,
    /// What the kernel says in words.
    pub(crate) text: Option<&'a str>,
    /// The attribute at fault, in bytes from the start of the request.
    pub(crate) offset: Option<u32>,
}

/// Reads the messages of one datagram; ends at the first that does not fit into what is left.
#[derive(Debug, Clone)]
pub(crate) struct Messages<'a>(&'a [u8]);

impl<'a> Messages<'a> {
    pub(crate) const fn new(datagram: &'a [u8]) -> Self {
        Self(datagram)
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let header = self.0.first_chunk::<NLMSG_HEADER>()?;
        let [l0, l1, l2, l3, k0, k1, f0, f1, s0, s1, s2, s3, p0, p1, p2, p3] = *header;
        let len = usize::try_from(u32::from_ne_bytes([l0, l1, l2, l3])).ok()?;
        // A length below the header's makes an inverted range, which `get` refuses.
        let payload = self.0.get(NLMSG_HEADER..len)?;
        self.0 = self.0.get(len.checked_next_multiple_of(4)?..).unwrap_or_default();
        Some(Message {
            kind: u16::from_ne_bytes([k0, k1]),
            flags: u16::from_ne_bytes([f0, f1]),
            sequence: u32::from_ne_bytes([s0, s1, s2, s3]),
            port: u32::from_ne_bytes([p0, p1, p2, p3]),
            payload,
        })
    }
}
