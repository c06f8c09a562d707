//! The sync engine on the kernel in memory: what is sent for a change, what happens when the kernel refuses, forgets or
//! is changed by others.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what is wrong by failing"
)]

use std::collections::BTreeMap;

use portolan_core::{
    addr::Family,
    desired::{DesiredPort, PortChange, PortId},
    object::{ApplyError, Backend, Cause, Dialect, Difference, SyncError, SyncReport, Syncer},
    testing::{Faults, MemoryKernel, Seed},
};
use portolan_nftables::{
    ChainName, Data, ElementKey, Key, Nft, SetName, Value,
    testing::{policy, port, random_change},
};

type Kernel = MemoryKernel<Nft>;

fn syncer(kernel: Kernel) -> Syncer<Kernel> {
    let mut syncer = Syncer::new(kernel);
    syncer.set_policy(&policy());
    syncer
}

fn change(desired: DesiredPort) -> PortChange {
    PortChange { id: id(&desired), desired: Some(desired) }
}

fn id(desired: &DesiredPort) -> PortId {
    PortId { name: desired.name.clone(), family: desired.family }
}

fn gone(desired: &DesiredPort) -> PortChange {
    PortChange { id: id(desired), desired: None }
}

/// What a fresh start would program for these ServicePorts.
fn fresh(ports: &BTreeMap<PortId, DesiredPort>) -> BTreeMap<Key, Value> {
    let mut syncer = syncer(Kernel::new());
    ports.values().cloned().for_each(|port| syncer.update(&change(port)));
    syncer.sync().unwrap();
    syncer.backend().objects().clone()
}

fn differences(live: &BTreeMap<Key, Value>, wanted: &BTreeMap<Key, Value>) -> Vec<String> {
    let keys: std::collections::BTreeSet<_> = live.keys().chain(wanted.keys()).collect();
    let differ = keys.into_iter().filter(|key| live.get(key) != wanted.get(key));
    differ.map(|key| format!("{key}: {:?} instead of {:?}", live.get(key), wanted.get(key))).collect()
}

/// A `pick` chain that nobody needs any more may stay.
fn without_unused_picks(objects: &BTreeMap<Key, Value>) -> BTreeMap<Key, Value> {
    let used = |key: &Key, chain: &ChainName| {
        objects.iter().any(|(element, value)| {
            element.family() == key.family() && matches!(value, Value::Element(Data::Goto(to), _) if to == chain)
        })
    };
    objects
        .iter()
        .filter(|(key, _)| match key {
            Key::Chain(_, chain @ ChainName::Pick(_)) | Key::Rules(_, chain @ ChainName::Pick(_)) => used(key, chain),
            _ => true,
        })
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

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
            for gate in before.keys().filter(|key| Nft::rank(key) == portolan_core::object::Rank::Gate) {
                let Key::Element(family, _, vip) = gate else { panic!() };
                assert!(leads_somewhere(kernel.objects(), *family, *vip), "{gate} after {batch:?}");
            }
        }
    }
}

/// Whether a packet that has passed the gate finds an endpoint.
fn leads_somewhere(objects: &BTreeMap<Key, Value>, family: Family, vip: ElementKey) -> bool {
    let in_set = |set| {
        objects.keys().any(|key| {
            matches!(key, Key::Element(of, in_set, element)
                if *of == family && *in_set == set && element.as_slice().starts_with(vip.as_slice()))
        })
    };
    (1..=4).any(|count| in_set(SetName::Direct(count))) || in_set(SetName::ServicesLarge) && in_set(SetName::Endpoints)
}

#[test]
fn whatever_goes_wrong_the_end_is_the_same() {
    for number in 0..300 {
        let faults = Faults { forget: 6, edit: 6, lose_notification: 3 };
        let mut syncer = syncer(Kernel::with_faults(faults, number));
        let mut seed = Seed::new(number);
        let mut ports = BTreeMap::new();
        for _ in 0..40 {
            let change = random_change(&mut seed);
            match &change.desired {
                Some(desired) => ports.insert(change.id.clone(), desired.clone()),
                None => ports.remove(&change.id),
            };
            syncer.update(&change);
            if seed.one_in(2) {
                // May fail for now: others edit faster than we write.
                let _ = syncer.sync();
            }
        }
        syncer.backend_mut().behave();
        syncer.resync().unwrap();
        let live = without_unused_picks(syncer.backend().objects());
        assert_eq!(differences(&live, &fresh(&ports)), [""; 0], "seed {number}");
        assert_eq!(syncer.resync().unwrap().operations, 0, "seed {number}");
    }
}

