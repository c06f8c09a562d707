//! What holds for every Service on the node: from configuration, Node and ServiceCIDRs.

use super::*;
use crate::{
    addr::{Family, PerFamily},
    desired::{LocalDetector, NodePolicy, NodePortsAt},
    model::DetectLocal,
};

fn cidrs(list: &[&str]) -> Vec<ipnet::IpNet> {
    list.iter().map(|cidr| cidr.parse().unwrap()).collect()
}

/// The Node with `spec.podCIDRs`.
fn with_pods(pod_cidrs: &[&str]) -> Value {
    let mut node = node(&["192.0.2.1"]);
    node["spec"] = json!({"podCIDRs": pod_cidrs});
    node
}

#[test]
fn who_counts_as_a_pod() {
    let cidr = |text: &str| Some(LocalDetector::Cidr(text.parse().unwrap()));
    let none = PerFamily::default();
    let cluster_cidr =
        |v4: Option<&str>| DetectLocal::ClusterCidr(PerFamily { v4: v4.map(|cidr| cidr.parse().unwrap()), v6: None });
    let bridge = Some(LocalDetector::Interface("cni0".parse().unwrap()));
    let prefix = Some(LocalDetector::InterfacePrefix("veth".parse().unwrap()));
    let both = &["10.1.0.0/24", "10.2.0.0/24", "fd01::/64"][..];
    for (what, mode, pod_cidrs, expected) in [
        ("nothing is known of pods", cluster_cidr(None), both, none.clone()),
        ("cluster CIDR", cluster_cidr(Some("10.0.0.0/8")), both, PerFamily { v4: cidr("10.0.0.0/8"), v6: None }),
        ("node CIDR", DetectLocal::NodeCidr, both, PerFamily { v4: cidr("10.1.0.0/24"), v6: cidr("fd01::/64") }),
        ("node CIDR of one family", DetectLocal::NodeCidr, &both[2..], PerFamily { v4: None, v6: cidr("fd01::/64") }),
        ("no node CIDR yet", DetectLocal::NodeCidr, &[], none),
        (
            "bridge",
            DetectLocal::BridgeInterface("cni0".parse().unwrap()),
            &[],
            PerFamily { v4: bridge.clone(), v6: bridge },
        ),
        (
            "prefix",
            DetectLocal::InterfaceNamePrefix("veth".parse().unwrap()),
            &[],
            PerFamily { v4: prefix.clone(), v6: prefix },
        ),
    ] {
        let mut world = World::with(NodeConfig { detect_local: mode, ..NodeConfig::of("node-a") });
        world.change(with_pods(pod_cidrs));
        assert_eq!(world.cluster.policy(), NodePolicy { detector: expected, ..NodePolicy::default() }, "{what}");
    }
}

#[test]
fn the_command_line_is_handed_on() {
    let config =
        NodeConfig { masquerade_all: true, masquerade_mark: 1, count_connections: true, ..NodeConfig::of("node-a") };
    let expected =
        NodePolicy { masquerade_all: true, masquerade_mark: 1, count_connections: true, ..NodePolicy::default() };
    assert_eq!(World::with(config).cluster.policy(), expected);
    assert_eq!(World::with(NodeConfig::of("node-a")).cluster.policy().masquerade_mark, 0x4000);
}

/// An empty list stands for all addresses of the node.
#[test]
fn where_node_ports_are() {
    for (list, v4, v6) in [
        (&["192.0.2.0/24", "fd00::/8"][..], &["192.0.2.0/24"][..], &["fd00::/8"][..]),
        (&["192.0.2.0/24"], &["192.0.2.0/24"], &[]),
        (&["fd00::/8"], &[], &["fd00::/8"]),
        (&["0.0.0.0/0", "192.0.2.0/24", "fd00::/8"], &[], &["fd00::/8"]),
        (&["::/0"], &[], &[]),
        (&["192.0.2.0/25", "192.0.2.128/25", "192.0.2.7/32"], &["192.0.2.0/24"], &[]),
    ] {
        let mut world = World::new(NodePortAddresses::within(cidrs(list)));
        let expected = PerFamily { v4: NodePortsAt::Local(cidrs(v4)), v6: NodePortsAt::Local(cidrs(v6)) };
        assert_eq!(world.cluster.policy().node_ports, expected, "{list:?}");
        // Whatever addresses the Node has: the kernel knows which are there.
        let dual = json!({"clusterIPs": ["10.96.0.1", "fd00:96::1"], "ports": [{"port": 80, "nodePort": 30080}]});
        world.change(service("a/np", "", dual));
        assert_eq!(world.change(node(&["192.0.2.1"])), [""; 0]);
        let both = ["a/np 0.0.0.0:30080/tcp 10.96.0.1:80/tcp ->", "a/np [::]:30080/tcp [fd00:96::1]:80/tcp ->"];
        assert_eq!(world.shown(), both, "{list:?}");
    }
}

