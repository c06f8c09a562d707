//! From slices to the endpoints of ServicePorts, and which of those a change of a slice touches. The cases are those of
//! kube-proxy's `TestUpdateEndpointsMap` and of its tests of the slice cache, and some more.

use std::collections::BTreeSet;

use super::*;

/// A slice on one line, for the Service whose name it begins with: `web-1 http:80 -> 10.0.0.1*, 10.0.0.2 ending`.
fn read(line: &str) -> Value {
    let (head, endpoints) = line.split_once(" ->").unwrap();
    let endpoints: Vec<_> = endpoints.split(',').map(str::trim).filter(|text| !text.is_empty()).collect();
    let mut words = head.split(' ');
    let name = words.next().unwrap();
    let mut slice = slice(name, &format!("a/{}", name.split_once('-').unwrap().0), &endpoints);
    let port = |text: &str| {
        let (name, number) = text.split_once(':').unwrap();
        json!({"name": name, "port": number.parse::<u32>().ok(), "protocol": "UDP"})
    };
    slice["ports"] = words.map(port).collect();
    slice
}

/// The Services `web` and `dns` with ports `a` to `d`, each with a health-check port by which its endpoints are counted.
fn world() -> World {
    let ports: Value =
        "abcd".chars().enumerate().map(|(i, name)| json!({"name": name, "port": i + 1, "protocol": "UDP"})).collect();
    let counted = |name, cluster_ip, port| {
        let more = json!({"ports": ports, "externalTrafficPolicy": "Local", "healthCheckNodePort": port});
        balancer(name, cluster_ip, &[], more)
    };
    World::of([counted("a/web", "10.96.0.1", 1), counted("a/dns", "10.96.0.2", 2)])
}

/// `web:a 10.0.0.1:11*` for each ServicePort with endpoints.
fn shown(world: &World) -> Vec<String> {
    let used = world.programmed.values().filter(|port| !port.endpoints.is_empty());
    used.map(|port| format!("{}:{} {}", port.name.service.name, port.name.port, text(&port.endpoints))).collect()
}

/// How many endpoints load balancers are told of: `dns`, `web`.
fn counts(world: &World) -> [usize; 2] {
    let all: Vec<_> = world.cluster.health_checks().iter().map(|check| check.local_endpoints).collect();
    all.try_into().unwrap()
}

/// A case: the slices before and after, the endpoints after, the ports that are decided anew, the counts of `dns` and `web`.
type Case<'a> = (&'a str, &'a [&'a str], &'a [&'a str], &'a [&'a str], &'a str, [usize; 2]);

