//! A kernel that does not say what it dislikes: the ServicePort is found by halves.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

const PORTS: u8 = 200;

/// Has so many ServicePorts programmed at once, of which the kernel refuses some, in so many batches at most; where each of
/// them takes so long that the sync gives way behind it, or not.
fn found(refused: &[u8], gives_way: bool, at_most: usize) {
    let ports: Vec<_> = (0..PORTS).map(|number| port(number, Protocol::Tcp, &[1, 2])).collect();
    let mut syncer = Syncer::new(Kernel::with_faults(Manner::LEGACY, Faults::default(), 1));
    if gives_way {
        let calls = AtomicU64::new(0);
        let clock = move || at(calls.fetch_add(1, Ordering::Relaxed));
        syncer.give_way_after(Duration::from_millis(100), Box::new(clock));
    }
    for number in refused {
        let port = &ports[usize::from(*number)];
        syncer.backend_mut().refuse(destination(port, 1));
    }
    ports.iter().for_each(|port| syncer.update(&change(port)));
    let mut report = syncer.sync().unwrap();
    assert_eq!(report.unfinished, gives_way);
    while report.unfinished {
        report = syncer.sync().unwrap();
    }
    let told = format!("{refused:?}: {} batches, {report:?}", syncer.backend().batches());
    assert_eq!(report.quarantined.len(), refused.len(), "{told}");
    assert_eq!(syncer.quarantined().len(), refused.len(), "{told}");
    let good = ports.iter().zip(0..).filter(|(_, number)| !refused.contains(number)).map(|(port, _)| port);
    assert_eq!(*syncer.backend().objects(), fresh(&NodePolicy::default(), good), "{told}");
    assert!(syncer.backend().batches() <= at_most, "{told}");
    // What is found stays set aside, and costs nothing more.
    let batches = syncer.backend().batches();
    syncer.update(&change(&port(PORTS, Protocol::Tcp, &[1])));
    while syncer.sync().unwrap().unfinished {}
    assert!(syncer.backend().batches() <= batches + 3, "{told}");
}

#[test]
fn whom_the_kernel_does_not_name_is_found_in_few_batches() {
    for gives_way in [false, true] {
        // The logarithm of 200 is 8, and each step has two halves.
        for number in [0, 1, 77, PORTS - 2, PORTS - 1] {
            found(&[number], gives_way, 30);
        }
        found(&[3, 4], gives_way, 60);
        found(&[0, 50, 100, 150, 199], gives_way, 120);
    }
}
