//! Who may connect to load-balancer addresses (`loadBalancerSourceRanges`).

use super::*;
use crate::addr::Family;

/// The frontends of a family that are restricted, and to which sources; empty where everybody may connect.
fn restricted(world: &World, family: Family) -> (Vec<String>, Vec<String>) {
    let mut vips = Vec::new();
    let mut sources = Vec::new();
    for port in world.programmed.values().filter(|port| port.family == family) {
        vips.extend(port.frontends.iter().filter(|frontend| frontend.restricted).map(|f| f.vip.addr.to_string()));
        sources.extend(port.sources.iter().map(ToString::to_string));
    }
    (vips, sources)
}

/// A case: ranges, addresses of this node, IPv4 and IPv6 sources.
type Case<'a> = (&'a str, &'a [&'a str], &'a [&'a str], &'a [&'a str], &'a [&'a str]);

/// The load balancer has 203.0.113.8, 203.0.113.9 and 2001:db8::9. NodePort, cluster IP and the other external IP are
/// open in each case.
#[test]
fn who_may_connect() {
    let cases: &[Case<'_>] = &[
        ("no range", &[], &["192.0.2.1"], &[], &[]),
        ("one range", &["198.51.100.0/24"], &["192.0.2.1"], &["198.51.100.0/24"], &[]),
        ("of the other family", &["fd77::/16"], &["192.0.2.1"], &[], &["fd77::/16"]),
        ("of both", &["198.51.100.0/24", "fd77::/16"], &[], &["198.51.100.0/24"], &["fd77::/16"]),
        ("everybody", &["198.51.100.0/24", "0.0.0.0/0"], &[], &[], &[]),
        ("everybody of one family", &["0.0.0.0/0", "fd77::/16"], &[], &[], &["fd77::/16"]),
        ("everybody in two halves", &["0.0.0.0/1", "128.0.0.0/1"], &[], &[], &[]),
        ("blanks", &[" 198.51.100.0/24", "fd77::/16 "], &[], &["198.51.100.0/24"], &["fd77::/16"]),
        ("host bits", &["198.51.100.77/24"], &[], &["198.51.100.0/24"], &[]),
        (
            "inside, twice, side by side",
            &["198.51.100.0/25", "198.51.100.7/32", "198.51.100.0/25", "198.51.100.128/25", "10.0.0.0/8"],
            &[],
            &["10.0.0.0/8", "198.51.100.0/24"],
            &[],
        ),
        ("a bad one beside a good one", &["nonsense", "198.51.100.0/24"], &[], &["198.51.100.0/24"], &[]),
        // A node that may connect does so from an address of the load balancer, where it holds it.
        ("this node inside", &["192.0.2.0/24"], &["192.0.2.1"], &["192.0.2.0/24", "203.0.113.8/31"], &[]),
        ("this node outside", &["192.0.2.0/25"], &["192.0.2.200"], &["192.0.2.0/25"], &[]),
        ("its second address inside", &["192.0.2.0/25"], &["198.51.100.1", "192.0.2.1"], &["192.0.2.0/25"], &[]),
        ("no address of the node", &["192.0.2.0/24"], &[], &["192.0.2.0/24"], &[]),
        (
            "this node inside in IPv6",
            &["192.0.2.0/25", "fd00::/16"],
            &["192.0.2.200", "fd00::1"],
            &["192.0.2.0/25"],
            &["2001:db8::9/128", "fd00::/16"],
        ),
        (
            "this node inside, the load balancer too",
            &["192.0.2.0/24", "203.0.113.0/24"],
            &["192.0.2.1"],
            &["192.0.2.0/24", "203.0.113.0/24"],
            &[],
        ),
    ];
    let (v4_vips, v6_vips) = (["203.0.113.8", "203.0.113.9"], ["2001:db8::9"]);
    for (what, ranges, addresses, v4, v6) in cases {
        let spec = json!({
            "clusterIPs": ["10.96.0.1", "fd00:96::1"], "loadBalancerSourceRanges": ranges,
            "externalIPs": ["203.0.113.1", "203.0.113.9"], "ports": [{"port": 80, "nodePort": 30080}],
        });
        let service = balancer("a/s", "10.96.0.1", &["203.0.113.9", "203.0.113.8", "2001:db8::9"], spec);
        let world = World::of([node(addresses), service]);
        let sources = |list: &[&str]| list.iter().map(|range| (*range).to_owned()).collect::<Vec<_>>();
        let vips = |all: &[&str], ranges: &[&str]| if ranges.is_empty() { Vec::new() } else { sources(all) };
        assert_eq!(restricted(&world, Family::V4), (vips(&v4_vips, v4), sources(v4)), "{what}");
        assert_eq!(restricted(&world, Family::V6), (vips(&v6_vips, v6), sources(v6)), "{what}");
    }
}

#[test]
fn ranges_without_a_load_balancer_restrict_nobody() {
    let ranges = json!({"loadBalancerSourceRanges": ["192.0.2.0/24"], "externalIPs": ["203.0.113.1"]});
    let world = World::of([balancer("a/s", "10.96.0.1", &[], ranges)]);
    assert_eq!(restricted(&world, Family::V4), (vec![], vec![]));
}

/// Where the node holds the load balancer's address, its NodePorts there stay open; only where the ports are equal too,
/// so that it is one VIP, the ranges hold.
#[test]
fn node_ports_at_the_load_balancers_address() {
    for number in [30080, 80] {
        let ports = json!([{"port": 80, "nodePort": number}]);
        let spec = json!({"loadBalancerSourceRanges": ["192.0.2.0/24"], "ports": ports});
        let world = World::of([balancer("a/s", "10.96.0.1", &["203.0.113.9"], spec), node(&["203.0.113.9"])]);
        let port = world.programmed.values().next().unwrap();
        let restricted = port.frontends.iter().filter(|frontend| frontend.restricted);
        assert_eq!(
            restricted.map(|frontend| frontend.vip.to_string()).collect::<Vec<_>>(),
            ["203.0.113.9:80/tcp"],
            "{number}"
        );
    }
}

#[test]
fn ranges_follow_the_node_and_the_service() {
    let with =
        |addr: &str, range: &str| balancer("a/s", "10.96.0.1", &[addr], json!({"loadBalancerSourceRanges": [range]}));
    let mut world = World::of([with("203.0.113.9", "192.0.2.0/24")]);
    for (change, sources) in [
        (node(&["192.0.2.1"]), &["192.0.2.0/24", "203.0.113.9/32"][..]),
        (with("203.0.113.7", "192.0.2.0/24"), &["192.0.2.0/24", "203.0.113.7/32"]),
        (node(&["198.51.100.1"]), &["192.0.2.0/24"]),
        (with("203.0.113.7", "198.51.100.0/24"), &["198.51.100.0/24", "203.0.113.7/32"]),
        (with("203.0.113.7", "0.0.0.0/0"), &[]),
    ] {
        assert_eq!(world.change(change.clone()), ["a/s IPv4"], "{change}");
        assert_eq!(restricted(&world, Family::V4).1, sources, "{change}");
    }
}