#[test]
fn slices_come_change_and_go() {
    let one = &["web-1 a:11 -> 10.0.0.1"][..];
    let here = &["web-1 a:11 -> 10.0.0.1*"][..];
    let two = &["web-1 a:11 -> 10.0.0.1", "web-2 b:12 -> 10.0.0.2"][..];
    let two_ports = &["web-1 a:11 b:12 -> 10.0.0.1, 10.0.0.2*"][..];
    let many = &[
        "web-1 a:11 b:12 -> 10.0.0.1, 10.0.0.2*",
        "web-2 c:13 d:14 -> 10.0.0.3, 10.0.0.4*",
        "dns-1 a:21 b:22 -> 10.0.0.5, 10.0.0.6*",
    ][..];
    let cases: &[Case<'_>] = &[
        ("nothing", &[], &[], &[], "", [0, 0]),
        ("no change", here, here, &["web:a 10.0.0.1:11*"], "", [0, 1]),
        ("no change of two", two, two, &["web:a 10.0.0.1:11", "web:b 10.0.0.2:12"], "", [0, 0]),
        (
            "no change of two Services",
            many,
            many,
            &[
                "dns:a 10.0.0.5:21 10.0.0.6:21*",
                "dns:b 10.0.0.5:22 10.0.0.6:22*",
                "web:a 10.0.0.1:11 10.0.0.2:11*",
                "web:b 10.0.0.1:12 10.0.0.2:12*",
                "web:c 10.0.0.3:13 10.0.0.4:13*",
                "web:d 10.0.0.3:14 10.0.0.4:14*",
            ],
            "",
            [1, 2],
        ),
        ("the first slice", &[], here, &["web:a 10.0.0.1:11*"], "web:a", [0, 1]),
        ("the last slice goes", here, &[], &[], "web:a", [0, 0]),
        (
            "an address and a port more",
            one,
            two_ports,
            &["web:a 10.0.0.1:11 10.0.0.2:11*", "web:b 10.0.0.1:12 10.0.0.2:12*"],
            "web:a web:b",
            [0, 1],
        ),
        ("an address and a port less", two_ports, one, &["web:a 10.0.0.1:11"], "web:a web:b", [0, 0]),
        ("a second slice", one, two, &["web:a 10.0.0.1:11", "web:b 10.0.0.2:12"], "web:b", [0, 0]),
        ("a second slice goes", two, one, &["web:a 10.0.0.1:11"], "web:b", [0, 0]),
        ("a port renamed", one, &["web-1 b:11 -> 10.0.0.1"], &["web:b 10.0.0.1:11"], "web:a web:b", [0, 0]),
        ("a port renumbered", one, &["web-1 a:22 -> 10.0.0.1"], &["web:a 10.0.0.1:22"], "web:a", [0, 0]),
        (
            "much at once",
            &["web-1 a:11 -> 10.0.0.1", "dns-1 a:21 -> 10.0.0.5*, 10.0.0.6*", "dns-2 b:22 -> 10.0.0.7*"],
            &["web-1 a:11 -> 10.0.0.1, 10.0.0.9", "web-2 b:12 c:122 -> 10.0.0.2", "dns-1 a:21 -> 10.0.0.5*"],
            &["dns:a 10.0.0.5:21*", "web:a 10.0.0.1:11 10.0.0.9:11", "web:b 10.0.0.2:12", "web:c 10.0.0.2:122"],
            "dns:a dns:b web:a web:b web:c",
            [1, 0],
        ),
        ("an address at last", &["web-1 a:11 ->"], one, &["web:a 10.0.0.1:11"], "web:a", [0, 0]),
        ("no address any more", one, &["web-1 a:11 ->"], &[], "web:a", [0, 0]),
        ("a port of no Service", one, &["web-1 a:11 z:9 -> 10.0.0.1"], &["web:a 10.0.0.1:11"], "web:a", [0, 0]),
        ("all ports in one", one, &["web-1 a:11 b: -> 10.0.0.1"], &["web:a 10.0.0.1:11"], "", [0, 0]),
        (
            "one that is down comes",
            one,
            &["web-1 a:11 -> 10.0.0.1, 10.0.0.2* down"],
            &["web:a 10.0.0.1:11"],
            "",
            [0, 0],
        ),
        ("one ends", here, &["web-1 a:11 -> 10.0.0.1* ending"], &["web:a 10.0.0.1:11*"], "web:a", [0, 0]),
        (
            "ports in another order",
            two_ports,
            &["web-1 b:12 a:11 -> 10.0.0.1, 10.0.0.2*"],
            &["web:a 10.0.0.1:11 10.0.0.2:11*", "web:b 10.0.0.1:12 10.0.0.2:12*"],
            "",
            [0, 1],
        ),
    ];
    for (what, before, after, endpoints, decided, ready) in cases {
        let mut world = world();
        before.iter().for_each(|line| drop(world.apply(read(line))));
        world.sync();
        let kept: BTreeSet<_> = after.iter().map(|line| object(read(line)).reference()).collect();
        let gone = before.iter().map(|line| object(read(line)).reference()).filter(|slice| !kept.contains(slice));
        gone.for_each(|slice| world.cluster.delete(&slice));
        after.iter().for_each(|line| drop(world.apply(read(line))));
        let names: Vec<_> =
            decided.split(' ').filter(|name| !name.is_empty()).map(|name| format!("a/{name} IPv4")).collect();
        assert_eq!(world.sync(), names, "{what}");
        assert_eq!(shown(&world), *endpoints, "{what}");
        assert_eq!(counts(&world), *ready, "{what}");
    }
}

