//! What other programs do in our tables, and what the kernel forgets.

use super::*;

#[test]
fn whatever_goes_wrong_the_end_is_the_same() {
    for manner in Manner::all() {
        for number in 0..50 {
            let faults = Faults { forget: 6, edit: 6, lose_notification: 3, hold_on: 0 };
            let mut syncer = syncer(Kernel::with_faults(manner, faults, number));
            if number % 2 == 0 {
                turns::give_way_after_each_batch(&mut syncer);
            }
            let mut seed = Seed::new(number);
            let mut ports = BTreeMap::new();
            for _ in 0..40 {
                let change = random_change(&mut seed);
                match &change.desired {
                    Some(desired) => ports.insert(change.id.clone(), desired.clone()),
                    None => ports.remove(&change.id),
                };
                syncer.update(&change);
                refuse_at_random(&mut syncer, &mut seed);
                if seed.one_in(2) {
                    syncer.set_contested(seed.one_in(2));
                    // May fail for now: others edit faster than we write.
                    let _ = syncer.sync();
                }
            }
            syncer.backend_mut().behave();
            syncer.backend_mut().accept_all();
            if syncer.resync().unwrap().unfinished {
                turns::syncs(&mut syncer);
            }
            let live = without_unused_picks(syncer.backend().objects());
            assert_eq!(differences(&live, &fresh(&ports)), [""; 0], "seed {number}, {manner:?}");
            assert_eq!(syncer.resync().unwrap().operations, 0, "seed {number}, {manner:?}");
        }
    }
}

/// Now and then the kernel takes something no more, or takes all again.
fn refuse_at_random(syncer: &mut Syncer<Kernel>, seed: &mut Seed) {
    let wanted: Vec<_> = syncer.tracker().all_wanted().map(|(key, _)| key.clone()).collect();
    if seed.one_in(4) {
        syncer.backend_mut().accept_all();
    }
    if seed.one_in(4)
        && let Some(key) = seed.pick(&wanted)
    {
        syncer.backend_mut().refuse(key.clone());
    }
}

#[test]
fn drift_is_repaired_and_named() {
    let mut syncer = syncer(Kernel::new());
    let kept = port(1, Family::V4, 2);
    syncer.update(&change(kept.clone()));
    syncer.sync().unwrap();
    let wanted = syncer.backend().objects().clone();
    let gate = Key::Element(Family::V4, SetName::Services(Scope::Vip), ElementKey::vip(kept.frontends[0].vip));
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
    let report = Dataplane::check(&mut syncer).unwrap();
    assert_eq!(report.stuck.len(), 1);
    assert_eq!(report.stuck[0].object, mine.to_string());
    assert_eq!(Dataplane::sync(&mut syncer).unwrap(), SyncReport::default(), "said once");
    assert_eq!(syncer.stats().stuck, 1, "and counted once");
    let left: Vec<_> = syncer.backend().objects().keys().filter(|key| matches!(key, Key::Element(..))).collect();
    assert_eq!(left, Vec::<&Key>::new());

    syncer.backend_mut().accept_all();
    syncer.backend_mut().edit(|_| {});
    syncer.check().unwrap();
    assert!(!syncer.backend().objects().contains_key(&mine));
}

#[test]
fn an_edit_that_nobody_was_told_of_is_found_when_the_sync_ends() {
    let mut syncer = syncer(Kernel::with_faults(
        Manner::TRANSACTION,
        Faults { lose_notification: 1, edit: 1, ..Faults::default() },
        7,
    ));
    syncer.sync().ok();
    syncer.backend_mut().behave();
    syncer.update(&change(port(1, Family::V4, 2)));
    syncer.sync().unwrap();
    let ports = [port(1, Family::V4, 2)].map(|port| (id(&port), port)).into();
    assert_eq!(*syncer.backend().objects(), fresh(&ports));
}

