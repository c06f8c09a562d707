//! The final state depends on the objects that are there, never on how they came: any history that ends with the same
//! objects ends with the same programmed state.

use proptest::prelude::*;

use super::*;
use crate::{
    addr::Family,
    desired::NodePolicy,
    model::{DetectLocal, HealthCheck},
};

/// One thing that happens to the cluster.
#[derive(Debug, Clone)]
enum Step {
    Apply(Value),
    Delete(ObjectRef),
    Sync,
}

fn pick<T: Clone + std::fmt::Debug + 'static>(all: &[T]) -> impl Strategy<Value = T> + use<T> {
    proptest::sample::select(all.to_vec())
}

/// Services that meet on few addresses, so that conflicts are frequent.
fn any_service() -> impl Strategy<Value = Value> {
    let identity = (0..4_usize, pick(&["", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]));
    let cluster_ips = pick(&[&["10.96.0.0", "fd00::1"][..], &["10.96.0.1"], &["10.96.0.2"], &["fd00::2"]]);
    let external_ips = pick(&[&[][..], &["10.96.0.1"], &["10.96.0.1", "192.0.2.2"], &["fd00::1", "192.0.2.0"]]);
    let addresses = (cluster_ips, external_ips, pick(&["192.0.2.0", "192.0.2.1", "192.0.2.2"]), pick(&[0, 80]));
    let policy = || pick(&["Cluster", "Local"]);
    let ranges = pick(&[
        &[][..],
        &["192.0.2.0/24"],
        &["0.0.0.0/0"],
        &["fd02::/16", "10.0.0.0/8"],
        &["10.96.0.1/32", "192.0.2.0/31", "192.0.2.1/32"],
    ]);
    let settings =
        (pick(&["ClusterIP", "NodePort", "LoadBalancer"]), policy(), policy(), pick(&["None", "ClientIP"]), ranges);
    (identity, addresses, settings).prop_map(
        |(
            (name, age),
            (cluster_ips, external_ips, balanced, node_port),
            (type_, internal, external, affinity, ranges),
        )| {
            let more = json!({
                "type": type_, "clusterIPs": cluster_ips, "externalIPs": external_ips,
                "internalTrafficPolicy": internal, "externalTrafficPolicy": external, "sessionAffinity": affinity,
                "loadBalancerSourceRanges": ranges, "healthCheckNodePort": 30000 + name,
                "ports": [
                    {"name": "a", "port": 80, "nodePort": node_port},
                    {"name": "b", "port": 53, "protocol": "UDP", "nodePort": 80},
                ],
            });
            let mut service = balancer(&format!("ns/s{name}"), "", &[balanced], more);
            service["metadata"]["creationTimestamp"] = json!(age);
            service
        },
    )
}

fn any_slice() -> impl Strategy<Value = Value> {
    let v4 = pick(&[
        "10.0.0.1",
        "10.0.0.1 down",
        "10.0.0.2*",
        "10.0.0.2 ending",
        "10.0.0.2 zones=a",
        "10.0.0.3 zones=a,b nodes=node-a",
        "10.0.0.4* zones=b nodes=node-b",
        "10.0.0.5* ending",
    ]);
    let v6 = pick(&["fd01::1", "fd01::2*", "fd01::2 zones=a", "fd01::3 ending", "fd01::4 zones=b nodes=node-a"]);
    let endpoints = prop_oneof![proptest::collection::vec(v4, 0..3), proptest::collection::vec(v6, 0..3)];
    let a = json!({"name": "a", "port": 8080});
    let b = json!({"name": "b", "port": 5353, "protocol": "UDP"});
    let ports = pick(&[json!([a, b]), json!([a]), json!([b])]);
    (0..5_usize, 0..5_usize, endpoints, ports).prop_map(|(name, service, endpoints, ports)| {
        let mut slice = slice(&format!("e{name}"), &format!("ns/s{service}"), &endpoints);
        slice["ports"] = ports;
        slice
    })
}

fn any_node() -> impl Strategy<Value = Value> {
    let addresses = pick(&[&["192.0.2.1"][..], &["192.0.2.2", "fd02::1"], &["10.96.0.1"], &["fd02::2"], &[]]);
    (addresses, pick(&["", "a", "b", "c"]), pick(&[&[][..], &["10.0.0.0/24"], &["10.0.1.0/24", "fd01::/64"]])).prop_map(
        |(addresses, zone, pod_cidrs)| {
            let mut node = in_zone(zone, node(addresses));
            node["spec"] = json!({"podCIDRs": pod_cidrs});
            node
        },
    )
}

fn any_service_cidr() -> impl Strategy<Value = Value> {
    let cidrs = pick(&[&["10.96.0.0/16"][..], &["10.96.0.0/16", "fd00::/112"], &["10.97.0.0/16"], &[]]);
    (0..3_usize, cidrs).prop_map(|(name, cidrs)| service_cidr(&format!("c{name}"), cidrs))
}

