//! What a certificate says, of what Go's `crypto/x509` takes into account. What of it Go cannot read is no certificate here
//! either; the contents of extensions that decide nothing are not read.

use std::{collections::BTreeSet, net::IpAddr};

use jiff::civil::DateTime;

use super::{
    der::{
        BIT_STRING, BOOLEAN, Der, GENERALIZED_TIME, INTEGER, OCTET_STRING, OID, SEQUENCE, UTC_TIME, constructed,
        context,
    },
    names::{Constraints, Names},
};

/// 2.5.29, below which most extensions are.
const EXTENSIONS: [u8; 2] = [0x55, 0x1d];
/// 1.3.6.1.5.5.7.1.1
const AUTHORITY_INFORMATION: [u8; 8] = [0x2b, 6, 1, 5, 5, 7, 1, 1];
/// 1.3.6.1.5.5.7.3.1
const SERVER: [u8; 8] = [0x2b, 6, 1, 5, 5, 7, 3, 1];
/// 2.5.29.37.0
const ANY_USAGE: [u8; 4] = [0x55, 0x1d, 37, 0];

/// A certificate, over its bytes.
pub(super) struct Certificate<'a> {
    pub(super) whole: &'a [u8],
    /// What is signed.
    pub(super) signed: &'a [u8],
    pub(super) signature_algorithm: &'a [u8],
    pub(super) signature: &'a [u8],
    pub(super) issuer: &'a [u8],
    pub(super) subject: &'a [u8],
    /// In seconds.
    pub(super) not_before: i64,
    pub(super) not_after: i64,
    /// The key with its algorithm, and both alone.
    pub(super) public_key: &'a [u8],
    pub(super) key_algorithm: &'a [u8],
    pub(super) key: &'a [u8],
    is_version_3: bool,
    authority: Option<Authority>,
    /// `keyUsage` has something, and not `keyCertSign`.
    may_not_sign: bool,
    /// `extKeyUsage` has something, and not servers.
    pub(super) may_not_serve: bool,
    /// `subjectAltName`
    pub(super) names: Option<Names<'a>>,
    pub(super) constraints: Option<Constraints<'a>>,
    /// A critical extension that nobody knows, or `policyConstraints`: nobody here knows of policies.
    pub(super) is_beyond_us: bool,
}

/// `basicConstraints`
#[derive(Clone, Copy)]
struct Authority {
    is_one: bool,
    /// How many authorities may be between this one and the server.
    longest: Option<usize>,
}

