//! The random worlds: that they are nasty, and that the specification has one answer in each of them.

use std::collections::BTreeMap;

use portolan_specification::random::{history, packets, world};
use portolan_specification::*;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Nothing says in which order the API server lists its objects.
    #[test]
    fn the_order_of_the_objects_does_not_matter(world in world()) {
        let mut reversed = world.clone();
        reversed.services.reverse();
        reversed.slices.reverse();
        reversed.service_cidrs.reverse();
        for packet in packets(&world) {
            prop_assert_eq!(verdict(&world, &packet), verdict(&reversed, &packet), "{:?}", packet);
        }
    }

    /// A family sees only its own objects.
    #[test]
    fn the_families_are_independent(world in world()) {
        let mut ipv4_only = world.clone();
        ipv4_only.slices.retain(|slice| slice.address_type == AddressType::Ipv4);
        ipv4_only.services.retain(|service| service.ip_families != [Family::Ipv6]);
        ipv4_only.node.local.retain(|ip| ip.is_ipv4());
        for packet in packets(&world).into_iter().filter(|packet| packet.source.is_ipv4()) {
            prop_assert_eq!(verdict(&world, &packet), verdict(&ipv4_only, &packet), "{:?}", packet);
        }
    }

    /// The last change of an object is all that is left of it.
    #[test]
    fn a_history_may_be_told_twice(world in world(), history in history()) {
        let mut once = world;
        history.iter().for_each(|change| once.apply(change.clone()));
        let last = history.last().cloned().unwrap();
        let mut twice = once.clone();
        twice.apply(last);
        prop_assert_eq!(once, twice);
    }
}

#[test]
fn every_answer_is_found_often() {
    let mut runner = TestRunner::deterministic();
    let mut found: BTreeMap<&str, usize> = BTreeMap::new();
    let mut total = 0;
    for _ in 0..100 {
        let world = world().new_tree(&mut runner).unwrap().current();
        for packet in packets(&world) {
            total += 1;
            let answer = match verdict(&world, &packet) {
                Verdict::Rejected => "rejected",
                Verdict::Dropped => "dropped",
                Verdict::Untouched => "untouched",
                Verdict::SomeRefused(_) => "endpoints, some refused",
                Verdict::Endpoints(endpoints) => match endpoints.values().filter(|masqueraded| **masqueraded).count() {
                    0 => "endpoints, plain",
                    some if some == endpoints.len() => "endpoints, masqueraded",
                    _ => "endpoints, some masqueraded",
                },
            };
            *found.entry(answer).or_default() += 1;
        }
    }
    assert_eq!(found.len(), 7, "of {total}: {found:?}");
    assert!(found.values().all(|count| *count > 100), "of {total}: {found:?}");
}
