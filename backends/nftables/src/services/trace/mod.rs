//! What becomes of a packet: rules and elements, asked as the kernel asks them.
//!
//! `text` writes the objects, `encode` programs them, and this follows a packet through
//! them: through those that the kernel holds, to tell why a connection fails, and through those that are rendered, to
//! hold them against what packets must meet.
//!
//! ```text
//!   from a pod, from outside    from this node
//!            |                        |
//!       prerouting                 output      translated to an endpoint, or not
//!            |                        |        (output: rejected, dropped)
//!         routing                     |
//!     input     forward               |        rejected, dropped
//!       |          |                  |
//!       |     postrouting        postrouting   masqueraded, or not
//!       |          |              |       |
//!       |         out            out    input
//! ```
//!
//! | module | what |
//! | --- | --- |
//! | `walk` | hooks, chains, rules |
//! | `statement` | what a rule's statements ask and do |
//! | `chance` | fractions |
//! | `live` | what the kernel remembers of clients, and who else has rules |
//!
//! Where the kernel draws a number the way parts, and every part has its exact chance: the answer is the complete list of
//! what may happen, not one of them.
//!
//! The packet is the first one of a connection. What the kernel remembers of connections is not looked at.

mod chance;
mod live;
mod statement;
#[cfg(test)]
mod tests;
mod walk;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use portolan_core::{
    addr::{Family, Protocol},
    desired::LocalDetector,
};

pub use self::chance::Chance;
use crate::{
    services::{
        Key, Statement, Value,
        names::{ChainName, PortName},
    },
    table::{field::Scope, value::Comment},
};

/// The objects of a kernel, or of a rendering, by their keys. Both families may be in it.
pub type Objects<'a> = BTreeMap<&'a Key, &'a Value>;

/// The first packet of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// The client's address.
    pub source: IpAddr,
    /// The client's place.
    pub origin: Origin,
    /// The address that it asks, of the same family.
    pub destination: IpAddr,
    /// What it asks there.
    pub asks: Asks,
}

/// Where a packet comes from, as this node's kernel sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A pod of this node: it comes in by an interface that detectors know as a pod's.
    Pod,
    /// A process of this node: it comes in by no interface.
    Node,
    /// Anybody else: it comes in by another interface, by which this node reaches everything that is not its own.
    Outside,
}

/// What a packet asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asks {
    /// A port.
    Port(Protocol, u16),
    /// An ICMP or ICMPv6 echo.
    Echo,
}

/// What the rules ask of the world outside of the table.
#[derive(Clone, Copy)]
pub struct World<'a> {
    /// Whether an address is this node's own, as its routes say (`RTN_LOCAL`): loopback is, too.
    pub is_local: &'a dyn Fn(IpAddr) -> bool,
    /// The sets that know the client, and for how long they still will.
    pub remembered: &'a BTreeMap<PortName, Duration>,
}

/// What becomes of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// Everything that may happen, each once, sorted by verdict; the chances add up to 1.
    pub outcomes: Vec<Outcome>,
    /// Why it may be otherwise.
    pub doubts: BTreeSet<Doubt>,
}

/// Something that may happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// How likely it is.
    pub chance: Chance,
    /// What it is.
    pub verdict: Verdict,
    /// What the packet was found to be for, if anything.
    pub frontend: Option<Frontend>,
    /// The chains that it went through.
    pub chains: Vec<ChainName>,
}

/// How it ends.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// An endpoint gets the packet.
    Endpoint {
        /// Which one.
        to: SocketAddr,
        /// Why it sees an address of this node instead of the client's; `None` where it sees the client's.
        masqueraded: Option<Masquerade>,
        /// Where the client is remembered, if it stays with this endpoint.
        sticky: Option<Sticky>,
    },
    /// The client is told that nobody is there.
    Rejected(Refusal),
    /// The client hears nothing.
    Dropped(Refusal),
    /// The packet goes on as though there were no rules.
    Untouched,
}

