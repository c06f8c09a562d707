//! IPVS as a [`Dialect`]: virtual servers and addresses, and the tables beside them.
//!
//! ```text
//!   link <-- address -----> element of `scheduled`, in the tables beside
//!              ^ .
//!              . '. named by a destination that drains: its connections still come to the address
//!   server <-- destination
//! ```

use std::{net::SocketAddr, time::Duration};

use portolan_core::{
    addr::Protocol,
    desired::{DesiredPort, Endpoint, Frontend, NodePolicy},
    model::TrafficPolicy,
    object::{Dialect, Rank, Unclaimed},
};
use portolan_nftables::{
    Nft,
    companion::{self, Sender},
};

use crate::{
    key::Key,
    value::{Server, Value},
};

/// After so much time a destination that nobody wants any more loses the connections that it still has, as in kube-proxy
/// (pkg/proxy/ipvs/graceful_termination.go, rsGracefulDeletePeriod).
pub(crate) const DRAINS: Duration = Duration::from_secs(15 * 60);

/// The vocabulary of this backend.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ipvs;

impl Dialect for Ipvs {
    type Key = Key;
    type Value = Value;

    /// The scheduler, where a Service has none of its own.
    const RENDER_READS_POLICY: bool = true;

    const SEEN_WHOLE: bool = false;

    /// A virtual server that is there already is refused.
    const ADDS_OVER: bool = false;

    /// First comes what refuses packets to an address (`portolan_nftables::companion`), then the address, then what leads other
    /// frontends to it, and at last the gates. Of one rank it is the address that is written first (`Dialect::parent`).
    fn rank(key: &Key) -> Rank {
        match key {
            Key::Link => Rank::Root,
            Key::Server(_) => Rank::Container,
            Key::Destination(..) => Rank::Endpoint,
            Key::Address(_) => Rank::Policy,
            Key::Beside(key) if companion::leads_on(key) => Rank::Policy,
            Key::Beside(key) => Nft::rank(key),
        }
    }

    fn parent(key: &Key) -> Option<Key> {
        match key {
            Key::Link | Key::Server(_) => None,
            Key::Address(_) => Some(Key::Link),
            Key::Destination(vip, _) => Some(Key::Server(*vip)),
            Key::Beside(key) => Nft::parent(key).map(Key::Beside),
        }
    }

    fn capacity(value: &Value) -> Option<usize> {
        match value {
            Value::Beside(value) => Nft::capacity(value),
            _ => None,
        }
    }

    fn grown(value: &Value, need: usize) -> Option<Value> {
        match value {
            Value::Beside(value) => Nft::grown(value, need).map(Value::Beside),
            _ => None,
        }
    }

    fn writable(key: &Key, value: &Value) -> bool {
        match (key, value) {
            (Key::Beside(key), Value::Beside(value)) => Nft::writable(key, value),
            (_, Value::Strange) => false,
            _ => true,
        }
    }

    fn references(key: &Key, value: &Value, visit: &mut dyn FnMut(Key)) {
        match (key, value) {
            (Key::Beside(key), Value::Beside(value)) => {
                Nft::references(key, value, &mut |named| visit(Key::Beside(named)));
            }
            (Key::Address(address), _) => visit(Key::Beside(companion::address(*address))),
            (Key::Destination(vip, _), Value::Destination { weight: 0 }) => visit(Key::Address(vip.addr)),
            _ => {}
        }
    }

    fn serves(key: &Key, live: &Value, wanted: &Value) -> bool {
        match (key, live, wanted) {
            (Key::Beside(key), Value::Beside(live), Value::Beside(wanted)) => Nft::serves(key, live, wanted),
            _ => live == wanted,
        }
    }

    fn replaceable(key: &Key) -> bool {
        match key {
            Key::Beside(key) => Nft::replaceable(key),
            Key::Link | Key::Address(_) => false,
            Key::Server(_) | Key::Destination(..) => true,
        }
    }

