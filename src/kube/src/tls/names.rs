//! The names in a certificate, and those that an authority may give.

use std::net::IpAddr;

use super::der::{Der, SEQUENCE, constructed, context};

const EMAIL: u8 = context(1);
const DNS: u8 = context(2);
const URI: u8 = context(6);
const ADDRESS: u8 = context(7);

/// `subjectAltName`
pub(super) struct Names<'a> {
    pub(super) whole: &'a [u8],
    dns: Vec<&'a str>,
    pub(super) addresses: Vec<IpAddr>,
    /// Emails and URIs.
    has_others: bool,
}

impl<'a> Names<'a> {
    pub(super) fn parse(value: &'a [u8]) -> Option<Self> {
        let mut names = Self { whole: value, dns: Vec::new(), addresses: Vec::new(), has_others: false };
        let mut all = Der(Der(value).take(SEQUENCE)?);
        while !all.is_empty() {
            let name = all.next()?;
            match name.tag {
                DNS => names.dns.push(ascii(name.content)?),
                ADDRESS => names.addresses.push(address(name.content)?),
                EMAIL | URI => {
                    ascii(name.content)?;
                    names.has_others = true;
                }
                _ => {}
            }
        }
        Some(names)
    }

    /// Whether there is none that Go knows.
    pub(super) const fn is_empty(&self) -> bool {
        self.dns.is_empty() && self.addresses.is_empty() && !self.has_others
    }

    /// As Go: the first label of a pattern may be `*`, which stands for one label.
    pub(super) fn has_host(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let host = host.strip_suffix('.').unwrap_or(&host);
        self.dns.iter().any(|pattern| {
            let pattern = pattern.to_ascii_lowercase();
            let parts = (pattern.strip_prefix("*."), host.split_once('.'));
            match parts {
                (Some(pattern), Some((_, host))) if is_host(pattern) && is_host(host) => pattern == host,
                _ => !host.is_empty() && pattern == host,
            }
        })
    }
}

/// `nameConstraints`
pub(super) struct Constraints<'a> {
    permitted: Subtrees<'a>,
    excluded: Subtrees<'a>,
    /// Names of directories and the like, which Go does not know either.
    pub(super) has_others: bool,
}

#[derive(Default)]
struct Subtrees<'a> {
    dns: Vec<&'a str>,
    networks: Vec<&'a [u8]>,
    /// Of emails and URIs.
    has_others: bool,
}

impl<'a> Constraints<'a> {
    pub(super) fn parse(value: &'a [u8]) -> Option<Self> {
        let mut both = Der::only(value, SEQUENCE)?;
        let (permitted, excluded) = (both.optional(constructed(0))?, both.optional(constructed(1))?);
        let (permitted, excluded) = (permitted.unwrap_or_default(), excluded.unwrap_or_default());
        // One of them must have something.
        (both.is_empty() && !(permitted.is_empty() && excluded.is_empty())).then_some(())?;
        let mut has_others = false;
        let permitted = Subtrees::parse(permitted, &mut has_others)?;
        let excluded = Subtrees::parse(excluded, &mut has_others)?;
        Some(Self { permitted, excluded, has_others })
    }

    /// Whether these names may be given. Emails and URIs are refused where there is a word about them: no API server is
    /// reached by one.
    pub(super) fn allow(&self, names: &Names<'_>) -> bool {
        let may_dns = names.dns.iter().all(|name| {
            let is_permitted = self.permitted.dns.is_empty() || self.permitted.dns.iter().any(|tree| is_in(name, tree));
            let is_excluded = self.excluded.dns.iter().any(|tree| is_in(name, tree) || is_pattern_of(name, tree));
            is_name(name) && is_permitted && !is_excluded
        });
        let may_address = names.addresses.iter().all(|address| {
            let is_permitted = self.permitted.networks.is_empty()
                || self.permitted.networks.iter().any(|network| is_address_in(address, network));
            is_permitted && !self.excluded.networks.iter().any(|network| is_address_in(address, network))
        });
        let may_others = !names.has_others || !(self.permitted.has_others || self.excluded.has_others);
        may_dns && may_address && may_others
    }
}

