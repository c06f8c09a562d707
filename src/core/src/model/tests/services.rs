//! From Services to what is programmed for them, over their life. The cases are those of kube-proxy's tests of its
//! service tracker and of its proxiers, and some more.

use super::*;
use crate::desired::Frontend;

/// Each ServicePort with its VIPs, on one line.
fn vips(world: &World) -> String {
    world.shown().iter().map(|line| line.split(" ->").next().unwrap()).collect::<Vec<_>>().join(", ")
}

#[test]
fn every_type_and_family() {
    let ports = json!([{"name": "p", "port": 80, "nodePort": 30080}]);
    let v6 = |cluster_ips: Value| {
        json!({
            "clusterIPs": cluster_ips, "ports": ports, "type": "LoadBalancer",
            "externalIPs": ["203.0.113.1", "2001:db8::1"],
        })
    };
    let only_v4 = "a/s:p 10.96.0.1:80/tcp 192.0.2.1:30080/tcp 203.0.113.1:80/tcp 203.0.113.9:80/tcp";
    let only_v6 = "a/s:p [2001:db8::1]:80/tcp [2001:db8::9]:80/tcp [fd00::1]:30080/tcp [fd00:96::1]:80/tcp";
    for (what, spec, ingress, expected) in [
        ("headless", json!({"clusterIP": "None", "ports": [{"port": 53, "protocol": "UDP"}]}), json!([]), ""),
        ("headless, NodePort", json!({"clusterIP": "None", "ports": ports, "type": "NodePort"}), json!([]), ""),
        ("headless without ports", json!({"clusterIP": "None", "ports": null}), json!([]), ""),
        ("no cluster IP", json!({"clusterIP": "", "ports": ports, "type": "NodePort"}), json!([]), ""),
        ("ExternalName", json!({"type": "ExternalName", "externalName": "a.example"}), json!([]), ""),
        ("no ports", json!({"ports": []}), json!([]), ""),
        (
            "ClusterIP",
            json!({"ports": [{"name": "a", "port": 53, "protocol": "UDP"}, {"name": "b", "port": 7, "protocol": "SCTP"}]}),
            json!([]),
            "a/s:a 10.96.0.1:53/udp, a/s:b 10.96.0.1:7/sctp",
        ),
        (
            "NodePort",
            json!({"type": "NodePort", "ports": [
                {"name": "a", "port": 53, "nodePort": 30053, "protocol": "UDP"}, {"name": "b", "port": 53, "nodePort": 30053},
            ]}),
            json!([]),
            "a/s:a 10.96.0.1:53/udp 192.0.2.1:30053/udp, a/s:b 10.96.0.1:53/tcp 192.0.2.1:30053/tcp",
        ),
        (
            "no NodePort allocated",
            json!({"type": "LoadBalancer", "allocateLoadBalancerNodePorts": false, "ports": [{"port": 80, "nodePort": 0}]}),
            json!([{"ip": "203.0.113.9"}]),
            "a/s 10.96.0.1:80/tcp 203.0.113.9:80/tcp",
        ),
        (
            "only the status says where the load balancer is",
            json!({"type": "LoadBalancer", "loadBalancerIP": "203.0.113.5"}),
            json!([{"ip": "203.0.113.9", "ipMode": "VIP"}, {"ip": "203.0.113.8", "ipMode": "Proxy"},
                {"ip": "203.0.113.7", "ipMode": "Future"}, {"hostname": "lb.example"}, {"ip": "203.0.113.6"}]),
            "a/s 10.96.0.1:80/tcp 203.0.113.6:80/tcp 203.0.113.9:80/tcp",
        ),
        ("IPv4", v6(json!(["10.96.0.1"])), json!([{"ip": "203.0.113.9"}, {"ip": "2001:db8::9"}]), only_v4),
        ("IPv6", v6(json!(["fd00:96::1"])), json!([{"ip": "203.0.113.9"}, {"ip": "2001:db8::9"}]), only_v6),
        (
            "both",
            v6(json!(["fd00:96::1", "10.96.0.1"])),
            json!([{"ip": "203.0.113.9"}, {"ip": "2001:db8::9"}]),
            &format!("{only_v4}, {only_v6}"),
        ),
    ] {
        let mut service = service("a/s", "10.96.0.1", spec);
        service["status"] = json!({"loadBalancer": {"ingress": ingress}});
        assert_eq!(vips(&World::of([service, node(&["192.0.2.1", "fd00::1"])])), expected, "{what}");
    }
}

