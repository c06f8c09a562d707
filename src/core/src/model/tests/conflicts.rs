//! Two Services on one VIP.

use super::*;
use crate::desired::FrontendKind;

const SHARED: &str = "203.0.113.1";

/// A Service that wants the shared address by `externalIPs`.
fn external(name: &str, cluster_ip: &str, created: &str) -> Value {
    let mut service = service(name, cluster_ip, json!({"externalIPs": [SHARED]}));
    service["metadata"]["creationTimestamp"] = json!(created);
    service
}

/// Who has the shared VIP.
fn winner(world: &World) -> String {
    let has = |line: &&String| line.contains(&format!("{SHARED}:80/tcp"));
    let shown = world.shown();
    let all: Vec<_> = shown.iter().filter(has).collect();
    assert_eq!(all.len(), 1, "{:?}", world.shown());
    all[0].split(' ').next().unwrap().to_owned()
}

#[test]
fn the_order_of_precedence() {
    let young = "2026-01-02T00:00:00Z";
    let old = "2026-01-01T00:00:00Z";
    let endpoints = |service: &str| slice(&service.replace('/', "-"), service, &["10.0.0.1"]);
    let balancer = |name, cluster_ip, created| {
        let mut service = balancer(name, cluster_ip, &[SHARED], json!({}));
        service["metadata"]["creationTimestamp"] = json!(created);
        service
    };
    let node_port = json!({"ports": [{"port": 90, "nodePort": 80}]});
    for (what, expected, right, objects) in [
        (
            "cluster IP",
            "b/x",
            "a cluster IP goes before an external IP",
            vec![external("a/x", "10.96.0.1", old), endpoints("a/x"), service("b/x", SHARED, json!({}))],
        ),
        (
            "cluster IP before load-balancer IP",
            "b/x",
            "a cluster IP goes before a load-balancer IP",
            vec![balancer("a/x", "10.96.0.1", old), endpoints("a/x"), service("b/x", SHARED, json!({}))],
        ),
        (
            "cluster IP before NodePort",
            "b/x",
            "a cluster IP goes before a NodePort",
            vec![
                service("a/x", "10.96.0.1", node_port.clone()),
                endpoints("a/x"),
                node(&[SHARED]),
                service("b/x", SHARED, json!({})),
            ],
        ),
        (
            "external IP before NodePort",
            "b/x",
            "an external IP goes before a NodePort",
            vec![
                service("a/x", "10.96.0.1", node_port.clone()),
                endpoints("a/x"),
                node(&[SHARED]),
                external("b/x", "10.96.0.2", ""),
            ],
        ),
        (
            "load-balancer IP before NodePort",
            "b/x",
            "a load-balancer IP goes before a NodePort",
            vec![
                service("a/x", "10.96.0.1", node_port),
                endpoints("a/x"),
                node(&[SHARED]),
                balancer("b/x", "10.96.0.2", ""),
            ],
        ),
        (
            "endpoints",
            "b/x",
            "it has endpoints and this one has none",
            vec![external("a/x", "10.96.0.1", old), balancer("b/x", "10.96.0.2", young), endpoints("b/x")],
        ),
        ("age", "b/x", "it is older", vec![external("a/x", "10.96.0.1", young), external("b/x", "10.96.0.2", old)]),
        (
            "unknown age",
            "b/x",
            "it is older",
            vec![external("a/x", "10.96.0.1", ""), external("b/x", "10.96.0.2", young)],
        ),
        (
            "name",
            "a/x",
            "its name comes first",
            vec![external("b/x", "10.96.0.1", old), external("a/x", "10.96.0.2", old)],
        ),
        (
            "name alone",
            "a/x",
            "its name comes first",
            vec![external("a/y", "10.96.0.1", old), external("a/x", "10.96.0.2", old)],
        ),
    ] {
        let world = World::of(objects.clone());
        assert_eq!(winner(&world), expected, "{what}");
        let findings = world.findings();
        let expected =
            format!("belongs to {expected}: {right}; it leads there, at its other addresses this Service is served");
        assert!(findings.len() == 1 && findings[0].contains(&expected), "{what}: {findings:?}");
        let mut backwards = objects.clone();
        backwards.reverse();
        assert_eq!(World::of(backwards.clone()).shown(), world.shown(), "{what}, other order");
        for objects in [objects, backwards] {
            let mut other = World::of([]);
            objects.into_iter().for_each(|object| drop(other.change(object)));
            assert_eq!((other.shown(), other.findings()), (world.shown(), world.findings()), "{what}, one by one");
        }
    }
}

