//! How a virtual server chooses (net/netfilter/ipvs).

use portolan_core::{
    desired::{Scheduler, Scheduling},
    trace::ChosenBy,
};

/// A line for people.
pub(super) fn told(by: &ChosenBy) -> String {
    let ChosenBy { server, scheduling } = by;
    match scheduling {
        Some(scheduling) => format!("{scheduling} of virtual server {server}: {}", chooses(*scheduling)),
        None => format!("virtual server {server} chooses in a way that Portolan does not know"),
    }
}

/// What it does with a new connection.
const fn chooses(scheduling: Scheduling) -> &'static str {
    match scheduling.scheduler() {
        Scheduler::RoundRobin => "one after the other",
        Scheduler::WeightedRoundRobin => "one after the other, by weight",
        Scheduler::LeastConnection => "the one with the fewest connections",
        Scheduler::WeightedLeastConnection => "the one with the fewest connections for its weight",
        Scheduler::LocalityBasedLeastConnection => {
            "the one that the address was last sent to, or the one with the fewest connections for its weight"
        }
        Scheduler::LocalityBasedLeastConnectionWithReplication => {
            "one of those that the address was sent to, or the one with the fewest connections for its weight"
        }
        Scheduler::SourceHashing | Scheduler::Maglev if scheduling.flags().port => {
            "by a hash of the client's address and port"
        }
        Scheduler::SourceHashing | Scheduler::Maglev => {
            "by a hash of the client's address, so that a client comes to the same one each time"
        }
        Scheduler::DestinationHashing => {
            "by a hash of the address that is asked, so that everybody comes to the same one"
        }
        Scheduler::ShortestExpectedDelay => {
            "the one with the fewest active connections for its weight, the new one included"
        }
        Scheduler::NeverQueue => {
            "one without active connections, or else the one with the fewest for its weight, the new one included"
        }
        Scheduler::WeightedFailover => "the one with the highest weight; of several it is always the same",
        Scheduler::WeightedOverflow => {
            "the one with the highest weight of those with no more active connections than their weight"
        }
    }
}
