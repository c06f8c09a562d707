//! Sections 2, 8, 10 and 11 of docs/specification.md: who claims a packet.

mod fixture;

use fixture::*;
use portolan_specification::*;

/// A slice of its own for each Service: svcN has the endpoint 10.180.0.N on another node.
fn with(services: Vec<Service>) -> World {
    let endpoint = |service: &Service| there(&format!("10.180.0.{}", &service.name["svc".len()..]));
    let slices = services.iter().map(|service| slice(&service.name, &service.name, vec![endpoint(service)])).collect();
    World { services, slices, ..world() }
}

#[test]
fn cluster_ips_and_ip_families() {
    let dual = |ips: &[&str], families: &[Family]| {
        let mut service = load_balancer("svc1", "", 3001, &["1.2.3.4"]);
        service.cluster_ips = ips.iter().map(|ip| (*ip).to_owned()).collect();
        service.ip_families = families.to_vec();
        with(vec![service])
    };
    let (v4, v6) = ("172.30.0.41", "fd00:172::41");
    let here = "10.180.0.1:80";
    expect(&dual(&[v6, v4], &[Family::Ipv6, Family::Ipv4]), "pod -> 172.30.0.41:80", here);
    expect(&dual(&[v4], &[]), "pod -> 172.30.0.41:80", here); // skew: clusterIP if its family fits
    // No IP of this family: the whole Service is unknown to it.
    for world in [dual(&[v6], &[Family::Ipv6]), dual(&[v6], &[]), dual(&[], &[]), dual(&[""], &[Family::Ipv4])] {
        expect(&world, "outside -> 1.2.3.4:80", "untouched");
        expect(&world, "outside -> 192.168.0.2:3001", "untouched");
        expect(&world, "pod -> 172.30.0.41:80", "drop");
    }
}

#[test]
fn another_proxys_service() {
    let mut service = load_balancer("svc1", "172.30.0.41", 3001, &["1.2.3.4"]);
    service.labels = labels(&[("service.kubernetes.io/service-proxy-name", "")]);
    let mut world = with(vec![service]);
    expect(&world, "outside -> 1.2.3.4:80", "untouched");
    expect(&world, "pod -> 172.30.0.41:80", "drop"); // unallocated for us
    world.services[0].labels = labels(&[("service.kubernetes.io/headless", "")]); // not looked at on a Service
    expect(&world, "outside -> 1.2.3.4:80", "10.180.0.1:80m");
}

#[test]
fn external_and_load_balancer_ips() {
    let mut service = load_balancer("svc1", "172.30.0.41", 0, &["1.2.3.4", "fd00:5::1", "5.6.7.8"]);
    service.external_ips = ["", "x", "fd00:5::2", "192.0.2.1", "192.168.1.2"].map(Into::into).to_vec();
    service.ingress[2].ip_mode = Some("Unknown".into());
    service.ingress.push(Ingress { ip: None, ip_mode: None });
    let world = with(vec![service]);
    for (flow, verdict) in [
        ("outside -> 192.0.2.1:80", "10.180.0.1:80m"),
        ("outside -> 192.168.1.2:80", "10.180.0.1:80m"), // an address of the node
        ("outside -> 1.2.3.4:80", "10.180.0.1:80m"),
        ("outside -> 1.2.3.4:81", "untouched"), // unclaimed ports
        ("outside -> udp 192.0.2.1:80", "untouched"),
        ("outside -> 5.6.7.8:80", "untouched"),
        ("outside -> [fd00:5::1]:80", "untouched"),
        ("outside -> [fd00:5::2]:80", "untouched"),
    ] {
        expect(&world, flow, verdict);
    }
}

