//! Which flows are stale, and after which changes somebody must look for them.

use serde_json::{Value, json};

use super::{World, balancer, endpoint, node, service, slice};
use crate::{
    addr::{Family, Protocol},
    ingest::Kind,
    model::{Flow, NodePortAddresses, Touched},
};

const DNS: &str = "default/dns";
const ADDRESS: &str = "10.96.0.10";

fn dns() -> Value {
    service(DNS, ADDRESS, json!({"ports": [{"port": 53, "protocol": "UDP"}]}))
}

/// A slice of `default/dns` with the UDP port 8053.
fn endpoints(endpoints: &[&str]) -> Value {
    udp("dns-1", DNS, endpoints)
}

fn udp(name: &str, service: &str, endpoints: &[&str]) -> Value {
    let mut slice = slice(name, service, endpoints);
    slice["ports"] = json!([{"port": 8053, "protocol": "UDP"}]);
    slice
}

fn node_port(name: &str, address: &str, number: u16) -> Value {
    service(name, address, json!({"type": "NodePort", "ports": [{"port": 53, "protocol": "UDP", "nodePort": number}]}))
}

/// What a change touched, as VIPs.
fn touched(world: &mut World, changes: impl IntoIterator<Item = Value>) -> (Touched, Vec<String>) {
    changes.into_iter().for_each(|object| drop(world.apply(object)));
    world.sync();
    let touched = world.cluster.take_touched(|_| true);
    let vips = |protocol, family| touched.of(protocol, family).map(ToString::to_string).collect::<Vec<_>>();
    let all = Protocol::ALL.into_iter().flat_map(|protocol| Family::ALL.map(|family| vips(protocol, family)));
    let vips = all.flatten().collect();
    (touched, vips)
}

fn flow(destination: &str, reply_source: &str) -> Flow {
    Flow {
        protocol: Protocol::Udp,
        destination: destination.parse().unwrap(),
        reply_source: reply_source.parse().unwrap(),
    }
}

/// `destination => reply source` of those that are stale. 192.168.0.1 to .9 are the node's own.
fn stale<'a>(world: &World, touched: &Touched, flows: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let is_local = |addr: std::net::IpAddr| addr.to_string().starts_with("192.168.0.") || addr.is_loopback();
    let is_stale = |flow: &Flow| world.cluster.is_stale(flow, touched, is_local);
    flows.iter().copied().filter(|(destination, source)| is_stale(&flow(destination, source))).collect()
}

const TO_FIRST: (&str, &str) = ("10.96.0.10:53", "10.0.0.1:8053");
const TO_SECOND: (&str, &str) = ("10.96.0.10:53", "10.0.0.2:8053");
const TO_ANOTHER_PORT: (&str, &str) = ("10.96.0.10:53", "10.0.0.1:9999");
const UNTRANSLATED: (&str, &str) = ("10.96.0.10:53", "10.96.0.10:53");
const OTHERS: (&str, &str) = ("10.96.0.11:53", "10.0.0.7:8053");
const ALL: [(&str, &str); 5] = [TO_FIRST, TO_SECOND, TO_ANOTHER_PORT, UNTRANSLATED, OTHERS];

#[test]
fn a_flow_stays_while_its_endpoint_serves() {
    let mut world = World::of([]);
    let (first, vips) = touched(&mut world, [dns(), endpoints(&["10.0.0.1", "10.0.0.2*"])]);
    assert_eq!(vips, ["10.96.0.10:53/udp"]);
    assert_eq!(stale(&world, &first, &ALL), [TO_ANOTHER_PORT, UNTRANSLATED]);

    let (ending, vips) = touched(&mut world, [endpoints(&["10.0.0.1 ending", "10.0.0.2*"])]);
    assert_eq!(vips, [""; 0], "it serves until it is gone");
    assert_eq!(stale(&world, &ending, &ALL), []);

    let (gone, vips) = touched(&mut world, [endpoints(&["10.0.0.1 down", "10.0.0.2*"])]);
    assert_eq!(vips, ["10.96.0.10:53/udp"]);
    assert_eq!(stale(&world, &gone, &ALL), [TO_FIRST, TO_ANOTHER_PORT, UNTRANSLATED]);
}

