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
