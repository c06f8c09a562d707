//! Sections 3 and 4 of docs/specification.md: which endpoints a ServicePort may use.

mod fixture;

use fixture::*;
use portolan_specification::*;

/// What a pod meets at the cluster IP, and an outside client at an LB IP with externalTrafficPolicy Local.
#[track_caller]
fn lists(world: &World, cluster: &str, local: &str) {
    expect(world, "pod -> 172.30.0.41:80", cluster);
    expect(world, "outside -> 1.2.3.4:80", local);
}

fn with(slices: Vec<Slice>) -> World {
    let mut service = load_balancer("svc", "172.30.0.41", 0, &["1.2.3.4"]);
    service.external_traffic_policy = Some(Policy::Local);
    World { services: vec![service], slices, ..world() }
}

fn of(endpoints: Vec<Endpoint>) -> World {
    with(vec![slice("svc", "svc", endpoints)])
}

fn unready(endpoint: Endpoint) -> Endpoint {
    Endpoint { ready: Some(false), ..endpoint }
}

#[test]
fn zone_hints() {
    let zones = |first: &[&str], second: &[&str], third: &[&str]| {
        of(vec![
            hinted(here("10.1.2.3"), first, &[]),
            hinted(here("10.1.2.4"), second, &[]),
            hinted(there("10.1.2.5"), third, &[]),
        ])
    };
    let local = "10.1.2.3:80 10.1.2.4:80";
    let all = "10.1.2.3:80 10.1.2.4:80 10.1.2.5:80";
    lists(&zones(&["zone-a"], &["zone-b"], &["zone-a"]), "10.1.2.3:80 10.1.2.5:80", local);
    lists(&zones(&["zone-b", "zone-a"], &["zone-b"], &["zone-c"]), "10.1.2.3:80", local);
    lists(&zones(&["zone-b"], &["zone-b"], &["zone-c"]), all, local); // none names our zone
    lists(&zones(&["zone-a"], &["zone-b"], &[]), all, local); // one has no hint
    let mut world = zones(&["zone-a"], &["zone-b"], &["zone-a"]);
    world.node.zone = None;
    lists(&world, all, local);
}

#[test]
fn node_hints_come_before_zone_hints() {
    let hints = |nodes: [&[&str]; 3], zones: [&[&str]; 3]| {
        of(vec![
            hinted(here("10.1.2.3"), zones[0], nodes[0]),
            hinted(there("10.1.2.4"), zones[1], nodes[1]),
            hinted(there("10.1.2.5"), zones[2], nodes[2]),
        ])
    };
    let zones: [&[&str]; 3] = [&["zone-a"], &["zone-a"], &["zone-b"]];
    let zoned = "10.1.2.3:80 10.1.2.4:80";
    let local = "10.1.2.3:80";
    lists(&hints([&["node-a"], &["node-b"], &["node-c"]], zones), "10.1.2.3:80", local);
    lists(&hints([&["node-b"], &["node-a", "node-b"], &["node-c"]], zones), "10.1.2.4:80", local);
    lists(&hints([&["node-b"], &["node-b"], &["node-b"]], zones), zoned, local); // none names us
    lists(&hints([&["node-a"], &[], &["node-b"]], zones), zoned, local); // one has no node hint
    lists(
        &hints([&["node-a"], &["node-b"], &[]], [&["zone-a"], &[], &[]]),
        "10.1.2.3:80 10.1.2.4:80 10.1.2.5:80",
        local,
    );
}

#[test]
fn hints_are_read_from_ready_endpoints_only() {
    let zoned = |endpoint, zone: &str| hinted(endpoint, &[zone], &[]);
    lists(
        &of(vec![zoned(there("10.1.2.3"), "zone-a"), zoned(there("10.1.2.4"), "zone-b"), unready(here("10.1.2.5"))]),
        "10.1.2.3:80",
        "drop",
    );
    // The only one hinted for us is not ready, so hints are not looked at.
    lists(
        &of(vec![zoned(there("10.1.2.3"), "zone-b"), zoned(unready(here("10.1.2.4")), "zone-a")]),
        "10.1.2.3:80",
        "drop",
    );
    // Nor for those that stand in when none is ready.
    lists(
        &of(vec![
            zoned(terminating(there("10.1.2.3"), true), "zone-a"),
            zoned(terminating(here("10.1.2.4"), true), "zone-b"),
        ]),
        "10.1.2.3:80 10.1.2.4:80",
        "10.1.2.4:80",
    );
}

#[test]
fn fallbacks_of_the_two_lists_are_independent() {
    lists(&of(vec![there("10.1.2.3"), terminating(here("10.1.2.4"), true)]), "10.1.2.3:80", "10.1.2.4:80");
    lists(
        &of(vec![
            there("10.1.2.0"),
            unready(here("10.1.2.1")),
            terminating(here("10.1.2.2"), true),
            terminating(there("10.1.2.3"), true),
        ]),
        "10.1.2.0:80",
        "10.1.2.2:80",
    );
    lists(&of(vec![there("10.1.2.3"), terminating(here("10.1.2.4"), false)]), "10.1.2.3:80", "drop");
    lists(&of(vec![unready(here("10.1.2.3")), unready(there("10.1.2.4"))]), "reject", "reject");
}

