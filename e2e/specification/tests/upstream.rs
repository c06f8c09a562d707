//! The flows of kube-proxy's own tests of nftables mode, test by test.

mod fixture;

use fixture::*;
use portolan_specification::*;

const ALL: &str = "10.180.0.1:80 10.180.1.1:80";
const ALL_M: &str = "10.180.0.1:80m 10.180.1.1:80m";
const LOCAL: &str = "10.180.0.1:80";
const LOCAL_M: &str = "10.180.0.1:80m";

/// One endpoint on this node, one on another.
fn both() -> Vec<Endpoint> {
    vec![here("10.180.0.1"), there("10.180.1.1")]
}

fn with(services: Vec<Service>, slices: Vec<Slice>) -> World {
    World { services, slices, ..world() }
}

#[test]
fn no_endpoints_reject() {
    let mut service = load_balancer("svc", "172.30.0.41", 3001, &["1.2.3.4"]);
    service.external_ips = vec!["192.168.99.11".into()];
    let world = with(vec![service], vec![]);
    for flow in [
        "pod -> 172.30.0.41:80",
        "outside -> 192.168.99.11:80",
        "pod -> 192.168.0.2:3001",
        "outside -> 192.168.0.2:3001",
        "pod -> 1.2.3.4:80",
        "outside -> 1.2.3.4:80",
    ] {
        expect(&world, flow, "reject");
    }
}

#[test]
fn cluster_ip_general() {
    let first = cluster_ip("svc1", "172.30.0.41");
    let mut second = cluster_ip("svc2", "172.30.0.42");
    second.ports = vec![
        port("http", Protocol::Tcp, 80, 0),
        port("https", Protocol::Tcp, 443, 0),
        port("dns-udp", Protocol::Udp, 53, 0),
        port("dns-tcp", Protocol::Tcp, 53, 0),
        port("dns-sctp", Protocol::Sctp, 53, 0),
    ];
    let mut slice2 = slice("svc2", "svc2", vec![here("10.180.0.1"), there("10.180.2.1")]);
    let slice_port = |name: &str, protocol, port| SlicePort { name: Some(name.into()), protocol, port: Some(port) };
    slice2.ports = vec![
        slice_port("http", Protocol::Tcp, 80),
        slice_port("https", Protocol::Tcp, 8443),
        slice_port("dns-udp", Protocol::Udp, 5353),
        slice_port("dns-tcp", Protocol::Tcp, 5353),
        slice_port("dns-sctp", Protocol::Sctp, 5354),
    ];
    let world = with(vec![first, second], vec![slice("svc1", "svc1", vec![here("10.180.0.1")]), slice2]);
    for (flow, verdict) in [
        ("pod -> 172.30.0.41:80", "10.180.0.1:80"),
        ("pod 10.180.0.1 -> 172.30.0.41:80", "10.180.0.1:80m"), // hairpin
        ("pod -> 172.30.0.42:443", "10.180.0.1:8443 10.180.2.1:8443"),
        ("pod -> udp 172.30.0.42:53", "10.180.0.1:5353 10.180.2.1:5353"),
        ("pod -> 172.30.0.42:53", "10.180.0.1:5353 10.180.2.1:5353"),
        ("pod -> sctp 172.30.0.42:53", "10.180.0.1:5354 10.180.2.1:5354"),
        ("pod -> udp 172.30.0.42:80", "reject"),
        ("pod -> 172.30.0.41:443", "reject"),
        ("pod -> 172.30.0.43:80", "drop"),
    ] {
        expect(&world, flow, verdict);
    }
}

#[test]
fn load_balancer_source_ranges() {
    let mut service = load_balancer("svc", "172.30.0.41", 3001, &["1.2.3.4", "5.6.7.8"]);
    service.source_ranges = vec!["192.168.0.0/24".into(), " 203.0.113.0/25".into()];
    let world = with(vec![service], vec![slice("svc", "svc", vec![there("10.180.0.1")])]);
    for (flow, verdict) in [
        ("pod -> 172.30.0.41:80", LOCAL),
        ("outside -> 192.168.0.2:3001", LOCAL_M),
        ("blocked -> 192.168.0.2:3001", LOCAL_M),
        ("outside -> 1.2.3.4:80", LOCAL_M),
        ("outside -> 5.6.7.8:80", LOCAL_M),
        ("blocked -> 1.2.3.4:80", "drop"),
        ("blocked -> 5.6.7.8:80", "drop"),
        ("pod -> 1.2.3.4:80", "drop"),
        ("pod -> 5.6.7.8:80", "drop"),
        ("node -> 1.2.3.4:80", LOCAL_M),
        ("node -> 5.6.7.8:80", LOCAL_M),
        ("node 1.2.3.4 -> 1.2.3.4:80", LOCAL_M),
        ("node 1.2.3.4 -> 5.6.7.8:80", LOCAL_M),
    ] {
        expect(&world, flow, verdict);
    }
}