/// Rules never open loopback, but a list of it alone does not open the rest.
#[test]
fn node_ports_at_the_primary_address() {
    let (v4, v6) = ("192.0.2.1:30080/tcp", "[fd00::1]:30080/tcp");
    let (every_v4, every_v6) = ("0.0.0.0:30080/tcp", "[::]:30080/tcp");
    let at =
        |cidrs: Option<&[&str]>| cidrs.map_or(NodePortsAt::Frontends, |list| NodePortsAt::Local(self::cidrs(list)));
    for (primary, list, node_addrs, v4s, v6s, shown) in [
        (true, &[][..], &["192.0.2.1", "fd00::1"][..], None, None, &[v4, v6][..]),
        (true, &[], &["192.0.2.1"], None, None, &[v4]),
        (true, &["127.0.0.0/8", "::1/128"], &["192.0.2.1", "fd00::1"], None, None, &[v4, v6]),
        (false, &["127.0.0.0/8", "::1/128"], &["192.0.2.1", "fd00::1"], None, None, &[]),
        (false, &["127.0.0.0/8"], &["192.0.2.1", "fd00::1"], None, Some(&[][..]), &[every_v6]),
        (true, &["10.0.0.0/8"], &["192.0.2.1", "fd00::1"], Some(&["10.0.0.0/8"][..]), None, &[v4, every_v4, v6]),
        (true, &["0.0.0.0/0", "::/0"], &["192.0.2.1"], Some(&[]), Some(&[]), &[v4, every_v4, every_v6]),
        // Together they are everything, which the kernel compares with no bytes.
        (false, &["0.0.0.0/1", "128.0.0.0/1"], &["192.0.2.1"], Some(&[]), Some(&[]), &[every_v4, every_v6]),
    ] {
        let mut world = World::new(NodePortAddresses { primary, cidrs: cidrs(list) });
        assert_eq!(world.cluster.policy().node_ports, PerFamily { v4: at(v4s), v6: at(v6s) }, "{primary} {list:?}");
        let dual = json!({"clusterIPs": ["10.96.0.1", "fd00:96::1"], "ports": [{"port": 80, "nodePort": 30080}]});
        world.change(service("a/np", "", dual));
        world.change(node(node_addrs));
        let all = world.shown();
        let of_node: Vec<_> =
            all.iter().flat_map(|line| line.split(' ')).filter(|word| word.contains(":30080")).collect();
        let (mut of_node, mut shown) = (of_node, shown.to_vec());
        of_node.sort_unstable();
        shown.sort_unstable();
        assert_eq!(of_node, shown, "{primary} {list:?}");
    }
}

#[test]
fn service_cidrs_are_a_union() {
    let mut world = World::of([service("a/s", "10.96.0.1", json!({}))]);
    let (wide, both) = (&["10.96.0.0/16"][..], &["10.96.0.0/16", "fd00:96::/112"][..]);
    for (change, v4, v6) in [
        (service_cidr("kubernetes", both), wide, &both[1..]),
        // The same CIDR twice is one, and goes with the last that has it (kube-proxy forgets it with the first).
        (service_cidr("copy", wide), wide, &both[1..]),
        (
            service_cidr("more", &["10.0.0.0/24", "fd00::/120"]),
            &["10.0.0.0/24", "10.96.0.0/16"],
            &["fd00::/120", "fd00:96::/112"],
        ),
        (
            service_cidr("kubernetes", &["10.97.0.0/16"]),
            &["10.0.0.0/24", "10.96.0.0/16", "10.97.0.0/16"],
            &["fd00::/120"],
        ),
        (service_cidr("copy", &[]), &["10.0.0.0/24", "10.97.0.0/16"], &["fd00::/120"]),
        (service_cidr("more", &["not a CIDR"]), &["10.97.0.0/16"], &[]),
        (service_cidr("copy", wide), &["10.96.0.0/16", "10.97.0.0/16"], &[]),
        (service_cidr("more", wide), &["10.96.0.0/16", "10.97.0.0/16"], &[]),
    ] {
        assert_eq!(world.change(change.clone()), [""; 0], "Services do not depend on it");
        assert_eq!(world.cluster.policy().service_cidrs, PerFamily { v4: cidrs(v4), v6: cidrs(v6) }, "{change}");
    }
    for (gone, v4) in [
        ("more", &["10.96.0.0/16", "10.97.0.0/16"][..]),
        ("copy", &["10.97.0.0/16"]),
        ("never-seen", &["10.97.0.0/16"]),
    ] {
        world.delete(Kind::ServiceCidr, "", gone);
        assert_eq!(world.cluster.policy().service_cidrs.v4, cidrs(v4), "{gone}");
    }
}

