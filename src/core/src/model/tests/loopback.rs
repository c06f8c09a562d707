//! NodePorts at loopback addresses: who has them, and which endpoints they lead to.

use super::*;

/// What is listened for, a line for each NodePort.
fn listened(world: &World) -> Vec<String> {
    let line = |(id, port): (&PortId, &LoopbackNodePort)| {
        let endpoints: Vec<_> = port.endpoints.iter().map(ToString::to_string).collect();
        let affinity = port.affinity.map(|seconds| format!(" {seconds} s")).unwrap_or_default();
        format!("{} {} -> {}{affinity}", id.name, port.address, endpoints.join(" "))
    };
    world.listened.iter().map(line).collect()
}

fn world(cidrs: &[&str]) -> World {
    World::new(NodePortAddresses { primary: true, cidrs: cidrs.iter().map(|cidr| cidr.parse().unwrap()).collect() })
}

const LOCALHOST: [&str; 2] = ["127.0.0.0/8", "::1/128"];

/// A dual-stack Service with NodePort 30080.
fn web(more: Value) -> Value {
    let mut spec = json!({"clusterIPs": ["10.96.0.1", "fd00:96::1"], "ports": [{"port": 80, "nodePort": 30080}]});
    merge(&mut spec, more);
    service("a/web", "", spec)
}

#[test]
fn only_loopback_addresses_that_are_asked_for_have_node_ports() {
    let (v4, v6) = ("a/web 127.0.0.1:30080 -> 10.0.0.1:8080", "a/web [::1]:30080 -> [fd01::1]:8080");
    for (cidrs, expected) in [
        (&LOCALHOST[..], &[v4, v6][..]),
        (&["127.0.0.1/32"], &[v4]),
        (&["64.0.0.0/2"], &[v4]),
        (&["::/1"], &[v6]),
        (&["0.0.0.0/0", "::/0"], &[]),
        (&["0.0.0.0/0", "127.0.0.0/8"], &[v4]),
        (&["127.0.2.0/24", "10.0.0.0/8"], &[]),
        (&[], &[]),
    ] {
        let mut world = world(cidrs);
        for object in [slice("web-1", "a/web", &["10.0.0.1"]), slice("web-2", "a/web", &["fd01::1"]), web(json!({}))] {
            world.change(object);
        }
        assert_eq!(listened(&world), expected, "{cidrs:?}");
        // Rules know nothing of it.
        assert!(!world.shown().iter().any(|line| line.contains("127.0.0.1") || line.contains("[::1]")));
        let off = NodeConfig { at_loopback: AtLoopback::Nobody, ..world.cluster.config().clone() };
        world.cluster.reconfigure(off);
        world.sync();
        assert_eq!(listened(&world), [""; 0], "{cidrs:?}");
    }
}

#[test]
fn endpoints_follow_policies_hints_and_readiness() {
    let slice = |endpoints: &[&str]| slice("web-1", "a/web", endpoints);
    let local = || web(json!({"type": "NodePort", "externalTrafficPolicy": "Local"}));
    let to = |endpoints: &str| vec![format!("a/web 127.0.0.1:30080 -> {endpoints}")];
    for (service, endpoints, expected) in [
        (web(json!({})), &["10.0.0.1*", "10.0.0.2"][..], to("10.0.0.1:8080 10.0.0.2:8080")),
        (web(json!({})), &[], Vec::new()),
        (web(json!({})), &["10.0.0.1* zones=a", "10.0.0.2 zones=b"], to("10.0.0.2:8080")),
        (web(json!({})), &["10.0.0.1 ending"], to("10.0.0.1:8080")),
        (local(), &["10.0.0.1*", "10.0.0.2"], to("10.0.0.1:8080")),
        (local(), &["10.0.0.2"], Vec::new()),
        (local(), &["10.0.0.1* zones=a", "10.0.0.2 zones=b"], to("10.0.0.1:8080")),
        (web(json!({"internalTrafficPolicy": "Local"})), &["10.0.0.2"], to("10.0.0.2:8080")),
        (
            web(json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 7}}})),
            &["10.0.0.2"],
            to("10.0.0.2:8080 7 s"),
        ),
    ] {
        let mut world = world(&LOCALHOST);
        for object in [in_zone("b", node(&["192.0.2.1"])), slice(endpoints), service] {
            world.change(object);
        }
        assert_eq!(listened(&world), expected, "{endpoints:?}");
    }
}

#[test]
fn they_are_for_tcp_and_each_has_one_owner() {
    let mut world = world(&LOCALHOST);
    let ports = |protocol: &str| json!({"ports": [{"port": 80, "protocol": protocol, "nodePort": 30080}]});
    for (name, address, spec) in [
        ("a/udp", "10.96.0.2", ports("UDP")),
        ("a/sctp", "10.96.0.3", ports("SCTP")),
        ("b/second", "10.96.0.4", ports("TCP")),
        ("a/first", "10.96.0.5", ports("TCP")),
    ] {
        let mut slice = slice(&format!("{}-1", &name[2..]), name, &[&address.replace("96", "0")]);
        slice["ports"] = json!([{"port": 8080, "protocol": spec["ports"][0]["protocol"]}]);
        world.change(slice);
        world.change(service(name, address, spec));
    }
    assert_eq!(listened(&world), ["a/first 127.0.0.1:30080 -> 10.0.0.5:8080"]);
    world.delete(Kind::Service, "a", "first");
    world.sync();
    assert_eq!(listened(&world), ["b/second 127.0.0.1:30080 -> 10.0.0.4:8080"]);
    world.delete(Kind::Service, "b", "second");
    world.sync();
    assert_eq!(listened(&world), [""; 0]);
}

/// conntrack has nothing to do with who listens.
#[test]
fn no_flow_is_touched_by_them() {
    let mut world = world(&LOCALHOST);
    world.change(web(json!({})));
    world.change(slice("web-1", "a/web", &["10.0.0.1"]));
    let touched = world.cluster.take_touched(|_| true);
    let vips = touched.of(crate::addr::Protocol::Tcp, crate::addr::Family::V4).map(ToString::to_string);
    assert_eq!(vips.collect::<Vec<_>>(), ["10.96.0.1:80/tcp"]);
}
