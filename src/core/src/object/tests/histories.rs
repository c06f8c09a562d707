//! Random histories: with refusals, answers that are lost, others' edits and destinations that drain, in kernels of every
//! manner, the end is what a fresh start programs.

use super::*;
use crate::testing::Seed;

#[test]
fn whatever_goes_wrong_the_end_is_the_same_and_no_connection_was_cut() {
    for manner in Manner::all() {
        for number in 0..200 {
            history(manner, number);
        }
    }
}

fn history(manner: Manner, number: u64) {
    let mut seed = Seed::new(number);
    // Half of them without anybody who cuts connections.
    let edit = if number.is_multiple_of(2) { 6 } else { 0 };
    let faults = Faults { forget: 6, edit, lose_notification: 3, hold_on: 2 };
    let mut syncer = Syncer::new(Kernel::with_faults(manner, faults, number));
    let (mut ports, mut policy, mut now) = (BTreeMap::new(), NodePolicy::default(), 0);
    for _ in 0..60 {
        let desired = random_port(&mut seed);
        if seed.one_in(4) {
            syncer.update(&gone(&desired));
            ports.remove(&id(&desired));
        } else {
            syncer.update(&change(&desired));
            ports.insert(id(&desired), desired);
        }
        if seed.one_in(10) {
            policy.masquerade_all = !policy.masquerade_all;
            if syncer.set_policy(&policy) {
                ports.values().for_each(|port| syncer.update(&change(port)));
            }
        }
        refuse_at_random(&mut syncer, &mut seed);
        now += 1;
        // May fail for now: others edit faster than we write.
        let _ = match seed.below(8) {
            0..3 => syncer.sync(),
            3 => syncer.drain(at(now)),
            4 => syncer.check(),
            5 => syncer.resync(),
            _ => continue,
        };
    }
    let told = format!("seed {number}, {manner:?}");
    syncer.backend_mut().behave();
    syncer.backend_mut().accept_all();
    syncer.resync().unwrap();
    assert_eq!(syncer.resync().unwrap().operations, 0, "{told}");
    while syncer.due().is_some() {
        now += 2;
        syncer.drain(at(now)).unwrap();
    }
    assert!(now < 100, "{told}: nothing has to wait for its time to be over");
    assert_eq!(*syncer.backend().objects(), fresh(&policy, ports.values()), "{told}");
    assert_eq!(syncer.resync().unwrap().operations, 0, "{told}");
    assert_eq!(syncer.backend().cut(), [], "{told}");
}

/// One of few, so that changes meet.
fn random_port(seed: &mut Seed) -> DesiredPort {
    let number = u8::try_from(seed.below(6)).unwrap();
    let protocol = if number < 4 { Protocol::Tcp } else { Protocol::Udp };
    let endpoints: Vec<_> = (0..5).filter(|_| seed.one_in(2)).collect();
    port(number, protocol, &endpoints)
}

/// Now and then the kernel takes something no more, or takes all again.
fn refuse_at_random(syncer: &mut Syncer<Kernel>, seed: &mut Seed) {
    let keys: Vec<_> = syncer.tracker().all_wanted().map(|(key, _)| key.clone()).collect();
    if seed.one_in(4) {
        syncer.backend_mut().accept_all();
    }
    if seed.one_in(4)
        && let Some(key) = seed.pick(&keys)
    {
        syncer.backend_mut().refuse(key.clone());
    }
}
