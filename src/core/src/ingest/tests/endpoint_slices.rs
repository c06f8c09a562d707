//! EndpointSlices.

use super::*;
use crate::{
    addr::{Family, Protocol},
    model::{EndpointState, NodeHint},
};

#[test]
fn a_good_slice() {
    let (read, findings) = slice(slice_with("/endpoints/1/conditions", json!({"ready": null})));
    let ReadSlice { service, slice } = read.unwrap();
    assert_eq!((service, &*slice.name, slice.family, findings.len()), ("web", "web-1.x", Family::V4, 0));
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

/// kube-proxy: nil is ready and serving; what is ready is used even while it ends; what ends is a fall-back if it serves.
#[test]
fn what_the_conditions_of_an_endpoint_come_to() {
    use EndpointState::{Ready, Terminating};
    let (yes, no, nil) = (json!(true), json!(false), json!(null));
    for (ready, serving, terminating, state) in [
        (&nil, &nil, &nil, Some(Ready)),
        (&yes, &yes, &no, Some(Ready)),
        (&yes, &yes, &yes, Some(Ready)),
        (&yes, &no, &yes, Some(Ready)),
        (&nil, &no, &nil, Some(Ready)),
        (&no, &yes, &yes, Some(Terminating)),
        (&no, &nil, &yes, Some(Terminating)),
        (&no, &no, &yes, None),
        (&no, &yes, &no, None),
        (&no, &nil, &nil, None),
    ] {
        let conditions = json!({"ready": ready, "serving": serving, "terminating": terminating});
        let (read, findings) = slice(slice_with("/endpoints/1/conditions", conditions.clone()));
        let states: Vec<_> = read.unwrap().slice.endpoints.iter().map(|endpoint| endpoint.state).collect();
        let expected: Vec<_> = [Some(Ready), state].into_iter().flatten().collect();
        assert_eq!((states, findings), (expected, vec![]), "{conditions}");
    }
    // What is ready is not asked more.
    for (ready, used, findings) in [(yes, 2, 0), (no, 1, 1)] {
        let conditions = json!({"ready": ready, "serving": "x"});
        let (read, found) = slice(slice_with("/endpoints/1/conditions", conditions));
        assert_eq!((read.unwrap().slice.endpoints.len(), found.len()), (used, findings), "{found:?}");
    }
}

#[test]
fn hints_are_for_zones_and_for_this_node_or_others() {
    use NodeHint::{Elsewhere, Here, None as Nobody};
    let hint = |field: &str, names: Value| json!({field: names});
    let long = "a".repeat(64);
    for (hints, expected, finding) in [
        (json!(null), None, String::new()),
        (json!({}), None, String::new()),
        (json!({"forZones": [], "forNodes": null}), None, String::new()),
        (hint("forZones", json!([{"name": "b"}, {"name": "a"}])), Some(("b a", Nobody)), String::new()),
        (hint("forNodes", json!([{"name": "node-b"}, {"name": "node-a"}])), Some(("", Here)), String::new()),
        (hint("forNodes", json!([{"name": "node-b.example.com"}])), Some(("", Elsewhere)), String::new()),
        (
            json!({"forZones": [{"name": "Zone_1.x"}], "forNodes": [{"name": "node-a"}]}),
            Some(("Zone_1.x", Here)),
            String::new(),
        ),
        (
            json!(5),
            None,
            "` = `5` is not an object; this hint is left out, the endpoint is used; correct it".to_owned(),
        ),
        (hint("forZones", json!("a")), None, ".forZones` = `\"a\"` is not a list; this hint is left out".to_owned()),
        (
            hint("forZones", json!([{"name": "a"}, {}])),
            Some(("a", Nobody)),
            ".forZones[1].name` is missing; this hint is left out".to_owned(),
        ),
        (hint("forZones", json!([null])), None, ".forZones[0]` is missing; this hint is left out".to_owned()),
        (
            hint("forZones", json!([{"name": long}])),
            None,
            format!(".forZones[0].name` = `{long}` is not a label's value (1 to 63 of letters"),
        ),
        (hint("forNodes", json!([{"name": "A"}])), None, ".forNodes[0].name` = `A` is not a DNS subdomain".to_owned()),
    ] {
        let (read, findings) = slice(slice_with("/endpoints/1/hints", hints.clone()));
        let slice = read.unwrap().slice;
        assert_eq!(slice.endpoints[0].hints, None);
        let shown = slice.endpoints[1].hints.as_ref().map(|hints| (hints.zones.join(" "), hints.node));
        assert_eq!(shown, expected.map(|(zones, node)| (zones.to_owned(), node)), "{hints}");
        assert_eq!(findings.len(), usize::from(!finding.is_empty()), "{hints}: {findings:?}");
        let finding = format!("EndpointSlice team-a/web-1.x: `endpoints[1].hints{finding}");
        assert!(findings.iter().all(|found| found.starts_with(&finding)), "{hints}: {findings:?}");
    }
}