/// Leading zeros, as old API objects have them; upstream's `TestBadIPs`.
#[test]
fn old_spellings_are_normalised() {
    let spec = json!({
        "externalIPs": ["192.168.099.022"],
        "loadBalancerSourceRanges": ["010.0.0.0/8", "203.0.113.000/025"],
        "ports": [{"port": 80}],
    });
    let service = balancer("a/s", "172.30.0.041", &["01.02.03.004"], spec);
    let world = World::of([service, slice("s", "a/s", &["010.180.00.001*"])]);
    assert_eq!(world.shown(), ["a/s 1.2.3.4:80/tcp 172.30.0.41:80/tcp 192.168.99.22:80/tcp -> 10.180.0.1:8080*"]);
    let sources = &world.programmed.values().next().unwrap().sources;
    assert_eq!(sources.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.0/8", "203.0.113.0/25"]);
}

/// The ports of `a/s` that a change decides anew, its VIPs after, and where health is asked.
#[test]
fn a_service_over_its_life() {
    let two = json!([{"name": "p", "port": 53, "protocol": "UDP"}, {"name": "q", "port": 80}]);
    let plain = service("a/s", "10.96.0.1", json!({"ports": two}));
    let local = |port: u32| json!({"ports": two, "externalTrafficPolicy": "Local", "healthCheckNodePort": port});
    let both = &["a/s:p IPv4", "a/s:q IPv4"][..];
    let mut world = World::of([node(&["192.0.2.1"])]);
    for (what, object, decided, vips_after, health_ports) in [
        ("new", plain.clone(), both, "a/s:p 10.96.0.1:53/udp, a/s:q 10.96.0.1:80/tcp", &[][..]),
        ("the same", plain, &[], "a/s:p 10.96.0.1:53/udp, a/s:q 10.96.0.1:80/tcp", &[]),
        (
            "a balancer that asks",
            balancer("a/s", "10.96.0.1", &["203.0.113.9"], local(345)),
            both,
            "a/s:p 10.96.0.1:53/udp 203.0.113.9:53/udp, a/s:q 10.96.0.1:80/tcp 203.0.113.9:80/tcp",
            &[345],
        ),
        (
            "it asks elsewhere",
            balancer("a/s", "10.96.0.1", &["203.0.113.9"], local(346)),
            both,
            "a/s:p 10.96.0.1:53/udp 203.0.113.9:53/udp, a/s:q 10.96.0.1:80/tcp 203.0.113.9:80/tcp",
            &[346],
        ),
        (
            "no longer Local",
            balancer("a/s", "10.96.0.1", &[], json!({"ports": two, "healthCheckNodePort": 346})),
            both,
            "a/s:p 10.96.0.1:53/udp, a/s:q 10.96.0.1:80/tcp",
            &[],
        ),
        (
            "a NodePort",
            service(
                "a/s",
                "10.96.0.1",
                json!({"type": "NodePort", "ports": [{"name": "q", "port": 80, "nodePort": 30080}],
                "externalTrafficPolicy": "Local", "healthCheckNodePort": 346}),
            ),
            both,
            "a/s:q 10.96.0.1:80/tcp 192.0.2.1:30080/tcp",
            &[],
        ),
        (
            "another address",
            service("a/s", "10.96.0.2", json!({})),
            &["a/s IPv4", "a/s:q IPv4"],
            "a/s 10.96.0.2:80/tcp",
            &[],
        ),
        (
            "another family",
            service("a/s", "fd00::2", json!({})),
            &["a/s IPv4", "a/s IPv6"],
            "a/s [fd00::2]:80/tcp",
            &[],
        ),
        ("ExternalName", service("a/s", "fd00::2", json!({"type": "ExternalName"})), &["a/s IPv6"], "", &[]),
        ("back", service("a/s", "fd00::2", json!({})), &["a/s IPv6"], "a/s [fd00::2]:80/tcp", &[]),
        ("headless", service("a/s", "None", json!({})), &["a/s IPv6"], "", &[]),
        ("headless still", service("a/s", "None", json!({"ports": []})), &[], "", &[]),
    ] {
        assert_eq!(world.change(object), decided, "{what}");
        assert_eq!(vips(&world), vips_after, "{what}");
        let asked: Vec<_> = world.cluster.health_checks().iter().map(|check| check.port).collect();
        assert_eq!(asked, health_ports, "{what}");
    }
}

#[test]
fn what_nobody_looks_at_decides_nothing_anew() {
    let service = balancer("a/s", "10.96.0.1", &["203.0.113.9"], json!({}));
    let mut world = World::of([service.clone()]);
    for (path, value) in [
        ("/metadata/resourceVersion", json!("7")),
        ("/metadata/annotations", json!({"service.kubernetes.io/topology-mode": "Auto"})),
        ("/metadata/labels", json!({"app": "web"})),
        ("/spec/selector", json!({"app": "web"})),
        ("/spec/ports/0/targetPort", json!("http")),
        ("/spec/ports/0/appProtocol", json!("http")),
        ("/spec/ports/0/protocol", json!("TCP")),
        ("/spec/loadBalancerClass", json!("x")),
        ("/spec/loadBalancerIP", json!("203.0.113.5")),
        ("/spec/trafficDistribution", json!("PreferClose")),
        ("/spec/publishNotReadyAddresses", json!(true)),
        ("/spec/externalTrafficPolicy", json!("Cluster")),
        ("/spec/sessionAffinity", json!("None")),
        ("/spec/clusterIPs", json!(["10.96.0.1"])),
        ("/spec/ipFamilies", json!(["IPv4"])),
        ("/status/conditions", json!([{"type": "x"}])),
        ("/status/loadBalancer/ingress/0/ipMode", json!("VIP")),
    ] {
        let mut changed = service.clone();
        let (parent, key) = path.rsplit_once('/').unwrap();
        changed.pointer_mut(parent).unwrap()[key] = value;
        assert_eq!((world.apply(changed), world.sync()), (vec![], vec![]), "{path}");
    }
}

/// What becomes of connections to a Frontend, as a client sees it.
fn fate(port: &DesiredPort, frontend: &Frontend) -> &'static str {
    match (port.endpoints.is_empty(), port.endpoints_for(frontend.policy).is_empty()) {
        (true, true) => "rejected",
        (false, true) => "dropped",
        (false, false) => "served",
        (true, false) => panic!("{port:?} has endpoints here and none in all"),
    }
}