#[test]
fn a_refused_service_port_is_set_aside_and_the_others_go_through() {
    let (good, bad) = (port(1, Family::V4, 2), port(2, Family::V4, 2));
    let mut syncer = syncer(Kernel::new());
    syncer.update(&change(bad.clone()));
    syncer.sync().unwrap();
    let last_good = syncer.backend().objects().clone();

    let worse = DesiredPort { endpoints: port(2, Family::V4, 3).endpoints, ..bad.clone() };
    let refused = Key::Element(Family::V4, SetName::Direct(3), ElementKey::slot(bad.frontends[0].vip, 1));
    syncer.backend_mut().refuse(refused);
    syncer.update(&change(worse.clone()));
    syncer.update(&change(good.clone()));
    let report = syncer.sync().unwrap();
    assert_eq!(report.quarantined.len(), 1);
    assert_eq!(report.quarantined[0].port, id(&bad));
    assert_eq!(report.quarantined[0].cause, Cause::Other("refused by the test".into()));

    // What was last good for the bad one stays, and the good one is there.
    let objects = syncer.backend().objects();
    assert!(last_good.iter().all(|(key, value)| objects.get(key) == Some(value)));
    assert!(leads_somewhere(objects, Family::V4, ElementKey::vip(good.frontends[0].vip)));

    // It is tried again at the next resync, and goes through once the kernel takes it.
    assert_eq!(syncer.resync().unwrap().quarantined.len(), 1);
    syncer.backend_mut().accept_all();
    assert_eq!(syncer.resync().unwrap().quarantined, []);
    let ports = [good, worse].map(|port| (id(&port), port)).into();
    assert_eq!(*syncer.backend().objects(), fresh(&ports));
}

#[test]
fn what_is_left_of_a_service_port_stays_when_its_repair_is_refused() {
    let mut syncer = syncer(Kernel::new());
    let whole = port(1, Family::V4, 2);
    syncer.update(&change(whole.clone()));
    syncer.sync().unwrap();
    let wanted = syncer.backend().objects().clone();
    let slot = Key::Element(Family::V4, SetName::Direct(2), ElementKey::slot(whole.frontends[0].vip, 1));
    syncer.backend_mut().refuse(slot.clone());
    syncer.backend_mut().edit(|objects| drop(objects.remove(&slot)));
    let report = syncer.check().unwrap();
    assert_eq!(report.quarantined.len(), 1);
    assert_eq!(syncer.backend().objects().len(), wanted.len() - 1);
    assert_eq!(syncer.sync().unwrap(), SyncReport::default());
    assert_eq!(syncer.resync().unwrap().quarantined.len(), 1, "tried again");
    syncer.backend_mut().accept_all();
    syncer.resync().unwrap();
    assert_eq!(*syncer.backend().objects(), wanted);
}

#[test]
fn a_service_port_that_is_too_large_is_set_aside_and_the_others_go_through() {
    let mut kernel = Kernel::new();
    kernel.set_batch_bytes(200_000);
    let mut syncer = syncer(kernel);
    syncer.sync().unwrap();
    syncer.update(&change(port(1, Family::V4, 3000)));
    for number in 2..12 {
        syncer.update(&change(port(number, Family::V4, 50)));
    }
    let report = syncer.sync().unwrap();
    assert_eq!(report.quarantined.len(), 1);
    assert_eq!(report.quarantined[0].port, id(&port(1, Family::V4, 3000)));
    let ports = (2..12).map(|number| port(number, Family::V4, 50)).map(|port| (id(&port), port)).collect();
    assert_eq!(*syncer.backend().objects(), fresh(&ports));
}

#[test]
fn a_refused_base_is_an_error_that_names_the_object() {
    let mut kernel = Kernel::new();
    kernel.refuse(Key::Chain(Family::V6, ChainName::Services));
    let error = syncer(kernel).sync().unwrap_err();
    assert!(matches!(&error, SyncError::Base { .. }));
    assert!(error.to_string().contains("chain services in table ip6 portolan"), "{error}");
}

