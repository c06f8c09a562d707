//! Names that were checked once, when they came in: no quote, no newline, never too long for where they go.

use std::{fmt, sync::Arc};

use crate::addr::Protocol;

/// Namespace and name of a Service. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceName {
    /// The namespace, a DNS label.
    pub namespace: Arc<str>,
    /// The Service's name, a DNS label.
    pub name: Arc<str>,
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// One port of a Service: the unit of balancing, affinity and naming.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServicePortName {
    /// The Service.
    pub service: ServiceName,
    /// `spec.ports[].name`; empty where a Service with a single port gives none.
    pub port: Arc<str>,
    /// The protocol: kube-proxy's unit has it too, since the API forbids equal names only within one Service.
    pub protocol: Protocol,
}

/// As kube-proxy writes it: `namespace/name:port`, and no colon where the port has no name.
impl fmt::Display for ServicePortName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.service)?;
        if self.port.is_empty() { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

/// Whether text is a DNS label as Kubernetes has it (RFC 1123): 1 to 63 of `a-z`, `0-9` and `-`, no `-` at the ends.
#[must_use]
pub fn is_dns_label(text: &str) -> bool {
    text.len() <= 63 && is_part(text)
}

/// Whether text is a DNS subdomain as Kubernetes has it: labels joined by dots, 1 to 253 bytes. As in the API, one
/// label may be longer than 63.
#[must_use]
pub fn is_dns_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_part)
}

/// Whether text is the value of a label as Kubernetes has it, and not empty: 1 to 63 of letters, digits, `-`, `_` and
/// `.`, a letter or digit at both ends.
#[must_use]
pub fn is_label_value(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let at_end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= 63 && at_end(bytes.first()) && at_end(bytes.last()) && bytes.iter().copied().all(allowed)
}

fn is_part(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(allowed) && !text.starts_with('-') && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_subdomains() {
        let long = "a".repeat(64);
        for (text, label, subdomain) in [
            ("web", true, true),
            ("0-a", true, true),
            (&long[..63], true, true),
            (&long, false, true),
            ("node-a.example.com", false, true),
            ("", false, false),
            ("-a", false, false),
            ("a-", false, false),
            ("a..b", false, false),
            ("Web", false, false),
            ("we\"b", false, false),
            ("web\n", false, false),
            ("wéb", false, false),
        ] {
            assert_eq!(is_dns_label(text), label, "label {text:?}");
            assert_eq!(is_dns_subdomain(text), subdomain, "subdomain {text:?}");
        }
        assert!(!is_dns_subdomain(&"a".repeat(254)));
    }
}
