//! Netlink attributes: a writer that patches lengths as nests close, and a reader that trusts nothing.
//!
//! ```text
//!   | len u16 | type u16 | value, len - 4 bytes | zeroes up to a multiple of 4 |
//!             bit 15 of the type: the value is a nest of attributes
//! ```
//!
//! `len` is why a list of set elements cannot pass 64 KiB (libnl, `struct nlattr`).

use crate::uapi::{NLA_F_NESTED, NLA_TYPE_MASK};

/// What cannot be written as a netlink message. Nothing was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// An attribute has 16 bits for its length.
    #[error("netlink attribute {attribute} would have {bytes} bytes; the kernel's format ends at 65535")]
    TooLong {
        /// The attribute's type in its own level.
        attribute: u16,
        /// Its length with its header.
        bytes: usize,
    },
    /// The kernel keeps 256 bytes of user data, 3 of them for the comment's own frame.
    #[error("a comment of {bytes} bytes does not fit into nftables user data; at most 253 do")]
    CommentTooLong {
        /// The comment's length.
        bytes: usize,
    },
    /// A message has 32 bits for its length and a transaction as many for its messages.
    #[error("the transaction has more bytes or messages than netlink can count")]
    TooMany,
}

/// Appends attributes to a message.
///
/// Never fails at once: the first thing that does not fit is remembered and returned by the commit, so that
/// encoders stay plain lists of calls.
#[derive(Debug)]
pub struct Writer<'a> {
    bytes: &'a mut Vec<u8>,
    error: &'a mut Option<EncodeError>,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(bytes: &'a mut Vec<u8>, error: &'a mut Option<EncodeError>) -> Self {
        Self { bytes, error }
    }

    /// Bytes written so far, of this message and all before it.
    pub(crate) fn position(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn fail(&mut self, error: EncodeError) {
        self.error.get_or_insert(error);
    }

    fn header(&mut self, kind: u16, value_len: usize) {
        let bytes = value_len.saturating_add(4);
        let len = u16::try_from(bytes).unwrap_or_else(|_| {
            self.fail(EncodeError::TooLong { attribute: kind, bytes });
            4
        });
        self.bytes.extend_from_slice(&len.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
    }

    fn pad(&mut self) {
        let len = self.bytes.len().next_multiple_of(4);
        self.bytes.resize(len, 0);
    }

    /// A value as it is.
    pub fn bytes(&mut self, kind: u16, value: &[u8]) {
        self.header(kind, value.len());
        self.bytes.extend_from_slice(value);
        self.pad();
    }

    /// A string, which the kernel wants to end with a NUL.
    pub fn str(&mut self, kind: u16, value: &str) {
        self.header(kind, value.len().saturating_add(1));
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(0);
        self.pad();
    }

    /// One byte.
    pub fn u8(&mut self, kind: u16, value: u8) {
        self.bytes(kind, &[value]);
    }

    /// 16 bits, most significant byte first.
    pub fn be16(&mut self, kind: u16, value: u16) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// 32 bits, most significant byte first, as all of nf_tables has them.
    pub fn be32(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// 64 bits, most significant byte first.
    pub fn be64(&mut self, kind: u16, value: u64) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// 16 bits in the machine's byte order, as generic netlink and rtnetlink have them.
    pub fn u16(&mut self, kind: u16, value: u16) {
        self.bytes(kind, &value.to_ne_bytes());
    }

    /// 32 bits in the machine's byte order.
    pub fn u32(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_ne_bytes());
    }

    /// An attribute made of attributes.
    pub fn nest(&mut self, kind: u16, content: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.header(kind | NLA_F_NESTED, 0);
        content(self);
        let bytes = self.bytes.len().saturating_sub(start);
        match (u16::try_from(bytes), self.bytes.get_mut(start..start.saturating_add(2))) {
            (Ok(len), Some(place)) => place.copy_from_slice(&len.to_ne_bytes()),
            _ => self.fail(EncodeError::TooLong { attribute: kind, bytes }),
        }
    }
}

/// Writes attributes outside a transaction: for tests and for comparing encoders.
///
/// # Errors
/// What did not fit.
pub fn encode(content: impl FnOnce(&mut Writer<'_>)) -> Result<Vec<u8>, EncodeError> {
    let (mut bytes, mut error) = (Vec::new(), None);
    content(&mut Writer::new(&mut bytes, &mut error));
    error.map_or(Ok(bytes), Err)
}

/// One attribute that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attr<'a> {
    /// Its type without the flag bits.
    pub kind: u16,
    /// Its value without padding.
    pub value: &'a [u8],
    /// Where its header starts, in bytes from the start of what is read.
    pub(crate) offset: usize,
}

impl<'a> Attr<'a> {
    /// The value as attributes.
    #[must_use]
    pub fn nested(&self) -> Attrs<'a> {
        Attrs::new(self.value)
    }

    /// The value as one byte.
    #[must_use]
    pub fn u8(&self) -> Option<u8> {
        self.value.first_chunk::<1>().filter(|_| self.value.len() == 1).map(|[byte]| *byte)
    }

    /// The value as 16 bits, most significant byte first.
    #[must_use]
    pub fn be16(&self) -> Option<u16> {
        self.value.try_into().ok().map(u16::from_be_bytes)
    }

    /// The value as 32 bits, most significant byte first.
    #[must_use]
    pub fn be32(&self) -> Option<u32> {
        self.value.try_into().ok().map(u32::from_be_bytes)
    }

    /// The value as 64 bits, most significant byte first.
    #[must_use]
    pub fn be64(&self) -> Option<u64> {
        self.value.try_into().ok().map(u64::from_be_bytes)
    }

    /// The value as 16 bits in the machine's byte order.
    #[must_use]
    pub fn u16(&self) -> Option<u16> {
        self.value.try_into().ok().map(u16::from_ne_bytes)
    }

    /// The value as 32 bits in the machine's byte order.
    #[must_use]
    pub fn u32(&self) -> Option<u32> {
        self.value.try_into().ok().map(u32::from_ne_bytes)
    }

    /// The value as 64 bits in the machine's byte order.
    #[must_use]
    pub fn u64(&self) -> Option<u64> {
        self.value.try_into().ok().map(u64::from_ne_bytes)
    }

    /// The value as text, without its NUL. The kernel takes any bytes for a name; one that is not UTF-8 reads as
    /// U+FFFD, which is never a name of ours.
    #[must_use]
    pub fn str(&self) -> &'a str {
        let text = self.value.split(|byte| *byte == 0).next().unwrap_or_default();
        std::str::from_utf8(text).unwrap_or("\u{fffd}")
    }
}

