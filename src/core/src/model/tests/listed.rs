//! What a complete list tells: what is not in it is gone; and whether this node may be sent new connections.

use std::collections::BTreeSet;

use super::*;

fn listed(kind: Kind, names: &[(&str, &str)]) -> BTreeSet<ObjectRef> {
    let reference =
        |&(namespace, name): &(&str, &str)| ObjectRef { kind, namespace: namespace.into(), name: name.into() };
    names.iter().map(reference).collect()
}

#[test]
fn what_a_list_lacks_is_gone() {
    let mut world = World::of([
        service("a/web", "10.96.0.1", json!({})),
        service("b/web", "10.96.0.2", json!({})),
        json!({"kind": "Service", "metadata": {"namespace": "a", "name": "bad"}, "spec": 5}),
        slice("web-1", "a/web", &["10.0.0.1"]),
        slice("web-2", "a/web", &["10.0.0.2"]),
    ]);
    let refused = world.cluster.findings().len();
    world.cluster.retain(Kind::EndpointSlice, &listed(Kind::EndpointSlice, &[("a", "web-2")]));
    world.sync();
    assert_eq!(world.shown(), ["a/web 10.96.0.1:80/tcp -> 10.0.0.2:8080", "b/web 10.96.0.2:80/tcp ->"]);
    assert_eq!(world.cluster.findings().len(), refused);
    world.cluster.retain(Kind::Service, &listed(Kind::Service, &[("b", "web")]));
    world.sync();
    assert_eq!(world.shown(), ["b/web 10.96.0.2:80/tcp ->"]);
    assert_eq!(world.cluster.findings(), []);
    world.cluster.retain(Kind::Service, &BTreeSet::new());
    world.sync();
    assert!(world.shown().is_empty());
}

#[test]
fn the_node_is_eligible_while_it_is_not_about_to_go() {
    let mut world = World::of([]);
    assert!(!world.cluster.node_eligible(), "no Node yet");
    let tainted = |key: &str| {
        let mut object = node(&["192.0.2.1"]);
        object["spec"]["taints"] =
            json!([{"key": "other", "effect": "NoSchedule"}, {"key": key, "effect": "NoSchedule"}]);
        object
    };
    let mut deleting = node(&["192.0.2.1"]);
    deleting["metadata"]["deletionTimestamp"] = json!("2026-11-20T10:00:00Z");
    for (object, eligible) in [
        (node(&["192.0.2.1"]), true),
        (tainted("ToBeDeletedByClusterAutoscaler"), false),
        (tainted("node.kubernetes.io/unschedulable"), true),
        (deleting, false),
        (node(&["192.0.2.1"]), true),
    ] {
        world.apply(object);
        assert_eq!(world.cluster.node_eligible(), eligible);
    }
    world.cluster.retain(Kind::Node, &BTreeSet::new());
    assert!(world.cluster.node_eligible(), "a deleted Node is as it was seen last");
}
