//! Syncs that give way, and what goes in first then.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use portolan_core::object::Moment;

use super::*;

/// More than any plan of these tests has batches.
const MANY: usize = 1000;

/// Has each turn be over after one batch: a clock goes on whenever it is asked.
pub(super) fn give_way_after_each_batch(syncer: &mut Syncer<Kernel>) {
    let asked = Arc::new(AtomicU64::new(0));
    let clock = move || Moment::after(Duration::from_millis(asked.fetch_add(1, Ordering::Relaxed)));
    syncer.give_way_after(Duration::from_millis(1), Box::new(clock));
}

/// Syncs until it is done; what the kernel held whenever it gave way, and the report at the end.
pub(super) fn syncs(syncer: &mut Syncer<Kernel>) -> (Vec<BTreeMap<Key, Value>>, SyncReport) {
    let mut seen = Vec::new();
    for _ in 0..MANY {
        let report = syncer.sync().unwrap();
        if !report.unfinished {
            return (seen, report);
        }
        assert_eq!(
            report,
            SyncReport { unfinished: true, ..SyncReport::default() },
            "what was done is told at the end"
        );
        seen.push(syncer.backend().objects().clone());
    }
    panic!("it does not come to its end");
}

fn gate(port: &DesiredPort) -> Key {
    Key::Element(port.family, SetName::Services(Scope::Vip), ElementKey::vip(port.frontends[0].vip))
}

#[test]
fn a_sync_that_gives_way_goes_on_and_removes_nothing_before_everything_is_added() {
    let mut syncer = syncer(Kernel::new());
    let before: Vec<_> = (0..20).map(|number| port(number, Family::V4, 2)).collect();
    before.iter().for_each(|port| syncer.update(&change(port.clone())));
    syncer.sync().unwrap();
    syncer.backend_mut().set_batch_bytes(4096);
    let stats = syncer.stats();

    give_way_after_each_batch(&mut syncer);
    before.iter().for_each(|port| syncer.update(&gone(port)));
    let after: Vec<_> = (20..40).map(|number| port(number, Family::V4, 2)).collect();
    after.iter().for_each(|port| syncer.update(&change(port.clone())));
    let (seen, report) = syncs(&mut syncer);
    assert!(seen.len() > 4, "it gave way {} times", seen.len());
    let has = |objects: &BTreeMap<Key, Value>, ports: &[DesiredPort]| {
        ports.iter().filter(|port| objects.contains_key(&gate(port))).count()
    };
    for objects in &seen {
        assert!(has(objects, &before) == before.len() || has(objects, &after) == after.len());
    }
    let done = syncer.stats();
    assert_eq!((report.batches, report.operations), (done.batches - stats.batches, done.operations - stats.operations));
    let wanted = after.into_iter().map(|port| (id(&port), port)).collect();
    assert_eq!(differences(&without_unused_picks(syncer.backend().objects()), &fresh(&wanted)), [""; 0]);
}

#[test]
fn a_change_does_not_wait_for_a_large_one_that_came_before() {
    let mut syncer = syncer(Kernel::new());
    syncer.update(&change(port(100, Family::V4, 2)));
    syncer.sync().unwrap();
    syncer.backend_mut().set_batch_bytes(4096);
    give_way_after_each_batch(&mut syncer);
    (0..20).for_each(|number| syncer.update(&change(port(number, Family::V4, 60))));
    assert!(syncer.sync().unwrap().unfinished);
    let small = port(50, Family::V4, 1);
    syncer.update(&change(small.clone()));
    let (seen, _) = syncs(&mut syncer);
    let went_in = seen.iter().position(|objects| objects.contains_key(&gate(&small))).unwrap();
    assert!(went_in <= 1 && seen.len() > 10, "{went_in} of {}", seen.len());
}

