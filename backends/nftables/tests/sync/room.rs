//! Sets have a size: what does not fit is counted before it is sent.

use std::collections::BTreeSet;

use portolan_netlink::wire::{Expr, Register};

use super::*;

#[test]
fn an_overflowing_set_is_counted_beforehand_and_replaced_by_a_larger_one() {
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
    let plan = syncer.diff().unwrap();
    let [growth, _] = plan.batches.as_slice() else { panic!("{plan:?}") };
    let (mut written, mut elements) = (Vec::new(), 0);
    for op in &growth.ops {
        match op {
            Op::Add(Key::Element(..), _) => elements += 1,
            op => written.push(op.key().to_string()),
        }
    }
    // The set, and the rules that read it; neither the tables nor the sets of clients.
    let set = Key::Set(Family::V4, SetName::Services(Scope::Vip));
    let reads = |(key, value): (&Key, &Value)| {
        let mut reads = false;
        Nft::references(key, value, &mut |named| reads |= named == set);
        (reads && matches!(key, Key::Rules(..))).then(|| key.to_string())
    };
    let rules: BTreeSet<_> = syncer.backend().objects().iter().filter_map(reads).collect();
    assert!(rules.contains(&Key::Rules(Family::V4, ChainName::NatPrerouting).to_string()), "{rules:?}");
    assert_eq!(written[..2], [set.to_string(), set.to_string()]);
    assert_eq!(written[2..].iter().cloned().collect::<BTreeSet<_>>(), rules);
    assert_eq!(elements, 10, "what was there; what is new comes in its order");

    let report = syncer.sync().unwrap();
    assert_eq!((report.batches, report.quarantined), (2, vec![]));
    assert!(live_size(&syncer) > 10);
}

/// From nothing to thousands, and whatever else changes: what is held is what is wanted, and packets find it all the while.
#[test]
fn sets_grow_while_everything_changes() {
    for number in 0..10 {
        let mut seed = Seed::new(number);
        let mut syncer = syncer(Kernel::new());
        syncer.sync().unwrap();
        let mut ports = BTreeMap::new();
        for _ in 0..12 {
            syncer.backend_mut().edit(|objects| {
                // As if they had been made for what is in them.
                let mut members = BTreeMap::<Key, u32>::new();
                objects.keys().filter_map(Nft::parent).for_each(|set| *members.entry(set).or_default() += 1);
                for (key, value) in objects {
                    if let Value::Set { size: Some(size), .. } = value {
                        *size = members.get(key).map_or(1, |members| members + 1);
                    }
                }
            });
            syncer.resync().unwrap();
            for _ in 0..4 {
                let change = random_change(&mut seed);
                match &change.desired {
                    Some(desired) => ports.insert(change.id.clone(), desired.clone()),
                    None => ports.remove(&change.id),
                };
                syncer.update(&change);
            }
            let plan = syncer.diff().unwrap();
            let mut kernel = Kernel::new();
            kernel.edit(|objects| objects.clone_from(syncer.backend().objects()));
            for batch in plan.batches {
                assert!(!matches!(batch.ops.first(), Some(Op::Rebuild(Key::Table(_)))), "seed {number}");
                let before = kernel.objects().clone();
                kernel.commit(&batch.ops).unwrap();
                for gate in before.keys().filter(|key| Nft::rank(key) == Rank::Gate) {
                    let Key::Element(family, _, vip) = gate else { panic!() };
                    assert!(leads_somewhere(kernel.objects(), *family, *vip), "seed {number}: {gate} after {batch:?}");
                }
            }
            let report = syncer.sync().unwrap();
            assert_eq!(report.quarantined, []);
            let live = without_unused_picks(syncer.backend().objects());
            assert_eq!(differences(&live, &fresh(&ports)), [""; 0], "seed {number}");
            assert_eq!(syncer.resync().unwrap().operations, 0);
        }
    }
}