#[test]
fn an_overflowing_set_is_counted_beforehand_and_the_table_rebuilt_larger() {
    let mut syncer = syncer(Kernel::new());
    syncer.sync().unwrap();
    syncer.backend_mut().edit(|objects| {
        objects.insert(Key::Set(Family::V4, SetName::Services), Value::Set { size: 10 });
    });
    syncer.resync().unwrap();
    for number in 0..10 {
        syncer.update(&change(port(number * 3 + 1, Family::V4, 1)));
    }
    syncer.sync().unwrap();
    assert_eq!(live_size(&syncer), 10, "a set that is large enough stays");

    syncer.update(&change(port(100, Family::V4, 1)));
    let report = syncer.sync().unwrap();
    assert_eq!(report.batches, 1);
    assert!(live_size(&syncer) > 10);
    assert_eq!(report.quarantined, []);
}

fn live_size(syncer: &Syncer<Kernel>) -> u32 {
    match syncer.backend().objects().get(&Key::Set(Family::V4, SetName::Services)) {
        Some(Value::Set { size }) => *size,
        other => panic!("{other:?}"),
    }
}

#[test]
fn drift_is_repaired_and_named() {
    let mut syncer = syncer(Kernel::new());
    let kept = port(1, Family::V4, 2);
    syncer.update(&change(kept.clone()));
    syncer.sync().unwrap();
    let wanted = syncer.backend().objects().clone();
    let gate = Key::Element(Family::V4, SetName::Services, ElementKey::vip(kept.frontends[0].vip));
    let foreign = Key::Chain(Family::V4, ChainName::Foreign("mine".into()));
    syncer.backend_mut().edit(|objects| {
        objects.remove(&gate);
        objects.insert(foreign.clone(), Value::Chain(None));
    });
    let report = syncer.resync().unwrap();
    let drift: Vec<_> = report.drift.iter().map(|drift| (drift.object.clone(), drift.difference)).collect();
    assert_eq!(drift, [(gate.to_string(), Difference::Missing), (foreign.to_string(), Difference::Unwanted),]);
    assert_eq!(*syncer.backend().objects(), wanted);
}

#[test]
fn what_cannot_be_removed_is_left_and_named_and_everything_else_goes_on() {
    let mut syncer = syncer(Kernel::new());
    let gone_port = port(1, Family::V4, 2);
    syncer.update(&change(gone_port.clone()));
    syncer.sync().unwrap();
    let mine = Key::Chain(Family::V4, ChainName::Foreign("mine".into()));
    syncer.backend_mut().edit(|objects| {
        objects.insert(mine.clone(), Value::Chain(None));
    });
    syncer.backend_mut().refuse(mine.clone());
    syncer.update(&gone(&gone_port));
    let report = syncer.check().unwrap();
    assert_eq!(report.stuck.len(), 1);
    assert_eq!(report.stuck[0].object, mine.to_string());
    assert_eq!(syncer.sync().unwrap(), SyncReport::default(), "said once");
    let left: Vec<_> = syncer.backend().objects().keys().filter(|key| matches!(key, Key::Element(..))).collect();
    assert_eq!(left, Vec::<&Key>::new());

    syncer.backend_mut().accept_all();
    syncer.backend_mut().edit(|_| {});
    syncer.check().unwrap();
    assert!(!syncer.backend().objects().contains_key(&mine));
}

#[test]
fn an_edit_that_nobody_was_told_of_is_found_when_the_sync_ends() {
    let mut syncer = syncer(Kernel::with_faults(Faults { lose_notification: 1, edit: 1, forget: 0 }, 7));
    syncer.sync().ok();
    syncer.backend_mut().behave();
    syncer.update(&change(port(1, Family::V4, 2)));
    syncer.sync().unwrap();
    let ports = [port(1, Family::V4, 2)].map(|port| (id(&port), port)).into();
    assert_eq!(*syncer.backend().objects(), fresh(&ports));
}

