//! Levels by prefix of the address, so that no connection walks past the rules of all Services.
//!
//! ```text
//!   KUBE-SERVICES --10.96.0.0/12--> KUBE-SVC-10.96.0.0/12 --10.96.0.0/16--> KUBE-SVC-10.96.0.0/16
//!                                                         --10.97.0.0/16--> ...     --10.96.5.0/24--> KUBE-SVC-10.96.5.0/24
//!                                                                                                       its VIPs
//! ```
//!
//! A connection to none of the prefixes above meets one rule for each of them: those of ServiceCIDRs, and as few as possible
//! around other addresses. One to a Service meets 16, 256 and again 256 different rules at most in a /12, and half of them as
//! a rule.

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

/// At whole bytes, and up to 12 bits beyond the first: with more, most chains of a wide prefix would have one rule.
fn lengths(first: u8, longest: u8) -> impl Iterator<Item = u8> {
    let last = longest.saturating_sub(LEAF_BITS);
    let second = (first / 8 + 1).saturating_mul(8);
    let third = first.saturating_add(12).next_multiple_of(4);
    let further = [second, third].into_iter().filter(move |length| *length <= last);
    std::iter::once(first).chain(further.take_while(move |length| *length == second || second < first + 12))
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
    fn addresses_are_parted_at_bytes() {
        for (cidrs, addr, expected) in [
            (&["10.96.0.0/12"][..], "10.98.5.7", "10.96.0.0/12 10.98.0.0/16 10.98.5.0/24"),
            (&["10.96.0.0/16"], "10.96.5.7", "10.96.0.0/16 10.96.5.0/24"),
            (&["10.96.0.0/20"], "10.96.5.7", "10.96.0.0/20 10.96.5.0/24"),
            (&["10.96.0.0/24"], "10.96.0.7", "10.96.0.0/24"),
            (&["10.96.0.0/28"], "10.96.0.7", "10.96.0.0/28"),
            (&["10.96.0.7/32"], "10.96.0.7", "10.96.0.7/32"),
            (&["10.0.0.0/8"], "10.96.5.7", "10.0.0.0/8 10.96.0.0/16 10.96.0.0/20"),
            (&["10.96.0.0/16", "10.96.0.0/12"], "10.96.5.7", "10.96.0.0/12 10.96.0.0/16 10.96.5.0/24"),
            (&["fd00:10:96::/112"], "fd00:10:96::102", "fd00:10:96::/112 fd00:10:96::100/120"),
            (&["fd00:10:96::/108"], "fd00:10:96::102", "fd00:10:96::/108 fd00:10:96::/112 fd00:10:96::100/120"),
            (&["fd00:10:96::/64"], "fd00:10:96::1:102", "fd00:10:96::/64 fd00:10:96::/72 fd00:10:96::/76"),
            (&["10.96.0.0/16"], "203.0.113.10", "203.0.0.0/12 203.0.0.0/16 203.0.113.0/24"),
            (&["0.0.0.0/0"], "10.96.5.7", "10.96.0.0/12 10.96.0.0/16 10.96.5.0/24"),
            (&[], "2001:db8::102", "2001:db8::/108 2001:db8::/112 2001:db8::100/120"),
        ] {
            assert_eq!(shown(cidrs, addr), expected, "{addr} in {cidrs:?}");
        }
    }
}