#[test]
fn the_loser_is_told_and_takes_over() {
    let mut world = World::of([external("a/x", "10.96.0.1", ""), external("b/x", "10.96.0.2", "")]);
    assert_eq!(world.shown(), ["a/x 10.96.0.1:80/tcp 203.0.113.1:80/tcp ->", "b/x 10.96.0.2:80/tcp ->"]);
    let text = "Service b/x: `spec.externalIPs` = `203.0.113.1:80/tcp` belongs to a/x: its name comes first; it leads there, \
                at its other addresses this Service is served; give one of the two another address or port";
    assert_eq!(world.findings(), [text]);
    let told: Vec<_> = world.cluster.take_conflicts().iter().map(ToString::to_string).collect();
    assert_eq!(told, [text]);
    // An endpoint turns it round, and only these two are decided anew.
    world.apply(slice("s", "b/x", &["10.0.0.1"]));
    assert_eq!(world.sync(), ["a/x IPv4", "b/x IPv4"]);
    assert_eq!(winner(&world), "b/x");
    assert_eq!(world.cluster.take_conflicts().len(), 1);
    // Another endpoint decides nothing.
    world.apply(slice("s", "b/x", &["10.0.0.1", "10.0.0.2"]));
    assert_eq!(world.sync(), ["b/x IPv4"]);
    assert_eq!(world.cluster.take_conflicts(), []);
    world.delete(Kind::Service, "b", "x");
    assert_eq!(world.sync(), ["a/x IPv4", "b/x IPv4"]);
    assert_eq!(world.shown(), ["a/x 10.96.0.1:80/tcp 203.0.113.1:80/tcp ->"]);
    assert_eq!(world.findings(), [""; 0]);
}

#[test]
fn three_claimants() {
    let mut world = World::of(["a/x", "b/x", "c/x"].map(|name| external(name, &format!("10.96.0.{}", name.len()), "")));
    for (gone, next) in [("a", "b/x"), ("b", "c/x")] {
        world.delete(Kind::Service, gone, "x");
        world.sync();
        assert_eq!(winner(&world), next);
    }
    // Who comes back later wins by name again; an unrelated change of it is no news.
    world.apply(external("b/x", "10.96.0.9", ""));
    world.sync();
    assert_eq!((winner(&world).as_str(), world.cluster.take_conflicts().len()), ("b/x", 1));
    world.apply(external("b/x", "10.96.0.8", ""));
    world.sync();
    assert_eq!((winner(&world).as_str(), world.cluster.take_conflicts().len()), ("b/x", 0));
}

#[test]
fn a_service_without_a_frontend_left_is_not_programmed() {
    let mut world = World::of([service("a/x", "10.96.0.1", json!({})), service("b/x", "10.96.0.1", json!({}))]);
    assert_eq!(world.shown(), ["a/x 10.96.0.1:80/tcp ->"]);
    let told: Vec<_> = world.cluster.take_conflicts().iter().map(ToString::to_string).collect();
    assert!(
        told.len() == 1 && told[0].contains("; it leads there, this port has no other address; give one"),
        "{told:?}"
    );
    assert_eq!(world.findings(), told);
    world.delete(Kind::Service, "a", "x");
    world.sync();
    assert_eq!(world.shown(), ["b/x 10.96.0.1:80/tcp ->"]);
}

#[test]
fn a_conflict_within_one_service_goes_to_the_first_port() {
    let ports =
        json!({"ports": [{"name": "b", "port": 1, "nodePort": 30000}, {"name": "a", "port": 2, "nodePort": 30000}]});
    let world = World::of([service("a/x", "10.96.0.1", ports), node(&["192.0.2.1"])]);
    assert_eq!(world.shown(), ["a/x:a 10.96.0.1:2/tcp 192.0.2.1:30000/tcp ->", "a/x:b 10.96.0.1:1/tcp ->"]);
}

