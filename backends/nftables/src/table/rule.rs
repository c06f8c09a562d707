//! The rules we write, as words: what a packet is compared with, and what is done with it.
//!
//! One vocabulary with three readers: [`text`](mod@super::text) writes it as nft would, [`lower`](super::lower) as the
//! expressions that the kernel runs, and [`trace`](crate::services::trace) follows a packet through it. Only what nft itself could
//! have written is in it: a nested lookup makes `nft list ruleset` abort, and with it everything that calls it.

use ipnet::IpNet;
use portolan_core::{
    addr::{Family, Protocol},
    desired::{Endpoint, LocalDetector},
};

use super::key::Key;
use crate::services::names::{ChainName, PortName, Scope, SetName};

/// One rule: its statements are met from left to right, until one does not match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Matches, then what is done.
    pub statements: Vec<Statement>,
    /// What `nft list` shows beside the rule.
    pub comment: Option<&'static str>,
}

/// A part of a packet, or a number drawn for it: what the keys of sets are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// `ip saddr`
    Source,
    /// `ip daddr`
    Destination,
    /// `meta l4proto`
    Protocol,
    /// `th dport`
    Port,
    /// `ct original ip daddr`: where the connection was sent by the client, before any translation.
    Asked,
    /// `iif`: the link by which the packet came in.
    CameBy,
    /// `oif`: the link by which it leaves.
    LeavesBy,
    /// `numgen random mod N`: a number below N, another for each connection.
    Random(u32),
}

/// The key of every set of VIPs.
pub(crate) const VIP: [Field; 3] = [Field::Destination, Field::Protocol, Field::Port];

/// The key of sets of frontends.
pub(crate) fn frontend(scope: Scope) -> Vec<Field> {
    match scope {
        Scope::Vip => VIP.to_vec(),
        Scope::NodePort => vec![Field::Protocol, Field::Port],
    }
}

/// The same with more fields behind.
pub(crate) fn frontend_and(scope: Scope, field: Field) -> Vec<Field> {
    frontend(scope).into_iter().chain([field]).collect()
}

/// A match or an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// The packet is in the set.
    In(Vec<Field>, SetName),
    /// The packet is not in the set.
    NotIn(Vec<Field>, SetName),
    /// The packet leaves by the link by which it came in.
    LeavesAsItCame,
    /// The packet is of this protocol.
    Is(Protocol),
    /// The address is inside; source or destination.
    Within(Field, IpNet),
    /// The address is outside.
    Outside(Field, IpNet),
    /// The address is one of this node's, as its routes say (`RTN_LOCAL`); source or destination.
    Local(Field),
    /// The connection is a pod's of this node.
    FromPod(LocalDetector),
    /// It is not.
    NotFromPod(LocalDetector),
    /// It does not open a connection.
    NotNew,
    /// Its connection was sent to an endpoint, by us or by another NAT.
    Translated,
    /// All bits of the mark are set.
    Marked(u32),
    /// Sets these bits of the mark and leaves the others.
    Mark(u32),
    /// Clears these bits of the mark, which are set.
    Unmark(u32),
    /// Holds with a chance of one in so many.
    OneIn(u32),
    /// The client is known in a set of clients.
    Known(PortName),
    /// Enters the client into a set of clients, or lets it stay there for so many seconds from now.
    Remember(PortName, u32),
    /// Goes to the chain that the map names, if it names one.
    Lookup(Vec<Field>, SetName),
    /// Sends the connection to the endpoint that the map names, if it names one.
    Translate(Vec<Field>, SetName),
    /// Sends the connection to this endpoint.
    TranslateTo(Endpoint),
    /// Gives the connection this node's address and a random port.
    Masquerade,
    /// Answers with ICMP port unreachable.
    Reject,
    /// Answers with a TCP reset.
    RejectWithReset,
    /// Silence.
    Drop,
    /// Goes back to the chain it came from.
    Return,
    /// Goes to another chain and comes back.
    Jump(ChainName),
    /// Goes to another chain, and from there to where this one was called from.
    Goto(ChainName),
}

impl Statement {
    /// The set that must exist for this.
    #[must_use]
    pub fn set(&self, family: Family) -> Option<Key> {
        match self {
            Self::In(_, set) | Self::NotIn(_, set) | Self::Lookup(_, set) | Self::Translate(_, set) => {
                Some(Key::Set(family, *set))
            }
            Self::LeavesAsItCame => Some(Key::Set(family, SetName::Links)),
            Self::Known(clients) | Self::Remember(clients, _) => Some(Key::Clients(family, clients.clone())),
            _ => None,
        }
    }

    /// The chain that must exist for this.
    #[must_use]
    pub const fn chain(&self) -> Option<&ChainName> {
        match self {
            Self::Jump(chain) | Self::Goto(chain) => Some(chain),
            _ => None,
        }
    }
}
