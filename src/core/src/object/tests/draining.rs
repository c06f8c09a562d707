//! What is on its way to a destination goes on: it takes nothing new, and is removed once it is empty or its time is over.

use super::*;

const FULL: Faults = Faults { forget: 0, edit: 0, lose_notification: 0, hold_on: 1 };

/// A syncer whose kernel has connections at everything that drains.
fn with(ports: &[&DesiredPort]) -> Syncer<Kernel> {
    let mut syncer = Syncer::new(Kernel::with_faults(Manner::TRANSACTION, FULL, 1));
    ports.iter().for_each(|port| syncer.update(&change(port)));
    syncer.sync().unwrap();
    syncer
}

#[test]
fn a_destination_that_nobody_wants_takes_nothing_new_until_it_is_empty() {
    let (two, one) = (port(0, Protocol::Tcp, &[1, 2]), port(0, Protocol::Tcp, &[1]));
    let mut syncer = with(&[&two]);
    assert_eq!(syncer.due(), None);
    syncer.update(&change(&one));
    assert_eq!(syncer.sync().unwrap().operations, 1);
    let held = |syncer: &Syncer<Kernel>| syncer.backend().objects().get(&destination(&one, 2)).cloned();
    assert_eq!(held(&syncer), Some(weight(0)));

    assert_eq!(syncer.due(), Some(Moment::default()), "since when it drains is to be told");
    assert_eq!(syncer.drain(at(100)).unwrap().operations, 0);
    assert_eq!(syncer.due(), Some(at(102)), "it is asked about again");
    assert_eq!(syncer.resync().unwrap().operations, 0, "it is no drift");
    syncer.backend_mut().behave();
    assert_eq!(syncer.drain(at(102)).unwrap().operations, 1);
    assert_eq!((held(&syncer), syncer.due()), (None, None));
    assert_eq!(*syncer.backend().objects(), fresh(&NodePolicy::default(), [&one]));
}

#[test]
fn after_a_time_it_goes_full_or_not() {
    let (two, one) = (port(0, Protocol::Tcp, &[1, 2]), port(0, Protocol::Tcp, &[1]));
    let mut syncer = with(&[&two]);
    syncer.update(&change(&one));
    syncer.sync().unwrap();
    syncer.drain(at(100)).unwrap();
    assert_eq!(syncer.drain(at(999)).unwrap().operations, 0);
    assert_eq!(syncer.due(), Some(at(1000)));
    assert_eq!(syncer.drain(at(1000)).unwrap().operations, 1);
    assert_eq!(*syncer.backend().objects(), fresh(&NodePolicy::default(), [&one]));
}

#[test]
fn one_that_is_wanted_again_takes_connections_again() {
    let (two, one) = (port(0, Protocol::Tcp, &[1, 2]), port(0, Protocol::Tcp, &[1]));
    let mut syncer = with(&[&two]);
    for now in [100, 200] {
        syncer.update(&change(&one));
        syncer.sync().unwrap();
        syncer.drain(at(now)).unwrap();
        syncer.update(&change(&two));
        assert_eq!(syncer.sync().unwrap().operations, 1);
        assert_eq!(syncer.due(), None);
        assert_eq!(*syncer.backend().objects(), fresh(&NodePolicy::default(), [&two]));
    }
    // Its time began anew.
    syncer.update(&change(&one));
    syncer.sync().unwrap();
    syncer.drain(at(1500)).unwrap();
    assert_eq!(syncer.backend().objects().get(&destination(&one, 2)), Some(&weight(0)));
}

/// The server and the address stay for its connections, although nobody wants them; what stays beside others may go.
#[test]
fn nothing_goes_that_a_draining_destination_needs() {
    let (tcp, beside) = (port(0, Protocol::Tcp, &[1, 2]), port(1, Protocol::Tcp, &[3]));
    let mut syncer = with(&[&tcp, &beside]);
    syncer.update(&gone(&tcp));
    syncer.update(&gone(&beside));
    assert_eq!(syncer.sync().unwrap().operations, 3, "three destinations");
    for key in [server(&tcp), address(&tcp), server(&beside)] {
        assert!(syncer.backend().objects().contains_key(&key), "{key}");
    }
    assert_eq!((syncer.sync().unwrap().operations, syncer.diff().unwrap().ops().count()), (0, 0));
    assert_eq!(syncer.resync().unwrap(), super::super::SyncReport::default(), "no drift");

    assert_eq!(syncer.backend().cut(), []);
}

