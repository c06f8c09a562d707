//! PEM as Go reads it: what cannot be read is passed over, and what is between the blocks is nobody's business.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use rustls::pki_types::CertificateDer;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// One block.
struct Block<'a> {
    label: &'a str,
    /// `Proc-Type` and the like, of which encrypted keys have some.
    has_headers: bool,
    der: Vec<u8>,
}

/// The certificates of a bundle.
pub(crate) fn certificates(pem: &[u8]) -> Vec<CertificateDer<'static>> {
    let text = String::from_utf8_lossy(pem);
    let blocks = blocks(&text).into_iter().filter(|block| block.label == "CERTIFICATE" && !block.has_headers);
    blocks.map(|block| block.der.into()).collect()
}

/// The first private key.
pub(super) fn key(pem: &[u8]) -> Option<Vec<u8>> {
    let text = String::from_utf8_lossy(pem);
    let is_key = |label: &str| label == "PRIVATE KEY" || label.ends_with(" PRIVATE KEY");
    blocks(&text).into_iter().find(|block| is_key(block.label)).map(|block| block.der)
}

fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut open: Option<(&str, bool, String)> = None;
    for line in text.lines().map(str::trim_end) {
        let label = |mark: &str| line.strip_prefix(mark).and_then(|rest| rest.strip_suffix(DASHES));
        if let Some(begin) = label(BEGIN) {
            // Whatever was open never came to its end.
            open = Some((begin, false, String::new()));
        } else if let Some(end) = label(END) {
            let closed = open.take().filter(|(label, ..)| *label == end);
            if let Some((label, has_headers, text)) = closed
                && let Ok(der) = BASE64_STANDARD.decode(text)
            {
                blocks.push(Block { label, has_headers, der });
            }
        } else if let Some((_, has_headers, text)) = &mut open {
            if line.contains(':') {
                *has_headers = true;
            } else {
                text.extend(line.split_ascii_whitespace());
            }
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_passed_over() {
        let pem = "a comment\r\n-----BEGIN CERTIFICATE-----\r\nAQ==\r\n-----END CERTIFICATE-----\r\n\
                   -----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n\
                   -----BEGIN CERTIFICATE-----\nAg==\n-----END X509 CRL-----\n\
                   -----BEGIN CERTIFICATE-----\nA: b\n\nAw==\n-----END CERTIFICATE-----\n\
                   -----BEGIN EC PARAMETERS-----\nBA==\n-----END EC PARAMETERS-----\n\
                   -----BEGIN CERTIFICATE-----\nBQ==\n-----BEGIN CERTIFICATE-----\nB g\n==\n-----END CERTIFICATE-----\n\
                   -----BEGIN EC PRIVATE KEY-----\nBw==\n-----END EC PRIVATE KEY-----";
        let found = certificates(pem.as_bytes());
        assert_eq!(found.iter().map(|der| der.as_ref()).collect::<Vec<_>>(), [[1], [6]]);
        assert_eq!(key(pem.as_bytes()), Some(vec![7]));
        assert_eq!(certificates(b"\xff-----BEGIN CERTIFICATE-----"), []);
    }
}