/// By policy, the fate of connections to the cluster IP and from outside. The cases in which `dropped` stands are those
/// that kube-proxy counts in `sync_proxy_rules_no_local_endpoints_total`.
#[test]
fn served_dropped_or_rejected() {
    let (here, remote) = (&["10.0.0.1*", "10.0.0.2"][..], &["10.0.0.1", "10.0.0.2"][..]);
    for (internal, external, endpoints, to_cluster_ip, from_outside) in [
        ("Cluster", "Cluster", here, "served", "served"),
        ("Cluster", "Cluster", remote, "served", "served"),
        ("Local", "Cluster", here, "served", "served"),
        ("Cluster", "Local", here, "served", "served"),
        ("Local", "Local", here, "served", "served"),
        ("Local", "Cluster", remote, "dropped", "served"),
        ("Cluster", "Local", remote, "served", "dropped"),
        ("Local", "Local", remote, "dropped", "dropped"),
        ("Local", "Local", &[], "rejected", "rejected"),
        ("Cluster", "Cluster", &[], "rejected", "rejected"),
        ("Local", "Local", &["10.0.0.1* down", "10.0.0.2 down"], "rejected", "rejected"),
        // Those that end count where nothing better is.
        ("Local", "Local", &["10.0.0.1* ending", "10.0.0.2"], "served", "served"),
        ("Local", "Local", &["10.0.0.1* down", "10.0.0.2 ending"], "dropped", "dropped"),
        ("Cluster", "Local", &["10.0.0.1 ending"], "served", "dropped"),
    ] {
        let spec = json!({
            "internalTrafficPolicy": internal, "externalTrafficPolicy": external, "externalIPs": ["203.0.113.1"],
            "ports": [{"port": 80, "nodePort": 30080}],
        });
        let balancer = balancer("a/s", "10.96.0.1", &["203.0.113.9"], spec);
        let mut world = World::of([balancer, node(&["192.0.2.1"]), slice("s", "a/s", endpoints)]);
        let fates = |world: &World| -> Vec<_> {
            let port = world.programmed.values().next().unwrap();
            port.frontends.iter().map(|frontend| fate(port, frontend)).collect()
        };
        // Cluster IP, NodePort, external IP, load-balancer IP: sorted by address.
        let expected = [to_cluster_ip, from_outside, from_outside, from_outside];
        assert_eq!(fates(&world), expected, "internal {internal}, external {external}, {endpoints:?}");
        world.delete(Kind::EndpointSlice, "a", "s");
        world.sync();
        assert_eq!(fates(&world), ["rejected"; 4]);
    }
}

#[test]
fn affinity_belongs_to_each_port() {
    let affinity = |seconds: Value| {
        let config = json!({"clientIP": {"timeoutSeconds": seconds}});
        service("a/s", "10.96.0.1", json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": config}))
    };
    let mut world = World::of([affinity(json!(60))]);
    let seconds = |world: &World| world.programmed.values().map(|port| port.affinity).collect::<Vec<_>>();
    assert_eq!(seconds(&world), [Some(60)]);
    for (object, expected) in [
        (affinity(json!(61)), Some(61)),
        (affinity(json!(null)), Some(10800)),
        (service("a/s", "10.96.0.1", json!({})), None),
    ] {
        assert_eq!(world.change(object), ["a/s IPv4"]);
        assert_eq!(seconds(&world), [expected]);
    }
}
