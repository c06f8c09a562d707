//! What a Service says about its connections.

use super::*;
use crate::{addr::Family, model::TrafficPolicy};

fn with_spec(more: Value) -> Value {
    let Value::Object(more) = more else { panic!("{more} is not an object") };
    more.into_iter().fold(web_with("/spec/type", json!("LoadBalancer")), |object, (field, value)| {
        with(object, &format!("/spec/{field}"), value)
    })
}

#[test]
fn a_service_that_says_nothing_has_the_defaults_of_the_api() {
    let (service, findings) = service(web_with("/spec/type", json!(null)));
    let service = service.unwrap();
    assert_eq!((service.external_policy, service.internal_policy), (TrafficPolicy::Cluster, TrafficPolicy::Cluster));
    assert_eq!((service.affinity, service.source_ranges, service.health_check_node_port), (None, None, None));
    assert_eq!(findings, [""; 0]);
}

/// As kube-proxy's `ExternallyAccessible`, and the finding where the setting has no effect.
#[test]
fn an_external_policy_counts_where_clients_from_outside_are_expected() {
    for (type_, external_ips, policy) in [
        ("LoadBalancer", json!(null), TrafficPolicy::Local),
        ("NodePort", json!(null), TrafficPolicy::Local),
        ("ClusterIP", json!(["203.0.113.1"]), TrafficPolicy::Local),
        // The list counts, not what is in it.
        ("", json!([""]), TrafficPolicy::Local),
        ("ClusterIP", json!([]), TrafficPolicy::Cluster),
        ("", json!(null), TrafficPolicy::Cluster),
    ] {
        let settings = json!({
            "type": type_, "externalIPs": external_ips, "externalTrafficPolicy": "Local", "healthCheckNodePort": 30001,
        });
        let (service, findings) = service(with_spec(settings));
        let service = service.unwrap();
        assert_eq!(service.external_policy, policy, "{type_} {external_ips}");
        let balanced = (type_ == "LoadBalancer").then_some(30001);
        assert_eq!(service.health_check_node_port, balanced, "{type_}");
        let told =
            findings.iter().filter(|finding| finding.contains("`spec.externalTrafficPolicy` = `Local` has no effect"));
        assert_eq!(told.count(), usize::from(policy == TrafficPolicy::Cluster), "{type_}: {findings:?}");
    }
}

#[test]
fn an_internal_policy_counts_for_every_service() {
    for (value, policy) in [
        (json!("Local"), TrafficPolicy::Local),
        (json!("Cluster"), TrafficPolicy::Cluster),
        (json!(""), TrafficPolicy::Cluster),
        (json!("local"), TrafficPolicy::Cluster),
        (json!(5), TrafficPolicy::Cluster),
    ] {
        let (service, findings) = service(with_spec(json!({"internalTrafficPolicy": value})));
        assert_eq!(service.unwrap().internal_policy, policy, "{value}");
        assert_eq!(findings.len(), usize::from(value == json!("local") || value == json!(5)), "{findings:?}");
    }
}

#[test]
fn a_client_stays_for_as_long_as_it_says_or_three_hours() {
    let config = |seconds: Value| json!({"clientIP": {"timeoutSeconds": seconds}});
    for (affinity, config, seconds, field) in [
        (json!("None"), config(json!(60)), None, ""),
        (json!(null), config(json!(60)), None, ""),
        (json!("ClientIP"), config(json!(60)), Some(60), ""),
        (json!("ClientIP"), config(json!(1)), Some(1), ""),
        (json!("ClientIP"), config(json!(86400)), Some(86400), ""),
        (json!("ClientIP"), json!(null), Some(10800), ""),
        (json!("ClientIP"), json!({}), Some(10800), ""),
        (json!("ClientIP"), json!({"clientIP": null}), Some(10800), ""),
        (json!("ClientIP"), config(json!(null)), Some(10800), ""),
        (
            json!("ClientIP"),
            config(json!(0)),
            Some(10800),
            ".clientIP.timeoutSeconds` = `0` is not a number of seconds",
        ),
        (json!("ClientIP"), config(json!(86401)), Some(10800), ".clientIP.timeoutSeconds` = `86401` is not"),
        (json!("ClientIP"), config(json!("60")), Some(10800), ".clientIP.timeoutSeconds` = `\"60\"` is not"),
        (json!("ClientIP"), json!({"clientIP": 60}), Some(10800), ".clientIP` = `60` is not an object"),
        (json!("ClientIP"), json!(60), Some(10800), "` = `60` is not an object"),
    ] {
        let settings = json!({"sessionAffinity": affinity, "sessionAffinityConfig": config});
        let (service, findings) = service(with_spec(settings));
        assert_eq!(service.unwrap().affinity, seconds, "{affinity} {config}");
        let expected = format!("Service team-a/web: `spec.sessionAffinityConfig{field}");
        assert_eq!(findings.len(), usize::from(!field.is_empty()), "{findings:?}");
        assert!(findings.iter().all(|finding| finding.starts_with(&expected)), "{findings:?}\n{expected}");
    }
}

