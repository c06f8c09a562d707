//! Cluster IPs that only a ServiceCIDR makes good.

use super::*;

#[test]
fn a_link_local_cluster_ip_is_good_inside_a_service_cidr() {
    let web = || service("a/web", "169.254.30.1", json!({"externalIPs": ["169.254.30.2"]}));
    let (range, endpoints) = (service_cidr("kubernetes", &["169.254.30.0/24"]), slice("w", "a/web", &["10.0.0.1"]));
    let served = ["a/web 169.254.30.1:80/tcp -> 10.0.0.1:8080"];
    let in_order = |objects: [Value; 3]| World::of(objects).shown();
    assert_eq!(in_order([range.clone(), web(), endpoints.clone()]), served);
    assert_eq!(in_order([endpoints.clone(), web(), range.clone()]), served);

    let mut world = World::of([web(), endpoints]);
    assert_eq!(world.shown(), [""; 0]);
    assert_eq!(world.apply(range.clone()), [""; 0], "the ServiceCIDR itself is good");
    let reread = |world: &mut World| world.cluster.take_reread().iter().map(ToString::to_string).collect::<Vec<_>>();
    let told = reread(&mut world);
    assert!(
        matches!(told.as_slice(), [one] if one.contains("externalIPs")),
        "an external IP is none the better: {told:?}"
    );
    world.sync();
    assert_eq!(world.shown(), served);

    world.delete(Kind::ServiceCidr, "", "kubernetes");
    world.sync();
    assert_eq!(world.shown(), [""; 0]);
    assert!(reread(&mut world).iter().any(|line| line.contains("`169.254.30.1` is a link-local address")));
    assert!(world.findings().iter().any(|line| line.contains("`169.254.30.1` is a link-local address")));
    world.apply(service_cidr("kubernetes", &["169.254.31.0/24"]));
    world.sync();
    assert_eq!(world.shown(), [""; 0], "another range");
    world.change(range);
    assert_eq!(world.shown(), served);

    world.delete(Kind::Service, "a", "web");
    world.change(service_cidr("kubernetes", &["169.254.0.0/16"]));
    assert_eq!(world.shown(), [""; 0], "a deleted Service stays so");
    let told = world.apply(slice("w", "a/web", &["169.254.30.9"]));
    assert!(matches!(told.as_slice(), [one] if one.contains("link-local")), "an endpoint is none the better: {told:?}");
}
