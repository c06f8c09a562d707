//! The rules we write, as words: what a packet is compared with, and what is done with it.
//!
//! One vocabulary with two encoders: [`text`](mod@crate::text) writes it as nft would, [`lower`](crate::lower) as the
//! expressions that the kernel runs. Only what nft itself could have written is in it: a nested lookup makes
//! `nft list ruleset` abort, and with it everything that calls it.

use ipnet::IpNet;
use portolan_core::addr::Protocol;

use crate::names::{ChainName, SetName};

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
    /// `numgen random mod N`: a number below N, another for each connection.
    Random(u32),
}

/// The key of every set of VIPs.
pub(crate) const VIP: [Field; 3] = [Field::Destination, Field::Protocol, Field::Port];

/// A match or an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// The packet is in the set.
    In(Vec<Field>, SetName),
    /// The packet is not in the set.
    NotIn(Vec<Field>, SetName),
    /// The packet is of this protocol.
    Is(Protocol),
    /// The source address is outside.
    SourceOutside(IpNet),
    /// It opens a connection.
    New,
    /// It belongs to a connection that was seen before, or to none.
    NotNew,
    /// Its connection was sent to an endpoint, by us or by another NAT.
    Translated,
    /// All bits of the mark are set.
    Marked(u32),
    /// Sets these bits of the mark and leaves the others.
    Mark(u32),
    /// Clears these bits of the mark, which are set.
    Unmark(u32),
    /// Goes to the chain that the map names, if it names one.
    Lookup(Vec<Field>, SetName),
    /// Sends the connection to the endpoint that the map names, if it names one.
    Translate(Vec<Field>, SetName),
    /// Gives the connection this node's address and a random port.
    Masquerade,
    /// Answers with ICMP port unreachable.
    Reject,
    /// Answers with a TCP reset.
    RejectWithReset,
    /// Goes back to the chain it came from.
    Return,
    /// Goes to another chain and comes back.
    Jump(ChainName),
}

impl Statement {
    /// The set that must exist for this.
    #[must_use]
    pub const fn set(&self) -> Option<SetName> {
        match self {
            Self::In(_, set) | Self::NotIn(_, set) | Self::Lookup(_, set) | Self::Translate(_, set) => Some(*set),
            _ => None,
        }
    }

    /// The chain that must exist for this.
    #[must_use]
    pub const fn chain(&self) -> Option<&ChainName> {
        match self {
            Self::Jump(chain) => Some(chain),
            _ => None,
        }
    }
}