/// Why a connection is masqueraded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Masquerade {
    /// The frontend is an external one with `externalTrafficPolicy: Cluster`.
    External,
    /// The client is no pod of this node.
    NotFromPod,
    /// Every client of a cluster IP is.
    All,
    /// The client is this node, and the frontend has `externalTrafficPolicy: Local`.
    Node,
    /// The endpoint is the client itself.
    Hairpin,
    /// The client is a pod of another node, and so is the endpoint, which would answer it past this node.
    PassingThrough,
    /// A rule that is not known says so.
    Other,
}

/// The memory of a client.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sticky {
    /// The set that remembers it.
    pub clients: PortName,
    /// For how many seconds from a new connection on.
    pub timeout: u32,
    /// How long it still is, where it was before this connection.
    pub left: Option<Duration>,
}

/// The rule that ends a packet's way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refusal {
    /// Why it does so.
    pub reason: Reason,
    /// The chain that it is in.
    pub chain: ChainName,
    /// Its place in the chain, counted from 1.
    pub rule: usize,
    /// As nft writes it.
    pub text: String,
}

/// Why a packet is rejected or dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The frontend has no endpoint.
    NoEndpoints,
    /// It has some, but none on this node, and this client may use no other.
    NoLocalEndpoints,
    /// The client is in none of the ranges that may connect.
    SourceRanges,
    /// The address is a cluster IP, but not with this port and protocol.
    NoSuchPort,
    /// The address is where cluster IPs come from, but is none.
    NoSuchClusterIp,
    /// A rule that is not known says so.
    Other,
}

/// What a packet is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frontend {
    /// The ServicePort, as the kernel's comment names it; `None` where there is no comment.
    pub service: Option<Comment>,
    /// What kind of address it has.
    pub kind: FrontendKind,
}

/// What can be told of a frontend's kind: all external ones are treated alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FrontendKind {
    /// A cluster IP.
    ClusterIp,
    /// An external IP, a load balancer's IP, or a NodePort at one address of the node.
    External,
    /// A NodePort at every address of the node.
    NodePort,
}

/// Why a trace may be wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Doubt {
    /// There is no table: nothing is programmed in this family.
    NoTable(Family),
    /// An object is not as Portolan makes it; what it does to packets is not known.
    Strange(Key),
    /// A rule is not one of those that Portolan writes; what it does to packets is not known.
    Rule {
        /// The chain that it is in.
        chain: ChainName,
        /// Its place in the chain, counted from 1.
        rule: usize,
    },
}

/// How a kernel's rules tell pods of this node in a family; `None` where nothing of ours tells them.
#[must_use]
pub fn detector(objects: &Objects<'_>, family: Family) -> Option<LocalDetector> {
    let chains = [ChainName::Services(Scope::Vip), ChainName::ExternalLocal(Scope::Vip)];
    let rules = chains.into_iter().flat_map(|chain| walk::rules(objects, family, &chain)).flatten();
    let statements: Vec<_> = rules.flat_map(|rule| rule.into_owned().statements).collect();
    statements.into_iter().find_map(|statement| match statement {
        Statement::FromPod(detector) | Statement::NotFromPod(detector) => Some(detector),
        _ => None,
    })
}

/// Follows a packet through objects.
#[must_use]
pub fn trace(objects: &Objects<'_>, packet: &Packet, world: &World<'_>) -> Trace {
    walk::Walk::new(objects, packet, world).run()
}

impl Packet {
    /// The family whose rules it meets.
    #[must_use]
    pub const fn family(&self) -> Family {
        Family::of(self.destination)
    }
}

impl fmt::Debug for World<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("remembered", self.remembered).finish_non_exhaustive()
    }
}

/// `10.96.0.1:80/tcp`, `[fd00::1]:53/udp`, `10.96.0.1/icmp`.
impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.asks {
            Asks::Port(protocol, port) => write!(f, "{}/{protocol}", SocketAddr::new(self.destination, port)),
            Asks::Echo => write!(f, "{}/icmp", self.destination),
        }
    }
}

/// A sentence.
impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTable(family) => write!(f, "the kernel holds nothing of Portolan's for {family}"),
            Self::Strange(key) => write!(f, "{key} is not as Portolan makes it: what it does to packets is not known"),
            Self::Rule { chain, rule } => {
                write!(f, "rule {rule} of chain {chain} is not one that Portolan writes: what it does is not known")
            }
        }
    }
}