#[test]
fn a_service_may_choose_a_scheduler() {
    const PATH: &str = "/metadata/annotations/portolan.dev~1ipvs-scheduler";
    for (value, scheduling) in
        [(json!("wlc"), Some("wlc")), (json!("mh,mh-port"), Some("mh,mh-port")), (json!(""), None), (json!(null), None)]
    {
        let (service, findings) = service(web_with(PATH, value.clone()));
        assert_eq!(service.unwrap().scheduling, scheduling.map(|text| text.parse().unwrap()), "{value}");
        assert_eq!(findings, [""; 0], "{value}");
    }
    let others = json!({"a": 5, "portolan.dev/ipvs-scheduler": "nq", "b": "sh"});
    let (nq, findings) = service(web_with("/metadata/annotations", others));
    assert_eq!((nq.unwrap().scheduling, findings.len()), (Some("nq".parse().unwrap()), 0));
}

/// One finding, and the Service is the one that it is without the annotation.
#[test]
fn a_scheduler_that_there_is_not_leaves_the_service_as_it_is() {
    let (plain, _) = service(web_with("/metadata/annotations", json!({})));
    let of_scheduler = "/metadata/annotations/portolan.dev~1ipvs-scheduler";
    let long = "sh,".repeat(100_000);
    for (path, value, told) in [
        (
            of_scheduler,
            json!("maglev"),
            "[portolan.dev/ipvs-scheduler]` = `maglev` is no scheduler of IPVS: there are rr, ",
        ),
        (of_scheduler, json!(" rr"), "[portolan.dev/ipvs-scheduler]` = ` rr` is no scheduler of IPVS"),
        (of_scheduler, json!("rr\n-C"), "[portolan.dev/ipvs-scheduler]` = `rr\\n-C` is no scheduler"),
        (of_scheduler, json!("ｓｈ\u{1b}[2J"), "[portolan.dev/ipvs-scheduler]` = `ｓｈ\\u{1b}[2J` is no scheduler"),
        (of_scheduler, json!("rr,sh-port"), "[portolan.dev/ipvs-scheduler]` = `rr,sh-port` has what is no flag of its"),
        (of_scheduler, json!(long), "[portolan.dev/ipvs-scheduler]` = `sh,sh,sh,"),
        (of_scheduler, json!(1), "[portolan.dev/ipvs-scheduler]` = `1` is not text"),
        ("/metadata/annotations", json!(["rr"]), "` = `[...]` is not an object"),
    ] {
        let (service, findings) = service(web_with(path, value));
        assert_eq!(service, plain, "{told}");
        let [finding] = &*findings else { panic!("{told}: {findings:?}") };
        assert!(finding.starts_with(&format!("Service team-a/web: `metadata.annotations{told}")), "{finding}");
        assert!(finding.ends_with("; the Service is served as if this were not set; correct it"), "{finding}");
        assert!(finding.len() < 400, "{finding}");
    }
}

#[test]
fn a_balancer_that_needs_a_health_check_port_gets_one_or_a_warning() {
    for (policy, port, read, finding) in [
        ("Cluster", json!(30001), None, ""),
        ("Cluster", json!(0), None, ""),
        ("Local", json!(30001), Some(30001), ""),
        ("Local", json!(0), None, "` is missing in a Service of type LoadBalancer with `externalTrafficPolicy: Local`"),
        ("Local", json!(null), None, "` is missing in a Service"),
        ("Local", json!(65536), None, "` = `65536` is not a port number from 1 to 65535; the Service is served as if"),
    ] {
        let settings = json!({"externalTrafficPolicy": policy, "healthCheckNodePort": port});
        let (service, findings) = service(with_spec(settings));
        assert_eq!(service.unwrap().health_check_node_port, read, "{policy} {port}");
        assert_eq!(findings.len(), usize::from(!finding.is_empty()), "{findings:?}");
        assert!(
            findings.iter().all(|found| found.contains(&format!("`spec.healthCheckNodePort{finding}"))),
            "{findings:?}"
        );
    }
}

