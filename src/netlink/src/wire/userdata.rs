//! User data: bytes that the kernel keeps and nft reads, in its own form.
//!
//! ```text
//!   | type u8 | len u8 | value, len bytes |   one after the other
//! ```
//!
//! nft shows type 0 of a table, chain, rule or element as its comment (128 bytes at most, or it cannot load what it
//! printed) and passes over types that it does not know.

use crate::attr::{EncodeError, Writer};

const COMMENT: u8 = 0;

/// What the kernel keeps for one object, `NFT_USERDATA_MAXLEN`.
const MAX_BYTES: usize = 256;

/// A comment as user data of a table, chain or rule.
///
/// # Errors
/// It has more than 253 bytes.
pub fn comment(text: &str) -> Result<Vec<u8>, EncodeError> {
    let mut bytes = [0; MAX_BYTES];
    write_comment(&mut bytes, text).map(<[u8]>::to_vec)
}

/// The comment in user data of a table, chain, rule or element.
#[must_use]
pub fn read_comment(userdata: &[u8]) -> Option<&str> {
    let text = entries(userdata).find(|(kind, _)| *kind == COMMENT)?.1;
    std::str::from_utf8(text.strip_suffix(&[0])?).ok()
}

/// All entries, type and value; ends at the first that does not fit into what is left.
pub fn entries(userdata: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = userdata;
    std::iter::from_fn(move || {
        let (&[kind, len], tail) = rest.split_first_chunk()?;
        let (value, tail) = tail.split_at_checked(usize::from(len))?;
        rest = tail;
        Some((kind, value))
    })
}

/// Writes a comment into an attribute.
pub(crate) fn put_comment(w: &mut Writer<'_>, kind: u16, text: &str) {
    let mut bytes = [0; MAX_BYTES];
    match write_comment(&mut bytes, text) {
        Ok(entry) => w.bytes(kind, entry),
        Err(error) => w.fail(error),
    }
}

/// Writes type, length, text and NUL; the memory has zeroes before.
fn write_comment<'a>(bytes: &'a mut [u8; MAX_BYTES], text: &str) -> Result<&'a [u8], EncodeError> {
    let too_long = EncodeError::CommentTooLong { bytes: text.len() };
    let [kind, len, rest @ ..] = bytes;
    *kind = COMMENT;
    *len = u8::try_from(text.len().saturating_add(1)).map_err(|_| too_long)?;
    rest.get_mut(..text.len()).ok_or(too_long)?.copy_from_slice(text.as_bytes());
    bytes.get(..text.len().saturating_add(3)).ok_or(too_long)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attr::encode;

    #[test]
    fn a_comment_is_read_again() {
        let bytes = comment("ns/web:http").expect("short");
        assert_eq!(bytes, b"\x00\x0cns/web:http\x00");
        assert_eq!(read_comment(&bytes), Some("ns/web:http"));
        assert_eq!(read_comment(&[0xc8, 1, 7, 0, 2, b'x', 0]), Some("x"));
        assert_eq!(read_comment(&[0, 9, b'x']), None);
    }

    #[test]
    fn a_comment_ends_where_the_kernel_says() {
        assert_eq!(comment(&"a".repeat(253)).map(|bytes| bytes.len()), Ok(256));
        let text = "a".repeat(254);
        assert_eq!(comment(&text), Err(EncodeError::CommentTooLong { bytes: 254 }));
        assert_eq!(encode(|w| put_comment(w, 6, &text)), Err(EncodeError::CommentTooLong { bytes: 254 }));
    }
}