/// By a second field of its own a Service gains and loses nothing: the address stays what it is first.
#[test]
fn one_service_may_have_an_address_twice() {
    let twice = balancer("a/x", SHARED, &[SHARED, "203.0.113.2"], json!({"externalIPs": [SHARED, "203.0.113.2"]}));
    let mut world = World::of([twice]);
    assert_eq!(world.shown(), ["a/x 203.0.113.1:80/tcp 203.0.113.2:80/tcp ->"]);
    let kinds = |world: &World| -> Vec<_> {
        world.programmed.values().flat_map(|port| &port.frontends).map(|frontend| frontend.kind).collect()
    };
    assert_eq!(kinds(&world), [FrontendKind::ClusterIp, FrontendKind::ExternalIp]);
    assert_eq!((world.findings(), world.cluster.take_conflicts()), (vec![], vec![]));
    // One of the two fields alone still gives it.
    world.change(balancer("a/x", SHARED, &["203.0.113.2"], json!({})));
    assert_eq!(kinds(&world), [FrontendKind::ClusterIp, FrontendKind::LoadBalancerIp]);
}

#[test]
fn only_the_winners_source_ranges_apply() {
    let ranges = |name, cluster_ip, range: &str| {
        balancer(name, cluster_ip, &[SHARED], json!({"loadBalancerSourceRanges": [range]}))
    };
    let mut world =
        World::of([ranges("a/x", "10.96.0.1", "192.0.2.0/24"), ranges("b/x", "10.96.0.2", "198.51.100.0/24")]);
    let sources = |world: &World| -> Vec<_> {
        world.programmed.values().map(|port| port.sources.iter().map(ToString::to_string).collect::<String>()).collect()
    };
    assert_eq!(sources(&world), ["192.0.2.0/24", ""]);
    world.change(slice("s", "b/x", &["10.0.0.1"]));
    assert_eq!(sources(&world), ["", "198.51.100.0/24"]);
    // An open one takes over: open, whatever the other says.
    world.change(external("c/x", "10.96.0.3", ""));
    world.change(slice("t", "c/x", &["10.0.0.1"]));
    assert_eq!(sources(&world), ["", "198.51.100.0/24", ""]);
    world.delete(Kind::Service, "b", "x");
    world.sync();
    assert_eq!((winner(&world).as_str(), sources(&world)), ("c/x", vec![String::new(), String::new()]));
}

/// With `--nodeport-addresses` a NodePort is at the unspecified address, which stands for all of the node's: it meets
/// other NodePorts there, of its own protocol and family.
#[test]
fn node_ports_at_all_addresses_meet_each_other() {
    let with_port = |name, cluster_ip, protocol| {
        let ports = json!([{"port": 80, "nodePort": 30080, "protocol": protocol}]);
        service(name, cluster_ip, json!({"ports": ports}))
    };
    let mut world = World::new(NodePortAddresses::within(vec!["0.0.0.0/0".parse().unwrap()]));
    world.change(with_port("b/x", "10.96.0.2", "TCP"));
    world.change(with_port("c/udp", "10.96.0.3", "UDP"));
    world.change(with_port("d/v6", "fd00:96::1", "TCP"));
    let others = ["c/udp 0.0.0.0:30080/udp 10.96.0.3:80/udp ->", "d/v6 [::]:30080/tcp [fd00:96::1]:80/tcp ->"];
    let shown = |first: &[&str]| first.iter().chain(&others).map(|line| (*line).to_owned()).collect::<Vec<_>>();
    assert_eq!(world.shown(), shown(&["b/x 0.0.0.0:30080/tcp 10.96.0.2:80/tcp ->"]));
    assert_eq!(world.change(with_port("a/x", "10.96.0.1", "TCP")), ["a/x IPv4", "b/x IPv4"]);
    assert_eq!(world.shown(), shown(&["a/x 0.0.0.0:30080/tcp 10.96.0.1:80/tcp ->", "b/x 10.96.0.2:80/tcp ->"]));
    let told = world.findings();
    assert!(
        told.len() == 1 && told[0].starts_with("Service b/x: `spec.ports[].nodePort` = `0.0.0.0:30080/tcp`"),
        "{told:?}"
    );
    assert_eq!(world.change(service("a/x", "10.96.0.1", json!({}))), ["a/x IPv4", "b/x IPv4"]);
    assert_eq!(world.shown(), shown(&["a/x 10.96.0.1:80/tcp ->", "b/x 0.0.0.0:30080/tcp 10.96.0.2:80/tcp ->"]));
}
