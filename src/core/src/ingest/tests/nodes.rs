//! Nodes.

use super::*;
use crate::model::NodeAddressKind;

#[test]
fn node_addresses() {
    let (read, findings) = node(json!({"metadata": {"name": "node-a"}, "status": {"addresses": [
        {"type": "Hostname", "address": "node-a"},
        {"type": "InternalIP", "address": "192.0.2.1"},
        {"type": "ExternalIP", "address": "fd00::1"},
        {"type": "InternalIP", "address": "127.0.0.1"},
        {"type": 5, "address": "192.0.2.2"},
        {"type": "InternalIP", "address": "192.0.2.003"},
        "192.0.2.4",
    ]}}));
    let addresses: Vec<_> = read.unwrap().addresses.iter().map(|found| (found.kind, found.addr.to_string())).collect();
    let expected = [
        (NodeAddressKind::Internal, "192.0.2.1".to_owned()),
        (NodeAddressKind::External, "fd00::1".to_owned()),
        (NodeAddressKind::Internal, "192.0.2.3".to_owned()),
    ];
    assert_eq!(addresses, expected);
    assert_eq!(findings.len(), 4, "{findings:?}");
    assert!(findings[0].starts_with("Node node-a: `status.addresses[3].address` = `127.0.0.1` is a loopback address"));
    assert!(findings[1].starts_with("Node node-a: `status.addresses[4].type` = `5` is not text"));
    assert!(node(json!({"metadata": {"name": "Node A"}})).0.is_none());
    assert_eq!(node(json!({"metadata": {"name": "a.b"}})), (Some(Node::default()), vec![]));
}

#[test]
fn zone_and_pod_cidrs_of_a_node() {
    let cidr = |text: &str| Some(text.parse().unwrap());
    for (path, value, zone, v4, v6, finding) in [
        ("/none", json!(null), Some("zone-1"), cidr("10.1.0.0/24"), cidr("fd00:1::/64"), ""),
        (
            "/metadata/labels/topology.kubernetes.io~1zone",
            json!(""),
            None,
            cidr("10.1.0.0/24"),
            cidr("fd00:1::/64"),
            "",
        ),
        (
            "/metadata/labels/topology.kubernetes.io~1zone",
            json!("a b"),
            None,
            cidr("10.1.0.0/24"),
            cidr("fd00:1::/64"),
            "`metadata.labels[topology.kubernetes.io/zone]` = `a b` is not a label's value (1 to 63 of letters, digits, '-', \
             '_' and '.', a letter or digit first and last); the Node counts as being in no zone, everything else is used",
        ),
        (
            "/metadata/labels",
            json!(5),
            None,
            cidr("10.1.0.0/24"),
            cidr("fd00:1::/64"),
            "`metadata.labels` = `5` is not an object; the Node counts as being in no zone",
        ),
        ("/spec/podCIDRs", json!(null), Some("zone-1"), cidr("10.9.0.0/24"), None, ""),
        ("/spec/podCIDRs", json!(["fd00:1::/64"]), Some("zone-1"), None, cidr("fd00:1::/64"), ""),
        (
            "/spec/podCIDRs/0",
            json!("10.1.0.0"),
            Some("zone-1"),
            cidr("10.2.0.0/24"),
            cidr("fd00:1::/64"),
            "`spec.podCIDRs[0]` = `10.1.0.0` is not a CIDR",
        ),
        (
            "/spec/podCIDRs/0",
            json!("10.1.0.9/24"),
            Some("zone-1"),
            cidr("10.1.0.0/24"),
            cidr("fd00:1::/64"),
            "`spec.podCIDRs[0]` = `10.1.0.9/24` is read as 10.1.0.0/24; the CIDR is used",
        ),
        (
            "/spec/podCIDRs",
            json!(5),
            Some("zone-1"),
            None,
            None,
            "`spec.podCIDRs` = `5` is not a list; no pod CIDR of this Node is used, everything else is",
        ),
        ("/spec", json!([]), Some("zone-1"), None, None, "`spec` = `[...]` is not an object; no pod CIDR of this Node"),
        ("/spec", json!({"podCIDR": ""}), Some("zone-1"), None, None, ""),
    ] {
        let object = json!({
            "metadata": {"name": "node-a", "labels": {"topology.kubernetes.io/zone": "zone-1"}},
            "spec": {"podCIDR": "10.9.0.0/24", "podCIDRs": ["10.1.0.0/24", "10.2.0.0/24", "fd00:1::/64"]},
        });
        let (read, findings) = node(with(object, path, value.clone()));
        let read = read.unwrap();
        assert_eq!((read.zone.as_deref(), read.pod_cidrs.v4, read.pod_cidrs.v6), (zone, v4, v6), "{path} = {value}");
        assert_eq!(findings.len(), usize::from(!finding.is_empty()), "{path} = {value}: {findings:?}");
        let finding = format!("Node node-a: {finding}");
        assert!(findings.iter().all(|found| found.starts_with(&finding)), "{findings:?}\n{finding}");
    }
}
