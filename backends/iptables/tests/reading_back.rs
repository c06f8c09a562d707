//! What is rendered, as the real programs take it and print it: both variants, both families.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_types,
    reason = "all of this is a test, which clippy knows only of the functions that are marked, and no test of it is pure"
)]

use std::{
    collections::BTreeMap,
    io::Write,
    net::IpAddr,
    process::{Command, Stdio},
};

use portolan_core::{
    addr::{Family, PerFamily, Protocol},
    desired::{DesiredPort, Endpoint, Frontend, FrontendKind, LocalDetector, NodePolicy, NodePortsAt, Vip},
    model::TrafficPolicy,
    name::{ServiceName, ServicePortName},
    object::Dialect,
};
use portolan_iptables::{ChainName, Iptables, Key, Value, listing, tables};

/// Addresses that look alike in both families.
fn address(family: Family, v4: [u8; 4]) -> IpAddr {
    match family {
        Family::V4 => v4.into(),
        Family::V6 => {
            let [a, b, c, d] = v4.map(u16::from);
            [0xfd00, a, b, 0, 0, 0, 0, c << 8 | d].into()
        }
    }
}

fn policies(family: Family) -> Vec<NodePolicy> {
    let pods = |length| Some(LocalDetector::Cidr(ipnet::IpNet::new(address(family, [10, 244, 0, 0]), length).unwrap()));
    let (pods, services) = match family {
        Family::V4 => (pods(16), ipnet::IpNet::new(address(family, [10, 96, 0, 0]), 12).unwrap()),
        Family::V6 => (pods(48), ipnet::IpNet::new(address(family, [10, 96, 0, 0]), 112).unwrap()),
    };
    let both = |detector: Option<LocalDetector>| PerFamily { v4: detector.clone(), v6: detector };
    let everywhere = || PerFamily { v4: NodePortsAt::Local(vec![]), v6: NodePortsAt::Local(vec![]) };
    let some = vec![
        ipnet::IpNet::new(address(family, [192, 0, 2, 0]), 24).unwrap().trunc(),
        ipnet::IpNet::new(address(family, [64, 0, 0, 0]), 2).unwrap().trunc(),
    ];
    vec![
        NodePolicy::default(),
        NodePolicy {
            detector: both(pods),
            node_ports: everywhere(),
            service_cidrs: PerFamily { v4: vec![services], v6: vec![services] },
            node_ports_at_loopback: true,
            drop_invalid: true,
            ..NodePolicy::default()
        },
        NodePolicy {
            detector: both(Some(LocalDetector::InterfacePrefix("veth".parse().unwrap()))),
            node_ports: PerFamily { v4: NodePortsAt::Local(some.clone()), v6: NodePortsAt::Local(some) },
            masquerade_mark: 1 << 31,
            is_large: PerFamily { v4: true, v6: true },
            ..NodePolicy::default()
        },
        NodePolicy {
            masquerade_all: true,
            detector: both(Some(LocalDetector::Interface("cni0".parse().unwrap()))),
            ..NodePolicy::default()
        },
    ]
}

/// ServicePorts of every kind: with every list of endpoints, with and without affinity and source ranges.
fn ports(family: Family) -> Vec<DesiredPort> {
    let mut ports = Vec::new();
    let lists: [&[bool]; 4] = [&[], &[false], &[true, false], &[true; 7]];
    for (number, local) in (0_u8..).zip(lists) {
        for protocol in Protocol::ALL {
            for policy in [TrafficPolicy::Cluster, TrafficPolicy::Local] {
                for affinity in [None, Some(10_800)] {
                    ports.push(port(family, number, protocol, policy, affinity, local));
                }
            }
        }
    }
    ports
}

