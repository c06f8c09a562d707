//! Whether a container is still large enough is asked of those that a change adds to: of all there may be tens of thousands,
//! and a sync would cost as much as there are.

use super::*;
use crate::object::{Claimant, Dialect as _, Tracker};

#[test]
fn only_a_container_that_something_is_added_to_has_grown() {
    let mut tracker = Tracker::<Servers>::default();
    let [tcp, udp] = [Protocol::Tcp, Protocol::Udp].map(|protocol| port(0, protocol, &[1, 2]));
    let more = port(0, Protocol::Tcp, &[1, 2, 3]);
    let fewer = port(0, Protocol::Tcp, &[3]);
    let steps: [(u32, &DesiredPort, &[ServerKey]); 5] = [
        (1, &tcp, &[ServerKey::Link, server(&tcp)]),
        // The address is there already, for the other.
        (2, &udp, &[server(&udp)]),
        (1, &more, &[server(&tcp)]),
        (1, &more, &[]),
        (1, &fewer, &[]),
    ];
    for (number, port, grown) in steps {
        let mut objects = Vec::new();
        Servers.render(&NodePolicy::default(), port, &mut objects);
        tracker.claim(Claimant(number), objects);
        let mut found = tracker.take_grown();
        found.sort();
        assert_eq!(found, grown);
        assert_eq!(tracker.take_grown(), []);
    }
}