#[test]
fn without_endpoints_and_without_the_service_every_translated_flow_is_stale() {
    let mut world = World::of([dns(), endpoints(&["10.0.0.1"])]);
    world.cluster.take_touched(|_| true);
    let (none, vips) = touched(&mut world, [endpoints(&[])]);
    assert_eq!(vips, ["10.96.0.10:53/udp"]);
    assert_eq!(stale(&world, &none, &ALL), [TO_FIRST, TO_SECOND, TO_ANOTHER_PORT, UNTRANSLATED]);

    world.delete(Kind::Service, "default", "dns");
    let (gone, vips) = touched(&mut world, []);
    assert_eq!(vips, ["10.96.0.10:53/udp"]);
    assert_eq!(stale(&world, &gone, &ALL), [TO_FIRST, TO_SECOND, TO_ANOTHER_PORT], "the address is nobody's");
}

#[test]
fn a_flow_stays_whatever_policies_and_hints_say() {
    let local = |policy| {
        service(DNS, ADDRESS, json!({"internalTrafficPolicy": policy, "ports": [{"port": 53, "protocol": "UDP"}]}))
    };
    let mut world = World::of([local("Cluster"), endpoints(&["10.0.0.1", "10.0.0.2*"])]);
    world.cluster.take_touched(|_| true);
    for change in [local("Local"), endpoints(&["10.0.0.1 nodes=node-a", "10.0.0.2 nodes=node-b"])] {
        let (_, vips) = touched(&mut world, [change]);
        assert_eq!(vips, [""; 0]);
    }
    let (all, _) = touched(&mut world, [udp("dns-2", DNS, &["10.0.0.3"])]);
    assert_eq!(stale(&world, &all, &ALL), [TO_ANOTHER_PORT, UNTRANSLATED]);
}

#[test]
fn nothing_is_touched_where_nothing_changes() {
    let mut world = World::of([dns(), endpoints(&["10.0.0.1", "10.0.0.2"]), node(&["192.168.0.1"])]);
    world.cluster.take_touched(|_| true);
    for same in [dns(), endpoints(&["10.0.0.2", "10.0.0.1"]), node(&["192.168.0.1"])] {
        assert_eq!(touched(&mut world, [same]).1, [""; 0]);
    }
}

#[test]
fn addresses_that_come_and_go_are_touched() {
    let with =
        |addresses: &[&str]| balancer(DNS, ADDRESS, addresses, json!({"ports": [{"port": 53, "protocol": "UDP"}]}));
    let mut world = World::of([with(&["203.0.113.1"]), endpoints(&["10.0.0.1"])]);
    world.cluster.take_touched(|_| true);
    let (moved, vips) = touched(&mut world, [with(&["203.0.113.2"])]);
    assert_eq!(vips, ["203.0.113.1:53/udp", "203.0.113.2:53/udp"]);
    let flows = [
        ("203.0.113.1:53", "10.0.0.1:8053"),
        ("203.0.113.1:53", "203.0.113.1:53"),
        ("203.0.113.2:53", "203.0.113.2:53"),
    ];
    assert_eq!(stale(&world, &moved, &flows), [flows[0], flows[2]]);
}

#[test]
fn a_vip_that_changes_hands_is_touched() {
    let with_ip = |name, address, created: &str| {
        let mut service =
            service(name, address, json!({"externalIPs": ["203.0.113.1"], "ports": [{"port": 53, "protocol": "UDP"}]}));
        service["metadata"]["creationTimestamp"] = created.into();
        service
    };
    let old = with_ip("default/old", "10.96.0.1", "2020-01-01T00:00:00Z");
    let new = with_ip("default/new", "10.96.0.2", "2025-01-01T00:00:00Z");
    let mut world =
        World::of([old, new, udp("old-1", "default/old", &["10.0.0.1"]), udp("new-1", "default/new", &["10.0.0.2"])]);
    world.cluster.take_touched(|_| true);
    let flows = [("203.0.113.1:53", "10.0.0.1:8053"), ("203.0.113.1:53", "10.0.0.2:8053")];
    let (lost, vips) = touched(&mut world, [udp("old-1", "default/old", &[])]);
    assert_eq!(vips, ["10.96.0.1:53/udp", "203.0.113.1:53/udp"]);
    assert_eq!(stale(&world, &lost, &flows), [flows[0]]);
    world.delete(Kind::Service, "default", "new");
    let (back, vips) = touched(&mut world, [udp("old-1", "default/old", &["10.0.0.1"])]);
    assert_eq!(vips, ["10.96.0.1:53/udp", "10.96.0.2:53/udp", "203.0.113.1:53/udp"]);
    assert_eq!(stale(&world, &back, &flows), [flows[1]]);
}

