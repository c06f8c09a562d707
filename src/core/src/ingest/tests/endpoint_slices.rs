//! EndpointSlices.

use super::*;
use crate::addr::{Family, Protocol};

#[test]
fn a_good_slice() {
    let (read, findings) = slice(slice_with("/endpoints/1/conditions", json!({"ready": null})));
    let ReadSlice { service, slice } = read.unwrap();
    assert_eq!((&*service, &*slice.name, slice.family, findings.len()), ("web", "web-1.x", Family::V4, 0));
    let ports: Vec<_> = slice.ports.iter().map(|port| (&*port.name, port.protocol, port.number)).collect();
    assert_eq!(ports, [("dns", Protocol::Udp, 53), ("http", Protocol::Tcp, 8080)]);
    let endpoints: Vec<_> = slice.endpoints.iter().map(|found| (found.addr.to_string(), found.local)).collect();
    assert_eq!(endpoints, [("10.0.0.1".to_owned(), true), ("10.0.0.2".to_owned(), false)]);
}

#[test]
fn slices_that_are_not_ours_are_skipped_in_silence() {
    for (path, value) in [
        ("/metadata/labels", json!({})),
        ("/metadata/labels", json!(null)),
        ("/metadata/labels/kubernetes.io~1service-name", json!("")),
        ("/metadata/labels/service.kubernetes.io~1headless", json!("")),
        ("/addressType", json!("FQDN")),
    ] {
        let (read, findings) = slice(slice_with(path, value.clone()));
        assert!(read.is_none() && findings.is_empty(), "{path} = {value}: {findings:?}");
    }
}

/// Each refusal, and how many ports and endpoints of the two each are left.
#[test]
fn a_bad_value_in_a_slice() {
    let refused = |endpoints| Some((2, endpoints));
    for (path, value, left, expected) in [
        (
            "/ports/0/port",
            json!(65536),
            Some((1, 2)),
            "`ports[0].port` = `65536` is not a port number from 1 to 65535; no endpoint is",
        ),
        ("/ports/0/port", json!(0), Some((1, 2)), ""),
        ("/ports/0/port", json!(null), Some((1, 2)), ""),
        ("/ports/0/name", json!("A"), Some((1, 2)), "`ports[0].name` = `A` is not a DNS label"),
        ("/ports/0/protocol", json!(6), Some((1, 2)), "`ports[0].protocol` = `6` is not TCP, UDP or SCTP"),
        ("/ports", json!(5), Some((0, 2)), "`ports` = `5` is not a list; no endpoint of this slice is used"),
        (
            "/endpoints/0",
            json!("x"),
            refused(1),
            "`endpoints[0]` = `\"x\"` is not an object; this endpoint is not used",
        ),
        ("/endpoints/0/addresses", json!([]), refused(1), ""),
        ("/endpoints/0/addresses/0", json!(5), refused(1), "`endpoints[0].addresses[0]` = `5` is not text"),
        ("/endpoints/0/addresses/1", json!("127.0.0.1"), refused(2), ""),
        (
            "/endpoints/0/addresses/0",
            json!("169.254.1.1"),
            refused(1),
            "`endpoints[0].addresses[0]` = `169.254.1.1` is a link-local",
        ),
        (
            "/endpoints/0/addresses/0",
            json!("fd00::1"),
            refused(1),
            "`endpoints[0].addresses[0]` = `fd00::1` is not an IPv4 address",
        ),
        (
            "/endpoints/0/addresses/0",
            json!("010.0.0.1"),
            refused(2),
            "`endpoints[0].addresses[0]` = `010.0.0.1` is read as 10.0.0.1",
        ),
        ("/endpoints/0/conditions", json!({"ready": false}), refused(1), ""),
        (
            "/endpoints/0/conditions/ready",
            json!("no"),
            refused(1),
            "`endpoints[0].conditions.ready` = `\"no\"` is not true or false",
        ),
        ("/endpoints/0/nodeName", json!(5), refused(1), "`endpoints[0].nodeName` = `5` is not text"),
        ("/endpoints", json!({}), refused(0), "`endpoints` = `{...}` is not a list"),
        ("/addressType", json!(null), None, "`addressType` is missing; no endpoint of this slice is used"),
        ("/addressType", json!("IPX"), None, "`addressType` = `IPX` is not IPv4, IPv6 or FQDN"),
        ("/metadata/name", json!("a_b"), None, "`metadata.name` = `a_b` is not a DNS subdomain"),
        (
            "/metadata/labels/kubernetes.io~1service-name",
            json!("a.b"),
            None,
            "`metadata.labels[kubernetes.io/service-name]` = `a.b` is not a DNS label",
        ),
    ] {
        let (read, findings) = slice(slice_with(path, value.clone()));
        let count = read.map(|read| (read.slice.ports.len(), read.slice.endpoints.len()));
        assert_eq!(count, left, "{path} = {value}: {findings:?}");
        assert_eq!(findings.len(), usize::from(!expected.is_empty()), "{path} = {value}: {findings:?}");
        assert!(
            findings.iter().all(|finding| finding.contains(expected)),
            "{path} = {value}:\n{findings:?}\n{expected}"
        );
    }
}

/// What is not honoured yet is named once in a slice, and only where it would be used.
#[test]
fn fields_that_are_not_honoured_yet_are_named_once() {
    let ending = json!({"ready": false, "serving": true, "terminating": true});
    let endpoints = |all: &[Value]| {
        let endpoint = |(i, more): (usize, &Value)| with(more.clone(), "/addresses", json!([format!("10.0.0.{i}")]));
        slice_with("/endpoints", all.iter().enumerate().map(endpoint).collect())
    };
    let zones = |hints: Value| json!({ "hints": hints });
    let conditions = |conditions: &Value| json!({ "conditions": conditions });
    for (all, expected) in [
        (vec![zones(json!({})), zones(json!({"forZones": []})), zones(json!(5))], ""),
        (
            vec![
                json!({}),
                zones(json!({"forZones": [{"name": "a"}, {"name": "b"}]})),
                zones(json!({"forZones": [{}]})),
            ],
            "`endpoints[1].hints.forZones` = `a, b` is not honoured yet; connections go to endpoints of every zone and node",
        ),
        (vec![zones(json!({"forNodes": [{"name": "n"}]}))], "`endpoints[0].hints.forNodes` = `n` is not honoured yet"),
        (
            vec![conditions(&json!({"ready": false})), conditions(&ending), conditions(&ending)],
            "`endpoints[1].conditions.terminating` = `true` is not honoured yet; while no endpoint of the Service is ready",
        ),
        (
            vec![conditions(&json!({"ready": false, "terminating": true}))],
            "`endpoints[0].conditions.terminating` = `true` is not",
        ),
        (vec![conditions(&json!({"ready": false, "serving": false, "terminating": true}))], ""),
        (vec![conditions(&ending), json!({})], ""),
    ] {
        let findings = slice(endpoints(&all)).1;
        assert_eq!(findings.len(), usize::from(!expected.is_empty()), "{all:?}: {findings:?}");
        assert!(findings.iter().all(|finding| finding.contains(expected)), "{all:?}: {findings:?}");
    }
}