#[test]
fn node_ports() {
    let mut ipv4 = load_balancer("v4", "172.30.0.41", 3001, &[]);
    ipv4.service_type = ServiceType::NodePort;
    let ipv6 = Service {
        cluster_ips: vec!["fd00:172::41".into()],
        ip_families: vec![Family::Ipv6],
        name: "v6".into(),
        ..ipv4.clone()
    };
    let slices = vec![slice("v4", "v4", vec![there("10.180.0.1")]), slice("v6", "v6", vec![there("fd00:10:1::1")])];
    let mut world = with(vec![ipv4, ipv6], slices);
    for (flow, verdict) in [
        ("pod -> 172.30.0.41:80", LOCAL),
        ("outside -> 192.168.0.2:3001", LOCAL_M),
        ("node -> 192.168.0.2:3001", LOCAL_M),
        ("outside -> 192.168.1.2:3001", "untouched"),
        ("pod -> [fd00:172::41]:80", "[fd00:10:1::1]:80"),
        ("outside -> [fd00:192::2]:3001", "[fd00:10:1::1]:80m"),
        ("outside -> [fd00:193::2]:3001", "untouched"),
    ] {
        expect(&world, flow, verdict);
    }
    world.proxy.node_port_addresses =
        ["192.168.0.0/24", "192.168.1.0/24", "fd00:193::/64"].map(|text| NodePortAddresses::Cidr(cidr(text))).to_vec();
    for (flow, verdict) in [
        ("outside -> 192.168.0.2:3001", LOCAL_M),
        ("outside -> 192.168.1.2:3001", LOCAL_M),
        ("outside -> [fd00:192::2]:3001", "untouched"),
        ("outside -> [fd00:193::2]:3001", "[fd00:10:1::1]:80m"),
    ] {
        expect(&world, flow, verdict);
    }
}

#[test]
fn external_traffic_policy() {
    let mut service = load_balancer("svc", "172.30.0.41", 3001, &["1.2.3.4"]);
    service.external_ips = vec!["192.168.99.11".into()];
    let mut world = with(vec![service], vec![slice("svc", "svc", both())]);
    for (policy, pod, outside) in [(Policy::Local, ALL, LOCAL), (Policy::Cluster, ALL_M, ALL_M)] {
        world.services[0].external_traffic_policy = Some(policy);
        expect(&world, "pod -> 172.30.0.41:80", ALL);
        for target in ["192.168.99.11:80", "1.2.3.4:80", "192.168.0.2:3001"] {
            expect(&world, &format!("pod -> {target}"), pod);
            expect(&world, &format!("outside -> {target}"), outside);
        }
    }
}

#[test]
fn internal_traffic_policy() {
    let mut service = cluster_ip("svc", "172.30.0.41");
    for (policy, endpoints, verdict) in [
        (Policy::Cluster, both(), ALL),
        (Policy::Local, both(), LOCAL),
        (Policy::Local, vec![here("10.180.0.1"), here("10.180.0.2")], "10.180.0.1:80 10.180.0.2:80"),
        (Policy::Local, vec![there("10.180.1.1")], "drop"),
    ] {
        service.internal_traffic_policy = Some(policy);
        let mut world = with(vec![service.clone()], vec![slice("svc", "svc", endpoints)]);
        expect(&world, "pod -> 172.30.0.41:80", verdict);
        world.apply(Change::Delete(Reference::Slice("ns".into(), "svc".into())));
        expect(&world, "pod -> 172.30.0.41:80", "reject");
    }
}

#[test]
fn terminating_endpoints() {
    let (local, local2, remote) = ("10.0.1.1", "10.0.1.2", "10.0.2.1");
    let cases = [
        // The endpoints, and what pod -> ClusterIP, outside -> LB (Local), outside -> LB (Cluster) meet.
        (
            vec![here(local), terminating(here(local2), true), there(remote)],
            ["10.0.1.1:80 10.0.2.1:80", "10.0.1.1:80", "10.0.1.1:80m 10.0.2.1:80m"],
        ),
        (
            vec![terminating(here(local), true), terminating(here(local2), false), there(remote)],
            ["10.0.2.1:80", "10.0.1.1:80", "10.0.2.1:80m"],
        ),
        (
            vec![terminating(here(local), true), terminating(there(remote), true)],
            ["10.0.1.1:80 10.0.2.1:80", "10.0.1.1:80", "10.0.1.1:80m 10.0.2.1:80m"],
        ),
        (vec![terminating(there(remote), true)], ["10.0.2.1:80", "drop", "10.0.2.1:80m"]),
        (vec![terminating(here(local), false), terminating(there(remote), false)], ["reject", "reject", "reject"]),
        (vec![], ["reject", "reject", "reject"]),
    ];
    for (endpoints, [internal, local, cluster]) in cases {
        let mut service = load_balancer("svc", "172.30.0.41", 3001, &["1.2.3.4"]);
        service.external_traffic_policy = Some(Policy::Local);
        let mut world = with(vec![service], vec![slice("svc", "svc", endpoints)]);
        expect(&world, "pod -> 172.30.0.41:80", internal);
        expect(&world, "outside -> 1.2.3.4:80", local);
        world.services[0].external_traffic_policy = Some(Policy::Cluster);
        expect(&world, "outside -> 1.2.3.4:80", cluster);
    }
}

