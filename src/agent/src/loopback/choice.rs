//! Which endpoint the next connection of a loopback NodePort goes to.

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    net::SocketAddr,
    time::{Duration, Instant},
};

use portolan_core::desired::LoopbackNodePort;

/// The endpoints of a NodePort, and with session affinity the one that clients stay with.
#[derive(Debug)]
pub(super) struct Choice {
    endpoints: Vec<SocketAddr>,
    affinity: Option<Duration>,
    pinned: Option<Pinned>,
}

#[derive(Debug, Clone, Copy)]
struct Pinned {
    endpoint: SocketAddr,
    last_used: Instant,
}

impl Choice {
    pub(super) fn new(of: &LoopbackNodePort) -> Self {
        Self { endpoints: of.endpoints.clone(), affinity: affinity(of), pinned: None }
    }

    /// From now on these. Who is remembered stays so, unless the timeout changes, as in kube-proxy.
    pub(super) fn lead_to(&mut self, of: &LoopbackNodePort) {
        self.endpoints.clone_from(&of.endpoints);
        if self.affinity != affinity(of) {
            self.affinity = affinity(of);
            self.pinned = None;
        }
    }

    /// The endpoint of a new connection: the one that is remembered, while it may be and is one of them, else any. There is
    /// always one, as long as nobody listens without endpoints.
    pub(super) fn next(&mut self, now: Instant) -> Option<SocketAddr> {
        let is_fresh = |pinned: &Pinned| {
            self.affinity.is_some_and(|timeout| now.saturating_duration_since(pinned.last_used) <= timeout)
                && self.endpoints.contains(&pinned.endpoint)
        };
        let endpoint = match self.pinned.filter(is_fresh) {
            Some(pinned) => pinned.endpoint,
            None => *self.endpoints.get(random(self.endpoints.len()))?,
        };
        self.pinned = self.affinity.map(|_| Pinned { endpoint, last_used: now });
        Some(endpoint)
    }
}

fn affinity(of: &LoopbackNodePort) -> Option<Duration> {
    of.affinity.map(|seconds| Duration::from_secs(seconds.into()))
}

/// A number below another one; 0 for 0. Each RandomState has keys of its own, and the rest of a division of 64 random bits
/// is even enough.
fn random(below: usize) -> usize {
    let bits = RandomState::new().build_hasher().finish();
    let below = u64::try_from(below).unwrap_or(u64::MAX);
    usize::try_from(bits.checked_rem(below).unwrap_or(0)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn node_port(endpoints: &[&str], affinity: Option<u32>) -> LoopbackNodePort {
        let endpoints = endpoints.iter().map(|endpoint| endpoint.parse().unwrap()).collect();
        LoopbackNodePort { address: "127.0.0.1:30080".parse().unwrap(), endpoints, affinity }
    }

    const BOTH: [&str; 2] = ["10.0.0.1:80", "10.0.0.2:80"];

    fn seen(choice: &mut Choice, now: Instant) -> BTreeSet<String> {
        (0..100).filter_map(|_| choice.next(now)).map(|endpoint| endpoint.to_string()).collect()
    }

    #[test]
    fn each_endpoint_has_its_turn() {
        let mut choice = Choice::new(&node_port(&BOTH, None));
        assert_eq!(seen(&mut choice, Instant::now()), BOTH.map(str::to_owned).into());
        choice.lead_to(&node_port(&BOTH[..1], None));
        assert_eq!(seen(&mut choice, Instant::now()), [BOTH[0].to_owned()].into());
    }

    #[test]
    fn with_affinity_all_clients_stay_with_one_endpoint_while_new_connections_come() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut choice = Choice::new(&node_port(&BOTH, Some(10)));
        let first = choice.next(start).unwrap();
        // Each new connection begins the timeout anew.
        for now in (1..100).map(|n| start + second * 10 * n) {
            assert_eq!(choice.next(now), Some(first));
        }
        // Another endpoint changes nothing, and a timeout that has ended everything.
        choice.lead_to(&node_port(&["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"], Some(10)));
        assert_eq!(choice.next(start + second * 1000), Some(first));
        let later = (1..100).map(|n| start + second * 1000 + second * 11 * n).map(|now| choice.next(now).unwrap());
        assert!(later.collect::<BTreeSet<_>>().len() > 1);
    }

    #[test]
    fn who_is_remembered_is_forgotten_with_the_endpoint_and_with_the_timeout() {
        let now = Instant::now();
        let mut choice = Choice::new(&node_port(&BOTH[..1], Some(10)));
        assert_eq!(choice.next(now), Some(BOTH[0].parse().unwrap()));
        choice.lead_to(&node_port(&BOTH[1..], Some(10)));
        assert_eq!(choice.next(now), Some(BOTH[1].parse().unwrap()));
        choice.lead_to(&node_port(&BOTH, Some(20)));
        assert!(choice.pinned.is_none());
    }
}
