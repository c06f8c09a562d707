//! What load balancers are told when they ask for health (`healthCheckNodePort`).

use super::*;
use crate::addr::Family;

/// A case: the Service's spec, slices as names of ports and endpoints, how many endpoints are told of in which family.
type Case<'a> = (&'a str, &'a Value, &'a [(&'a str, &'a [&'a str])], &'a [(Family, usize)]);

/// Those of this node that are ready, by address.
#[test]
fn what_load_balancers_are_told() {
    let ports = json!([{"name": "a", "port": 80}, {"name": "b", "port": 443}]);
    let asking = json!({"ports": ports, "externalTrafficPolicy": "Local", "healthCheckNodePort": 345});
    let dual = json!({
        "ports": ports, "externalTrafficPolicy": "Local", "healthCheckNodePort": 345,
        "clusterIPs": ["10.96.0.1", "fd00:96::1"],
    });
    let (v4, v6) = (Family::V4, Family::V6);
    let cases: &[Case<'_>] = &[
        ("no slice", &asking, &[], &[(v4, 0)]),
        ("by address", &asking, &[("a b", &["10.0.0.1*", "10.0.0.2*", "10.0.0.3"])], &[(v4, 2)]),
        ("in two slices", &asking, &[("a", &["10.0.0.1*"]), ("b", &["10.0.0.1*", "10.0.0.2*"])], &[(v4, 2)]),
        ("none here", &asking, &[("a", &["10.0.0.1", "10.0.0.2"])], &[(v4, 0)]),
        ("one ends", &asking, &[("a", &["10.0.0.1*", "10.0.0.2* ending", "10.0.0.3* down"])], &[(v4, 1)]),
        ("all end", &asking, &[("a", &["10.0.0.1* ending", "10.0.0.2* ending"])], &[(v4, 0)]),
        ("one ends and its address is used again", &asking, &[("a", &["10.0.0.1* ending", "10.0.0.1*"])], &[(v4, 1)]),
        ("hints are not followed", &asking, &[("a", &["10.0.0.1* nodes=node-b", "10.0.0.2 nodes=node-b"])], &[(v4, 1)]),
        ("each family", &dual, &[("a", &["10.0.0.1*", "10.0.0.2*"]), ("b", &["fd01::1*"])], &[(v4, 2), (v6, 1)]),
        ("only its own families", &asking, &[("a", &["10.0.0.1*"]), ("b", &["fd01::1*"])], &[(v4, 1)]),
        ("no port", &asking, &[("", &["10.0.0.1*"])], &[(v4, 0)]),
    ];
    for (what, spec, slices, expected) in cases {
        let mut world = World::of([balancer("a/s", "10.96.0.1", &[], (*spec).clone())]);
        for (i, (ports, endpoints)) in slices.iter().enumerate() {
            let mut slice = slice(&format!("s-{i}"), "a/s", endpoints);
            let names = ports.split(' ').filter(|name| !name.is_empty());
            slice["ports"] = names.enumerate().map(|(i, name)| json!({"name": name, "port": 8080 + i})).collect();
            world.apply(slice);
        }
        let told: Vec<_> = world.cluster.health_checks().iter().map(|c| (c.family, c.local_endpoints)).collect();
        assert_eq!(told, *expected, "{what}");
    }
}

/// As kube-proxy's `NeedsHealthCheck`.
#[test]
fn only_balancers_with_a_local_policy_ask() {
    let others = [
        json!({"type": "NodePort", "externalTrafficPolicy": "Local", "healthCheckNodePort": 345}),
        json!({"type": "LoadBalancer", "externalTrafficPolicy": "Cluster", "healthCheckNodePort": 345}),
        json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 0}),
        json!({"type": "ClusterIP", "externalTrafficPolicy": "Local", "externalIPs": ["203.0.113.1"], "healthCheckNodePort": 345}),
        json!({"type": "LoadBalancer", "internalTrafficPolicy": "Local", "healthCheckNodePort": 345}),
    ];
    for spec in others {
        assert_eq!(World::of([service("a/s", "10.96.0.1", spec.clone())]).cluster.health_checks(), [], "{spec}");
    }
}
