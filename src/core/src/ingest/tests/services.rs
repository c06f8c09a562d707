//! Services.

use std::net::IpAddr;

use super::*;
use crate::{addr::Protocol, model::Created};

#[test]
fn a_good_service() {
    let (service, findings) = service(web_with("/spec/type", json!("LoadBalancer")));
    let service = service.unwrap();
    assert_eq!(findings, [""; 0]);
    assert_eq!(service.created, Created::read("2026-01-31T23:59:59Z"));
    assert_eq!(service.cluster_ips.v4, Some("10.96.0.1".parse().unwrap()));
    assert_eq!(service.cluster_ips.v6, None);
    assert_eq!(*service.external_ips, ["203.0.113.1".parse::<IpAddr>().unwrap()]);
    assert_eq!(*service.load_balancer_ips, ["203.0.113.2".parse::<IpAddr>().unwrap()]);
    let ports: Vec<_> =
        service.ports.iter().map(|p| (p.id.to_string(), p.id.protocol, p.number, p.node_port)).collect();
    assert_eq!(
        ports,
        [
            ("team-a/web:dns".to_owned(), Protocol::Udp, 53, Some(30053)),
            ("team-a/web:http".to_owned(), Protocol::Tcp, 80, None)
        ]
    );
}

#[test]
fn services_that_are_not_ours_are_skipped_in_silence() {
    for (path, value) in [
        ("/spec/type", json!("ExternalName")),
        ("/spec/clusterIP", json!("None")),
        ("/spec/clusterIPs", json!(["None"])),
        ("/metadata/labels", json!({"service.kubernetes.io/service-proxy-name": ""})),
    ] {
        assert_eq!(service(web_with(path, value.clone())), (None, vec![]), "{path} = {value}");
    }
}

#[test]
fn cluster_ips_by_family() {
    for (cluster_ips, families, v4, v6) in [
        (json!(["10.96.0.1", "fd00::1"]), json!(["IPv4", "IPv6"]), Some("10.96.0.1"), Some("fd00::1")),
        (json!(["fd00::1", "10.96.0.1"]), json!(null), Some("10.96.0.1"), Some("fd00::1")),
        (json!(["fd00::1"]), json!([]), None, Some("fd00::1")),
        (json!([]), json!(["IPv4"]), Some("10.96.0.1"), None),
        (json!(["::ffff:10.96.0.9"]), json!(["IPv4"]), Some("10.96.0.9"), None),
        (json!([""]), json!(["IPv4"]), Some("10.96.0.1"), None),
    ] {
        let object = with(web_with("/spec/clusterIPs", cluster_ips), "/spec/ipFamilies", families);
        let service = service(object).0.unwrap();
        assert_eq!(service.cluster_ips.v4, v4.map(|addr| addr.parse().unwrap()));
        assert_eq!(service.cluster_ips.v6, v6.map(|addr| addr.parse().unwrap()));
    }
}

#[test]
fn the_list_of_cluster_ips_stands_for_the_single_one() {
    for single in [json!(null), json!("")] {
        let object = with(web_with("/spec/clusterIPs", json!(["10.96.0.9"])), "/spec/clusterIP", single);
        assert_eq!(service(object).0.unwrap().cluster_ips.v4, Some("10.96.0.9".parse().unwrap()));
    }
    let object = with(web_with("/spec/clusterIPs", json!(["10.96.0.9"])), "/spec/clusterIP", json!("None"));
    assert_eq!(service(object), (None, vec![]));
}

#[test]
fn a_refused_cluster_ip_says_what_is_left() {
    let other = "the Service is not served in this address's family, in the other it is";
    let none = "this Service is not served, all others are";
    for (list, effects) in [
        (json!(["10.96.0.1", "ff02::1"]), &[other][..]),
        (json!(["ff02::1"]), &[none]),
        (json!(["ff02::1", "127.0.0.1"]), &[none, none]),
    ] {
        let (service, findings) = service(web_with("/spec/clusterIPs", list.clone()));
        assert_eq!((service.is_some(), findings.len()), (effects[0] == other, effects.len()), "{list}: {findings:?}");
        assert!(findings.iter().zip(effects).all(|(finding, effect)| finding.contains(effect)), "{list}: {findings:?}");
    }
}

