//! Virtual servers with destinations, somewhat as IPVS has them: a dialect for the tests of the engine itself. It has what
//! nf_tables has not: destinations that drain, and rendering that reads the policy.
//!
//! ```text
//!   link <-- address                      clients reach a server once its address is there
//!              ^ .
//!              . '. named by a destination that drains: its connections still come to the address
//!   server <-- destination                weight 1, or 0: nothing new comes
//! ```

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use crate::{
    addr::Protocol,
    desired::{DesiredPort, NodePolicy, Vip},
    object::{Dialect, Rank, Unclaimed},
};

/// The vocabulary.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Servers;

/// One object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServerKey {
    /// What has the addresses.
    Link,
    /// A virtual server.
    Server(Vip),
    /// Where its connections go.
    Destination(Vip, SocketAddr),
    /// An address that servers have.
    Address(IpAddr),
}

/// What else there is to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerValue {
    /// Nothing.
    Plain,
    /// Whether all clients are masqueraded.
    Server {
        /// As the policy says.
        masquerades: bool,
    },
    /// Whether new connections come to a destination.
    Destination {
        /// 1 or 0.
        weight: u32,
    },
}

impl fmt::Display for ServerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link => f.write_str("the link"),
            Self::Server(vip) => write!(f, "server {vip}"),
            Self::Destination(vip, endpoint) => write!(f, "destination {endpoint} of {vip}"),
            Self::Address(address) => write!(f, "address {address}"),
        }
    }
}

impl Servers {
    /// How long a destination drains.
    pub const DRAINS: Duration = Duration::from_secs(900);
}

impl Dialect for Servers {
    type Key = ServerKey;
    type Value = ServerValue;

    const RENDER_READS_POLICY: bool = true;
    const SEEN_WHOLE: bool = false;
    const ADDS_OVER: bool = false;

    fn rank(key: &ServerKey) -> Rank {
        match key {
            ServerKey::Link => Rank::Root,
            ServerKey::Server(_) => Rank::Container,
            ServerKey::Destination(..) => Rank::Endpoint,
            ServerKey::Address(_) => Rank::Gate,
        }
    }

    fn parent(key: &ServerKey) -> Option<ServerKey> {
        match key {
            ServerKey::Destination(vip, _) => Some(ServerKey::Server(*vip)),
            ServerKey::Address(_) => Some(ServerKey::Link),
            ServerKey::Link | ServerKey::Server(_) => None,
        }
    }

    fn capacity(_value: &ServerValue) -> Option<usize> {
        None
    }

    fn grown(_value: &ServerValue, _need: usize) -> Option<ServerValue> {
        None
    }

    fn writable(_key: &ServerKey, _value: &ServerValue) -> bool {
        true
    }

    fn references(key: &ServerKey, value: &ServerValue, visit: &mut dyn FnMut(ServerKey)) {
        if let (ServerKey::Destination(vip, _), ServerValue::Destination { weight: 0 }) = (key, value) {
            visit(ServerKey::Address(vip.addr));
        }
    }

    fn serves(_key: &ServerKey, live: &ServerValue, wanted: &ServerValue) -> bool {
        live == wanted
    }

    fn replaceable(_key: &ServerKey) -> bool {
        true
    }

    fn unclaimed(key: &ServerKey, live: &ServerValue) -> Unclaimed<ServerValue> {
        match (key, live) {
            (ServerKey::Destination(vip, _), _) if vip.protocol == Protocol::Udp => Unclaimed::Remove,
            (_, ServerValue::Destination { weight: 0 }) => Unclaimed::Draining { at_most: Self::DRAINS },
            (_, ServerValue::Destination { .. }) => Unclaimed::Retire(ServerValue::Destination { weight: 0 }),
            _ => Unclaimed::Remove,
        }
    }

    fn weight(_key: &ServerKey, _value: &ServerValue) -> usize {
        64
    }

    fn base(&self, _policy: &NodePolicy, _need: &dyn Fn(&ServerKey) -> usize) -> Vec<(ServerKey, ServerValue)> {
        vec![(ServerKey::Link, ServerValue::Plain)]
    }

    fn render(&self, policy: &NodePolicy, port: &DesiredPort, objects: &mut Vec<(ServerKey, ServerValue)>) {
        for frontend in &port.frontends {
            let vip = frontend.vip;
            objects.push((ServerKey::Server(vip), ServerValue::Server { masquerades: policy.masquerade_all }));
            let destination = |addr, number| ServerKey::Destination(vip, SocketAddr::new(addr, number));
            let endpoints = port.endpoints_for(frontend.policy).iter();
            objects.extend(
                endpoints.map(|endpoint| {
                    (destination(endpoint.addr, endpoint.port), ServerValue::Destination { weight: 1 })
                }),
            );
            objects.push((ServerKey::Address(vip.addr), ServerValue::Plain));
        }
    }

    fn keep_places<'kernel>(
        _objects: &mut [(ServerKey, ServerValue)],
        _present: &dyn Fn(usize) -> Option<&'kernel ServerValue>,
    ) {
    }
}