/// Others remove everything again and again, so that there is never time to make all of it anew: what changed goes in with what
/// all Services need, in a sync that looks at the kernel only afterwards.
#[test]
fn a_change_does_not_wait_for_the_repair_of_everything_else() {
    const ALL: u16 = 200;
    let mut syncer = syncer(Kernel::new());
    (0..ALL).for_each(|number| syncer.update(&change(port(number, Family::V4, 2))));
    syncer.sync().unwrap();
    // What every Service needs has 196,096 bytes.
    syncer.backend_mut().set_batch_bytes(200_000);
    syncer.set_contested(true);
    give_way_after_each_batch(&mut syncer);
    for number in ALL..ALL + 5 {
        syncer.backend_mut().edit(BTreeMap::clear);
        let new = port(number, Family::V4, 2);
        syncer.update(&change(new.clone()));
        assert!(syncer.has_new());
        let mut turns = 0;
        while syncer.has_new() {
            // It may give up for now: that others came again is what it finds each time.
            let _ = syncer.sync();
            turns += 1;
        }
        assert!(turns <= 2, "{turns} turns: the first may find out that others have come");
        assert!(syncer.backend().objects().contains_key(&gate(&new)));
        // Others come again before a repair has come to its end.
        syncer.backend_mut().edit(BTreeMap::clear);
        let _ = syncer.check();
    }
    syncer.set_contested(false);
    let _ = syncer.check().unwrap();
    syncs(&mut syncer);
    let all = (0..ALL + 5).map(|number| port(number, Family::V4, 2)).map(|port| (id(&port), port)).collect();
    assert_eq!(differences(&without_unused_picks(syncer.backend().objects()), &fresh(&all)), [""; 0]);
}

/// Without a turn of its own: only what is new and what it needs is written, and others' doings are looked at in the next sync,
/// which tells of them.
#[test]
fn what_is_new_goes_ahead_of_a_look_at_the_kernel() {
    let mut syncer = syncer(Kernel::new());
    (0..20).for_each(|number| syncer.update(&change(port(number, Family::V4, 2))));
    syncer.sync().unwrap();
    syncer.set_contested(true);
    let (before, new) = (syncer.stats(), port(20, Family::V4, 2));
    syncer.backend_mut().edit(BTreeMap::clear);
    syncer.update(&change(new.clone()));
    syncer.go_ahead();
    assert!(!syncer.has_new());
    let wanted = fresh(&[(id(&new), new.clone())].into());
    assert_eq!(differences(syncer.backend().objects(), &wanted), [""; 0]);
    assert_eq!(syncer.stats().observations, before.observations);
    assert!(syncer.check().unwrap().drift.len() > 20 * 5);

    // Nothing is left to tell by what they removed, but that they have been there.
    syncer.update(&gone(&new));
    (0..20).for_each(|number| syncer.update(&gone(&port(number, Family::V4, 2))));
    syncer.sync().unwrap();
    syncer.backend_mut().edit(BTreeMap::clear);
    syncer.update(&change(new));
    syncer.go_ahead();
    let report = syncer.check().unwrap();
    assert_eq!(report.drift.iter().map(|drift| &*drift.object).collect::<Vec<_>>(), ["table ip portolan"]);
    assert_eq!(differences(&without_unused_picks(syncer.backend().objects()), &wanted), [""; 0]);
}

/// What others have put in the way of a change is not known before it is looked at.
#[test]
fn what_cannot_go_ahead_is_left_to_the_next_sync() {
    let mut syncer = syncer(Kernel::new());
    let two = port(1, Family::V4, 2);
    syncer.update(&change(two.clone()));
    syncer.sync().unwrap();
    syncer.set_contested(true);
    let set = Key::Set(Family::V4, SetName::Services(Scope::Vip));
    syncer.backend_mut().edit(|objects| drop(objects.insert(set.clone(), Value::Set { size: Some(1), counts: false })));
    let new = port(2, Family::V4, 2);
    syncer.update(&change(new.clone()));
    syncer.go_ahead();
    assert!(syncer.has_new());
    let wanted = fresh(&[two, new].map(|port| (id(&port), port)).into());
    syncer.sync().unwrap();
    assert_eq!(differences(&without_unused_picks(syncer.backend().objects()), &wanted), [""; 0]);
}