#[test]
fn a_node_port_counts_at_the_nodes_own_addresses_only() {
    let flows = [
        ("192.168.0.1:30053", "10.0.0.9:8053"),
        ("192.168.0.2:30053", "10.0.0.9:8053"),
        ("198.51.100.1:30053", "198.51.100.1:30053"),
        ("127.0.0.1:30053", "127.0.0.1:30053"),
        ("10.0.0.5:30053", "10.0.0.5:30053"),
    ];
    let objects = || [node_port(DNS, ADDRESS, 30053), endpoints(&["10.0.0.1"]), node(&["192.168.0.1"])];
    let net = |text: &str| text.parse().unwrap();
    for (addresses, expected) in [
        (NodePortAddresses::PRIMARY, &flows[..1]),
        (NodePortAddresses::within(vec![net("0.0.0.0/0")]), &flows[..2]),
        (NodePortAddresses::within(vec![net("2001:db8::/32")]), &flows[..2]),
        (NodePortAddresses::within(vec![net("192.168.0.2/32"), net("10.0.0.0/8")]), &flows[1..2]),
    ] {
        let mut world = World::new(addresses.clone());
        let (all, _) = touched(&mut world, objects());
        assert_eq!(stale(&world, &all, &flows), expected, "{addresses:?}");
        let (gone, _) =
            touched(&mut world, [service(DNS, ADDRESS, json!({"ports": [{"port": 53, "protocol": "UDP"}]}))]);
        assert_eq!(stale(&world, &gone, &flows), expected, "{addresses:?}");
        assert_eq!(stale(&world, &gone, &[("192.168.0.1:30053", "192.168.0.1:30053")]), []);
    }
}

#[test]
fn an_external_ip_of_the_node_comes_before_a_node_port() {
    let mut world = World::new(NodePortAddresses::within(Vec::new()));
    let external = service(
        "default/web",
        "10.96.0.20",
        json!({"externalIPs": ["192.168.0.1"], "ports": [{"port": 30053, "protocol": "UDP"}]}),
    );
    let objects = [
        node_port(DNS, ADDRESS, 30053),
        endpoints(&["10.0.0.1"]),
        external,
        udp("web-1", "default/web", &["10.0.0.2"]),
    ];
    let (all, _) = touched(&mut world, objects);
    let flows =
        ["192.168.0.1:30053", "192.168.0.2:30053"].map(|to| [(to, "10.0.0.1:8053"), (to, "10.0.0.2:8053")]).concat();
    assert_eq!(stale(&world, &all, &flows), [flows[0], flows[3]]);
    world.delete(Kind::Service, "default", "web");
    let (gone, _) = touched(&mut world, []);
    assert_eq!(stale(&world, &gone, &flows[..2]), [flows[1]]);
}

#[test]
fn sctp_is_left_alone_and_tcp_is_told_apart() {
    let ports =
        json!({"ports": [{"name": "s", "port": 53, "protocol": "SCTP"}, {"name": "t", "port": 53, "protocol": "TCP"}]});
    let mut world = World::of([]);
    let (both, vips) = touched(&mut world, [service(DNS, ADDRESS, ports)]);
    assert_eq!(vips, ["10.96.0.10:53/tcp"]);
    assert!(both.of(Protocol::Udp, Family::V4).next().is_none());
    assert_eq!(stale(&world, &both, &ALL), [], "nobody has the UDP port");
}

#[test]
fn an_endpoint_that_clients_are_sent_to_is_never_stale() {
    let mut published = endpoint("10.0.0.1");
    published["conditions"] = json!({"ready": true, "serving": false, "terminating": true});
    let mut slice = endpoints(&[]);
    slice["endpoints"] = json!([published]);
    let mut world = World::of([]);
    let (all, _) = touched(&mut world, [dns(), slice]);
    assert_eq!(stale(&world, &all, &[TO_FIRST, TO_SECOND]), [TO_SECOND]);
}
