//! Which endpoints are used: hints, traffic policies and terminating endpoints together. The cases are those of
//! kube-proxy's `TestCategorizeEndpoints`, and some more.

use super::*;

/// A case: the Service's policies, this node's zone, all endpoints, those used by policy `Cluster`, those by `Local`.
/// Addresses are the ends of 10.0.0.x.
type Case<'a> = (&'a str, &'a Value, &'a str, &'a [&'a str], &'a str, &'a str);

/// The list for policy `Cluster` is there also where no Frontend leads to it (`internalTrafficPolicy: Local` alone):
/// that it is not empty tells "none on this node" from "none at all".
#[test]
fn hints_policies_and_terminating_endpoints() {
    let plain = &json!({});
    let ports = json!([{"port": 80, "nodePort": 30080}]);
    let internal = &json!({"internalTrafficPolicy": "Local"});
    let external = &json!({"type": "NodePort", "ports": ports, "externalTrafficPolicy": "Local"});
    let mixed = &json!({"type": "NodePort", "ports": ports, "internalTrafficPolicy": "Local"});
    let both = &json!({
        "type": "NodePort", "ports": ports, "internalTrafficPolicy": "Local", "externalTrafficPolicy": "Local",
    });
    let unreachable = &json!({"externalTrafficPolicy": "Local"});
    let zones = &["1 zones=a", "2 zones=b", "3 zones=c", "4 zones=a"][..];
    let local_zones = &["1* zones=a", "2* zones=b", "3 zones=c", "4 zones=a"][..];
    let nodes =
        &["1 zones=a nodes=node-a", "2 zones=b nodes=node-b", "3 zones=c nodes=node-c", "4 zones=a nodes=node-d"][..];
    let other_nodes = &["1 zones=a nodes=node-x", "2 zones=b nodes=node-b,node-c", "3 zones=a nodes=node-d"][..];
    let cases: &[Case<'_>] = &[
        // Zones.
        ("this zone", plain, "a", zones, "1 4", ""),
        ("Local does not follow hints: external", external, "a", local_zones, "1* 4", "1* 2*"),
        ("Local does not follow hints: internal", mixed, "a", local_zones, "1* 4", "1* 2*"),
        ("Local does not follow hints: both", both, "b", local_zones, "2*", "1* 2*"),
        ("a node without a zone", plain, "", zones, "1 2 3 4", ""),
        ("no endpoint for this zone", plain, "b", &["1 zones=a", "3 zones=c"], "1 3", ""),
        ("one that is down in this zone", plain, "a", &["1 zones=a", "2 zones=b", "3 zones=a down"], "1", ""),
        ("only ones that are down in it", plain, "a", &["1 zones=a down", "2 zones=b", "3 zones=c"], "2 3", ""),
        ("only an ending one in it", plain, "a", &["1 zones=a ending", "2 zones=b", "3 zones=c"], "2 3", ""),
        ("one ready without a hint", plain, "a", &["1 zones=a", "2 zones=b", "3"], "1 2 3", ""),
        ("one down without a hint", plain, "a", &["1 zones=a", "2 zones=b", "3 down"], "1", ""),
        ("one ending without a hint", plain, "a", &["1 zones=a", "2 zones=b", "3 ending"], "1", ""),
        (
            "several zones for one endpoint",
            plain,
            "c",
            &["1 zones=a,b,c", "2 zones=b,c", "3 zones=b,d", "4 zones=c"],
            "1 2 4",
            "",
        ),
        ("no hints at all", plain, "a", &["1", "2*"], "1 2*", ""),
        // Nodes.
        ("this node", plain, "a", nodes, "1", ""),
        ("this node among several", plain, "", &["1 nodes=node-b,node-a", "2 nodes=node-b"], "1", ""),
        ("one without any hint", plain, "a", &["1 zones=a nodes=node-a", "2", "3 zones=c nodes=node-c"], "1 2 3", ""),
        (
            "one without a hint for nodes, so by zone",
            plain,
            "a",
            &["1 zones=a nodes=node-a", "2 zones=b", "3 zones=a nodes=node-c"],
            "1 3",
            "",
        ),
        ("none for this node, so by zone", plain, "a", other_nodes, "1 3", ""),
        ("none for this node nor its zone", plain, "d", other_nodes, "1 2 3", ""),
        ("only an ending one for this node", plain, "b", &["1 nodes=node-a ending", "2 nodes=node-b"], "2", ""),
        ("Local does not follow them", external, "a", &["1* nodes=node-b", "2 nodes=node-a"], "2", "1*"),
        // Policies.
        ("internal Local, no endpoint", internal, "", &[], "", ""),
        ("internal Local, all remote", internal, "", &["1", "2"], "1 2", ""),
        ("internal Local, all here", internal, "", &["1*", "2*"], "1* 2*", "1* 2*"),
        ("internal Local, some here", internal, "", &["1*", "2"], "1* 2", "1*"),
        ("internal Local, external Cluster", mixed, "", &["1*", "2"], "1* 2", "1*"),
        ("external Local, no endpoint", external, "", &[], "", ""),
        ("external Local, all remote", external, "", &["1", "2"], "1 2", ""),
        ("external Local, all here", external, "", &["1*", "2*"], "1* 2*", "1* 2*"),
        ("external Local, some here", external, "", &["1*", "2"], "1* 2", "1*"),
        ("both Local, some here", both, "", &["1*", "2"], "1* 2", "1*"),
        ("both Local, all remote", both, "", &["1", "2"], "1 2", ""),
        ("external Local without access from outside", unreachable, "", &["1", "2*"], "1 2*", ""),
        // Conditions.
        ("all down", plain, "", &["1 down", "2* down"], "", ""),
        ("some down", plain, "", &["1 down", "2"], "2", ""),
        ("all ending", plain, "", &["1* ending", "2 ending"], "1* 2", ""),
        ("some ending", plain, "", &["1* ending", "2 ending", "3"], "3", ""),
        ("ending ones do not follow hints", plain, "a", &["1 zones=a ending", "2 zones=b ending"], "1 2", ""),
        ("both Local, all remote and ending", both, "", &["1 ending", "2 ending"], "1 2", ""),
        ("each list falls back on its own", external, "", &["1", "2* down", "3* ending", "4 ending"], "1", "3*"),
        ("here ready, elsewhere ending", external, "", &["1* ending", "2*", "3 ending"], "2*", "2*"),
        ("all ending, external Local", external, "", &["1* ending", "2 ending"], "1* 2", "1*"),
    ];
    let full = |end: &str| {
        let (number, star) = end.split_at(1);
        format!("10.0.0.{number}:8080{star}")
    };
    let texts = |ends: &str| ends.split(' ').filter(|end| !end.is_empty()).map(full).collect::<Vec<_>>().join(" ");
    for (what, spec, zone, endpoints, cluster, local) in cases {
        let endpoints: Vec<_> = endpoints.iter().map(|end| format!("10.0.0.{end}")).collect();
        let endpoints: Vec<_> = endpoints.iter().map(String::as_str).collect();
        let world = World::of([
            in_zone(zone, node(&["192.0.2.1"])),
            service("a/web", "10.96.0.1", (*spec).clone()),
            slice("web", "a/web", &endpoints),
        ]);
        let port = world.programmed.values().next().unwrap();
        assert_eq!((text(&port.endpoints), text(&port.local_endpoints)), (texts(cluster), texts(local)), "{what}");
    }
}

/// `publishNotReadyAddresses` makes an endpoint ready that ends: it is one like all others.
#[test]
fn an_endpoint_that_is_ready_and_ends_is_ready() {
    let mut slice = slice("web", "a/web", &["10.0.0.1", "10.0.0.2 ending"]);
    slice["endpoints"][1]["conditions"]["ready"] = json!(true);
    let world = World::of([service("a/web", "10.96.0.1", json!({})), slice]);
    assert_eq!(world.shown(), ["a/web 10.96.0.1:80/tcp -> 10.0.0.1:8080 10.0.0.2:8080"]);
}
