//! Sets have a size: what does not fit is counted before it is sent.

use super::*;

#[test]
fn an_overflowing_set_is_counted_beforehand_and_the_table_rebuilt_larger() {
    let mut syncer = syncer(Kernel::new());
    syncer.sync().unwrap();
    syncer.backend_mut().edit(|objects| {
        objects
            .insert(Key::Set(Family::V4, SetName::Services(Scope::Vip)), Value::Set { size: Some(10), counts: false });
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
    match syncer.backend().objects().get(&Key::Set(Family::V4, SetName::Services(Scope::Vip))) {
        Some(Value::Set { size: Some(size), .. }) => *size,
        other => panic!("{other:?}"),
    }
}

#[test]
fn where_nothing_may_be_rebuilt_what_does_not_fit_waits_whole() {
    let mut first = syncer(Kernel::new());
    first.sync().unwrap();
    let mut kernel = Kernel::new();
    kernel.edit(|objects| {
        objects.clone_from(first.backend().objects());
        objects.insert(Key::Set(Family::V4, SetName::Direct(2)), Value::Set { size: Some(3), counts: false });
    });
    let mut second = syncer(kernel);
    second.set_additions_only(true);
    second.update(&change(port(1, Family::V4, 2)));
    second.update(&change(port(2, Family::V4, 2)));
    second.update(&change(port(4, Family::V4, 1)));
    let report = second.sync().unwrap();
    assert_eq!(report.quarantined, []);
    let objects = second.backend().objects();
    let gate = |number| Key::Element(Family::V4, SetName::Services(Scope::Vip), ElementKey::vip(vip(number)));
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
    let same_size = |value: &Value| {
        if let Value::Set { .. } = value { Value::Set { size: None, counts: false } } else { value.clone() }
    };
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