impl<'a> Subtrees<'a> {
    fn parse(trees: &'a [u8], has_others: &mut bool) -> Option<Self> {
        let mut subtrees = Self::default();
        let mut trees = Der(trees);
        while !trees.is_empty() {
            let base = Der(trees.take(SEQUENCE)?).next()?;
            match base.tag {
                DNS => {
                    let name = ascii(base.content)?;
                    (name.is_empty() || is_name(name.strip_prefix('.').unwrap_or(name))).then_some(())?;
                    subtrees.dns.push(name);
                }
                ADDRESS => {
                    let (_, mask) = base.content.split_at(base.content.len() / 2);
                    let is_mask = mask.iter().skip_while(|&&byte| byte == 0xff).enumerate().all(|(i, byte)| {
                        if i == 0 { byte.leading_ones() + byte.trailing_zeros() == 8 } else { *byte == 0 }
                    });
                    (matches!(base.content.len(), 8 | 32) && is_mask).then_some(())?;
                    subtrees.networks.push(base.content);
                }
                EMAIL | URI => {
                    ascii(base.content)?;
                    subtrees.has_others = true;
                }
                _ => *has_others = true,
            }
        }
        Some(subtrees)
    }
}

fn ascii(bytes: &[u8]) -> Option<&str> {
    str::from_utf8(bytes).ok().filter(|text| text.is_ascii())
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok().map(|address| address.to_canonical())
}

/// Labels of letters, digits, `-` (not in front) and `_`.
fn is_host(host: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    host.split('.').all(is_label)
}

/// What can be compared with a constraint: labels of whatever can be seen.
fn is_name(name: &str) -> bool {
    name.split('.').all(|label| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_graphic()))
}

/// `example.com` is it and all below it, `.example.com` only what is below, and nothing is everything.
fn is_in(name: &str, tree: &str) -> bool {
    let (name, tree) = (name.to_ascii_lowercase(), tree.to_ascii_lowercase());
    match name.strip_suffix(&tree) {
        Some("") => !tree.starts_with('.'),
        Some(front) => tree.is_empty() || tree.starts_with('.') || front.ends_with('.'),
        None => false,
    }
}

/// `*.example.com` stands for `www.example.com` too.
fn is_pattern_of(name: &str, tree: &str) -> bool {
    let below = |text: &str| text.find('.').and_then(|dot| text.get(dot..)).map(str::to_ascii_lowercase);
    name.starts_with('*') && below(tree).is_some_and(|tree| below(name) == Some(tree))
}

/// An address and a mask, one after the other.
fn is_address_in(address: &IpAddr, network: &[u8]) -> bool {
    let octets = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let (base, mask) = network.split_at(network.len() / 2);
    octets.len() == base.len()
        && octets.iter().zip(base).zip(mask).all(|((octet, base), mask)| octet & mask == base & mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_and_trees_are_those_of_go() {
        let names =
            |dns: &[&'static str]| Names { whole: b"", dns: dns.to_vec(), addresses: vec![], has_others: false };
        assert!(names(&["a.example.com"]).has_host("A.example.COM."));
        assert!(names(&["*.example.com"]).has_host("a.example.com"));
        for (pattern, host) in [
            ("*.example.com", "example.com"),
            ("*.example.com", "a.b.example.com"),
            ("a*.example.com", "ab.example.com"),
            ("*", "a"),
        ] {
            assert!(!names(&[pattern]).has_host(host), "{pattern} {host}");
        }
        assert!(is_in("a.example.com", "Example.com") && is_in("example.com", "example.com") && is_in("a", ""));
        assert!(!is_in("anexample.com", "example.com") && !is_in("example.com", ".example.com"));
        assert!(is_in("a.example.com", ".example.com"));
        assert!(
            is_pattern_of("*.example.com", "www.example.com") && !is_pattern_of("a.example.com", "www.example.com")
        );
    }
}
