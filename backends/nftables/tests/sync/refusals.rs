//! What the kernel does not take: one ServicePort is set aside, and the others go through.

use super::*;

#[test]
fn a_refused_service_port_is_set_aside_and_the_others_go_through() {
    let (good, bad) = (port(1, Family::V4, 2), port(2, Family::V4, 2));
    let mut syncer = syncer(Kernel::new());
    syncer.update(&change(bad.clone()));
    syncer.sync().unwrap();
    let last_good = syncer.backend().objects().clone();

    let worse = DesiredPort { endpoints: port(2, Family::V4, 3).endpoints, ..bad.clone() };
    let refused = Key::Element(Family::V4, SetName::Direct(3), ElementKey::slot(Scope::Vip, bad.frontends[0].vip, 1));
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

/// Whatever of a batch is done with the refused one in it: that is taken note of, and the sync goes on from there.
#[test]
fn a_refusal_before_many_batches_costs_no_look_and_no_service_port_but_its_own() {
    for manner in Manner::all() {
        let mut syncer = syncer(Kernel::with_faults(manner, Faults::default(), 0));
        syncer.sync().unwrap();
        syncer.backend_mut().set_batch_bytes(4096);
        let bad = port(0, Family::V4, 2);
        let refused =
            Key::Element(Family::V4, SetName::Direct(2), ElementKey::slot(Scope::Vip, bad.frontends[0].vip, 1));
        syncer.backend_mut().refuse(refused);
        let good: Vec<_> = (1..100).map(|number| port(number, Family::V4, 2)).collect();
        good.iter().chain([&bad]).for_each(|port| syncer.update(&change(port.clone())));
        let before = syncer.stats();
        let report = syncer.sync().unwrap();
        let after = syncer.stats();
        assert_eq!(report.quarantined.iter().map(|set_aside| set_aside.port.clone()).collect::<Vec<_>>(), [id(&bad)]);
        assert_eq!(after.observations, before.observations, "{manner:?}");
        assert!(after.batches - before.batches > 16, "{manner:?}: {after:?}");
        let ports = good.into_iter().map(|port| (id(&port), port)).collect();
        assert_eq!(differences(syncer.backend().objects(), &fresh(&ports)), [""; 0], "{manner:?}");
    }
}

/// Where each operation stands for itself, those that need a refused one are refused with it: that blames nobody.
#[test]
fn who_only_needs_what_was_refused_to_another_is_not_set_aside() {
    let mut syncer =
        syncer(Kernel::with_faults(Manner { unit: Unit::Operation, tells: false, names: true }, Faults::default(), 0));
    syncer.sync().unwrap();
    let (bad, good) = (port(1, Family::V4, 6), port(2, Family::V4, 2));
    syncer.backend_mut().refuse(Key::Chain(Family::V4, ChainName::Pick(Scope::Vip, 6)));
    syncer.update(&change(bad.clone()));
    syncer.update(&change(good.clone()));
    let report = syncer.sync().unwrap();
    let [set_aside] = report.quarantined.as_slice() else { panic!("{report:?}") };
    assert_eq!((&set_aside.port, &set_aside.cause), (&id(&bad), &Cause::Other("refused by the test".into())));
    assert_eq!(differences(syncer.backend().objects(), &fresh(&[(id(&good), good)].into())), [""; 0]);
}

#[test]
fn what_is_left_of_a_service_port_stays_when_its_repair_is_refused() {
    let mut syncer = syncer(Kernel::new());
    let whole = port(1, Family::V4, 2);
    syncer.update(&change(whole.clone()));
    syncer.sync().unwrap();
    let wanted = syncer.backend().objects().clone();
    let slot = Key::Element(Family::V4, SetName::Direct(2), ElementKey::slot(Scope::Vip, whole.frontends[0].vip, 1));
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
    // Its chain was made before it was refused.
    assert_eq!(differences(&without_unused_picks(syncer.backend().objects()), &fresh(&ports)), [""; 0]);
}

#[test]
fn a_refused_base_is_an_error_that_names_the_object() {
    let mut kernel = Kernel::new();
    kernel.refuse(Key::Chain(Family::V6, ChainName::Services(Scope::Vip)));
    let error = syncer(kernel).sync().unwrap_err();
    assert!(matches!(&error, SyncError::Base { .. }));
    assert!(error.to_string().contains("chain services in table ip6 portolan"), "{error}");
}