/// A change of the Node decides only those ServicePorts anew that depend on what changed, at once.
#[test]
fn a_change_of_the_node_touches_what_depends_on_it() {
    let config = NodeConfig { detect_local: DetectLocal::NodeCidr, ..NodeConfig::of("node-a") };
    let mut world = World::with(config);
    let ranges = json!({"loadBalancerSourceRanges": ["192.0.2.0/24"]});
    for object in [
        service("a/hints", "10.96.0.1", json!({})),
        slice("hints", "a/hints", &["10.0.0.1 zones=a", "10.0.0.2 zones=b"]),
        service("a/nodeport", "10.96.0.2", json!({"ports": [{"port": 80, "nodePort": 30080}]})),
        service("a/plain", "10.96.0.3", json!({})),
        slice("plain", "a/plain", &["10.0.0.3"]),
        balancer("a/ranges", "10.96.0.4", &["203.0.113.9"], ranges),
    ] {
        world.change(object);
    }
    let pods = |node: Value, cidr: &str| {
        let mut node = node;
        node["spec"] = json!({"podCIDRs": [cidr]});
        node
    };
    let hints_to = |world: &World| world.shown()[0].split(" -> ").nth(1).unwrap().to_owned();
    let (all, near) = ("10.0.0.1:8080 10.0.0.2:8080", "10.0.0.1:8080");
    for (what, node, decided, endpoints) in [
        ("its first sight", node(&["192.0.2.1"]), &["a/nodeport IPv4", "a/ranges IPv4"][..], all),
        ("a zone", in_zone("a", node(&["192.0.2.1"])), &["a/hints IPv4"], near),
        ("the same", in_zone("a", node(&["192.0.2.1"])), &[], near),
        ("pod CIDR", pods(in_zone("a", node(&["192.0.2.1"])), "10.1.0.0/24"), &[], near),
        ("another pod CIDR", pods(in_zone("a", node(&["192.0.2.1"])), "10.2.0.0/24"), &[], near),
        ("a second address", in_zone("a", node(&["192.0.2.1", "192.0.2.2"])), &[], near),
        ("another family's", in_zone("a", node(&["192.0.2.1", "fd00::1"])), &[], near),
        ("another address", in_zone("a", node(&["198.51.100.1"])), &["a/nodeport IPv4", "a/ranges IPv4"], near),
        ("another zone", in_zone("c", node(&["198.51.100.1"])), &["a/hints IPv4"], all),
        ("no zone", node(&["198.51.100.1"]), &["a/hints IPv4"], all),
    ] {
        let before = world.cluster.policy();
        assert_eq!(world.change(node), decided, "{what}");
        assert_eq!(hints_to(&world), endpoints, "{what}");
        assert_eq!(world.cluster.policy() != before, what.contains("pod CIDR") || what == "a second address", "{what}");
    }
    world.change(in_zone("a", node(&["192.0.2.1"])));
    world.delete(Kind::Node, "", "node-a");
    assert_eq!(world.sync(), ["a/hints IPv4", "a/nodeport IPv4", "a/ranges IPv4"]);
}

#[test]
fn another_configuration_holds_at_once() {
    let all = NodePortAddresses::within(cidrs(&["0.0.0.0/0", "::/0"]));
    let mut world = World::of([
        node(&["192.0.2.1"]),
        service("a/web", "10.96.0.1", json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}]})),
        service("a/plain", "10.96.0.2", json!({})),
        slice("web-1", "a/web", &["10.244.1.1"]),
    ]);
    let with = |nodeport_addresses, masquerade_all| NodeConfig {
        nodeport_addresses,
        masquerade_all,
        ..NodeConfig::of("another-node")
    };
    world.cluster.reconfigure(with(all, true));
    assert_eq!(world.sync(), ["a/web IPv4"]);
    assert!(world.shown()[1].contains("0.0.0.0:30080/tcp"), "{:?}", world.shown());
    assert!(world.cluster.policy().masquerade_all);
    assert_eq!(world.cluster.config().hostname, "node-a");

    world.cluster.reconfigure(with(NodePortAddresses::PRIMARY, false));
    assert_eq!(world.sync(), ["a/web IPv4"]);
    assert!(world.shown()[1].contains("192.0.2.1:30080/tcp"), "{:?}", world.shown());
    world.cluster.reconfigure(with(NodePortAddresses::PRIMARY, false));
    assert_eq!(world.sync(), [""; 0]);
}