#[test]
fn source_ranges() {
    let ranges = |ranges: &[&str], flow: &str, verdict: &str| {
        let mut service = load_balancer("svc1", "172.30.0.41", 0, &["1.2.3.4"]);
        service.source_ranges = ranges.iter().map(|range| (*range).to_owned()).collect();
        service.external_ips = vec!["192.0.2.1".into()];
        expect(&with(vec![service]), flow, verdict);
    };
    let allowed = "10.180.0.1:80m";
    ranges(&[], "blocked -> 1.2.3.4:80", allowed);
    ranges(&["203.0.113.0/25"], "blocked -> 1.2.3.4:80", "drop");
    ranges(&["203.0.113.0/25"], "blocked -> 192.0.2.1:80", allowed); // only LB IPs
    ranges(&["203.0.113.0/25", "10.9.9.9/0"], "blocked -> 1.2.3.4:80", allowed); // any /0
    ranges(&["203.0.113.0/25", "::/0"], "blocked -> 1.2.3.4:80", "drop"); // of this family
    ranges(&["2001:db8::/32", "bad", ""], "blocked -> 1.2.3.4:80", allowed); // none of this family
    ranges(&["203.0.113.0/25"], "node 1.2.3.4 -> 1.2.3.4:80", "drop"); // node IP in no range
    ranges(&["192.168.1.0/24"], "node 1.2.3.4 -> 1.2.3.4:80", "drop"); // not the node IP, only an address of the node
    ranges(&["192.168.0.0/24"], "node 1.2.3.4 -> 1.2.3.4:80", allowed);
    ranges(&["203.0.113.0/25"], "node -> 1.2.3.4:80", "drop"); // host processes too

    let mut service = load_balancer("svc1", "172.30.0.41", 3001, &["1.2.3.4", "169.254.1.1", "192.168.0.2"]);
    service.source_ranges = vec!["192.168.0.2/32".into()];
    let mut world = with(vec![service]);
    expect(&world, "node 169.254.1.1 -> 1.2.3.4:80", "drop"); // a refused LB IP is none
    expect(&world, "outside -> 192.168.0.2:80", "drop");
    expect(&world, "outside -> 192.168.0.2:3001", allowed); // the nodePort on an LB IP is no LB IP
    world.services[0].cluster_ips = vec!["1.2.3.4".into()];
    expect(&world, "outside -> 1.2.3.4:80", "drop"); // an LB IP, be it the cluster IP too
}

#[test]
fn refused_frontends() {
    let mut service = load_balancer("svc1", "172.30.0.41", 3001, &["127.0.0.5", "169.254.1.1", "224.0.0.1", "0.0.0.0"]);
    service.external_ips = vec!["127.0.0.6".into()];
    let mut world = with(vec![service]);
    for refused in ["127.0.0.5", "127.0.0.6", "169.254.1.1", "224.0.0.1", "0.0.0.0"] {
        expect(&world, &format!("node -> {refused}:80"), "untouched");
    }
    expect(&world, "outside -> 192.168.0.2:3001", "10.180.0.1:80m"); // the others stay
    world.services[0].cluster_ips = vec!["169.254.1.9".into()];
    expect(&world, "pod -> 169.254.1.9:80", "untouched");
    expect(&world, "pod -> 169.254.1.9:81", "untouched");
    expect(&world, "outside -> 192.168.0.2:3001", "untouched"); // the whole Service is unknown
    let mut service = cluster_ip("svc1", "fd00:172::41");
    service.external_ips = ["::1", "::", "fe80::9", "ff02::9"].map(Into::into).to_vec();
    let world = with(vec![service]);
    for refused in ["::1", "::", "fe80::9", "ff02::9"] {
        expect(&world, &format!("node -> [{refused}]:80"), "untouched");
    }
}

#[test]
fn frontends_in_conflict() {
    // svc1 wins as the smallest name, until another reason speaks for svc2.
    let service = |name: &str, last: &str| load_balancer(name, &format!("172.30.0.{last}"), 3001, &["1.2.3.4"]);
    let both = || with(vec![service("svc2", "42"), service("svc1", "41")]);
    let (first, second) = ("10.180.0.1:80m", "10.180.0.2:80m");
    for flow in ["outside -> 1.2.3.4:80", "outside -> 192.168.0.2:3001"] {
        expect(&both(), flow, first);
        let mut world = both();
        world.services[1].created = 1;
        expect(&world, flow, second); // older
        world.services[0].namespace = "a".into();
        world.slices[0].namespace = "a".into();
        world.services[1].created = 0;
        expect(&world, flow, second); // namespace before name
        let mut world = both();
        world.slices[1].endpoints.clear();
        expect(&world, flow, second); // endpoints
        expect(&world, "pod -> 172.30.0.41:80", "reject"); // and only there
    }

    // An external IP is as strong as an LB IP.
    let mut world = both();
    world.services[1].ingress.clear();
    world.services[1].external_ips = vec!["1.2.3.4".into()];
    expect(&world, "outside -> 1.2.3.4:80", first);

    // A cluster IP, even without endpoints, beats an LB IP with some.
    let mut world = both();
    world.services[1].ingress[0].ip = Some("172.30.0.42".into());
    world.slices[0].endpoints.clear();
    expect(&world, "pod -> 172.30.0.42:80", "reject");
    // A port that the cluster IP's Service lacks is free for the other.
    world.services[1].ports[0].port = 81;
    expect(&world, "pod -> 172.30.0.42:81", first);

    // An LB IP, even without endpoints, beats a NodePort with some.
    let mut world = both();
    world.services[0].ingress[0].ip = Some("192.168.0.2".into());
    world.services[0].ports = vec![port("", Protocol::Tcp, 3001, 3002)];
    world.slices[0].endpoints.clear();
    expect(&world, "outside -> 192.168.0.2:3001", "reject");
    world.services[0].ports[0].protocol = Protocol::Udp;
    expect(&world, "outside -> 192.168.0.2:3001", first);
}

