//! Objects, lists and watch events, for tests and in large numbers.

use std::sync::Arc;

use hyper::body::Bytes;
use serde_json::{Value, json};

use crate::Answer;

/// The i-th Service, `ns-N/web-I`, with a cluster IP of 10.96.0.0/12 and port 80. It is as large as real ones are.
#[must_use]
pub fn service(i: u32) -> Value {
    let namespace = format!("ns-{}", i / 100);
    let [_, b, c, d] = (0x0a60_0000_u32 + 256 + i).to_be_bytes();
    let address = format!("10.{b}.{c}.{d}");
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": format!("web-{i}"),
            "namespace": namespace,
            "uid": format!("00000000-0000-4000-8000-{i:012}"),
            "resourceVersion": (1000 + i).to_string(),
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"app.kubernetes.io/name": format!("web-{i}"), "app.kubernetes.io/part-of": "bench"},
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "x".repeat(400)},
            "managedFields": managed_fields(),
        },
        "spec": {
            "type": "ClusterIP",
            "clusterIP": address,
            "clusterIPs": [address],
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "internalTrafficPolicy": "Cluster",
            "sessionAffinity": "None",
            "selector": {"app.kubernetes.io/name": format!("web-{i}")},
            "ports": [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": 8080}],
        },
        "status": {"loadBalancer": {}},
    })
}

/// The slice of the i-th Service, with so many endpoints, all ready, of 10.128.0.0/9.
#[must_use]
pub fn endpoint_slice(i: u32, endpoints: u32) -> Value {
    let endpoint = |n: u32| {
        let [_, b, c, d] = (0x0a80_0000_u32 + 256 + i * endpoints + n).to_be_bytes();
        json!({
            "addresses": [format!("10.{b}.{c}.{d}")],
            "conditions": {"ready": true, "serving": true, "terminating": false},
            "nodeName": format!("node-{}", (i + n) % 500),
            "zone": format!("zone-{}", n % 3),
            "targetRef": {"kind": "Pod", "namespace": format!("ns-{}", i / 100), "name": format!("web-{i}-{n}")},
        })
    };
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": format!("web-{i}-abcde"),
            "namespace": format!("ns-{}", i / 100),
            "uid": format!("00000000-0000-4000-9000-{i:012}"),
            "resourceVersion": (1000 + i).to_string(),
            "generation": 1,
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {
                "kubernetes.io/service-name": format!("web-{i}"),
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
            },
            "annotations": {"endpoints.kubernetes.io/last-change-trigger-time": "2026-01-01T00:00:00Z"},
            "ownerReferences": [{"apiVersion": "v1", "kind": "Service", "name": format!("web-{i}"), "controller": true}],
            "managedFields": managed_fields(),
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "protocol": "TCP", "port": 8080}],
        "endpoints": (0..endpoints).map(endpoint).collect::<Value>(),
    })
}

/// About half of what a real object is.
fn managed_fields() -> Value {
    let fields = json!({"f:metadata": {"f:labels": {"f:app.kubernetes.io/name": {}}}, "f:spec": {"f:ports": {}}});
    json!([{"manager": "kube-controller-manager", "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": fields}])
}

/// A list at a version, all of it.
#[must_use]
pub fn list(version: u32, items: &[Value]) -> Value {
    page(version, items, None)
}

fn page(version: u32, items: &[Value], rest: Option<usize>) -> Value {
    let rest = rest.map_or_else(String::new, |page| page.to_string());
    json!({
        "kind": "List",
        "apiVersion": "v1",
        "metadata": {"resourceVersion": version.to_string(), "continue": rest},
        "items": items,
    })
}

/// A list at a version in pages of so many objects. They are serialised once, however often they are asked for.
#[must_use]
pub fn pages(version: u32, items: &[Value], size: usize) -> Answer {
    let count = items.chunks(size.max(1)).count();
    let text =
        |(i, items): (usize, &[Value])| page(version, items, Some(i + 1).filter(|&next| next < count)).to_string();
    let mut pages: Vec<Bytes> = items.chunks(size.max(1)).enumerate().map(|chunk| text(chunk).into()).collect();
    if pages.is_empty() {
        pages.push(page(version, &[], None).to_string().into());
    }
    Answer::Pages(Arc::from(pages))
}

/// A watch event: `ADDED`, `MODIFIED`, `DELETED`, `BOOKMARK` or `ERROR`.
#[must_use]
pub fn event(type_: &str, object: &Value) -> Value {
    json!({"type": type_, "object": object})
}
