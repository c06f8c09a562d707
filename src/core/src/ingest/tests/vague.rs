//! Documents of any shape: never a panic, never a line that breaks the terminal.

use proptest::prelude::*;

use super::*;
use crate::model::{Cluster, NodeConfig};

/// JSON that looks like our objects here and there: right names with any value under them, to some depth.
fn vague() -> impl Strategy<Value = Value> {
    let words = [
        "",
        "web",
        "None",
        "TCP",
        "IPv4",
        "IPv6",
        "10.0.0.1",
        "::1",
        "fd00::1",
        "Local",
        "LoadBalancer",
        "InternalIP",
        "ClientIP",
        "10.0.0.0/8",
        "fd00::/8",
        "a\n\"",
        "sh,sh-port",
    ];
    let keys = [
        "metadata",
        "name",
        "namespace",
        "labels",
        "annotations",
        "portolan.dev/ipvs-scheduler",
        "kubernetes.io/service-name",
        "spec",
        "status",
        "type",
        "clusterIP",
        "clusterIPs",
        "ipFamilies",
        "externalIPs",
        "ports",
        "port",
        "nodePort",
        "protocol",
        "loadBalancer",
        "ingress",
        "ip",
        "ipMode",
        "addressType",
        "endpoints",
        "addresses",
        "address",
        "conditions",
        "ready",
        "nodeName",
        "sessionAffinity",
        "loadBalancerSourceRanges",
        "creationTimestamp",
        "externalTrafficPolicy",
        "sessionAffinityConfig",
        "clientIP",
        "timeoutSeconds",
        "healthCheckNodePort",
        "serving",
        "terminating",
        "hints",
        "forZones",
        "forNodes",
        "topology.kubernetes.io/zone",
        "podCIDRs",
        "cidrs",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0..70_000).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        proptest::sample::select(words.to_vec()).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 60, 6, move |inner| {
        let key = proptest::sample::select(keys.to_vec()).prop_map(str::to_owned);
        prop_oneof![
            1 => proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            3 => proptest::collection::btree_map(key, inner, 0..8).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

/// A good object with one place replaced by anything: gets past the first checks.
fn nearly_good() -> impl Strategy<Value = Value> {
    let good = [web_with("/spec/type", json!("NodePort")), slice_with("/addressType", json!("IPv4"))];
    let paths = [
        "/metadata",
        "/metadata/name",
        "/metadata/labels",
        "/spec",
        "/spec/ports",
        "/spec/ports/0",
        "/spec/clusterIPs",
        "/spec/externalIPs",
        "/status",
        "/status/loadBalancer",
        "/ports",
        "/ports/0",
        "/endpoints",
        "/endpoints/0",
        "/endpoints/0/addresses",
        "/endpoints/0/conditions",
        "/endpoints/0/hints",
    ];
    let path = proptest::sample::select(paths.to_vec());
    (proptest::sample::select(good.to_vec()), path, vague()).prop_map(|(object, path, value)| {
        if object.pointer(path).is_some() { with(object, path, value) } else { value }
    })
}

proptest! {
    #[test]
    fn any_document_is_an_object_or_an_error(document in prop_oneof![vague(), nearly_good()]) {
        let text = document.to_string();
        let mut cluster = Cluster::new(NodeConfig::of("web"));
        let objects = [
            serde_json::from_str(&text).map(Object::Service),
            serde_json::from_str(&text).map(Object::EndpointSlice),
            serde_json::from_str(&text).map(Object::Node),
            serde_json::from_str(&text).map(Object::ServiceCidr),
        ];
        prop_assert!(!document.is_object() || objects.iter().all(Result::is_ok), "an object was not read: {text}");
        for object in objects.into_iter().flatten() {
            let reference = object.reference();
            for finding in cluster.apply(&object) {
                let line = finding.to_string();
                prop_assert!(!line.contains(char::is_control) && line.len() < 1500, "{line}");
                prop_assert_eq!(finding.object(), &reference);
            }
            drop(cluster.take_changes());
            cluster.delete(&reference);
        }
        drop(cluster.take_changes());
        prop_assert!(cluster.findings().is_empty());
    }
}
