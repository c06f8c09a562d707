//! What becomes of a packet, in words that every dataplane shares: a backend follows the packet through its objects, and the
//! agent prints what came of it.
//!
//! ```text
//!   Packet --+                      +--> outcomes, each with its chance: a verdict, the Frontend, the policies met, and
//!            +--> trace (a backend) |    the steps of the way in the backend's own words
//!   World ---+                      +--> doubts
//! ```
//!
//! Where the kernel draws a number the way parts, and every part has its exact chance: the answer is the complete list of
//! what may happen, not one of them. Where a virtual server chooses by what cannot be known here, such as how many connections its
//! destinations have, each that it may choose is told, without a chance.
//!
//! The packet is the first one of a connection. What the kernel remembers of connections is not looked at.

mod branch;
mod chance;
mod packet;
mod server;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

pub use self::{
    branch::{Branch, Ends},
    chance::Chance,
    packet::{Asks, Origin, Packet},
    server::{ChosenBy, VirtualServer},
};

/// What the rules ask of the world outside of them.
#[derive(Clone, Copy)]
pub struct World<'a> {
    /// Whether an address is this node's own, as its routes say (`RTN_LOCAL`): loopback is, too.
    pub is_local: &'a dyn Fn(IpAddr) -> bool,
    /// Where the client is remembered ([`Sticky::clients`]), and for how long it still will be.
    pub remembered: &'a BTreeMap<String, Duration>,
}

/// What becomes of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// Everything that may happen, each once, sorted by verdict. The chances add up to 1; outcomes without one share what the others
    /// leave.
    pub outcomes: Vec<Outcome>,
    /// Why it may be otherwise: sentences.
    pub doubts: Vec<String>,
}

/// Something that may happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// How likely it is, where that can be told.
    pub chance: Option<Chance>,
    /// What it is.
    pub verdict: Verdict,
    /// What the packet was found to be for, if anything.
    pub frontend: Option<TracedFrontend>,
    /// What the Frontend asks for, beside an endpoint.
    pub policies: BTreeSet<Policy>,
    /// The steps of its way, as the backend names them: chains, in nftables mode.
    pub steps: Vec<String>,
    /// The virtual server that chose the endpoint, where one did.
    pub chosen_by: Option<ChosenBy>,
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
    Rejected(RefusedBy),
    /// The client hears nothing.
    Dropped(RefusedBy),
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

/// What a Frontend asks for, beside an endpoint. Session affinity is a [`Sticky`] of the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Policy {
    /// Only some sources may connect.
    SourceRanges,
    /// `externalTrafficPolicy: Local`: endpoints of this node only.
    LocalEndpoints,
    /// The same, but pods of this node and the node itself reach all endpoints, and this client is one of them.
    ShortCut,
}

/// The memory of a client.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sticky {
    /// What remembers it, as the backend names it: a set, in nftables mode.
    pub clients: String,
    /// For how many seconds from a new connection on.
    pub timeout: u32,
    /// How long it still is, where it was before this connection.
    pub left: Option<Duration>,
}

/// What ends a packet's way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RefusedBy {
    /// Why it does so.
    pub reason: Reason,
    /// Where the rule is that does it; `None` for a virtual server.
    pub rule: Option<RulePlace>,
    /// As the backend writes it.
    pub text: String,
}

/// The place of a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RulePlace {
    /// The [step](Outcome::steps) that it is in.
    pub step: String,
    /// Its place there, counted from 1.
    pub number: usize,
}

/// Why a packet is rejected or dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The frontend has no endpoint.
    NoEndpoints,
    /// It has some, but none on this node, and this client may use no other.
    NoLocalEndpoints,
    /// The endpoint that a virtual server chose takes no new connection.
    NotTaken,
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
pub struct TracedFrontend {
    /// The ServicePort, as the kernel's comment names it; `None` where there is no comment.
    pub service: Option<String>,
    /// What kind of address it has.
    pub address: AddressKind,
}

/// What can be told of a frontend's address: all external ones are treated alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AddressKind {
    /// A cluster IP.
    ClusterIp,
    /// An external IP, a load balancer's IP, or a NodePort at one address of the node.
    External,
    /// A NodePort at every address of the node.
    NodePort,
}

impl fmt::Debug for World<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("remembered", self.remembered).finish_non_exhaustive()
    }
}