fn port(
    family: Family,
    number: u8,
    protocol: Protocol,
    policy: TrafficPolicy,
    affinity: Option<u32>,
    local: &[bool],
) -> DesiredPort {
    let variant = number * 4 + u8::from(policy == TrafficPolicy::Local) * 2 + u8::from(affinity.is_some());
    let at = |addr, port| Vip { addr, protocol, port };
    let frontend = |vip, kind, restricted| Frontend { vip, kind, policy, restricted };
    let unspecified = match family {
        Family::V4 => IpAddr::from([0_u8; 4]),
        Family::V6 => IpAddr::from([0_u8; 16]),
    };
    let mut frontends = vec![
        frontend(at(address(family, [10, 96, 1, variant]), 80), FrontendKind::ClusterIp, false),
        frontend(at(address(family, [198, 51, 100, variant]), 80), FrontendKind::ExternalIp, false),
        frontend(at(address(family, [203, 0, 113, variant]), 80), FrontendKind::LoadBalancerIp, true),
        frontend(at(address(family, [10, 96, 200, variant]), 80), FrontendKind::LoadBalancerIp, false),
        frontend(at(unspecified, 30_000 + u16::from(variant)), FrontendKind::NodePort, false),
        frontend(at(address(family, [192, 0, 2, 7]), 30_100 + u16::from(variant)), FrontendKind::NodePort, false),
    ];
    frontends.sort();
    let endpoint = |(last, local): (u8, &bool)| Endpoint {
        addr: address(family, [10, 244, variant, last]),
        port: 8080,
        local: *local,
    };
    let endpoints: Vec<_> = (1..).zip(local).map(endpoint).collect();
    let local_endpoints =
        endpoints.iter().filter(|endpoint| endpoint.local && policy == TrafficPolicy::Local).copied().collect();
    DesiredPort {
        name: ServicePortName {
            service: ServiceName { namespace: "default".into(), name: format!("web-{variant}").into() },
            port: if number == 0 { "".into() } else { "http".into() },
            protocol,
        },
        family,
        frontends,
        endpoints,
        local_endpoints,
        affinity,
        scheduling: None,
        sources: vec![
            address(family, [198, 51, 100, 7]).into(),
            ipnet::IpNet::new(address(family, [10, 0, 0, 0]), 24).unwrap().trunc(),
        ],
        health_check_node_port: (policy == TrafficPolicy::Local).then_some(32_000 + u16::from(variant)),
    }
}

fn rendered(policy: &NodePolicy, ports: &[DesiredPort]) -> BTreeMap<Key, Value> {
    let mut objects = Iptables::default().base(policy, &|_| 0);
    ports.iter().for_each(|port| Iptables::default().render(policy, port, &mut objects));
    let mut all = BTreeMap::new();
    for (key, value) in objects {
        let before = all.insert(key.clone(), value.clone());
        assert!(before.is_none_or(|before| before == value), "{key} has two values");
    }
    all
}

