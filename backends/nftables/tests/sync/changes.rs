//! What is sent for a change, and in which order.

use super::*;

#[test]
fn one_changed_service_port_is_rendered_alone_and_only_its_difference_is_sent() {
    let mut syncer = syncer(Kernel::new());
    for number in 0..100 {
        syncer.update(&change(port(number, Family::V4, 2)));
    }
    syncer.sync().unwrap();
    let before = syncer.stats();

    // Number 1 has a cluster IP only: from 2 to 3 endpoints is 3 slots more, then 2 fewer in a later batch.
    syncer.update(&change(port(1, Family::V4, 3)));
    let report = syncer.sync().unwrap();
    let after = syncer.stats();
    assert_eq!(after.rendered - before.rendered, 1);
    assert_eq!(after.observations, before.observations);
    assert_eq!((report.batches, report.operations), (2, 5));

    syncer.update(&change(port(1, Family::V4, 3)));
    assert_eq!(syncer.sync().unwrap().operations, 0);
}

#[test]
fn a_restart_adopts_what_is_there_and_writes_nothing() {
    let mut first = syncer(Kernel::new());
    for number in 0..20 {
        for family in Family::ALL {
            first.update(&change(port(number, family, number % 8)));
        }
    }
    first.sync().unwrap();
    let mut kernel = Kernel::new();
    kernel.edit(|objects| objects.clone_from(first.backend().objects()));

    let mut second = syncer(kernel);
    for number in (0..20).rev() {
        for family in Family::ALL {
            second.update(&change(port(number, family, number % 8)));
        }
    }
    let report = second.sync().unwrap();
    assert_eq!((report.batches, report.drift), (0, vec![]));
}

#[test]
fn packets_never_meet_a_half_made_service() {
    for seed in 0..200 {
        let mut seed = Seed::new(seed);
        let mut syncer = syncer(Kernel::new());
        for _ in 0..20 {
            syncer.update(&random_change(&mut seed));
            syncer.sync().unwrap();
        }
        syncer.update(&random_change(&mut seed));
        syncer.update(&random_change(&mut seed));
        let plan = syncer.diff().unwrap();
        let mut kernel = Kernel::new();
        kernel.edit(|objects| objects.clone_from(syncer.backend().objects()));
        for batch in plan.batches {
            let before = kernel.objects().clone();
            kernel.commit(&batch.ops).unwrap();
            // Lookups of one packet may straddle the commit: what it found at the gate before must be found after.
            for gate in before.keys().filter(|key| Nft::rank(key) == Rank::Gate) {
                let Key::Element(family, _, vip) = gate else { panic!() };
                assert!(leads_somewhere(kernel.objects(), *family, *vip), "{gate} after {batch:?}");
            }
        }
    }
}

#[test]
fn unused_pick_chains_stay_until_the_kernel_is_observed_again() {
    let mut syncer = syncer(Kernel::new());
    let large = port(1, Family::V4, 6);
    syncer.update(&change(large.clone()));
    syncer.sync().unwrap();
    syncer.update(&gone(&large));
    syncer.sync().unwrap();
    let pick = Key::Chain(Family::V4, ChainName::Pick(Scope::Vip, 6));
    assert!(syncer.backend().objects().contains_key(&pick));
    assert_eq!(syncer.diff().unwrap().ops().count(), 0, "no drift");
    assert_eq!(syncer.sync().unwrap().operations, 0);
    syncer.backend_mut().edit(|_| {});
    syncer.resync().unwrap();
    assert!(!syncer.backend().objects().contains_key(&pick));
}

/// A packet enters a chain with the rules of the generation that it met first, and looks elements up in the newest.
#[test]
fn a_chain_is_there_a_commit_before_anything_leads_to_it() {
    let mut syncer = syncer(Kernel::new());
    syncer.update(&change(port(1, Family::V4, 1)));
    syncer.sync().unwrap();
    for count in [5, 6, 7] {
        syncer.update(&change(port(1, Family::V4, count)));
        let plan = syncer.diff().unwrap();
        let made = |key: &Key| matches!(key, Key::Chain(_, ChainName::Pick(..)));
        let led = |key: &Key| matches!(key, Key::Element(_, SetName::Large(_), _));
        let batch =
            |found: &dyn Fn(&Key) -> bool| plan.batches.iter().position(|b| b.ops.iter().any(|op| found(op.key())));
        assert!(batch(&made).unwrap() < batch(&led).unwrap(), "{plan:?}");
        syncer.sync().unwrap();
    }
}

/// Where a new table takes several commits, packets meet it from the first one on.
#[test]
fn the_chains_of_a_new_table_come_first_unless_it_is_whole_after_one_commit() {
    let mut syncer = syncer(Kernel::new());
    (0..20).for_each(|number| syncer.update(&change(port(number, Family::V4, 6))));
    let is_element = |op: &Op<Nft>| Nft::rank(op.key()) > Rank::Rules;
    let limits = Limits { bytes: 4096, rebuilds_in_parts: false, ports: usize::MAX, additions_only: false };
    let plan = Plan::new(syncer.tracker(), limits, |_| true);
    let last_chain = plan.batches.iter().rposition(|batch| !batch.ops.iter().all(is_element));
    let first_element = plan.batches.iter().position(|batch| batch.ops.iter().any(is_element));
    assert!(last_chain < first_element && plan.batches.len() > 2, "{plan:?}");
    assert_eq!(syncer.diff().unwrap().batches.len(), 1);
}
