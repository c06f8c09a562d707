//! Levels by prefix of the address, so that no connection walks past the rules of all Services.
//!
//! ```text
//!   KUBE-SERVICES --10.96.0.0/12--> KUBE-SVC-10.96.0.0/12 --10.96.0.0/16--> KUBE-SVC-10.96.0.0/16
//!                                                         --10.97.0.0/16--> ...    --10.97.32.0/20--> ...
//!                                                                                     --10.97.37.0/24--> its VIPs
//! ```
//!
//! A connection to none of the prefixes above meets one rule for each of them: those of ServiceCIDRs, and as few as possible
//! around other addresses. One to a Service meets 16 rules at most on each level, and half of them as a rule.

use std::net::IpAddr;

use ipnet::IpNet;

/// The prefixes that lead to an address, from the widest to the narrowest.
pub(crate) fn path(service_cidrs: &[IpNet], addr: IpAddr) -> Vec<IpNet> {
    let host = IpNet::from(addr);
    let around = service_cidrs.iter().filter(|cidr| cidr.prefix_len() > 0 && cidr.contains(&addr));
    let widest = around.map(IpNet::prefix_len).min();
    let own = if addr.is_ipv4() { OWN_V4 } else { OWN_V6 };
    let lengths = lengths(widest.unwrap_or(own), host.max_prefix_len());
    lengths.filter_map(|length| Some(IpNet::new(addr, length).ok()?.trunc())).collect()
}

/// The width of the prefix around an address that is in no ServiceCIDR: as wide as the ServiceCIDRs that kubeadm makes, so
/// that nothing changes when these become known.
const OWN_V4: u8 = 12;
const OWN_V6: u8 = 108;

/// Every four bits: 16 rules to walk past at most. Up to 12 bits beyond the first, since below that most chains of a wide prefix
/// would have a single rule, and none where few addresses are left.
fn lengths(first: u8, longest: u8) -> impl Iterator<Item = u8> {
    let last = first.saturating_add(12).min(longest.saturating_sub(LEAF_BITS));
    std::iter::once(first).chain((first..=last).filter(move |length| *length > first && length.is_multiple_of(4)))
}

/// A chain of so many bits is not parted again.
const LEAF_BITS: u8 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(cidrs: &[&str], addr: &str) -> String {
        let cidrs: Vec<_> = cidrs.iter().map(|cidr| cidr.parse().unwrap()).collect();
        let path = path(&cidrs, addr.parse().unwrap());
        path.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn addresses_are_parted_every_four_bits() {
        for (cidrs, addr, expected) in [
            (&["10.96.0.0/12"][..], "10.98.5.7", "10.96.0.0/12 10.98.0.0/16 10.98.0.0/20 10.98.5.0/24"),
            (&["10.96.0.0/16"], "10.96.21.7", "10.96.0.0/16 10.96.16.0/20 10.96.21.0/24"),
            (&["10.96.0.0/20"], "10.96.5.7", "10.96.0.0/20 10.96.5.0/24"),
            (&["10.96.0.0/24"], "10.96.0.7", "10.96.0.0/24"),
            (&["10.96.0.0/28"], "10.96.0.7", "10.96.0.0/28"),
            (&["10.96.0.7/32"], "10.96.0.7", "10.96.0.7/32"),
            (&["10.0.0.0/8"], "10.96.5.7", "10.0.0.0/8 10.96.0.0/12 10.96.0.0/16 10.96.0.0/20"),
            (&["10.96.0.0/16", "10.96.0.0/12"], "10.96.5.7", "10.96.0.0/12 10.96.0.0/16 10.96.0.0/20 10.96.5.0/24"),
            (&["fd00:10:96::/112"], "fd00:10:96::102", "fd00:10:96::/112 fd00:10:96::/116 fd00:10:96::100/120"),
            (
                &["fd00:10:96::/108"],
                "fd00:10:96::102",
                "fd00:10:96::/108 fd00:10:96::/112 fd00:10:96::/116 fd00:10:96::100/120",
            ),
            (
                &["fd00:10:96::/64"],
                "fd00:10:96::1:102",
                "fd00:10:96::/64 fd00:10:96::/68 fd00:10:96::/72 fd00:10:96::/76",
            ),
            (&["10.96.0.0/16"], "203.0.113.10", "203.0.0.0/12 203.0.0.0/16 203.0.112.0/20 203.0.113.0/24"),
            (&["0.0.0.0/0"], "10.96.5.7", "10.96.0.0/12 10.96.0.0/16 10.96.0.0/20 10.96.5.0/24"),
            (&[], "2001:db8::102", "2001:db8::/108 2001:db8::/112 2001:db8::/116 2001:db8::100/120"),
        ] {
            assert_eq!(shown(cidrs, addr), expected, "{addr} in {cidrs:?}");
        }
    }
}