impl<'a> Certificate<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut outer = Der::only(bytes, SEQUENCE)?;
        let signed = outer.next().filter(|element| element.tag == SEQUENCE)?;
        let signature_algorithm = outer.take(SEQUENCE)?;
        let signature = outer.bits()?;

        let mut inner = Der(signed.content);
        let version = match inner.optional(constructed(0))? {
            None => 0,
            Some(version) => number(Der::only(version, INTEGER)?.0)?,
        };
        // A negative one is refused since Go 1.23.
        inner.take(INTEGER)?.first().filter(|&&first| first < 0x80)?;
        (inner.take(SEQUENCE)? == signature_algorithm && version <= 2).then_some(())?;
        let issuer = inner.take(SEQUENCE)?;
        let mut validity = Der(inner.take(SEQUENCE)?);
        let (not_before, not_after) = (time(&mut validity)?, time(&mut validity)?);
        let subject = inner.take(SEQUENCE)?;
        let public_key = inner.next().filter(|element| element.tag == SEQUENCE)?;
        let mut key = Der(public_key.content);
        let (key_algorithm, key) = (key.take(SEQUENCE)?, key.bits()?);

        let mut certificate = Self {
            whole: bytes,
            signed: signed.whole,
            signature_algorithm,
            signature,
            issuer,
            subject,
            not_before,
            not_after,
            public_key: public_key.whole,
            key_algorithm,
            key,
            is_version_3: version == 2,
            authority: None,
            may_not_sign: false,
            may_not_serve: false,
            names: None,
            constraints: None,
            is_beyond_us: false,
        };
        if version > 0 {
            inner.optional(context(1))?;
            inner.optional(context(2))?;
        }
        if certificate.is_version_3
            && let Some(extensions) = inner.optional(constructed(3))?
        {
            certificate.extensions(Der::only(extensions, SEQUENCE)?)?;
        }
        Some(certificate)
    }

    fn extensions(&mut self, mut extensions: Der<'a>) -> Option<()> {
        let mut seen = BTreeSet::new();
        while !extensions.is_empty() {
            let mut extension = Der(extensions.take(SEQUENCE)?);
            let name = extension.take(OID)?;
            let is_critical = match extension.optional(BOOLEAN)? {
                None | Some([0]) => false,
                Some([0xff]) => true,
                Some(_) => return None,
            };
            let value = extension.take(OCTET_STRING)?;
            seen.insert(name).then_some(())?;
            let is_known = match name.strip_prefix(&EXTENSIONS) {
                Some([number]) => self.extension(*number, is_critical, value)?,
                _ => name == AUTHORITY_INFORMATION && !is_critical,
            };
            self.is_beyond_us |= is_critical && !is_known;
        }
        Some(())
    }

    /// Whether it is one that we know.
    fn extension(&mut self, number: u8, is_critical: bool, value: &'a [u8]) -> Option<bool> {
        match number {
            // subjectKeyIdentifier and authorityKeyIdentifier, which Go refuses where they are critical (RFC 5280, 4.2.1).
            14 | 35 => (!is_critical).then_some(())?,
            15 => {
                let (_, bits) = Der(value).take(BIT_STRING)?.split_first()?;
                let is_set = |byte: usize, mask: u8| bits.get(byte).is_some_and(|bits| bits & mask != 0);
                self.may_not_sign = (is_set(0, 0xff) || is_set(1, 0x80)) && !is_set(0, 0x04);
            }
            17 => {
                let names = Names::parse(value)?;
                let is_known = !names.is_empty();
                self.names = Some(names);
                return Some(is_known);
            }
            19 => {
                let mut value = Der(Der(value).take(SEQUENCE)?);
                let is_one = value.optional(BOOLEAN)?.is_some_and(|value| value == [0xff]);
                let longest = value.optional(INTEGER)?.map(self::number);
                self.authority =
                    Some(Authority { is_one, longest: longest.map_or(Some(None), |found| found.map(Some))? });
            }
            30 => {
                let constraints = Constraints::parse(value)?;
                let is_known = !constraints.has_others;
                self.constraints = Some(constraints);
                return Some(is_known);
            }
            36 => self.is_beyond_us = true,
            37 => {
                let mut usages = Der(Der(value).take(SEQUENCE)?);
                let (mut is_some, mut is_good) = (false, false);
                while !usages.is_empty() {
                    let usage = usages.take(OID)?;
                    is_some = true;
                    is_good |= usage == SERVER || usage == ANY_USAGE;
                }
                self.may_not_serve = is_some && !is_good;
            }
            // Revocation lists and policies: read by Go, and of no effect on what is believed.
            31..=33 | 54 => {}
            _ => return Some(false),
        }
        Some(true)
    }

    /// Whether it may sign others. Before version 3 nobody could say so.
    pub(super) fn may_sign(&self) -> bool {
        let is_authority = self.authority.map_or(!self.is_version_3, |authority| authority.is_one);
        is_authority && !self.may_not_sign
    }

    /// Whether it says that it is an authority. From one that is not trusted itself that is expected, of whatever version.
    pub(super) fn is_authority(&self) -> bool {
        self.authority.is_some_and(|authority| authority.is_one)
    }

    /// Whether so many authorities may be between it and the server.
    pub(super) fn may_lead_over(&self, between: usize) -> bool {
        self.authority.and_then(|authority| authority.longest).is_none_or(|longest| between <= longest)
    }

    /// Whether it is the same, in another form or by another issuer.
    pub(super) fn is_another_of(&self, other: &Self) -> bool {
        let addresses = |names: &Option<Names<'a>>| names.as_ref().map(|names| names.whole);
        self.subject == other.subject
            && self.public_key == other.public_key
            && addresses(&self.names) == addresses(&other.names)
    }

    /// Whether it is for a server that is reached by this.
    pub(super) fn is_for(&self, name: &rustls::pki_types::ServerName<'_>) -> bool {
        let Some(names) = &self.names else { return false };
        match name {
            rustls::pki_types::ServerName::IpAddress(address) => names.addresses.contains(&IpAddr::from(*address)),
            rustls::pki_types::ServerName::DnsName(name) => names.has_host(name.as_ref()),
            _ => false,
        }
    }
}

