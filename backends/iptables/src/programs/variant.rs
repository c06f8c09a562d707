//! The two kinds of iptables, their versions, and which of them a node uses.
//!
//! A node must not use both: packets meet the rules of both, and nobody who lists one kind sees the other. So we use what the
//! node's kubelet uses, which leaves a chain as a sign (since Kubernetes 1.17); kube-proxy's image asks the same question
//! (sigs.k8s.io/iptables-wrappers).
//!
//! ```text
//!   table mangle of nf_tables has a chain of the kubelet's       nft
//!   table mangle of iptables-legacy has one                      legacy
//!   neither: there is no kubelet here, or not yet                nft where it works, otherwise legacy
//! ```

use std::{fmt, fs};

use portolan_core::addr::Family;
use portolan_netlink::{Connection, DumpError, uapi};

use super::Tools;

/// The chains by which a kubelet tells others which kind it uses (pkg/kubelet/kubelet_network_linux.go).
const SIGNS: [&str; 2] = ["KUBE-IPTABLES-HINT", "KUBE-KUBELET-CANARY"];

/// Which kind of iptables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Variant {
    /// Rules are kept in nf_tables, in tables `ip nat`, `ip6 filter` and so on.
    Nft,
    /// Rules are kept in the tables of the older x_tables.
    Legacy,
}

/// Of iptables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(u32, u32, u32);

impl Version {
    /// The first that knows `--random-fully` and, in iptables-restore, `--wait`.
    pub(super) const OLDEST: Self = Self(1, 6, 2);

    /// `iptables-restore v1.8.9 (nf_tables)`; versions before 1.8.0 are of iptables-legacy and say nothing in parentheses.
    pub(super) fn parse(said: &str) -> Option<(Self, Variant)> {
        let mut words = said.split_whitespace().skip_while(|word| !word.starts_with('v'));
        let mut numbers = words.next()?.strip_prefix('v')?.split('.').map(|number| number.parse().ok());
        let mut number = || numbers.next().unwrap_or(Some(0));
        let version = Self(number()?, number()?, number()?);
        let variant = if words.next() == Some("(nf_tables)") { Variant::Nft } else { Variant::Legacy };
        Some((version, variant))
    }
}

impl Variant {
    /// The sign that a kubelet has left in this network namespace.
    pub(super) fn of_kubelet() -> Option<Self> {
        if is_signed_in_nf_tables().unwrap_or(false) {
            Some(Self::Nft)
        } else if Family::ALL.into_iter().any(is_signed_in_legacy) {
            Some(Self::Legacy)
        } else {
            None
        }
    }
}

/// What is no kernel with nf_tables, or may not be read, has no sign.
fn is_signed_in_nf_tables() -> Result<bool, DumpError> {
    let Ok(mut connection) = Connection::open() else { return Ok(false) };
    for family in [uapi::NFPROTO_IPV4, uapi::NFPROTO_IPV6] {
        for sign in SIGNS {
            if connection.has_chain(family, "mangle", sign)? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// The table is only asked for where it exists: asking makes it.
fn is_signed_in_legacy(family: Family) -> bool {
    let names = match family {
        Family::V4 => "/proc/thread-self/net/ip_tables_names",
        Family::V6 => "/proc/thread-self/net/ip6_tables_names",
    };
    let exists = fs::read_to_string(names).is_ok_and(|names| names.lines().any(|name| name == "mangle"));
    let saved = || Tools::find(Variant::Legacy, family)?.save("mangle").ok();
    exists && saved().is_some_and(|saved| saved.lines().any(is_sign))
}

/// `:KUBE-KUBELET-CANARY - [0:0]`
fn is_sign(line: &str) -> bool {
    line.strip_prefix(':').and_then(|rest| rest.split(' ').next()).is_some_and(|chain| SIGNS.contains(&chain))
}

/// As the programs are named.
impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nft => "nft",
            Self::Legacy => "legacy",
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        for (said, version) in [
            ("iptables-nft-restore v1.8.9 (nf_tables)\n", Some((Version(1, 8, 9), Variant::Nft))),
            ("ip6tables-restore v1.8.13 (legacy)\n", Some((Version(1, 8, 13), Variant::Legacy))),
            ("iptables-restore v1.6.1\n", Some((Version(1, 6, 1), Variant::Legacy))),
            ("iptables v1.4.21.1\n", Some((Version(1, 4, 21), Variant::Legacy))),
            ("iptables v2\n", Some((Version(2, 0, 0), Variant::Legacy))),
            ("iptables 1.8.9", None),
            ("iptables vx.8.9", None),
            ("", None),
        ] {
            assert_eq!(Version::parse(said), version, "{said}");
        }
        assert!(Version(1, 6, 1) < Version::OLDEST && Version(1, 10, 0) > Version(1, 8, 13));
    }

    #[test]
    fn a_sign_is_a_whole_name() {
        assert!(is_sign(":KUBE-IPTABLES-HINT - [0:0]") && is_sign(":KUBE-KUBELET-CANARY - [0:0]"));
        assert!(!is_sign(":KUBE-IPTABLES-HINTS - [0:0]") && !is_sign("-A PREROUTING -j KUBE-IPTABLES-HINT"));
    }
}
