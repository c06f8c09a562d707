//! A virtual server as a packet meets it: it sends the packet to one of its destinations, as its scheduler chooses.
//!
//! ```text
//!   rr, wrr       in turn: from outside a destination looks as likely as its share
//!   others        by connections, or by a hash: which one it is cannot be told here, so no destination has a chance
//!   a hash, ovf   may choose one that takes no new connection, or none: then it is refused (`ip_vs_leave`)
//! ```

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use super::{Branch, Reason, RefusedBy, Sticky};
use crate::desired::{Scheduler, Scheduling, Vip};

/// What chose an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChosenBy {
    /// The virtual server.
    pub server: Vip,
    /// How it chooses; `None` for a way that is not known.
    pub scheduling: Option<Scheduling>,
}

/// A virtual server and its destinations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VirtualServer {
    /// How it chooses; `None` for a way that is not known.
    pub scheduling: Option<Scheduling>,
    /// For how many seconds a client stays with its destination.
    pub affinity: Option<u32>,
    /// Where it sends connections, each with its weight. With 0 it gets no new one.
    pub destinations: Vec<(SocketAddr, u32)>,
}

impl VirtualServer {
    /// Where a packet to `server` may be sent, in the cases that the scheduler makes of it; `remembered` as in
    /// [`World`](super::World).
    #[must_use]
    pub fn pick(&self, server: Vip, branch: &Branch, remembered: &BTreeMap<String, Duration>) -> Vec<Branch> {
        let clients = |to: SocketAddr| format!("destination {to} of virtual server {server}");
        let stays = |to: SocketAddr, timeout| {
            let left = remembered.get(&clients(to)).copied();
            Sticky { clients: clients(to), timeout, left }
        };
        let known = self.open().find(|(to, _)| self.affinity.is_some() && remembered.contains_key(&clients(*to)));
        if let Some((to, _)) = known {
            let sticky = self.affinity.map(|timeout| stays(to, timeout));
            return vec![Branch { sticky, ..self.sent(server, branch, to) }];
        }
        let open: Vec<_> = self.open().collect();
        let count = u32::try_from(open.len()).unwrap_or(u32::MAX);
        let weights = open.iter().fold(0_u32, |sum, (_, weight)| sum.saturating_add(*weight));
        let chance = |weight| match (self.scheduler(), branch.chance) {
            (_, chance) if count == 1 && !self.refuses_some() => chance,
            (Some(Scheduler::RoundRobin), Some(chance)) => Some(chance.times(1, count)),
            (Some(Scheduler::WeightedRoundRobin), Some(chance)) => Some(chance.times(weight, weights)),
            _ => None,
        };
        let sent = |(to, weight): &(SocketAddr, u32)| Branch {
            chance: chance(*weight),
            sticky: self.affinity.map(|timeout| stays(*to, timeout)),
            ..self.sent(server, branch, *to)
        };
        open.iter().map(sent).collect()
    }

    /// That is no translation to conntrack.
    fn sent(&self, server: Vip, branch: &Branch, to: SocketAddr) -> Branch {
        Branch { destination: to.ip(), port: to.port(), endpoint: Some(to), ..self.chosen(server, branch) }
    }

    /// The case in which it refuses the packet, if there is one.
    #[must_use]
    pub fn refuse(&self, server: Vip, branch: &Branch) -> Option<(Branch, RefusedBy)> {
        let by = |reason| RefusedBy { reason, rule: None, text: format!("virtual server {server}") };
        if self.open().next().is_none() {
            return Some((self.chosen(server, branch), by(Reason::NoEndpoints)));
        }
        let some = || (Branch { chance: None, ..self.chosen(server, branch) }, by(Reason::NotTaken));
        self.refuses_some().then(some)
    }

    fn scheduler(&self) -> Option<Scheduler> {
        self.scheduling.map(Scheduling::scheduler)
    }

    fn chosen(&self, server: Vip, branch: &Branch) -> Branch {
        Branch { chosen_by: Some(ChosenBy { server, scheduling: self.scheduling }), ..branch.clone() }
    }

    /// Those that take new connections.
    fn open(&self) -> impl Iterator<Item = (SocketAddr, u32)> {
        self.destinations.iter().filter(|(_, weight)| *weight > 0).copied()
    }