/// A small one, not negative.
fn number(bytes: &[u8]) -> Option<usize> {
    let is_shortest = match bytes {
        [first, ..] if *first >= 0x80 => false,
        [0, second, ..] => *second >= 0x80,
        [] => false,
        _ => true,
    };
    let value = bytes.iter().try_fold(0_usize, |value, &byte| Some(value.checked_mul(256)? + usize::from(byte)));
    value.filter(|_| is_shortest)
}

/// Seconds since 1970.
fn time(der: &mut Der<'_>) -> Option<i64> {
    let element = der.next()?;
    let text = str::from_utf8(element.content).ok()?.strip_suffix('Z')?;
    let (year, rest) = match element.tag {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            let year: i16 = digits(year)?;
            // RFC 5280: two digits are of 1950 to 2049.
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (digits(year)?, rest)
        }
        _ => return None,
    };
    let mut parts = [0_i8; 5];
    let mut rest = rest;
    for part in &mut parts {
        let (two, more) = rest.split_at_checked(2)?;
        *part = digits(two)?;
        rest = more;
    }
    let [month, day, hour, minute, second] = parts;
    rest.is_empty().then_some(())?;
    let time = DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
    // Not by a timestamp: the last second of 9999, which RFC 5280 has for no end at all, is beyond those of jiff.
    Some(time.duration_since(DateTime::constant(1970, 1, 1, 0, 0, 0, 0)).as_secs())
}

fn digits<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::certificates;

    /// Each bit of a certificate turned, and each end that it can have.
    #[test]
    fn whatever_the_bytes_are_they_are_read_or_not() {
        let pem = include_bytes!("../../../../testdata/certificates/names-permitted/ca.pem");
        let der = certificates(pem).remove(0);
        assert!(Certificate::parse(&der).is_some());
        let broken = |bytes: &[u8]| {
            if let Some(certificate) = Certificate::parse(bytes) {
                certificate.may_lead_over(usize::MAX);
            }
        };
        for place in 0..der.len() {
            assert!(Certificate::parse(&der[..place]).is_none());
            for bit in 0..8 {
                let mut bytes = der.to_vec();
                bytes[place] ^= 1 << bit;
                broken(&bytes);
            }
        }
    }

    #[test]
    fn times_are_seconds() {
        let at = |tag: u8, text: &str| {
            time(&mut Der(&[&[tag, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()))
        };
        assert_eq!(at(UTC_TIME, "700101000001Z"), Some(1));
        assert_eq!(at(UTC_TIME, "491231235959Z"), at(GENERALIZED_TIME, "20491231235959Z"));
        assert_eq!(at(UTC_TIME, "500101000000Z"), at(GENERALIZED_TIME, "19500101000000Z"));
        assert_eq!(at(GENERALIZED_TIME, "99991231235959Z"), Some(253_402_300_799));
        for text in ["", "Z", "20490001000000Z", "20490101000000", "+0490101000000Z", "20490101000000ZZ"] {
            assert_eq!(at(GENERALIZED_TIME, text), None, "{text}");
        }
    }
}