#[test]
fn a_bind_address_stands_for_the_node_in_its_family() {
    let config = NodeConfig { bind_address: Some("198.51.100.7".parse().unwrap()), ..NodeConfig::of("node-a") };
    let mut world = World::with(config);
    world.change(service("a/web", "10.96.0.1", json!({"ports": [{"port": 80, "nodePort": 30080}]})));
    assert_eq!(world.shown(), ["a/web 10.96.0.1:80/tcp 198.51.100.7:30080/tcp ->"]);
    world.change(node(&["192.0.2.1", "fd00::1"]));
    assert_eq!(world.cluster.node_port_addresses(Family::V4), &["198.51.100.7".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(world.cluster.node_port_addresses(Family::V6), &["fd00::1".parse::<std::net::IpAddr>().unwrap()]);
    // One at loopback opens nothing there.
    let config = NodeConfig { bind_address: Some("127.0.0.5".parse().unwrap()), ..NodeConfig::of("node-a") };
    assert!(World::with(config).cluster.node_port_addresses(Family::V4).is_empty());
}

#[test]
fn external_ips_can_be_switched_off() {
    let mut world = World::with(NodeConfig { external_ips: false, ..NodeConfig::of("node-a") });
    world.change(service("a/web", "10.96.0.1", json!({"externalIPs": ["203.0.113.1"]})));
    assert_eq!(world.shown(), ["a/web 10.96.0.1:80/tcp ->"]);
}

/// kube-proxy's iptables mode has NodePorts at 127.0.0.1 too, and rules alone serve them.
#[test]
fn rules_may_serve_node_ports_at_ipv4_loopback_addresses() {
    let [local, v6_local] = [&["127.0.0.0/8"][..], &["::1/128"]];
    for (primary, list, at_loopback, v4) in [
        (false, &[][..], true, NodePortsAt::Local(vec![])),
        (true, &[], false, NodePortsAt::Frontends),
        (false, local, true, NodePortsAt::Local(cidrs(local))),
        (true, local, true, NodePortsAt::Local(cidrs(local))),
        (false, &["64.0.0.0/2"], true, NodePortsAt::Local(cidrs(&["64.0.0.0/2"]))),
        (false, &["192.0.2.0/24"], false, NodePortsAt::Local(cidrs(&["192.0.2.0/24"]))),
        (true, v6_local, false, NodePortsAt::Frontends),
    ] {
        let nodeport_addresses = NodePortAddresses { primary, cidrs: cidrs(list) };
        let config = NodeConfig { nodeport_addresses, at_loopback: AtLoopback::Rules, ..NodeConfig::of("node-a") };
        let policy = World::with(config).cluster.policy();
        assert_eq!((policy.node_ports_at_loopback, policy.node_ports.v4), (at_loopback, v4), "{primary} {list:?}");
    }
    assert!(!World::new(NodePortAddresses::within(vec![])).cluster.policy().node_ports_at_loopback);
}

#[test]
fn a_cluster_is_large_beyond_a_thousand_endpoints_of_a_family() {
    let pods = |count: u32| -> Vec<_> { (1..=count).map(|n| format!("10.1.{}.{}", n / 200, n % 200 + 1)).collect() };
    let slice_of = |name: &str, count| {
        let pods = pods(count);
        slice(name, "a/web", &pods.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let mut world = World::new(NodePortAddresses::PRIMARY);
    let steps = [(slice_of("web-1", 999), false), (slice_of("web-2", 1), false), (slice_of("web-3", 1), true)];
    for (object, large) in steps.into_iter().chain([(slice_of("web-1", 998), false), (slice_of("web-1", 999), true)]) {
        world.change(object);
        assert_eq!(world.cluster.policy().is_large, PerFamily { v4: large, v6: false });
    }
    world.delete(Kind::EndpointSlice, "a", "web-2");
    assert!(!world.cluster.policy().is_large.v4);
}