#[test]
fn conditions() {
    let conditions =
        |ready, serving, terminating| of(vec![Endpoint { ready, serving, terminating, ..here("10.1.2.3") }]);
    let usable = "10.1.2.3:80";
    lists(&conditions(None, None, None), usable, usable);
    lists(&conditions(Some(false), None, Some(true)), usable, usable); // serving nil is true
    lists(&conditions(Some(false), Some(true), None), "reject", "reject"); // terminating nil is false
    lists(&conditions(Some(true), Some(false), Some(true)), usable, usable); // publishNotReadyAddresses
}

#[test]
fn local_is_the_node_name() {
    let nowhere = Endpoint { node_name: None, ..here("10.1.2.3") };
    lists(&of(vec![nowhere]), "10.1.2.3:80", "drop");
}

#[test]
fn slices_that_are_not_for_this_service_or_family() {
    let base = slice("svc", "svc", vec![here("10.1.2.3")]);
    let name = "kubernetes.io/service-name";
    for wrong in [
        Slice { labels: labels(&[]), ..base.clone() },
        Slice { labels: labels(&[(name, "")]), ..base.clone() },
        Slice { labels: labels(&[(name, "other")]), ..base.clone() },
        Slice { labels: labels(&[(name, "svc"), ("service.kubernetes.io/headless", "")]), ..base.clone() },
        Slice { namespace: "other".into(), ..base.clone() },
        Slice { name: "".into(), ..base.clone() },
        Slice { address_type: AddressType::Fqdn, ..base.clone() },
        Slice { address_type: AddressType::Ipv6, ..base.clone() },
    ] {
        lists(&with(vec![wrong]), "reject", "reject");
    }
    lists(&with(vec![base]), "10.1.2.3:80", "10.1.2.3:80");
}

#[test]
fn slice_ports() {
    let port = |name: Option<&str>, protocol, port| {
        let ports = vec![SlicePort { name: name.map(Into::into), protocol, port }];
        with(vec![Slice { ports, ..slice("svc", "svc", vec![here("10.1.2.3")]) }])
    };
    lists(&port(Some(""), Protocol::Tcp, Some(8080)), "10.1.2.3:8080", "10.1.2.3:8080");
    for wrong in [
        port(Some("http"), Protocol::Tcp, Some(80)),
        port(None, Protocol::Udp, Some(80)),
        port(None, Protocol::Tcp, None),
        port(None, Protocol::Tcp, Some(0)),
        port(None, Protocol::Tcp, Some(-1)),
        port(None, Protocol::Tcp, Some(65536 + 80)),
    ] {
        lists(&wrong, "reject", "reject");
    }
}

#[test]
fn endpoint_addresses() {
    let addresses = |addresses: &[&str]| {
        let addresses = addresses.iter().map(|address| (*address).to_owned()).collect();
        with(vec![Slice {
            address_type: AddressType::Ipv4,
            ..slice("svc", "svc", vec![Endpoint { addresses, ..here("") }])
        }])
    };
    lists(&addresses(&["10.1.2.3", "10.1.2.4"]), "10.1.2.3:80", "10.1.2.3:80"); // only the first
    for wrong in [&[][..], &[""], &["10.1.2"], &["host.example.com"], &["fd00:10::1"]] {
        lists(&addresses(wrong), "reject", "reject");
    }
    for refused in ["127.0.0.1", "127.9.9.9", "0.0.0.0", "169.254.1.1", "224.0.0.1"] {
        lists(&addresses(&[refused]), "reject", "reject");
    }
}

#[test]
fn the_same_endpoint_twice() {
    let twice = |a: Endpoint, b: Endpoint| with(vec![slice("a", "svc", vec![a]), slice("b", "svc", vec![b])]);
    let (local, remote) = (here("10.1.2.3"), there("10.1.2.3"));
    let usable = "10.1.2.3:80";
    lists(&twice(local.clone(), remote.clone()), usable, usable); // the smallest slice name
    lists(&twice(remote.clone(), local.clone()), usable, "drop");
    let mut later_first = twice(remote.clone(), local.clone());
    later_first.slices.reverse();
    lists(&later_first, usable, "drop");
    lists(&twice(unready(remote.clone()), local.clone()), usable, usable); // ready wins
    lists(&twice(terminating(remote.clone(), false), terminating(local.clone(), true)), usable, usable); // then serving
    lists(&twice(unready(remote), terminating(local, true)), usable, usable); // which one must that terminates
}

#[test]
fn a_slice_moves_with_its_label() {
    let mut world = of(vec![here("10.1.2.3")]);
    world.apply(Change::Apply(Object::Slice(slice("svc", "other", vec![here("10.1.2.3")]))));
    lists(&world, "reject", "reject");
}
