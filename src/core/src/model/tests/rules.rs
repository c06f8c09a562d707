//! What is programmed for which objects, and how much is decided anew for a change.

use super::*;
use crate::{desired::FrontendKind, model::TrafficPolicy};

#[test]
fn every_kind_of_frontend_with_its_policy() {
    let mut web = service(
        "a/web",
        "10.96.0.1",
        json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local", "ports": [{"port": 80, "nodePort": 30080}], "externalIPs": ["203.0.113.1", "203.0.113.1", "2001:db8::1"]}),
    );
    web["status"] = json!({"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}, {"ip": "203.0.113.2"}]}});
    let world = World::of([web, slice("web-1", "a/web", &["10.0.0.1"]), node(&["192.0.2.1", "fd00::1"])]);
    let port = world.programmed.values().next().unwrap();
    let frontends: Vec<_> = port.frontends.iter().map(|f| (f.vip.to_string(), f.kind, f.policy)).collect();
    let external = |vip: &str, kind| (vip.to_owned(), kind, TrafficPolicy::Local);
    assert_eq!(
        frontends,
        [
            ("10.96.0.1:80/tcp".to_owned(), FrontendKind::ClusterIp, TrafficPolicy::Cluster),
            external("192.0.2.1:30080/tcp", FrontendKind::NodePort),
            external("203.0.113.1:80/tcp", FrontendKind::ExternalIp),
            external("203.0.113.2:80/tcp", FrontendKind::LoadBalancerIp),
        ]
    );
    assert_eq!(world.programmed.len(), 1, "no IPv6 without a cluster IP of it");
}

#[test]
fn families_are_independent() {
    let dual = json!({"clusterIPs": ["10.96.0.1", "fd00::1"], "ipFamilies": ["IPv4", "IPv6"]});
    let mut world = World::of([
        service("a/web", "10.96.0.1", dual),
        slice("web-4", "a/web", &["10.0.0.1*"]),
        slice("web-6", "a/web", &["fd01::1"]),
    ]);
    let both = ["a/web 10.96.0.1:80/tcp -> 10.0.0.1:8080*", "a/web [fd00::1]:80/tcp -> [fd01::1]:8080"];
    assert_eq!(world.shown(), both);
    world.apply(slice("web-6", "a/web", &["fd01::2"]));
    assert_eq!(world.sync(), ["a/web IPv6"]);
    world.apply(service("a/web", "10.96.0.1", json!({})));
    assert_eq!(world.sync(), ["a/web IPv4", "a/web IPv6"]);
    assert_eq!(world.shown(), both[..1]);
}

#[test]
fn ports_are_matched_by_name_and_protocol() {
    let ports = json!({"ports": [
        {"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53}, {"name": "sig", "port": 7, "protocol": "SCTP"},
    ]});
    let mut slice = slice("s", "a/web", &["10.0.0.1"]);
    slice["ports"] = json!([
        {"name": "dns", "port": 5353, "protocol": "UDP"}, {"name": "dns-tcp", "port": 5353, "protocol": "UDP"},
        {"name": "sig", "port": 8, "protocol": "SCTP"}, {"name": "other", "port": 9},
    ]);
    let world = World::of([service("a/web", "10.96.0.1", ports), slice]);
    assert_eq!(
        world.shown(),
        [
            "a/web:dns 10.96.0.1:53/udp -> 10.0.0.1:5353",
            "a/web:dns-tcp 10.96.0.1:53/tcp ->",
            "a/web:sig 10.96.0.1:7/sctp -> 10.0.0.1:8",
        ]
    );
}

#[test]
fn slices_are_merged_and_deduplicated() {
    let mut world = World::of([
        slice("web-2", "a/web", &["10.0.0.3", "10.0.0.1"]),
        slice("web-1", "a/web", &["10.0.0.1*", "10.0.0.2"]),
        service("a/web", "10.96.0.1", json!({})),
        slice("web-9", "b/web", &["10.0.0.9"]),
    ]);
    assert_eq!(world.shown(), ["a/web 10.96.0.1:80/tcp -> 10.0.0.1:8080* 10.0.0.2:8080 10.0.0.3:8080"]);
    // The slice with the smallest name says what is local; without it the other one does.
    world.delete(Kind::EndpointSlice, "a", "web-1");
    assert_eq!(world.sync(), ["a/web IPv4"]);
    assert_eq!(world.shown(), ["a/web 10.96.0.1:80/tcp -> 10.0.0.1:8080 10.0.0.3:8080"]);
}

#[test]
fn a_ready_endpoint_wins_over_the_same_one_not_ready() {
    let mut old = slice("web-1", "a/web", &["10.0.0.1*"]);
    old["endpoints"][0]["conditions"]["ready"] = json!(false);
    let world = World::of([service("a/web", "10.96.0.1", json!({})), old, slice("web-2", "a/web", &["10.0.0.1"])]);
    assert_eq!(world.shown(), ["a/web 10.96.0.1:80/tcp -> 10.0.0.1:8080"]);
}

#[test]
fn a_slice_moves_with_its_label() {
    let mut world = World::of([
        service("a/old", "10.96.0.1", json!({})),
        service("a/new", "10.96.0.2", json!({})),
        slice("s", "a/old", &["10.0.0.1"]),
    ]);
    world.apply(slice("s", "a/new", &["10.0.0.1"]));
    assert_eq!(world.sync(), ["a/new IPv4", "a/old IPv4"]);
    assert_eq!(world.shown(), ["a/new 10.96.0.2:80/tcp -> 10.0.0.1:8080", "a/old 10.96.0.1:80/tcp ->"]);
    world.delete(Kind::EndpointSlice, "a", "s");
    assert_eq!(world.sync(), ["a/new IPv4"]);
}

#[test]
fn what_is_no_longer_ours_goes() {
    let mut world = World::of([service("a/web", "10.96.0.1", json!({})), slice("s", "a/web", &["10.0.0.1"])]);
    let mut others = service("a/web", "10.96.0.1", json!({}));
    others["metadata"]["labels"] = json!({"service.kubernetes.io/service-proxy-name": "x"});
    for gone in [others, service("a/web", "None", json!({})), service("a/web", "10.96.0.1", json!({"ports": 5}))] {
        world.apply(gone.clone());
        world.sync();
        assert_eq!(world.shown(), [""; 0], "{gone}");
        world.apply(service("a/web", "10.96.0.1", json!({})));
        world.sync();
        assert_eq!(world.shown(), ["a/web 10.96.0.1:80/tcp -> 10.0.0.1:8080"]);
    }
    world.delete(Kind::Service, "a", "web");
    world.delete(Kind::EndpointSlice, "a", "s");
    world.delete(Kind::EndpointSlice, "a", "never-seen");
    world.sync();
    assert!(world.programmed.is_empty() && world.cluster.services.is_empty());
}

#[test]
fn a_change_is_decided_for_its_own_ports_only() {
    let ports = json!({"ports": [{"name": "a", "port": 1}, {"name": "b", "port": 2}]});
    let mut all: Vec<Value> = (0..1000)
        .map(|i| service(&format!("ns/s{i}"), &format!("10.96.{}.{}", i / 250, i % 250 + 1), ports.clone()))
        .collect();
    all.extend((0..1000).map(|i| {
        let mut slice = slice(&format!("s{i}-1"), &format!("ns/s{i}"), &["10.0.0.1"]);
        slice["ports"] = json!([{"name": "a", "port": 8080}]);
        slice
    }));
    let mut world = World::of(all.clone());
    assert_eq!(world.programmed.len(), 2000);
    // Again, unchanged: nothing.
    all.into_iter().for_each(|object| drop(world.apply(object)));
    assert_eq!(world.sync(), [""; 0]);
    // Another endpoint of a slice with port `a` alone.
    let mut changed = slice("s7-1", "ns/s7", &["10.0.0.1", "10.0.0.2"]);
    changed["ports"] = json!([{"name": "a", "port": 8080}]);
    world.apply(changed);
    assert_eq!(world.sync(), ["ns/s7:a IPv4"]);
    world.apply(service("ns/s7", "10.96.200.7", ports.clone()));
    assert_eq!(world.sync(), ["ns/s7:a IPv4", "ns/s7:b IPv4"]);
    world.apply(service("ns/new", "10.96.201.1", ports));
    assert_eq!(world.sync(), ["ns/new:a IPv4", "ns/new:b IPv4"]);
    world.delete(Kind::Service, "ns", "s8");
    assert_eq!(world.sync(), ["ns/s8:a IPv4", "ns/s8:b IPv4"]);
    assert_eq!(world.sync(), [""; 0]);
}

#[test]
fn node_ports_follow_the_node() {
    let with_port = json!({"ports": [{"name": "np", "port": 80, "nodePort": 30080}, {"name": "plain", "port": 81}]});
    let mut world = World::of([service("a/np", "10.96.0.1", with_port), service("a/plain", "10.96.0.2", json!({}))]);
    assert_eq!(told(&mut world), ["no Node object"]);
    assert_eq!(world.shown()[0], "a/np:np 10.96.0.1:80/tcp ->");
    world.apply(node(&["192.0.2.1", "192.0.2.2"]));
    assert_eq!(world.sync(), ["a/np:np IPv4"]);
    assert_eq!(world.shown()[0], "a/np:np 10.96.0.1:80/tcp 192.0.2.1:30080/tcp ->");
    // The second address is not the primary one: no change. Another Node: not ours.
    world.apply(node(&["192.0.2.1", "192.0.2.3"]));
    let mut other = node(&["192.0.2.9"]);
    other["metadata"]["name"] = json!("node-b");
    world.apply(other);
    world.delete(Kind::Node, "", "node-b");
    assert_eq!(world.sync(), [""; 0]);
    world.apply(node(&["192.0.2.3"]));
    world.sync();
    assert_eq!(world.shown()[0], "a/np:np 10.96.0.1:80/tcp 192.0.2.3:30080/tcp ->");
    world.delete(Kind::Node, "", "node-a");
    assert_eq!(world.sync(), ["a/np:np IPv4"]);
    assert_eq!(world.shown()[0], "a/np:np 10.96.0.1:80/tcp ->");
}

#[test]
fn node_ports_at_all_addresses() {
    let mut world = World::new(NodePortAddresses::within(vec!["192.0.2.0/24".parse().unwrap()]));
    world.apply(service("a/np", "10.96.0.1", json!({"ports": [{"port": 80, "nodePort": 30080}]})));
    world.apply(node(&["192.0.2.1", "198.51.100.1", "192.0.2.2"]));
    world.sync();
    assert_eq!(world.shown(), ["a/np 0.0.0.0:30080/tcp 10.96.0.1:80/tcp ->"]);
}

#[test]
fn findings_are_told_once_and_kept_while_they_hold() {
    let odd = |port: u32| {
        let spec = json!({"externalTrafficPolicy": "Local", "ports": [{"port": port}]});
        service("a/web", "10.96.0.1", spec)
    };
    let mut world = World::new(NodePortAddresses::PRIMARY);
    assert_eq!(world.apply(odd(80)).len(), 1);
    assert_eq!(world.apply(odd(80)), [""; 0]);
    let new = world.apply(odd(0));
    assert!(new.len() == 1 && new[0].contains("`spec.ports[0].port` = `0`"), "{new:?}");
    assert_eq!(world.findings().len(), 2);
    world.apply(odd(80));
    assert_eq!(world.findings().len(), 1);
    world.delete(Kind::Service, "a", "web");
    assert_eq!(world.findings(), [""; 0]);
}

/// The beginnings of what is told about NodePorts and was not told the last time.
fn told(world: &mut World) -> Vec<String> {
    let notes = world.cluster.take_node_notes();
    notes.iter().map(|note| note.to_string().split_whitespace().take(3).collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn what_is_told_about_node_ports_is_told_when_it_is_news() {
    let with_port = |cluster_ip| service("a/np", cluster_ip, json!({"ports": [{"port": 80, "nodePort": 30080}]}));
    let mut world = World::of([service("a/plain", "10.96.0.2", json!({}))]);
    assert_eq!(told(&mut world), ["no Node object"]);
    assert_eq!(told(&mut world), [""; 0]);
    world.apply(node(&["fd00::1"]));
    assert_eq!(told(&mut world), [""; 0], "no Service has NodePorts");
    world.apply(with_port("10.96.0.1"));
    assert_eq!(told(&mut world), ["Node node-a: `status.addresses`"]);
    assert_eq!(told(&mut world), [""; 0]);
    world.apply(node(&["fd00::1", "192.0.2.1"]));
    assert_eq!(told(&mut world), [""; 0]);
    world.apply(node(&[]));
    assert_eq!(told(&mut world), ["Node node-a: `status.addresses`"]);
    world.apply(with_port("fd00:96::1"));
    assert_eq!(told(&mut world), ["Node node-a: `status.addresses`"], "the other family");
    world.delete(Kind::Service, "a", "np");
    assert_eq!(told(&mut world), [""; 0]);
    world.delete(Kind::Node, "", "node-a");
    assert_eq!(told(&mut world), ["no Node object"]);
    // One that is refused is not missing.
    let findings = world.apply(json!({"kind": "Node", "metadata": {"name": "node-a"}, "status": 5}));
    assert_eq!((findings.len(), told(&mut world).len()), (1, 0));
}