#[test]
fn where_nothing_may_be_rebuilt_what_does_not_fit_waits_whole() {
    let mut first = syncer(Kernel::new());
    first.sync().unwrap();
    let mut kernel = Kernel::new();
    kernel.edit(|objects| {
        objects.clone_from(first.backend().objects());
        objects.insert(Key::Set(Family::V4, SetName::Direct(2)), Value::Set { size: 3 });
    });
    let mut second = syncer(kernel);
    second.set_additions_only(true);
    second.update(&change(port(1, Family::V4, 2)));
    second.update(&change(port(2, Family::V4, 2)));
    second.update(&change(port(4, Family::V4, 1)));
    let report = second.sync().unwrap();
    assert_eq!(report.quarantined, []);
    let objects = second.backend().objects();
    let gate = |number| Key::Element(Family::V4, SetName::Services, ElementKey::vip(vip(number)));
    assert_eq!([1, 2, 4].map(|number| objects.contains_key(&gate(number))), [false, false, true]);

    second.set_additions_only(false);
    second.sync().unwrap();
    let ports = [(1, 2), (2, 2), (4, 1)].map(|(number, count)| port(number, Family::V4, count));
    assert_eq!(
        without_sizes(second.backend().objects()),
        without_sizes(&fresh(&ports.map(|port| (id(&port), port)).into()))
    );
}

fn vip(number: u16) -> portolan_core::desired::Vip {
    port(number, Family::V4, 0).frontends[0].vip
}

fn without_sizes(objects: &BTreeMap<Key, Value>) -> BTreeMap<Key, Value> {
    let same_size = |value: &Value| if let Value::Set { .. } = value { Value::Set { size: 0 } } else { value.clone() };
    objects.iter().map(|(key, value)| (key.clone(), same_size(value))).collect()
}

#[test]
fn while_not_everything_is_known_nothing_is_changed_or_removed() {
    let mut first = syncer(Kernel::new());
    let (one, two) = (port(1, Family::V4, 2), port(2, Family::V4, 2));
    first.update(&change(one));
    first.update(&change(two));
    first.sync().unwrap();
    let mut kernel = Kernel::new();
    kernel.edit(|objects| objects.clone_from(first.backend().objects()));
    let before = kernel.objects().clone();

    let mut second = syncer(kernel);
    second.set_additions_only(true);
    second.update(&change(port(1, Family::V4, 1)));
    second.update(&change(port(5, Family::V4, 1)));
    second.sync().unwrap();
    let objects = second.backend().objects();
    assert!(before.iter().all(|(key, value)| objects.get(key) == Some(value)));
    assert!(leads_somewhere(objects, Family::V4, ElementKey::vip(port(5, Family::V4, 1).frontends[0].vip)));

    second.set_additions_only(false);
    second.sync().unwrap();
    let ports = [port(1, Family::V4, 1), port(5, Family::V4, 1)].map(|port| (id(&port), port)).into();
    assert_eq!(*second.backend().objects(), fresh(&ports));
}

#[test]
fn unused_pick_chains_stay_until_the_kernel_is_observed_again() {
    let mut syncer = syncer(Kernel::new());
    let large = port(1, Family::V4, 6);
    syncer.update(&change(large.clone()));
    syncer.sync().unwrap();
    syncer.update(&gone(&large));
    syncer.sync().unwrap();
    let pick = Key::Chain(Family::V4, ChainName::Pick(6));
    assert!(syncer.backend().objects().contains_key(&pick));
    assert_eq!(syncer.diff().unwrap().ops().count(), 0, "no drift");
    assert_eq!(syncer.sync().unwrap().operations, 0);
    syncer.backend_mut().edit(|_| {});
    syncer.resync().unwrap();
    assert!(!syncer.backend().objects().contains_key(&pick));
}

#[test]
fn the_kernel_in_memory_keeps_the_rules() {
    let mut kernel = Kernel::new();
    let refusal = kernel.commit(&[portolan_core::object::Op::Remove(Key::Table(Family::V4))]).unwrap_err();
    assert_eq!((refusal.op, refusal.cause), (Some(0), Cause::Missing));
    let mut syncer = syncer(kernel);
    syncer.sync().unwrap();
    let set = Key::Set(Family::V4, SetName::Services);
    let busy = syncer.backend_mut().commit(&[portolan_core::object::Op::Remove(set)]).unwrap_err();
    assert_eq!(busy.cause, Cause::Busy);
    let batch = portolan_core::object::Batch { ops: vec![portolan_core::object::Op::Remove(Key::Table(Family::V6))] };
    syncer.backend_mut().edit(|objects| objects.clear());
    assert!(matches!(syncer.backend_mut().apply(&batch), Err(ApplyError::Moved)));
}
