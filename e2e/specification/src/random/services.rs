//! Random Services.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::objects::{Family, Ingress, Labels, Policy, Port, Protocol, Service, ServiceType};

use super::pool;

/// A Service that the API server would take.
pub(super) fn service() -> impl Strategy<Value = Service> {
    let identity = (pool::namespace(), pool::service(), 0..3_u16, labels());
    let frontends = (service_type(), cluster_ips(), ports(), external_ips(), ingress(), source_ranges());
    let policies = (policy(), policy(), option::of(select(&[60, 10800][..])), any::<bool>());
    (identity, frontends, policies).prop_map(|(identity, frontends, policies)| {
        let (namespace, name, created, labels) = identity;
        let (service_type, (cluster_ips, ip_families), mut ports, external_ips, ingress, source_ranges) = frontends;
        let (external_traffic_policy, internal_traffic_policy, session_affinity, publish_not_ready_addresses) =
            policies;
        if !matches!(service_type, ServiceType::NodePort | ServiceType::LoadBalancer) {
            ports.iter_mut().for_each(|port| port.node_port = 0);
        }
        let balanced = service_type == ServiceType::LoadBalancer;
        let health_check = balanced && external_traffic_policy == Some(Policy::Local);
        Service {
            namespace,
            name,
            created,
            labels,
            service_type,
            cluster_ips,
            ip_families,
            ports,
            external_ips,
            ingress: if balanced { ingress } else { Vec::new() },
            source_ranges,
            external_traffic_policy,
            internal_traffic_policy,
            session_affinity,
            publish_not_ready_addresses,
            health_check_node_port: if health_check { 32000 } else { 0 },
        }
    })
}

fn labels() -> impl Strategy<Value = Labels> {
    let label = |name: &str| Labels::from([(name.to_owned(), String::new())]);
    prop_oneof![
        16 => Just(Labels::new()),
        1 => Just(label("service.kubernetes.io/service-proxy-name")),
        1 => Just(label("service.kubernetes.io/headless")),
    ]
}

fn service_type() -> impl Strategy<Value = ServiceType> {
    prop_oneof![
        3 => Just(ServiceType::ClusterIp),
        3 => Just(ServiceType::NodePort),
        6 => Just(ServiceType::LoadBalancer),
        1 => Just(ServiceType::ExternalName),
    ]
}

/// `clusterIPs` with `ipFamilies`: of one family or both, headless, or without families.
fn cluster_ips() -> impl Strategy<Value = (Vec<String>, Vec<Family>)> {
    let (v4, v6) = (|| pool::text(pool::CLUSTER_IPS_V4), || pool::text(pool::CLUSTER_IPS_V6));
    prop_oneof![
        8 => v4().prop_map(|v4| (vec![v4], vec![Family::Ipv4])),
        4 => v6().prop_map(|v6| (vec![v6], vec![Family::Ipv6])),
        6 => (v4(), v6()).prop_map(|(v4, v6)| (vec![v4, v6], vec![Family::Ipv4, Family::Ipv6])),
        2 => (v4(), v6()).prop_map(|(v4, v6)| (vec![v6, v4], vec![Family::Ipv6, Family::Ipv4])),
        1 => v4().prop_map(|v4| (vec![v4], vec![])),
        1 => Just((vec!["None".to_owned()], vec![Family::Ipv4])),
    ]
}

/// One nameless port, or up to three named ones; unique as the API server wants them.
fn ports() -> impl Strategy<Value = Vec<Port>> {
    let numbers = || (select(&[80, 81, 30001][..]), select(&[0, 30001, 30002][..]));
    let one = (pool::named_protocols(), numbers()).prop_map(|([nameless, ..], numbers)| vec![port(nameless, numbers)]);
    let several = (pool::named_protocols(), vec(numbers(), 1..=3)).prop_map(|([_, named @ ..], numbers)| {
        let mut ports: Vec<Port> = Vec::new();
        for (named, numbers) in named.into_iter().zip(numbers) {
            let mut new = port(named, numbers);
            let mut same_protocol = ports.iter().filter(|other| other.protocol == new.protocol);
            if same_protocol.clone().any(|other| other.node_port == new.node_port) {
                new.node_port = 0;
            }
            if same_protocol.all(|other| other.port != new.port) {
                ports.push(new);
            }
        }
        ports
    });
    prop_oneof![3 => one, 2 => several]
}

fn port((name, protocol): (&str, Protocol), (port, node_port): (u16, u16)) -> Port {
    Port { name: name.to_owned(), protocol, port, node_port }
}

fn external_ips() -> impl Strategy<Value = Vec<String>> {
    let ip = prop_oneof![
        12 => pool::text(pool::VIPS),
        1 => pool::text(pool::REFUSED_V4),
        1 => pool::text(pool::REFUSED_V6),
        1 => pool::text(&["", "bad"]),
    ];
    prop_oneof![2 => Just(Vec::new()), 1 => vec(ip, 1..=2)]
}

fn ingress() -> impl Strategy<Value = Vec<Ingress>> {
    let ip = prop_oneof![
        12 => pool::text(pool::VIPS),
        1 => pool::text(pool::REFUSED_V4),
        1 => pool::text(pool::REFUSED_V6),
    ];
    let mode = prop_oneof![3 => Just(None), 3 => Just(Some("VIP")), 1 => Just(Some("Proxy")), 1 => Just(Some("Other"))];
    let one = (option::weighted(0.9, ip), mode);
    vec(one.prop_map(|(ip, mode)| Ingress { ip, ip_mode: mode.map(ToOwned::to_owned) }), 0..=3)
}

fn source_ranges() -> impl Strategy<Value = Vec<String>> {
    prop_oneof![1 => Just(Vec::new()), 1 => vec(pool::text(pool::SOURCE_RANGES), 1..=3)]
}

fn policy() -> impl Strategy<Value = Option<Policy>> {
    select(&[None, Some(Policy::Cluster), Some(Policy::Local), Some(Policy::Local)][..])
}