/// The same address in several slices of a Service, in whatever order the slices come.
#[test]
fn slices_of_one_service_are_one_list() {
    let cases: &[(&str, &[&str], &[&str])] = &[
        (
            "side by side",
            &["web-1 a:80 -> 10.0.0.1, 10.0.0.3", "web-2 a:80 -> 10.0.0.2*"],
            &["web:a 10.0.0.1:80 10.0.0.2:80* 10.0.0.3:80"],
        ),
        (
            "overlapping",
            &["web-1 a:80 -> 10.0.0.1, 10.0.0.2", "web-2 a:80 -> 10.0.0.2, 10.0.0.3"],
            &["web:a 10.0.0.1:80 10.0.0.2:80 10.0.0.3:80"],
        ),
        ("twice in one slice", &["web-1 a:80 -> 10.0.0.1, 10.0.0.1"], &["web:a 10.0.0.1:80"]),
        (
            "one address, two numbers",
            &["web-1 a:80 -> 10.0.0.1, 10.0.0.2*", "web-2 a:8080 -> 10.0.0.1, 10.0.0.2*"],
            &["web:a 10.0.0.1:80 10.0.0.1:8080 10.0.0.2:80* 10.0.0.2:8080*"],
        ),
        ("two numbers in one slice", &["web-1 a:80 a:8080 -> 10.0.0.1"], &["web:a 10.0.0.1:80 10.0.0.1:8080"]),
        (
            "ready and down",
            &["web-1 a:80 -> 10.0.0.1 down, 10.0.0.2", "web-2 a:80 -> 10.0.0.1, 10.0.0.2 down"],
            &["web:a 10.0.0.1:80 10.0.0.2:80"],
        ),
        ("down in both", &["web-1 a:80 -> 10.0.0.1 down", "web-2 a:80 -> 10.0.0.1 down"], &[]),
        (
            "address used again: new pod here",
            &["web-1 a:80 -> 10.0.0.1 ending", "web-2 a:80 -> 10.0.0.1*"],
            &["web:a 10.0.0.1:80*"],
        ),
        (
            "address used again: old pod here",
            &["web-1 a:80 -> 10.0.0.1* ending", "web-2 a:80 -> 10.0.0.1"],
            &["web:a 10.0.0.1:80"],
        ),
        (
            "ending in one, down in the other",
            &["web-1 a:80 -> 10.0.0.1 down", "web-2 a:80 -> 10.0.0.1* ending"],
            &["web:a 10.0.0.1:80*"],
        ),
        (
            "equals: the smallest name says",
            &["web-1 a:80 -> 10.0.0.1", "web-2 a:80 -> 10.0.0.1*"],
            &["web:a 10.0.0.1:80"],
        ),
        (
            "by number, not by text",
            &["web-1 a:80 -> 10.0.0.10, 10.0.0.9, 10.0.0.2"],
            &["web:a 10.0.0.2:80 10.0.0.9:80 10.0.0.10:80"],
        ),
        (
            "another Service's",
            &["web-1 a:80 -> 10.0.0.1", "dns-1 a:80 -> 10.0.0.1"],
            &["dns:a 10.0.0.1:80", "web:a 10.0.0.1:80"],
        ),
        ("no Service's", &["other-1 a:80 -> 10.0.0.1"], &[]),
    ];
    for (what, slices, endpoints) in cases {
        for backwards in [false, true] {
            let mut world = world();
            let mut objects: Vec<_> = slices.iter().map(|line| read(line)).collect();
            if backwards {
                objects.reverse();
            }
            objects.into_iter().for_each(|slice| drop(world.change(slice)));
            assert_eq!(shown(&world), *endpoints, "{what}, backwards: {backwards}");
        }
    }
}

#[test]
fn what_nobody_looks_at_decides_nothing_anew() {
    let mut world = world();
    let slice = read("web-1 a:80 -> 10.0.0.1*, 10.0.0.2");
    world.change(slice.clone());
    for (path, value) in [
        ("/metadata/resourceVersion", json!("7")),
        ("/metadata/annotations", json!({"endpoints.kubernetes.io/last-change-trigger-time": "2026-01-01T00:00:00Z"})),
        ("/metadata/labels/team", json!("x")),
        ("/ports/0/appProtocol", json!("http")),
        ("/endpoints/0/zone", json!("a")),
        ("/endpoints/0/hostname", json!("web-0")),
        ("/endpoints/0/targetRef", json!({"kind": "Pod", "name": "web-0"})),
        ("/endpoints/0/addresses", json!(["10.0.0.1", "10.0.0.7"])),
        ("/endpoints/0/conditions", json!({"ready": true, "serving": true, "terminating": false})),
        ("/endpoints/1/nodeName", json!("node-c")),
        ("/endpoints/1/hints", json!({"forZones": []})),
    ] {
        let mut changed = slice.clone();
        let (parent, key) = path.rsplit_once('/').unwrap();
        changed.pointer_mut(parent).unwrap()[key] = value;
        assert_eq!(world.change(changed), [""; 0], "{path}");
    }
}