    /// Whether there are connections that it refuses although a destination takes new ones.
    fn refuses_some(&self) -> bool {
        match self.scheduler() {
            // What takes none keeps its place among the hashes, so that the others keep theirs.
            Some(Scheduler::SourceHashing | Scheduler::DestinationHashing | Scheduler::Maglev) => {
                let falls_back = self.scheduling.is_some_and(|scheduling| scheduling.flags().fallback);
                !falls_back && self.destinations.iter().any(|(_, weight)| *weight == 0)
            }
            Some(Scheduler::WeightedOverflow) => true,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        addr::Protocol,
        desired::HashFlags,
        trace::{Asks, Origin, Packet},
    };

    /// Without flags.
    fn by(scheduler: Scheduler) -> Option<Scheduling> {
        Some(scheduler.into())
    }

    /// Where a packet may go and how likely, and why it may be refused.
    fn picked(scheduling: Option<Scheduling>, weights: &[u32]) -> Vec<String> {
        let [source, destination] = ["10.244.1.11", "10.96.0.10"].map(|address| address.parse().unwrap());
        let packet = Packet { source, origin: Origin::Pod, destination, asks: Asks::Port(Protocol::Tcp, 80) };
        let numbered = weights.iter().zip(1..);
        let destinations = numbered.map(|(weight, port)| (SocketAddr::from(([10, 0, 0, 1], port)), *weight));
        let server = VirtualServer { scheduling, affinity: None, destinations: destinations.collect() };
        let (vip, branch) = (Vip { addr: destination, protocol: Protocol::Tcp, port: 80 }, Branch::of(&packet));
        let told = |branch: Branch, what: String| {
            assert_eq!(branch.chosen_by, Some(ChosenBy { server: vip, scheduling }));
            format!("{what} {}", branch.chance.map_or("?".to_owned(), |chance| chance.to_string()))
        };
        let to = |branch: Branch| {
            let port = branch.endpoint.unwrap().port();
            told(branch, port.to_string())
        };
        let refused = server.refuse(vip, &branch).map(|(branch, by)| told(branch, format!("{:?}", by.reason)));
        server.pick(vip, &branch, &BTreeMap::new()).into_iter().map(to).chain(refused).collect()
    }

    #[test]
    fn in_turn_each_destination_has_its_share() {
        assert_eq!(picked(by(Scheduler::RoundRobin), &[1, 7, 0, 1]), ["1 1/3", "2 1/3", "4 1/3"]);
        assert_eq!(picked(by(Scheduler::WeightedRoundRobin), &[1, 2, 0, 1]), ["1 1/4", "2 1/2", "4 1/4"]);
    }

    #[test]
    fn otherwise_only_a_single_destination_is_certain() {
        let overflows = by(Scheduler::WeightedOverflow);
        for scheduler in Scheduler::ALL.into_iter().skip(2).map(by).chain([None]).filter(|of| *of != overflows) {
            assert_eq!(picked(scheduler, &[1, 1]), ["1 ?", "2 ?"]);
            assert_eq!(picked(scheduler, &[5]), ["1 1"]);
            assert_eq!(picked(scheduler, &[0]), ["NoEndpoints 1"]);
            assert_eq!(picked(scheduler, &[]), ["NoEndpoints 1"]);
        }
        assert_eq!(picked(overflows, &[5]), ["1 ?", "NotTaken ?"]);
    }

    #[test]
    fn a_hash_may_lead_to_one_that_drains() {
        for scheduler in [Scheduler::SourceHashing, Scheduler::DestinationHashing, Scheduler::Maglev] {
            assert_eq!(picked(by(scheduler), &[1, 0]), ["1 ?", "NotTaken ?"]);
        }
        let falls_back = Scheduling::new(Scheduler::SourceHashing, HashFlags { fallback: true, port: false });
        assert_eq!(picked(falls_back, &[1, 0]), ["1 1"]);
    }

    #[test]
    fn a_client_that_is_remembered_stays_unless_its_destination_drains() {
        let [source, destination] = ["10.244.1.11", "10.96.0.10"].map(|address| address.parse().unwrap());
        let packet = Packet { source, origin: Origin::Pod, destination, asks: Asks::Port(Protocol::Tcp, 80) };
        let (vip, branch) = (Vip { addr: destination, protocol: Protocol::Tcp, port: 80 }, Branch::of(&packet));
        let [first, second] = [1, 2].map(|port| SocketAddr::from(([10, 0, 0, 1], port)));
        let left = Duration::from_secs(7);
        let remembered =
            BTreeMap::from([("destination 10.0.0.1:2 of virtual server 10.96.0.10:80/tcp".to_owned(), left)]);
        let picked = |affinity, weight| {
            let destinations = vec![(first, 1), (second, weight)];
            let server = VirtualServer { scheduling: by(Scheduler::RoundRobin), affinity, destinations };
            let told = |branch: Branch| (branch.endpoint.unwrap(), branch.sticky.map(|sticky| sticky.left));
            server.pick(vip, &branch, &remembered).into_iter().map(told).collect::<Vec<_>>()
        };
        assert_eq!(picked(Some(60), 1), [(second, Some(Some(left)))]);
        assert_eq!(picked(Some(60), 0), [(first, Some(None))]);
        assert_eq!(picked(None, 1), [(first, None), (second, None)]);
    }
}
