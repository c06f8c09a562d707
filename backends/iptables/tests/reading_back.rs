//! What is rendered, as the real programs take it and print it: both variants, both families.
#![allow(
    clippy::unwrap_used,
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
use portolan_iptables::{Iptables, Key, Value, listing, tables};

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