#[test]
fn only_the_winners_source_ranges_apply() {
    let mut world = with(vec![
        load_balancer("svc1", "172.30.0.41", 0, &["1.2.3.4"]),
        load_balancer("svc2", "172.30.0.42", 0, &["1.2.3.4"]),
    ]);
    world.services[1].source_ranges = vec!["203.0.113.0/25".into()];
    expect(&world, "blocked -> 1.2.3.4:80", "10.180.0.1:80m");
    world.services[0].created = 1;
    expect(&world, "blocked -> 1.2.3.4:80", "drop");
}

#[test]
fn node_port_addresses() {
    use NodePortAddresses::{Cidr, Primary};
    let (primary, second, v6_primary, v6_second) = ("192.168.0.2", "192.168.1.2", "[fd00:192::2]", "[fd00:193::2]");
    let all = [primary, second, v6_primary, v6_second, "[fe80::2]"];
    let list = |text: &[&str]| text.iter().map(|text| Cidr(cidr(text))).collect::<Vec<_>>();
    let rows: &[(Vec<NodePortAddresses>, &[&str])] = &[
        (vec![Primary], &[primary, v6_primary]),
        (vec![], &all),
        (list(&["192.168.0.0/16"]), &[primary, second, v6_primary, v6_second, "[fe80::2]"]), // no IPv6 CIDR: all
        (list(&["192.168.0.0/24", "fd00:193::/64"]), &[primary, v6_second]),
        (list(&["192.168.1.0/24", "0.0.0.0/0", "fd00:193::/64"]), &[primary, second, v6_second]),
        (list(&["198.51.100.0/24", "fd00:193::/64"]), &[v6_second]), // on no interface
        (list(&["127.0.0.0/8", "::1/128"]), &[]),                    // loopback never
        (vec![Primary, Cidr(cidr("192.168.1.0/24"))], &[primary, second, v6_primary]),
    ];
    let mut service = load_balancer("svc1", "172.30.0.41", 3001, &[]);
    service.cluster_ips.push("fd00:172::41".into());
    service.ip_families.push(Family::Ipv6);
    let mut world = World { services: vec![service], ..world() };
    for (addresses, answering) in rows {
        world.proxy.node_port_addresses = addresses.clone();
        for address in all.iter().copied().chain(["127.0.0.1", "[::1]", "198.51.100.1"]) {
            let verdict = if answering.contains(&address) { "reject" } else { "untouched" };
            let client = if address.contains("::1]") || address == "127.0.0.1" { "node" } else { "outside" };
            expect(&world, &format!("{client} -> {address}:3001"), verdict);
        }
    }
    world.services[0].ports[0].node_port = 0;
    expect(&world, "outside -> 192.168.0.2:0", "untouched");
    world.services[0].ports[0].node_port = 3001;
    // The InternalIP comes before the ExternalIP, in whatever order.
    world.proxy.node_port_addresses = vec![Primary];
    world.node.addresses = vec![NodeAddress::External(ip("192.168.1.2")), NodeAddress::Internal(ip("192.168.0.2"))];
    expect(&world, "outside -> 192.168.0.2:3001", "reject");
    expect(&world, "outside -> 192.168.1.2:3001", "untouched");
    // The IPv6 node IP is unknown: no NodePort is open there.
    world.node.addresses = vec![NodeAddress::External(ip("192.168.1.2"))];
    expect(&world, "outside -> 192.168.0.2:3001", "untouched");
    expect(&world, "outside -> 192.168.1.2:3001", "reject"); // ExternalIP when there is no InternalIP
    expect(&world, "outside -> [fd00:193::2]:3001", "untouched");
    // On no interface: what comes for it is served all the same.
    world.node.local = vec![ip("192.168.0.2")];
    expect(&world, "outside -> 192.168.0.2:3001", "untouched");
    expect(&world, "outside -> 192.168.1.2:3001", "reject");
}
