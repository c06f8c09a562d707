//! The few names and addresses that random worlds are made of.
//!
//! ```text
//!  node-a  192.168.0.2, 192.168.1.2   pods 10.0.1.0/24      cluster IPs 172.30.0.1 .. 3, fd00:172::1 .. 3
//!  node-b  192.168.0.3                pods 10.0.2.0/24      external and LB IPs 1.2.3.4 and others' addresses
//! ```

use std::net::IpAddr;

use ipnet::IpNet;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use crate::addresses::{parse_cidr, parse_ip};
use crate::objects::Protocol;

pub(super) const SLICES: &[&str] = &["s", "t", "u", "v", "w", "x", "y", "z"];
pub(super) const ZONES: &[&str] = &["zone-a", "zone-b"];
/// The proxy's own node.
pub(super) const NODE: &str = "node-a";
pub(super) const NODES: &[&str] = &[NODE, "node-b"];
pub(super) const SERVICE_CIDR_NAMES: &[&str] = &["kubernetes", "more"];

pub(super) const SERVICE_CIDRS: &[&str] =
    &["172.30.0.0/16", "172.30.0.0/31", "172.31.0.0/24", "169.254.30.0/24", "fd00:172::/108", "fe80:172::/108"];
/// The last ones are link-local: good inside a ServiceCIDR.
pub(super) const CLUSTER_IPS_V4: &[&str] = &["172.30.0.1", "172.30.0.2", "172.30.0.3", "169.254.30.1"];
pub(super) const CLUSTER_IPS_V6: &[&str] = &["fd00:172::1", "fd00:172::2", "fd00:172::3", "fe80:172::1"];
/// Valid external and LB IPs: of nobody, of the node, of a Service, in a ServiceCIDR, of an endpoint.
pub(super) const VIPS: &[&str] = &[
    "1.2.3.4",
    "001.2.3.04",
    "192.168.0.2",
    "192.168.1.2",
    "172.30.0.1",
    "172.30.0.2",
    "172.30.0.99",
    "10.0.1.1",
    "fd00:1::4",
    "fd00:192::2",
    "fd00:193::2",
    "fd00:172::1",
    "fd00:172::2",
    "fd00:10:1::1",
];
pub(super) const ENDPOINTS_V4: &[&str] =
    &["10.0.1.1", "10.0.1.2", "10.0.2.1", "10.0.2.2", "192.168.0.2", "192.168.0.3", "010.0.1.01"];
pub(super) const ENDPOINTS_V6: &[&str] =
    &["fd00:10:1::1", "fd00:10:1::2", "fd00:10:2::1", "fd00:10:2::2", "fd00:192::2", "fd00:192::3"];
/// Endpoints that are frontends too: cluster IPs, external and LB IPs, one of them in a ServiceCIDR.
pub(super) const FRONTENDS_V4: &[&str] = &["172.30.0.1", "172.30.0.2", "172.30.0.99", "1.2.3.4", "192.168.1.2"];
pub(super) const FRONTENDS_V6: &[&str] = &["fd00:172::1", "fd00:172::2", "fd00:1::4", "fd00:193::2"];
/// The node that an endpoint's address is of.
pub(super) fn home(endpoint: &str) -> &'static str {
    let ours = ["10.0.1.", "010.0.1.", "192.168.0.2", "fd00:10:1:", "fd00:192::2"];
    if ours.iter().any(|prefix| endpoint.starts_with(prefix)) { NODE } else { "node-b" }
}

/// Addresses that are refused everywhere.
pub(super) const REFUSED_V4: &[&str] = &["127.0.0.1", "127.8.8.8", "169.254.1.1", "224.0.0.1", "0.0.0.0"];
pub(super) const REFUSED_V6: &[&str] = &["::1", "fe80::1", "ff02::1", "::"];
pub(super) const SOURCE_RANGES: &[&str] = &[
    "203.0.113.0/25",
    " 203.0.113.0/25 ",
    "192.168.0.0/24",
    "192.168.1.0/24",
    "10.0.0.0/16",
    "1.2.3.4/32",
    "203.0.113.130/032",
    "0.0.0.0/0",
    "2001:db8::/64",
    "fd00:192::/64",
    "fd00:10::/32",
    "::/0",
    "bad",
    "",
];
/// What the node may have on its interfaces: its own, a bridge in the pod CIDR, VIPs, a cluster IP, a link-local one.
pub(super) const ON_INTERFACES: &[&str] = &[
    "192.168.0.2",
    "192.168.1.2",
    "10.0.1.254",
    "1.2.3.4",
    "172.30.0.2",
    "fd00:192::2",
    "fd00:193::2",
    "fd00:1::4",
    "fe80::2",
];
pub(super) const NODE_ADDRESSES: &[&str] =
    &["192.168.0.2", "192.168.1.2", "192.168.77.77", "fd00:192::2", "fd00:193::2"];
pub(super) const POD_CIDRS: &[&str] = &["10.0.1.0/24", "10.0.2.0/24", "fd00:10:1::/64", "fd00:10:2::/64"];
pub(super) const NODE_PORT_CIDRS: &[&str] = &[
    "192.168.0.0/24",
    "192.168.0.0/16",
    "10.0.0.0/8",
    "127.0.0.0/8",
    "0.0.0.0/1",
    "0.0.0.0/0",
    "fd00:192::/64",
    "fe80::/10",
    "::/0",
];

/// The names that ports have, each with a protocol, most often the same one: a Service's port and a slice's should meet.
pub(super) fn named_protocols() -> impl Strategy<Value = [(&'static str, Protocol); 4]> {
    let usually =
        |protocol| prop_oneof![9 => Just(protocol), 1 => select(&[Protocol::Tcp, Protocol::Udp, Protocol::Sctp][..])];
    (usually(Protocol::Tcp), usually(Protocol::Tcp), usually(Protocol::Udp), usually(Protocol::Sctp))
        .prop_map(|(nameless, p, q, r)| [("", nameless), ("p", p), ("q", q), ("r", r)])
}

/// A namespace, most often the first.
pub(super) fn namespace() -> impl Strategy<Value = String> {
    prop_oneof![6 => Just("ns"), 1 => Just("other")].prop_map(ToOwned::to_owned)
}

/// The name of a Service, the first most often.
pub(super) fn service() -> impl Strategy<Value = String> {
    prop_oneof![3 => Just("a"), 2 => Just("b"), 1 => Just("c")].prop_map(ToOwned::to_owned)
}

/// One of these texts.
pub(super) fn text(of: &'static [&'static str]) -> impl Strategy<Value = String> {
    select(of).prop_map(ToOwned::to_owned)
}

/// One of these texts, or sometimes one of those.
pub(super) fn text_or(
    of: &'static [&'static str],
    sometimes: &'static [&'static str],
) -> impl Strategy<Value = String> {
    prop_oneof![7 => text(of), 1 => text(sometimes)]
}

/// Half of these addresses or more, in any order.
pub(super) fn some_ips(of: &'static [&'static str]) -> impl Strategy<Value = Vec<IpAddr>> {
    subsequence(of, of.len() / 2..=of.len())
        .prop_shuffle()
        .prop_map(|some| some.into_iter().filter_map(parse_ip).collect())
}

/// A few of these CIDRs, in any order.
pub(super) fn some_cidrs(of: &'static [&'static str]) -> impl Strategy<Value = Vec<IpNet>> {
    subsequence(of, 0..=3).prop_shuffle().prop_map(|some| some.into_iter().filter_map(parse_cidr).collect())
}