fn any_config() -> impl Strategy<Value = NodeConfig> {
    let cidrs = |text: &str| NodePortAddresses::within(vec![text.parse().unwrap()]);
    pick(&[NodePortAddresses::PRIMARY, cidrs("192.0.2.0/24"), cidrs("::/0"), cidrs("127.0.0.0/8")]).prop_map(
        |nodeport_addresses| NodeConfig {
            nodeport_addresses,
            detect_local: DetectLocal::NodeCidr,
            ..NodeConfig::of("node-a")
        },
    )
}

fn any_step() -> impl Strategy<Value = Step> {
    let any_object = || prop_oneof![8 => any_service(), 8 => any_slice(), 2 => any_node(), 1 => any_service_cidr()];
    prop_oneof![
        6 => any_object().prop_map(Step::Apply),
        2 => any_object().prop_map(|value| Step::Delete(object(value).reference())),
        2 => Just(Step::Sync),
    ]
}

/// Runs a history, and keeps the objects that are there at its end.
fn run(config: &NodeConfig, steps: &[Step]) -> (World, BTreeMap<ObjectRef, Value>) {
    let mut world = World::with(config.clone());
    let mut left = BTreeMap::new();
    for step in steps {
        match step {
            Step::Apply(value) => {
                world.apply(value.clone());
                left.insert(object(value.clone()).reference(), value.clone());
            }
            Step::Delete(reference) => {
                world.cluster.delete(reference);
                left.remove(reference);
            }
            Step::Sync => drop(world.sync()),
        }
    }
    world.sync();
    (world, left)
}

/// Everything that others are told of a world.
fn state(world: &World) -> (Vec<String>, Vec<DesiredPort>, String, Vec<String>, NodePolicy, Vec<HealthCheck>) {
    let ports = world.programmed.values().cloned().collect();
    let listened = format!("{:?}", world.listened);
    (world.shown(), ports, listened, world.findings(), world.cluster.policy(), world.cluster.health_checks())
}

/// What every backend relies on ([`DesiredPort`]).
fn check(world: &World) -> Result<(), TestCaseError> {
    let mut vips = Vec::new();
    for (id, port) in &world.programmed {
        prop_assert_eq!((&*id.name, id.family), (&port.name, port.family));
        vips.extend(port.frontends.iter().map(|frontend| frontend.vip));
        prop_assert!(port.frontends.is_sorted_by(|a, b| a.vip < b.vip) && !port.frontends.is_empty());
        for list in [&port.endpoints, &port.local_endpoints] {
            prop_assert!(list.is_sorted_by(|a, b| (a.addr, a.port) < (b.addr, b.port)));
        }
        let is_local = |endpoint: &Endpoint| endpoint.local;
        prop_assert!(port.local_endpoints.iter().all(is_local));
        prop_assert!(port.local_endpoints.is_empty() || !port.endpoints.is_empty());
        let restricted = port.frontends.iter().any(|frontend| frontend.restricted);
        prop_assert_eq!(port.sources.is_empty(), !restricted);
        prop_assert_eq!(&ipnet::IpNet::aggregate(&port.sources), &port.sources);
        let addrs = port.frontends.iter().map(|frontend| frontend.vip.addr);
        let addrs = addrs.chain(port.endpoints.iter().chain(&port.local_endpoints).map(|endpoint| endpoint.addr));
        let mut addrs = addrs.chain(port.sources.iter().map(ipnet::IpNet::addr));
        prop_assert!(addrs.all(|addr| Family::of(addr) == port.family));
    }
    // Every VIP leads to one ServicePort.
    let count = vips.len();
    vips.sort_unstable();
    vips.dedup();
    prop_assert_eq!(vips.len(), count);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_end_does_not_depend_on_the_way(
        (config, steps, shuffled) in (any_config(), proptest::collection::vec(any_step(), 0..40))
            .prop_flat_map(|(config, steps)| {
                let left: Vec<Value> = run(&config, &steps).1.into_values().collect();
                (Just(config), Just(steps), Just(left).prop_shuffle())
            }),
    ) {
        let (mut world, left) = run(&config, &steps);
        let mut fresh = World::with(config.clone());
        shuffled.iter().for_each(|value| drop(fresh.apply(value.clone())));
        fresh.sync();
        prop_assert_eq!(state(&world), state(&fresh));
        check(&world)?;

        // The same objects again: nothing to do, nothing new to say.
        for value in &shuffled {
            prop_assert_eq!(world.apply(value.clone()), Vec::<String>::new());
        }
        prop_assert_eq!(world.sync(), Vec::<String>::new());

        // Each object taken away and put back.
        for value in shuffled {
            fresh.cluster.delete(&object(value.clone()).reference());
            fresh.sync();
            fresh.change(value);
        }
        prop_assert_eq!(state(&world), state(&fresh));

        // All taken away: nothing is left.
        left.keys().for_each(|reference| world.cluster.delete(reference));
        world.sync();
        prop_assert_eq!(state(&world), state(&World::with(config)));
        prop_assert!(world.cluster.services.is_empty() && world.cluster.homes.is_empty());
    }
}