/// One after the other, as it happens: what the last one needs goes with it.
#[test]
fn what_draining_destinations_need_goes_with_the_last_of_them() {
    let ports = [0, 1, 2].map(|number| port(number, Protocol::Tcp, &[1, 2, 3]));
    for number in 0..20 {
        let faults = Faults { hold_on: 2, ..Faults::default() };
        let mut syncer = Syncer::new(Kernel::with_faults(Manner::TRANSACTION, faults, number));
        ports.iter().for_each(|port| syncer.update(&change(port)));
        syncer.sync().unwrap();
        ports.iter().for_each(|port| syncer.update(&gone(port)));
        syncer.sync().unwrap();
        let mut now = 0;
        while syncer.due().is_some() {
            now += 2;
            assert_eq!(syncer.drain(at(now)).unwrap().stuck, [], "seed {number}");
            let held = syncer.backend().objects();
            let drains = |port: &DesiredPort| (1..4).any(|number| held.contains_key(&destination(port, number)));
            for port in &ports {
                assert_eq!(held.contains_key(&server(port)), drains(port), "seed {number}");
                let of_address = ports.iter().filter(|other| address(other) == address(port));
                assert_eq!(held.contains_key(&address(port)), of_address.into_iter().any(drains), "seed {number}");
            }
        }
        assert_eq!(*syncer.backend().objects(), fresh(&NodePolicy::default(), []));
        assert_eq!(syncer.backend().cut(), []);
    }
}

#[test]
fn what_does_not_drain_goes_at_once_with_all_that_it_had() {
    let udp = port(0, Protocol::Udp, &[1, 2]);
    let mut syncer = with(&[&udp]);
    syncer.update(&gone(&udp));
    syncer.sync().unwrap();
    assert_eq!((syncer.due(), syncer.backend().objects()), (None, &fresh(&NodePolicy::default(), [])));
}

/// Whoever comes after a process that was killed finds what drains, and gives it all its time.
#[test]
fn a_restart_finds_what_drains() {
    let (two, one) = (port(0, Protocol::Tcp, &[1, 2]), port(0, Protocol::Tcp, &[1]));
    let mut syncer = with(&[&two]);
    syncer.update(&change(&one));
    syncer.sync().unwrap();
    let mut next = Syncer::new(holding(syncer.backend().objects(), Manner::TRANSACTION, FULL));
    next.update(&change(&one));
    assert_eq!(next.sync().unwrap().operations, 0);
    assert_eq!(next.due(), Some(Moment::default()));
    next.drain(at(5)).unwrap();
    assert_eq!(next.drain(at(904)).unwrap().operations, 0);
    assert_eq!(next.drain(at(905)).unwrap().operations, 1);
    assert_eq!(*next.backend().objects(), fresh(&NodePolicy::default(), [&one]));
}

#[test]
fn while_not_everything_is_known_nothing_is_retired() {
    let (two, one) = (port(0, Protocol::Tcp, &[1, 2]), port(0, Protocol::Tcp, &[1]));
    let mut syncer = with(&[&two]);
    syncer.set_additions_only(true);
    syncer.update(&change(&one));
    assert_eq!((syncer.sync().unwrap().operations, syncer.due()), (0, None));
}

/// What ServicePorts render to depends on the policy here, and nobody keeps what they were.
#[test]
fn another_policy_has_every_service_port_handed_in_again() {
    let (first, second) = (port(0, Protocol::Tcp, &[1]), port(2, Protocol::Udp, &[2]));
    let mut syncer = Syncer::new(Kernel::new());
    let policy = NodePolicy { masquerade_all: true, ..NodePolicy::default() };
    assert!(!syncer.set_policy(&policy), "there is none yet");
    syncer.set_policy(&NodePolicy::default());
    [&first, &second].into_iter().for_each(|port| syncer.update(&change(port)));
    syncer.sync().unwrap();
    assert!(!syncer.set_policy(&NodePolicy::default()), "it is the same");
    assert!(syncer.set_policy(&policy));
    [&first, &second].into_iter().for_each(|port| syncer.update(&change(port)));
    assert_eq!(syncer.sync().unwrap().operations, 2, "the servers are changed in place");
    assert_eq!(*syncer.backend().objects(), fresh(&policy, [&first, &second]));
}