#[test]
fn internal_external_masquerade() {
    const CLIENTS: [&str; 3] = ["pod", "node", "outside"];
    type Row = [&'static str; 3]; // what pod, node and outside meet
    const M: Row = [ALL_M, ALL_M, ALL_M];
    let detector = cluster_cidr(Some("10.0.0.0/8"), None);
    let none = cluster_cidr(None, None);
    let cases: [(&Detector, bool, [[Row; 3]; 3]); 4] = [
        // Rows: plain, ETP Local, ITP Local. Columns: ClusterIP, NodePort, LB.
        (
            &detector,
            false,
            [
                [[ALL, ALL_M, ALL_M], M, M],
                [[ALL, ALL_M, ALL_M], [ALL, ALL_M, LOCAL], [ALL, ALL_M, LOCAL]],
                [[LOCAL, LOCAL_M, LOCAL_M], M, M],
            ],
        ),
        (
            &none,
            false,
            [
                [[ALL, ALL, ALL], M, M],
                [[ALL, ALL, ALL], [LOCAL, ALL_M, LOCAL], [LOCAL, ALL_M, LOCAL]],
                [[LOCAL, LOCAL, LOCAL], M, M],
            ],
        ),
        (
            &detector,
            true,
            [[M, M, M], [M, [ALL, ALL_M, LOCAL], [ALL, ALL_M, LOCAL]], [[LOCAL_M, LOCAL_M, LOCAL_M], M, M]],
        ),
        (
            &none,
            true,
            [[M, M, M], [M, [LOCAL, ALL_M, LOCAL], [LOCAL, ALL_M, LOCAL]], [[LOCAL_M, LOCAL_M, LOCAL_M], M, M]],
        ),
    ];
    let mut services = ["172.30.0.41", "172.30.0.42", "172.30.0.43"].map(|address| {
        let last = &address["172.30.0.".len()..];
        load_balancer(last, address, 3000 + last.parse::<u16>().unwrap(), &[&format!("5.6.7.{last}")])
    });
    services[1].external_traffic_policy = Some(Policy::Local);
    services[2].internal_traffic_policy = Some(Policy::Local);
    let slices = services.iter().map(|service| slice(&service.name, &service.name, both())).collect();
    let mut world = with(services.to_vec(), slices);
    for (detector, masquerade_all, rows) in cases {
        world.proxy.detector = detector.clone();
        world.proxy.masquerade_all = masquerade_all;
        for (last, [internal, node_port, external]) in [41, 42, 43].into_iter().zip(rows) {
            for client in 0..3 {
                let from = CLIENTS[client];
                expect(&world, &format!("{from} -> 172.30.0.{last}:80"), internal[client]);
                expect(&world, &format!("{from} -> 192.168.0.2:30{last}"), node_port[client]);
                expect(&world, &format!("{from} -> 5.6.7.{last}:80"), external[client]);
            }
        }
    }
}

#[test]
fn load_balancer_ingress_route_type_proxy() {
    for (mode, verdict) in [(Some("Proxy"), "untouched"), (Some("VIP"), LOCAL_M), (None, LOCAL_M)] {
        let mut service = load_balancer("svc", "172.30.0.41", 3001, &["1.2.3.4"]);
        service.ingress[0].ip_mode = mode.map(Into::into);
        let world = with(vec![service], vec![slice("svc", "svc", vec![here("10.180.0.1")])]);
        expect(&world, "pod -> 1.2.3.4:80", verdict);
    }
}

#[test]
fn bad_ips() {
    let mut service = load_balancer("svc", "172.30.0.041", 3001, &["1.2.3.004"]);
    service.external_ips = vec!["192.168.099.022".into()];
    service.source_ranges = vec!["203.0.113.000/025".into()];
    let world = with(vec![service], vec![slice("svc", "svc", vec![there("10.180.00.001")])]);
    expect(&world, "pod -> 172.30.0.41:80", LOCAL);
    expect(&world, "pod -> 192.168.99.22:80", LOCAL_M);
    expect(&world, "outside -> 1.2.3.4:80", LOCAL_M);
    expect(&world, "blocked -> 1.2.3.4:80", "drop");
}

#[test]
fn headless_and_external_name_services_are_skipped() {
    let mut headless = load_balancer("svc", "None", 3001, &["1.2.3.4"]);
    headless.external_ips = vec!["192.168.99.11".into()];
    let mut external_name = cluster_ip("svc", "172.30.0.41");
    external_name.service_type = ServiceType::ExternalName;
    for service in [headless, external_name] {
        let world = with(vec![service], vec![slice("svc", "svc", both())]);
        expect(&world, "pod -> 1.2.3.4:80", "untouched");
        expect(&world, "pod -> 192.168.99.11:80", "untouched");
        expect(&world, "pod -> 192.168.0.2:3001", "untouched");
        expect(&world, "pod -> 172.30.0.41:80", "drop");
    }
}
