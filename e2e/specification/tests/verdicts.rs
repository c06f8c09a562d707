//! Sections 5 to 8 of docs/specification.md: who is masqueraded, rejected, dropped.

mod fixture;

use fixture::*;
use portolan_specification::*;

fn with(service: Service, endpoints: Vec<Endpoint>) -> World {
    World { slices: vec![slice("svc", &service.name, endpoints)], services: vec![service], ..world() }
}

/// Reached by cluster IP, LB IP and nodePort, with one endpoint.
fn everywhere(policy: Policy, endpoint: Endpoint) -> World {
    let mut service = load_balancer("svc", "172.30.0.41", 3001, &["1.2.3.4"]);
    service.external_traffic_policy = Some(policy);
    with(service, vec![endpoint])
}

#[test]
fn detectors() {
    let mut world = everywhere(Policy::Cluster, there("10.0.2.1"));
    let (plain, masqueraded) = ("10.0.2.1:80", "10.0.2.1:80m");
    let rows = [
        (cluster_cidr(Some("10.0.0.0/8"), None), [plain, plain, masqueraded, masqueraded]),
        (cluster_cidr(None, Some("fd00:10::/64")), [plain, plain, plain, plain]), // none of this family
        (Detector::NodeCidr, [plain, masqueraded, masqueraded, masqueraded]),
        (Detector::BridgeInterface, [plain, masqueraded, masqueraded, masqueraded]),
        (Detector::InterfaceNamePrefix, [plain, masqueraded, masqueraded, masqueraded]),
    ];
    for (detector, verdicts) in rows {
        world.proxy.detector = detector;
        for (client, verdict) in ["pod", "far pod", "node", "outside"].into_iter().zip(verdicts) {
            expect(&world, &format!("{client} -> 172.30.0.41:80"), verdict);
        }
    }
    // The node's own address in the cluster CIDR: for interfaces it is the host, for the CIDR a pod.
    world.node.local.push(ip("10.0.0.1"));
    expect(&world, "node 10.0.0.1 -> 172.30.0.41:80", masqueraded);
    world.proxy.detector = cluster_cidr(Some("10.0.0.0/8"), None);
    expect(&world, "node 10.0.0.1 -> 172.30.0.41:80", plain);
    // First per family.
    world.proxy.detector = Detector::NodeCidr;
    world.node.pod_cidrs = ["fd00:10::/64", "10.9.0.0/24", "10.0.0.0/16"].map(cidr).to_vec();
    expect(&world, "pod -> 172.30.0.41:80", masqueraded);
    expect(&world, "far pod -> 172.30.0.41:80", plain);
    world.node.pod_cidrs.clear();
    expect(&world, "outside -> 172.30.0.41:80", plain);
}

#[test]
fn hairpin_is_always_masqueraded() {
    for detector in [cluster_cidr(Some("10.0.0.0/8"), None), cluster_cidr(None, None), Detector::BridgeInterface] {
        for policy in [Policy::Cluster, Policy::Local] {
            let mut world = everywhere(policy, here("10.0.0.2"));
            world.proxy.detector = detector.clone();
            for target in ["172.30.0.41:80", "1.2.3.4:80", "192.168.0.2:3001"] {
                expect(&world, &format!("pod -> {target}"), "10.0.0.2:80m");
            }
        }
    }
    // Only the chosen endpoint counts, and only one on this node.
    let mut world = everywhere(Policy::Cluster, here("10.0.0.2"));
    world.slices[0].endpoints.push(here("10.0.0.3"));
    expect(&world, "pod -> 172.30.0.41:80", "10.0.0.2:80m 10.0.0.3:80");
    let world = everywhere(Policy::Cluster, there("10.9.0.2"));
    expect(&world, "far pod -> 172.30.0.41:80", "10.9.0.2:80");
    // By the short-cut a pod of another node comes through this one on its way to itself.
    let world = everywhere(Policy::Local, there("10.9.0.2"));
    expect(&world, "far pod -> 1.2.3.4:80", "10.9.0.2:80m");
    expect(&world, "far pod -> 172.30.0.41:80", "10.9.0.2:80");
}

#[test]
fn a_cluster_ip_is_masqueraded_by_its_address() {
    let mut world = everywhere(Policy::Local, here("10.0.2.1"));
    world.services.push(cluster_ip("other", "172.30.0.42"));
    world.services[1].ports[0].port = 81;
    world.services[0].external_ips = vec!["172.30.0.42".into()];
    expect(&world, "outside -> 1.2.3.4:80", "10.0.2.1:80");
    expect(&world, "outside -> 172.30.0.42:80", "10.0.2.1:80m");
    expect(&world, "pod -> 172.30.0.42:80", "10.0.2.1:80");
}

#[test]
fn what_was_for_the_endpoint_anyway_is_masqueraded_too() {
    let mut world = everywhere(Policy::Cluster, there("10.0.2.1"));
    world.services[0].external_ips = vec!["10.0.2.1".into()];
    expect(&world, "outside -> 10.0.2.1:80", "10.0.2.1:80m");
    world.slices[0].ports[0].port = Some(81);
    expect(&world, "outside -> 10.0.2.1:80", "10.0.2.1:81m");
}