/// Each refusal, and that the Service is still served as `ports` of its two ports.
#[test]
fn a_bad_value_is_refused_in_the_smallest_unit() {
    let port =
        "is not a port number from 1 to 65535; this port is not served, the Service's other ports are; correct it";
    let name =
        "is not a DNS label (1 to 63 of a-z, 0-9 and '-', which is neither first nor last); this port is not served";
    for (path, value, ports, expected) in [
        ("/spec/ports/0/port", json!(0), 1, format!("`spec.ports[0].port` = `0` {port}")),
        ("/spec/ports/0/port", json!(70000), 1, format!("`spec.ports[0].port` = `70000` {port}")),
        ("/spec/ports/0/port", json!(-1), 1, format!("`spec.ports[0].port` = `-1` {port}")),
        ("/spec/ports/0/port", json!("http"), 1, format!("`spec.ports[0].port` = `\"http\"` {port}")),
        ("/spec/ports/0/port", json!(1.5), 1, format!("`spec.ports[0].port` = `1.5` {port}")),
        ("/spec/ports/0/port", json!(null), 1, "`spec.ports[0].port` is missing; this port".to_owned()),
        ("/spec/ports/0", json!("http"), 1, "`spec.ports[0]` = `\"http\"` is not an object; this port".to_owned()),
        ("/spec/ports/0/protocol", json!("tcp"), 1, "`spec.ports[0].protocol` = `tcp` is not TCP, UDP or SCTP".to_owned()),
        ("/spec/ports/0/name", json!("we\"b\n"), 1, format!("`spec.ports[0].name` = `we\"b\\n` {name}")),
        ("/spec/ports/0/name", json!("dns"), 1, "`spec.ports[1].name` = `dns` is the name of an earlier port".to_owned()),
        ("/spec/ports/0/name", json!(5), 1, "`spec.ports[0].name` = `5` is not text".to_owned()),
        ("/spec/type", json!("Foo"), 2, "`spec.type` = `Foo` is not ClusterIP, NodePort, LoadBalancer or ExternalName; the Service is served as if".to_owned()),
        ("/spec/type", json!(5), 2, "`spec.type` = `5` is not ClusterIP".to_owned()),
        ("/spec/ipFamilies", json!(["IPv4", "IPv5"]), 2, "`spec.ipFamilies[1]` = `IPv5` is not IPv4 or IPv6; the Service is served as if".to_owned()),
        ("/spec/ports/1", json!({"port": 80}), 1, "`spec.ports[1].port` = `80` is the number of an earlier port".to_owned()),
        ("/spec/ports/1/nodePort", json!(70000), 2, "`spec.ports[1].nodePort` = `70000` is not a port number".to_owned()),
        ("/spec/ports", json!("80"), 0, "`spec.ports` = `\"80\"` is not a list; this Service is not served".to_owned()),
        ("/spec/externalIPs/0", json!("127.0.0.1"), 2, "`spec.externalIPs[0]` = `127.0.0.1` is a loopback address".to_owned()),
        ("/spec/externalIPs/0", json!(5), 2, "`spec.externalIPs[0]` = `5` is not text; this address".to_owned()),
        ("/spec/externalIPs", json!({}), 2, "`spec.externalIPs` = `{...}` is not a list; no external IP".to_owned()),
        ("/spec/externalIPs/0", json!("nowhere"), 2, "`spec.externalIPs[0]` = `nowhere` is not an IP address".to_owned()),
        ("/spec/ipFamilies", json!(5), 2, "`spec.ipFamilies` = `5` is not a list; the Service is served as if".to_owned()),
        ("/spec/sessionAffinity", json!("X"), 2, "`spec.sessionAffinity` = `X` is not None or ClientIP".to_owned()),
        ("/spec/clusterIPs", json!(["10.96.0.1", "10.96.0.2"]), 2, "`spec.clusterIPs[1]` = `10.96.0.2` is a second IPv4".to_owned()),
        ("/spec/clusterIPs", json!(["fd00::1", "ff02::1"]), 2, "`spec.clusterIPs[1]` = `ff02::1` is a multicast address".to_owned()),
        (
            "/status/loadBalancer/ingress/0/ip",
            json!("127.0.0.1"),
            2,
            "`status.loadBalancer.ingress[0].ip` = `127.0.0.1` is a loopback address, which can be neither a frontend nor an \
             endpoint; this address is left out, the object's other addresses are used; correct the load balancer's controller"
                .to_owned(),
        ),
        ("/status", json!([]), 2, "`status` = `[...]` is not an object; no load-balancer address".to_owned()),
        ("/spec/loadBalancerSourceRanges", json!("any"), 2, "`spec.loadBalancerSourceRanges` = `\"any\"` is not a list".to_owned()),
    ] {
        let (service, findings) = service(web_with(path, value.clone()));
        assert_eq!(findings.len(), 1, "{path} = {value}: {findings:?}");
        let expected = format!("Service team-a/web: {expected}");
        assert!(findings[0].starts_with(&expected), "{path} = {value}:\n{}\n{expected}", findings[0]);
        assert!(!findings[0].contains('\n'));
        assert_eq!(service.unwrap().ports.len(), ports, "{path} = {value}");
    }
}