#[test]
fn while_others_keep_changing_ours_a_change_is_written_beside_what_they_did() {
    let mut syncer = syncer(Kernel::new());
    let (first, second) = (port(1, Family::V4, 2), port(2, Family::V4, 2));
    syncer.update(&change(first.clone()));
    syncer.sync().unwrap();
    let mine = Key::Chain(Family::V4, ChainName::Foreign("mine".into()));
    let foreign_chain = |syncer: &mut Syncer<Kernel>| {
        syncer.backend_mut().edit(|objects| drop(objects.insert(mine.clone(), Value::Chain(None))));
    };
    foreign_chain(&mut syncer);
    syncer.set_contested(true);
    syncer.update(&change(second.clone()));
    let (before, report) = (syncer.stats().observations, syncer.sync().unwrap());
    assert_eq!((syncer.stats().observations - before, report.drift.len()), (0, 0), "nobody looked");
    assert!(report.operations > 0 && syncer.backend().objects().contains_key(&mine));
    // What is to be removed is gone already, and what is to be added is there.
    let third = port(3, Family::V4, 2);
    let wanted = fresh(&[&first, &third].map(|port| (id(port), port.clone())).into());
    syncer.backend_mut().edit(|objects| {
        objects.retain(|key, _| !matches!(key, Key::Element(..)) || wanted.contains_key(key));
        objects.extend(wanted.clone());
    });
    syncer.update(&gone(&second));
    syncer.update(&change(third));
    syncer.sync().unwrap();
    assert_eq!(syncer.stats().observations, before, "nobody looked");
    // A look puts it right.
    assert_eq!(syncer.check().unwrap().drift.len(), 1);
    assert_eq!(differences(&without_unused_picks(syncer.backend().objects()), &wanted), [""; 0]);
}

#[test]
fn what_is_in_the_way_of_a_change_is_put_right_for_it() {
    let mut syncer = syncer(Kernel::new());
    syncer.sync().unwrap();
    syncer.backend_mut().edit(BTreeMap::clear);
    syncer.set_contested(true);
    let desired = port(1, Family::V4, 2);
    syncer.update(&change(desired.clone()));
    let report = syncer.sync().unwrap();
    assert!(!report.drift.is_empty() && report.quarantined.is_empty(), "{report:?}");
    assert_eq!(*syncer.backend().objects(), fresh(&[(id(&desired), desired)].into()));
}

/// Others that flush all the time are not followed for ever, also where a part can be written each time.
#[test]
fn a_sync_gives_up_on_others_that_do_not_stop() {
    let mut gave_up_after_writing = 0;
    for (contested, looks) in [(false, 8), (true, 2)] {
        for seed in 0..10 {
            let mut syncer =
                syncer(Kernel::with_faults(Manner::TRANSACTION, Faults { edit: 2, ..Faults::default() }, seed));
            syncer.backend_mut().set_batch_bytes(200_000);
            syncer.set_contested(contested);
            (0..400).for_each(|number| syncer.update(&change(port(number, Family::V4, 6))));
            let result = Dataplane::sync(&mut syncer);
            let stats = syncer.stats();
            assert_eq!(stats.failures, u64::from(result.is_err()), "seed {seed}");
            assert!(stats.observations <= looks, "seed {seed}: {stats:?}");
            let gave_up = matches!(result, Err(SyncError::Unsettled(moves)) if u64::from(moves) == looks);
            assert!(result.is_ok() || gave_up, "seed {seed}: {result:?}");
            gave_up_after_writing += u32::from(gave_up && stats.batches > 0);
        }
    }
    assert!(gave_up_after_writing > 0);
}

#[test]
fn the_kernel_in_memory_keeps_the_rules() {
    let mut kernel = Kernel::new();
    let refusal =
        kernel.commit(&[portolan_core::object::Op::Remove(Key::Table(Family::V4), Value::Table)]).unwrap_err();
    assert_eq!((refusal.op, refusal.cause), (Some(0), Cause::Missing));
    let mut syncer = syncer(kernel);
    syncer.sync().unwrap();
    let set = Key::Set(Family::V4, SetName::Services(Scope::Vip));
    let busy = syncer.backend_mut().commit(&[portolan_core::object::Op::Remove(set, Value::Table)]).unwrap_err();
    assert_eq!(busy.cause, Cause::Busy);
    let batch = portolan_core::object::Batch {
        ops: vec![portolan_core::object::Op::Remove(Key::Table(Family::V6), Value::Table)],
    };
    syncer.backend_mut().edit(|objects| objects.clear());
    assert!(matches!(syncer.backend_mut().apply(&batch), Err(ApplyError::Moved)));
}