/// Reads attributes one after the other; ends at the first that does not fit into what is left.
#[derive(Debug, Clone, Copy)]
pub struct Attrs<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Attrs<'a> {
    /// Attributes from any bytes at all.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// The first attribute of a type.
    #[must_use]
    pub fn get(mut self, kind: u16) -> Option<Attr<'a>> {
        self.find(|attr| attr.kind == kind)
    }
}

impl<'a> Iterator for Attrs<'a> {
    type Item = Attr<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let offset = self.position;
        let rest = self.bytes.get(offset..)?;
        let [l0, l1, k0, k1] = *rest.first_chunk::<4>()?;
        let len = usize::from(u16::from_ne_bytes([l0, l1]));
        // A length below 4 makes an inverted range, which `get` refuses: no endless loop over an empty attribute.
        let value = rest.get(4..len)?;
        self.position = offset.saturating_add(len.next_multiple_of(4));
        Some(Attr { kind: u16::from_ne_bytes([k0, k1]) & NLA_TYPE_MASK, value, offset })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let bytes = encode(|w| {
            w.str(1, "abc");
            w.nest(2, |w| {
                w.be32(3, 7);
                w.u8(4, 9);
            });
            w.be64(5, 11);
        })
        .expect("fits");
        let attrs = Attrs::new(&bytes);
        assert_eq!(attrs.map(|a| a.kind).collect::<Vec<_>>(), [1, 2, 5]);
        assert_eq!(attrs.get(1).map(|a| a.str()), Some("abc"));
        let nest = attrs.get(2).expect("there").nested();
        assert_eq!(nest.get(3).and_then(|a| a.be32()), Some(7));
        assert_eq!(nest.get(4).and_then(|a| a.u8()), Some(9));
        assert_eq!(attrs.get(5).and_then(|a| a.be64()), Some(11));
    }

    #[test]
    fn too_long_is_an_error_and_not_a_panic() {
        let long = vec![0; 65_532];
        assert_eq!(encode(|w| w.bytes(3, &long)), Err(EncodeError::TooLong { attribute: 3, bytes: 65_536 }));
        let nested = encode(|w| w.nest(8, |w| (0..5).for_each(|_| w.bytes(1, &long[..20_000]))));
        assert_eq!(nested, Err(EncodeError::TooLong { attribute: 8, bytes: 100_024 }));
    }
}