    /// A datagram has nothing that could be finished, so its clients are sent elsewhere at once.
    fn unclaimed(key: &Key, live: &Value) -> Unclaimed<Value> {
        match (key, live) {
            (Key::Beside(key), Value::Beside(live)) => match Nft::unclaimed(key, live) {
                Unclaimed::Remove => Unclaimed::Remove,
                Unclaimed::UntilNextLook => Unclaimed::UntilNextLook,
                Unclaimed::Retire(value) => Unclaimed::Retire(Value::Beside(value)),
                Unclaimed::Draining { at_most } => Unclaimed::Draining { at_most },
            },
            (Key::Destination(vip, _), _) if vip.protocol == Protocol::Udp => Unclaimed::Remove,
            (_, Value::Destination { weight: 0 }) => Unclaimed::Draining { at_most: DRAINS },
            (_, Value::Destination { .. }) => Unclaimed::Retire(Value::Destination { weight: 0 }),
            _ => Unclaimed::Remove,
        }
    }

    fn weight(key: &Key, value: &Value) -> usize {
        match (key, value) {
            (Key::Beside(key), Value::Beside(value)) => Nft::weight(key, value),
            // A request has headers, the server's address, and what a destination or server needs, at their largest.
            _ => 256,
        }
    }

    fn base(&self, policy: &NodePolicy, need: &dyn Fn(&Key) -> usize) -> Vec<(Key, Value)> {
        let beside = companion::base(policy, &|key| need(&Key::Beside(key.clone())));
        let beside = beside.into_iter().map(|(key, value)| (Key::Beside(key), Value::Beside(value)));
        [(Key::Link, Value::Link)].into_iter().chain(beside).collect()
    }

    fn render(&self, policy: &NodePolicy, port: &DesiredPort, objects: &mut Vec<(Key, Value)>) {
        let mut beside = Vec::new();
        companion::render(port, &mut beside);
        objects.extend(beside.into_iter().map(|(key, value)| (Key::Beside(key), Value::Beside(value))));
        let with_address = port.frontends.iter().filter(|frontend| Sender::Ipvs.has_address(frontend));
        objects.extend(with_address.map(|frontend| (Key::Address(frontend.vip.addr), Value::Address)));
        for list in [TrafficPolicy::Cluster, TrafficPolicy::Local] {
            let Some(&Frontend { vip, .. }) = Sender::Ipvs.server(port, list) else { continue };
            // Without fallback a destination that drains keeps its share of the hashes, and their clients are refused.
            let scheduling = port.scheduling.unwrap_or_else(|| policy.scheduler.into()).with_fallback();
            let server = Server { scheduling, affinity: port.affinity };
            objects.push((Key::Server(vip), Value::Server(server)));
            let destination =
                |endpoint: &Endpoint| Key::Destination(vip, SocketAddr::new(endpoint.addr, endpoint.port));
            let endpoints = port.endpoints_for(list).iter();
            objects.extend(endpoints.map(|endpoint| (destination(endpoint), Value::Destination { weight: 1 })));
        }
    }

    fn keep_places<'kernel>(objects: &mut [(Key, Value)], present: &dyn Fn(usize) -> Option<&'kernel Value>) {
        // The objects beside come first (`render`).
        let (numbers, mut beside): (Vec<_>, Vec<_>) = objects
            .iter()
            .enumerate()
            .filter_map(|(number, object)| match object {
                (Key::Beside(key), Value::Beside(value)) => Some((number, (key.clone(), value.clone()))),
                _ => None,
            })
            .unzip();
        let present = |number: usize| match present(*numbers.get(number)?)? {
            Value::Beside(value) => Some(value),
            _ => None,
        };
        Nft::keep_places(&mut beside, &present);
        for (number, (_, value)) in numbers.iter().zip(beside) {
            if let Some((_, place)) = objects.get_mut(*number) {
                *place = Value::Beside(value);
            }
        }
    }
}
