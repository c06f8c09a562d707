//! The final state depends on the objects that are there, never on how they came: any history that ends with the same
//! objects ends with the same programmed state.

use proptest::prelude::*;

use super::*;

/// One thing that happens to the cluster.
#[derive(Debug, Clone)]
enum Step {
    Apply(Value),
    Delete(ObjectRef),
    Sync,
}

/// Services that meet on few addresses, so that conflicts are frequent.
fn any_service() -> impl Strategy<Value = Value> {
    let few = |count: usize| 0..count;
    (few(4), few(3), few(4), few(3), few(3), any::<bool>()).prop_map(
        |(name, ip, external, balancer, age, node_port)| {
            let mut cluster_ips = vec![format!("10.96.0.{ip}")];
            if ip == 0 {
                cluster_ips.push("fd00::1".to_owned());
            }
            let external: Vec<String> = (1..external).map(|i| format!("10.96.0.{i}")).collect();
            let more = json!({
                "clusterIPs": cluster_ips,
                "externalIPs": external,
                "ports": [
                    {"name": "a", "port": 80, "nodePort": if node_port { 80 } else { 0 }},
                    {"name": "b", "port": 53 + balancer, "protocol": "UDP", "nodePort": 80},
                ],
            });
            let mut service = service(&format!("ns/s{name}"), "", more);
            service["metadata"]["creationTimestamp"] =
                json!(["", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"].get(age));
            service["status"] = json!({"loadBalancer": {"ingress": [{"ip": format!("192.0.2.{balancer}")}]}});
            service
        },
    )
}

fn any_slice() -> impl Strategy<Value = Value> {
    let endpoints = proptest::collection::vec(0..4_usize, 0..3);
    (0..5_usize, 0..5_usize, endpoints, any::<bool>()).prop_map(|(name, service, endpoints, v6)| {
        let all = if v6 {
            ["fd01::1", "fd01::2*", "fd01::3", "fd01::2"]
        } else {
            ["10.0.0.1", "10.0.0.2*", "10.0.0.3", "10.0.0.2"]
        };
        let endpoints: Vec<&str> = endpoints.into_iter().map(|i| all[i]).collect();
        let mut slice = slice(&format!("e{name}"), &format!("ns/s{service}"), &endpoints);
        slice["ports"] = json!([{"name": "a", "port": 8080}, {"name": "b", "port": 5353, "protocol": "UDP"}]);
        slice
    })
}

fn any_node() -> impl Strategy<Value = Value> {
    proptest::sample::select(vec![
        node(&["192.0.2.1"]),
        node(&["192.0.2.2", "fd02::1"]),
        node(&["10.96.0.1"]),
        node(&[]),
    ])
}

fn any_step() -> impl Strategy<Value = Step> {
    let any_object = || prop_oneof![4 => any_service(), 4 => any_slice(), 1 => any_node()];
    prop_oneof![
        6 => any_object().prop_map(Step::Apply),
        2 => any_object().prop_map(|value| Step::Delete(object(value).reference())),
        2 => Just(Step::Sync),
    ]
}

/// Runs a history, and keeps the objects that are there at its end.
fn run(steps: &[Step]) -> (World, BTreeMap<ObjectRef, Value>) {
    let mut world = World::new(NodePortAddresses::Primary);
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_end_does_not_depend_on_the_way(
        (steps, shuffled) in proptest::collection::vec(any_step(), 0..40).prop_flat_map(|steps| {
            let left: Vec<Value> = run(&steps).1.into_values().collect();
            (Just(steps), Just(left).prop_shuffle())
        }),
    ) {
        let (mut world, _) = run(&steps);
        let mut fresh = World::of(shuffled.clone());
        prop_assert_eq!(world.shown(), fresh.shown());
        prop_assert_eq!(&world.programmed, &fresh.programmed);
        prop_assert_eq!(world.findings(), fresh.findings());

        // The same objects again: nothing to do, nothing new to say.
        for value in &shuffled {
            prop_assert_eq!(world.apply(value.clone()), Vec::<String>::new());
        }
        prop_assert_eq!(world.sync(), Vec::<String>::new());

        // Every VIP leads to one ServicePort.
        let mut vips: Vec<_> = world.programmed.values().flat_map(|port| port.frontends.iter().map(|f| f.vip)).collect();
        let count = vips.len();
        vips.sort_unstable();
        vips.dedup();
        prop_assert_eq!(vips.len(), count);

        // Each object taken away and put back.
        for value in shuffled {
            fresh.cluster.delete(&object(value.clone()).reference());
            fresh.sync();
            fresh.apply(value);
        }
        fresh.sync();
        prop_assert_eq!(&world.programmed, &fresh.programmed);

        // All taken away: nothing is left.
        let (_, left) = run(&steps);
        left.keys().for_each(|reference| world.cluster.delete(reference));
        world.sync();
        prop_assert!(world.programmed.is_empty() && world.cluster.services.is_empty() && world.cluster.homes.is_empty());
        prop_assert_eq!(world.findings(), Vec::<String>::new());
    }
}