/// The programs of a variant in a network namespace of their own: what they print of what they were given.
fn through(program: &str, variant: &str, text: &str) -> String {
    let script = format!(
        "{program}-{variant}-restore --noflush -w 5 && {program}-{variant}-save -t filter && {program}-{variant}-save -t nat"
    );
    // As root a network namespace is enough, anybody else needs a user namespace around it.
    let way = if Command::new("unshare").args(["-n", "true"]).status().is_ok_and(|status| status.success()) {
        "-n"
    } else {
        "-Urn"
    };
    let mut child = Command::new("unshare")
        .args([way, "sh", "-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program}-{variant}-restore refused this:\n{text}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_is_written_is_what_is_read_back() {
    for (family, program) in [(Family::V4, "iptables"), (Family::V6, "ip6tables")] {
        for policy in policies(family) {
            let objects = rendered(&policy, &ports(family));
            let of_family: BTreeMap<_, _> = objects.into_iter().filter(|(key, _)| key.family() == family).collect();
            let text = tables(family, &of_family);
            for variant in ["nft", "legacy"] {
                let printed = through(program, variant, &text);
                let read: BTreeMap<_, _> = listing::objects(family, &printed, true).unwrap().into_iter().collect();
                for (key, wanted) in &of_family {
                    assert_eq!(read.get(key), Some(wanted), "{key} with {program}-{variant}");
                }
                assert_eq!(read.len(), of_family.len(), "{program}-{variant}");
            }
        }
    }
}

/// What kube-proxy writes for the Services of its own test (`TestOverallIPTablesRules` of 1.37.2), as the programs print it, is
/// what is rendered here for them: a Portolan that takes its place finds these chains as they are wanted.
#[test]
fn chains_of_services_are_those_of_kube_proxy() {
    let printed = through("iptables", "nft", include_str!("kube_proxy.rules"));
    let kube_proxys: BTreeMap<_, _> = listing::objects(Family::V4, &printed, true).unwrap().into_iter().collect();
    let policy = NodePolicy {
        detector: PerFamily { v4: Some(LocalDetector::Cidr("10.0.0.0/8".parse().unwrap())), v6: None },
        ..NodePolicy::default()
    };
    let ours = rendered(&policy, &kube_proxys_services());
    // Without a local endpoint, and behind source ranges, the connection must not go on to a NodePort.
    let differ = ["KUBE-EXT-GNZBNJ2PO5MGZ6GT", "KUBE-FW-NUKIZ6OKUXPJNT4C"].map(|name| ChainName::parse(name).unwrap());
    let mut same = 0;
    for (key, theirs) in &kube_proxys {
        let Key::Chain(_, _, chain) = key else { panic!("{key}") };
        if !differ.contains(chain) {
            assert_eq!(ours.get(key), Some(theirs), "{key}");
            same += 1;
        }
    }
    assert_eq!(same, 16);
}

fn kube_proxys_services() -> Vec<DesiredPort> {
    let vip = |addr: &str, port| Vip { addr: addr.parse().unwrap(), protocol: Protocol::Tcp, port };
    let service = |number: u8, policy, more: &[(&str, u16, FrontendKind)], endpoints: &[&str]| {
        let cluster_ip = Frontend {
            vip: vip(&format!("172.30.0.4{number}"), 80),
            kind: FrontendKind::ClusterIp,
            policy: TrafficPolicy::Cluster,
            restricted: false,
        };
        let of = |(addr, port, kind): &(&str, u16, FrontendKind)| Frontend {
            vip: vip(addr, *port),
            kind: *kind,
            policy,
            restricted: number == 5 && *kind == FrontendKind::LoadBalancerIp,
        };
        let endpoint = |addr: &&str| Endpoint { addr: addr.parse().unwrap(), port: 80, local: false };
        DesiredPort {
            name: ServicePortName {
                service: ServiceName { namespace: format!("ns{number}").into(), name: format!("svc{number}").into() },
                port: "p80".into(),
                protocol: Protocol::Tcp,
            },
            family: Family::V4,
            frontends: std::iter::once(cluster_ip).chain(more.iter().map(of)).collect(),
            endpoints: endpoints.iter().map(endpoint).collect(),
            local_endpoints: Vec::new(),
            affinity: (number == 5).then_some(10_800),
            scheduling: None,
            sources: vec!["203.0.113.0/25".parse().unwrap()],
            health_check_node_port: None,
        }
    };
    use FrontendKind::{ExternalIp, LoadBalancerIp, NodePort};
    use TrafficPolicy::{Cluster, Local};
    vec![
        service(1, Cluster, &[], &["10.180.0.1"]),
        service(
            2,
            Local,
            &[("0.0.0.0", 3001, NodePort), ("1.2.3.4", 80, LoadBalancerIp), ("192.168.99.22", 80, ExternalIp)],
            &["10.180.0.2"],
        ),
        service(3, Cluster, &[("0.0.0.0", 3003, NodePort)], &["10.180.0.3"]),
        service(4, Cluster, &[("192.168.99.33", 80, ExternalIp)], &["10.180.0.4", "10.180.0.5"]),
        service(5, Cluster, &[("0.0.0.0", 3002, NodePort), ("5.6.7.8", 80, LoadBalancerIp)], &["10.180.0.3"]),
    ]
}
