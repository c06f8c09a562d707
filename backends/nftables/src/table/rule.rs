//! The rules we write, as words: what a packet is compared with, and what is done with it.
//!
//! One vocabulary with three readers: [`text`](mod@super::text) writes it as nft would, [`lower`](super::lower) as the
//! expressions that the kernel runs, and a layout's trace follows a packet through it. Only what nft itself could have
//! written is in it: a nested lookup makes `nft list ruleset` abort, and with it everything that calls it.

use ipnet::IpNet;
use portolan_core::{
    addr::{Family, Protocol},
    desired::{Endpoint, LocalDetector},
};

use super::{field::Field, key::Key, layout::Layout};

/// One rule: its statements are met from left to right, until one does not match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule<L: Layout> {
    /// Matches, then what is done.
    pub statements: Vec<Statement<L>>,
    /// What `nft list` shows beside the rule.
    pub comment: Option<&'static str>,
}

/// A match or an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement<L: Layout> {
    /// The packet is in the set.
    In(Vec<Field>, L::Set),
    /// The packet is not in the set.
    NotIn(Vec<Field>, L::Set),
    /// The packet leaves by the link by which it came in, as a set of links tells that packets fill.
    LeavesAsItCame(L::Set),
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
    Known(L::Clients),
    /// Enters the client into a set of clients, or lets it stay there for so many seconds from now.
    Remember(L::Clients, u32),
    /// Goes to the chain that the map names, if it names one.
    Lookup(Vec<Field>, L::Set),
    /// Sends the connection to the endpoint that the map names, if it names one.
    Translate(Vec<Field>, L::Set),
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
    Jump(L::Chain),
    /// Goes to another chain, and from there to where this one was called from.
    Goto(L::Chain),
}

impl<L: Layout> Statement<L> {
    /// The set that must exist for this.
    #[must_use]
    pub fn set(&self, family: Family) -> Option<Key<L>> {
        match self {
            Self::In(_, set)
            | Self::NotIn(_, set)
            | Self::LeavesAsItCame(set)
            | Self::Lookup(_, set)
            | Self::Translate(_, set) => Some(Key::Set(family, *set)),
            Self::Known(clients) | Self::Remember(clients, _) => Some(Key::Clients(family, clients.clone())),
            _ => None,
        }
    }

    /// The chain that must exist for this.
    #[must_use]
    pub const fn chain(&self) -> Option<&L::Chain> {
        match self {
            Self::Jump(chain) | Self::Goto(chain) => Some(chain),
            _ => None,
        }
    }
}