/// Those that need the room wait; what is in the set stays, and nobody else is blamed.
#[test]
fn whose_growth_is_refused_is_set_aside_and_no_other() {
    let (old, new) = (port(1, Family::V4, 2), port(2, Family::V4, 2));
    let other = port(4, Family::V4, 1);
    let set = Key::Set(Family::V4, SetName::Direct(2));
    let member = Key::Element(Family::V4, SetName::Direct(2), ElementKey::slot(Scope::Vip, old.frontends[0].vip, 1));
    // The set itself, or what is in it already.
    for refused in [set.clone(), member] {
        let mut syncer = syncer(Kernel::new());
        syncer.update(&change(old.clone()));
        syncer.sync().unwrap();
        let full = Value::Set { size: Some(3), counts: false };
        syncer.backend_mut().edit(|objects| drop(objects.insert(set.clone(), full)));
        syncer.resync().unwrap();
        syncer.backend_mut().refuse(refused);
        [&new, &other].into_iter().for_each(|port| syncer.update(&change(port.clone())));
        let report = syncer.sync().unwrap();
        assert_eq!(report.quarantined.iter().map(|set_aside| set_aside.port.clone()).collect::<Vec<_>>(), [id(&new)]);
        let ports = [&old, &other].map(|port| (id(port), port.clone())).into();
        assert_eq!(differences(syncer.backend().objects(), &fresh(&ports)), [""; 0]);
        assert_eq!(syncer.resync().unwrap().quarantined.len(), 1, "tried again");
        syncer.backend_mut().accept_all();
        assert_eq!(syncer.resync().unwrap().quarantined, []);
        let ports = [&old, &other, &new].map(|port| (id(port), port.clone())).into();
        assert_eq!(differences(syncer.backend().objects(), &fresh(&ports)), [""; 0]);
    }
}

/// A table that cannot be mended in place is made anew, in one transaction or in as many as it takes; whole Services each time.
#[test]
fn a_table_that_fits_into_no_batch_is_made_anew_in_several() {
    for (manner, parts) in Manner::all().flat_map(|manner| [(manner, false), (manner, true)]) {
        let mut syncer = syncer(Kernel::with_faults(manner, Faults::default(), 0));
        let ports: BTreeMap<_, _> =
            (0..600).map(|number| port(number, Family::V4, 2)).map(|port| (id(&port), port)).collect();
        ports.values().for_each(|port| syncer.update(&change(port.clone())));
        syncer.sync().unwrap();
        let hook = Key::Chain(Family::V4, ChainName::NatOutput);
        syncer.backend_mut().edit(|objects| drop(objects.insert(hook, Value::Strange)));
        syncer.backend_mut().set_batch_bytes(if parts { 250_000 } else { 10_000_000 });
        let report = syncer.resync().unwrap();
        assert_eq!(report.batches > 1, parts, "{manner:?}: {report:?}");
        assert_eq!(*syncer.backend().objects(), fresh(&ports), "{manner:?}");
        assert_eq!(syncer.resync().unwrap().operations, 0);
    }
}

fn live_size(syncer: &Syncer<Kernel>) -> u32 {
    match syncer.backend().objects().get(&Key::Set(Family::V4, SetName::Services(Scope::Vip))) {
        Some(Value::Set { size: Some(size), .. }) => *size,
        other => panic!("{other:?}"),
    }
}

/// To be replaced by a larger one costs nobody anything, so it is done while not everything is known, too.
#[test]
fn a_set_grows_also_where_nothing_may_be_changed() {
    let mut first = syncer(Kernel::new());
    first.sync().unwrap();
    let mut kernel = Kernel::new();
    kernel.edit(|objects| {
        objects.clone_from(first.backend().objects());
        objects.insert(Key::Set(Family::V4, SetName::Direct(2)), Value::Set { size: Some(3), counts: false });
    });
    let mut second = syncer(kernel);
    second.set_additions_only(true);
    let ports = [(1, 2), (2, 2), (4, 1)].map(|(number, count)| port(number, Family::V4, count));
    ports.iter().cloned().for_each(|port| second.update(&change(port)));
    second.sync().unwrap();
    assert_eq!(
        without_sizes(second.backend().objects()),
        without_sizes(&fresh(&ports.map(|port| (id(&port), port)).into()))
    );
}

/// A rule that only its writer could write again.
fn others_rule() -> Vec<Expr> {
    let set = SetName::Direct(2).to_string();
    let lookup = Expr::Lookup { set, sreg: Register::FIRST, dreg: Some(Register::FIRST), invert: false };
    vec![lookup, Expr::Other { name: "mine".to_owned(), data: Vec::new() }]
}

/// Rules of others in our chains are repaired with the table, so what needs room waits where nothing may be rebuilt.
#[test]
fn where_nothing_may_be_rebuilt_what_does_not_fit_waits_whole() {
    let mut first = syncer(Kernel::new());
    first.sync().unwrap();
    let mut kernel = Kernel::new();
    kernel.edit(|objects| {
        objects.clone_from(first.backend().objects());
        objects.insert(Key::Set(Family::V4, SetName::Direct(2)), Value::Set { size: Some(3), counts: false });
        let rules = Key::Rules(Family::V4, ChainName::Services(Scope::Vip));
        objects.insert(rules, Value::LiveRules([others_rule()].into()));
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