#[test]
fn a_service_that_cannot_be_served_at_all() {
    for (path, value, expected) in [
        (
            "/metadata/name",
            json!(null),
            "Service team-a/(no name): `metadata.name` is missing; this Service is not served",
        ),
        ("/metadata/name", json!(5), "Service team-a/<5>: `metadata.name` = `5` is not text"),
        ("/metadata/name", json!("a\"\n"), "Service team-a/a\"\\n: `metadata.name` = `a\"\\n` is not a DNS label"),
        ("/metadata/namespace", json!("A"), "Service A/web: `metadata.namespace` = `A` is not a DNS label"),
        ("/metadata", json!([]), "Service default/(no name): `metadata` = `[...]` is not an object"),
        ("/metadata/labels", json!(5), "Service team-a/web: `metadata.labels` = `5` is not an object"),
        ("/spec", json!("x"), "Service team-a/web: `spec` = `\"x\"` is not an object"),
        ("/spec/clusterIPs", json!(5), "Service team-a/web: `spec.clusterIPs` = `5` is not a list"),
        (
            "/spec/clusterIP",
            json!("0.0.0.0"),
            "Service team-a/web: `spec.clusterIP` = `0.0.0.0` is the unspecified address, which can be neither a frontend nor \
             an endpoint; this Service is not served, all others are; correct it",
        ),
        (
            "/spec/clusterIP",
            json!(""),
            "Service team-a/web: `spec.clusterIP` is missing; this Service is not served, all others are; set it, to None",
        ),
        (
            "/spec/ipFamilies",
            json!(["IPv6"]),
            "Service team-a/web: `spec.clusterIP` = `10.96.0.1` is not an IPv6 address, as the object says; this Service is \
             not served",
        ),
    ] {
        let (service, findings) = service(web_with(path, value.clone()));
        assert_eq!((service, findings.len()), (None, 1), "{path} = {value}: {findings:?}");
        assert!(findings[0].starts_with(expected), "{path} = {value}:\n{}\n{expected}", findings[0]);
    }
    let long = service(web_with("/metadata/name", json!("x".repeat(300)))).1;
    assert!(long[0].len() < 500, "{}", long[0]);
}

#[test]
fn a_second_port_without_a_name() {
    let findings = service(web_with("/spec/ports", json!([{"port": 80}, {"port": 81}]))).1;
    let expected =
        "Service team-a/web: `spec.ports[1].name` = `(no name)` is the name of an earlier port too; this port";
    assert!(findings.len() == 1 && findings[0].starts_with(expected), "{findings:?}");
}

#[test]
fn load_balancer_modes() {
    for (mode, served) in [(json!(null), 1), (json!("VIP"), 1), (json!("Proxy"), 0), (json!("Future"), 0)] {
        let (service, findings) = service(web_with("/status/loadBalancer/ingress/0/ipMode", mode.clone()));
        assert_eq!((service.unwrap().load_balancer_ips.len(), findings.len()), (served, 0), "{mode}");
    }
    for ingress in [json!({"ip": "127.0.0.1", "ipMode": "Proxy"}), json!({"ip": "x", "ipMode": "Future"})] {
        let (service, findings) = service(web_with("/status/loadBalancer/ingress/0", ingress));
        assert_eq!((service.unwrap().load_balancer_ips.len(), findings), (0, vec![]));
    }
}

#[test]
fn unusual_addresses_are_normalised_with_a_warning() {
    let (service, findings) = service(web_with("/spec/externalIPs", json!(["203.000.113.001", "::ffff:203.0.113.9"])));
    let expected: Vec<IpAddr> = vec!["203.0.113.1".parse().unwrap(), "203.0.113.9".parse().unwrap()];
    assert_eq!(*service.unwrap().external_ips, *expected);
    assert!(
        findings[0].contains("`spec.externalIPs[0]` = `203.000.113.001` is read as 203.0.113.1; the address is used")
    );
    assert!(findings[1].contains("`spec.externalIPs[1]` = `::ffff:203.0.113.9` is read as 203.0.113.9"));
}