/// The ranges of each family, or "everybody"; and how many findings there are.
#[test]
fn source_ranges_are_merged_and_a_family_without_any_is_open() {
    for (ranges, v4, v6, findings) in [
        (json!(["192.0.2.0/24"]), "192.0.2.0/24", "everybody", 0),
        (json!([" 192.0.2.0/24\t", "fd00::/8"]), "192.0.2.0/24", "fd00::/8", 0),
        (json!(["192.0.2.9/24"]), "192.0.2.0/24", "everybody", 1),
        (json!(["192.0.2.0/025", "192.000.3.0/24"]), "192.0.2.0/25 192.0.3.0/24", "everybody", 2),
        (json!(["::ffff:192.0.2.0/120"]), "192.0.2.0/24", "everybody", 1),
        (json!(["10.1.0.0/16", "10.0.0.0/8", "10.0.0.0/8"]), "10.0.0.0/8", "everybody", 0),
        (json!(["10.0.1.0/24", "10.0.0.0/24"]), "10.0.0.0/23", "everybody", 0),
        (json!(["10.0.0.0/8", "0.0.0.0/0"]), "everybody", "everybody", 0),
        (json!(["0.0.0.0/1", "128.0.0.0/1", "fd00::/8"]), "everybody", "fd00::/8", 0),
        (json!(["fd00::/8", "::/0", "10.0.0.0/8"]), "10.0.0.0/8", "everybody", 0),
        (json!(["255.255.255.255/32", "0.0.0.0/32"]), "0.0.0.0/32 255.255.255.255/32", "everybody", 0),
        (json!(["192.0.2.0/33", "10.0.0.0/8"]), "10.0.0.0/8", "everybody", 1),
        (json!(["10.0.0.1", 5, null, " "]), "everybody", "everybody", 4),
        (json!([]), "everybody", "everybody", 0),
        (json!(null), "everybody", "everybody", 0),
    ] {
        let (service, told) = service(with_spec(json!({"loadBalancerSourceRanges": ranges})));
        let service = service.unwrap();
        assert_eq!(service.load_balancer_ips.len(), 1);
        let read = service.source_ranges.as_deref();
        let shown = |family| {
            let ranges: Vec<_> = read.into_iter().flat_map(|read| read.get(family)).map(ToString::to_string).collect();
            if ranges.is_empty() { "everybody".to_owned() } else { ranges.join(" ") }
        };
        assert_eq!((&*shown(Family::V4), &*shown(Family::V6)), (v4, v6), "{ranges}");
        assert_eq!(read.is_none(), v4 == v6, "{ranges}");
        assert_eq!(told.len(), findings, "{ranges}: {told:?}");
    }
}

#[test]
fn a_bad_source_range_says_whether_it_leaves_a_door_open() {
    let both = json!(["10.96.0.1", "fd00::1"]);
    let open =
        "and in an IP family that has no other range everybody may connect to the load-balancer addresses; correct it";
    let closed =
        "is not a CIDR (an address, '/' and the length of a prefix); this range is left out, the others are used";
    for (cluster_ips, ranges, expected) in [
        (json!(["10.96.0.1"]), json!(["10.0.0.0", "10.0.0.0/8"]), closed),
        (json!(["10.96.0.1"]), json!(["10.0.0.0"]), open),
        (json!(["10.96.0.1"]), json!(["10.0.0.0", "fd00::/8"]), open),
        (both.clone(), json!(["10.0.0.0", "fd00::/8"]), open),
        (both, json!(["10.0.0.0", "fd00::/8", "10.0.0.0/8"]), closed),
    ] {
        let settings = json!({"clusterIPs": cluster_ips, "loadBalancerSourceRanges": ranges});
        let findings = service(with_spec(settings)).1;
        assert!(findings.len() == 1 && findings[0].contains(expected), "{cluster_ips} {ranges}: {findings:?}");
        assert!(findings[0].contains("`spec.loadBalancerSourceRanges[0]` = `10.0.0.0` is not a CIDR"), "{findings:?}");
    }
}

/// It says that somebody is to be kept out, and not who.
#[test]
fn source_ranges_that_are_no_list_close_the_load_balancer_s_addresses() {
    let object = with_spec(json!({"externalIPs": ["203.0.113.1", "203.0.113.2", "203.000.113.002"]}));
    assert_eq!(service(object.clone()).0.unwrap().external_ips.len(), 3);
    let service = service(with(object, "/spec/loadBalancerSourceRanges", json!("192.0.2.0/24"))).0.unwrap();
    assert_eq!(*service.external_ips, ["203.0.113.1".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!((service.load_balancer_ips.len(), service.source_ranges), (0, None));
}