#[test]
fn a_cluster_ip_is_nobodys_endpoint() {
    let mut world = everywhere(Policy::Cluster, there("172.30.0.41"));
    expect(&world, "pod -> 1.2.3.4:80", "reject");
    expect(&world, "pod -> 172.30.0.41:80", "reject");
    world.slices[0].endpoints.push(there("10.0.2.1"));
    expect(&world, "pod -> 1.2.3.4:80", "10.0.2.1:80m or reject");
}

#[test]
fn an_endpoint_that_is_the_nodes_own_address_sees_the_real_source() {
    let (plain, masqueraded) = ("192.168.0.2:80", "192.168.0.2:80m");
    for policy in [Policy::Cluster, Policy::Local] {
        let mut world = everywhere(policy, here("192.168.0.2"));
        world.proxy.masquerade_all = true;
        for target in ["172.30.0.41:80", "1.2.3.4:80", "192.168.0.2:3001"] {
            for (client, verdict) in [("pod", plain), ("outside", plain), ("node", masqueraded)] {
                expect(&world, &format!("{client} -> {target}"), verdict);
            }
        }
    }
}

#[test]
fn external_policy_local() {
    // No local endpoint: the short-cuts of pods and the host still exist.
    let world = everywhere(Policy::Local, there("10.0.2.1"));
    for target in ["1.2.3.4:80", "192.168.0.2:3001"] {
        expect(&world, &format!("outside -> {target}"), "drop");
        expect(&world, &format!("pod -> {target}"), "10.0.2.1:80");
        expect(&world, &format!("node -> {target}"), "10.0.2.1:80m");
    }
    // The host is who has one of the node's addresses, loopback among them.
    let mut world = everywhere(Policy::Local, there("10.0.2.1"));
    expect(&world, "node 127.0.0.1 -> 192.168.0.2:3001", "10.0.2.1:80m");
    expect(&world, "node 1.2.3.4 -> 1.2.3.4:80", "drop");
    world.node.local.push(ip("1.2.3.4"));
    expect(&world, "node 1.2.3.4 -> 1.2.3.4:80", "10.0.2.1:80m");
    // A pod of another node would be answered past this one; interface detectors take it for an outside client.
    let mut world = everywhere(Policy::Local, there("10.0.2.1"));
    expect(&world, "far pod -> 1.2.3.4:80", "10.0.2.1:80m");
    world.proxy.detector = Detector::InterfaceNamePrefix;
    expect(&world, "far pod -> 1.2.3.4:80", "drop");
    // A ClusterIP Service has the policy only with externalIPs.
    let mut service = cluster_ip("svc", "172.30.0.41");
    service.external_traffic_policy = Some(Policy::Local);
    service.external_ips = vec!["192.0.2.1".into()];
    let mut world = with(service, vec![there("10.0.2.1")]);
    expect(&world, "outside -> 192.0.2.1:80", "drop");
    world.services[0].external_ips.clear();
    world.services[0].ingress = vec![Ingress { ip: Some("192.0.2.1".into()), ip_mode: None }];
    expect(&world, "outside -> 192.0.2.1:80", "10.0.2.1:80m");
}

#[test]
fn internal_policy_local_has_no_short_cut() {
    let mut world = everywhere(Policy::Cluster, there("10.0.2.1"));
    world.services[0].internal_traffic_policy = Some(Policy::Local);
    for client in ["pod", "node", "outside"] {
        expect(&world, &format!("{client} -> 172.30.0.41:80"), "drop");
        expect(&world, &format!("{client} -> 1.2.3.4:80"), "10.0.2.1:80m"); // not touched
    }
    world.slices.clear();
    expect(&world, "node -> 172.30.0.41:80", "reject");
}

#[test]
fn source_ranges_come_before_the_reject() {
    let mut world = everywhere(Policy::Cluster, there("10.0.2.1"));
    world.services[0].source_ranges = vec!["203.0.113.0/25".into()];
    world.slices.clear();
    expect(&world, "blocked -> 1.2.3.4:80", "drop");
    expect(&world, "outside -> 1.2.3.4:80", "reject");
    expect(&world, "blocked -> 192.168.0.2:3001", "reject");
}

#[test]
fn cluster_ips_and_service_cidrs() {
    let mut world = everywhere(Policy::Cluster, there("10.0.2.1"));
    for (flow, verdict) in [
        ("pod -> 172.30.0.41:81", "reject"),
        ("node -> udp 172.30.0.41:80", "reject"),
        ("outside -> sctp 172.30.0.41:80", "reject"),
        ("pod -> 172.30.0.42:80", "drop"),
        ("node -> 172.30.0.42:80", "drop"),
        ("pod -> [fd00:172::1]:80", "drop"),
        ("pod -> 172.31.0.1:80", "untouched"),
        ("outside -> 192.168.0.2:80", "untouched"),
    ] {
        expect(&world, flow, verdict);
    }
    // What stays on the node is in neither hook, unless the node itself asks.
    world.node.local.extend(["172.30.0.41", "172.30.0.42"].map(ip));
    expect(&world, "pod -> 172.30.0.41:81", "untouched");
    expect(&world, "pod -> 172.30.0.42:80", "untouched");
    expect(&world, "node -> 172.30.0.41:81", "reject");
    expect(&world, "node -> 172.30.0.42:80", "drop");
    // Without the ServiceCIDR.
    world.apply(Change::Delete(Reference::ServiceCidr("kubernetes".into())));
    expect(&world, "node -> 172.30.0.43:80", "untouched");
    expect(&world, "node -> 172.30.0.41:81", "reject");
}
