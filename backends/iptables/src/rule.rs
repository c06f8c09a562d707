//! One rule: what it asks a packet, and what it does with one for which all of that holds.
//!
//! One vocabulary with several readers: [`text`](mod@crate::text) writes it for iptables-restore, [`parse`](mod@crate::parse)
//! reads what iptables-save prints. Only what Portolan or kube-proxy write is in it. A rule of anybody else's is kept as text.

use std::{net::SocketAddr, sync::Arc};

use ipnet::IpNet;
use portolan_core::{addr::Protocol, desired::InterfaceName};

use crate::names::{ChainName, Hash};

/// A rule of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// All of these must hold. They stand in the order in which iptables-save prints them: addresses, links and the protocol
    /// first, then matches as they were written.
    pub conditions: Box<[Condition]>,
    /// What is done then.
    pub target: Target,
}

/// Whether a condition must hold, or must not (`!`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Is {
    /// It must.
    In,
    /// It must not.
    Not,
}

/// Which address of a packet is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressSide {
    /// Where it comes from.
    Source,
    /// Where it goes.
    Destination,
}

/// Links by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// The link with this name.
    Named(InterfaceName),
    /// Those whose names begin so (`veth+`).
    Beginning(InterfaceName),
}

/// What conntrack says of the packet's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// `NEW`: the packet opens it.
    New,
    /// `INVALID`: it belongs to none.
    Invalid,
    /// `RELATED,ESTABLISHED`
    Known,
    /// `RELATED,ESTABLISHED,DNAT`
    KnownOrTranslated,
    /// `DNAT`: it was sent somewhere else than the client asked for.
    Translated,
}

/// A question to a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// `-s`, `-d`: the address is inside.
    Within(AddressSide, Is, IpNet),
    /// `-i`: it came in by this link.
    CameBy(Is, Link),
    /// `-p`: it is of this protocol.
    Protocol(Is, Protocol),
    /// `-m comment`: always holds. Without quotes, as it is stored.
    Comment(Arc<str>),
    /// `-m tcp --dport`: the port that it goes to; without one any. Behind the protocol.
    Port(Protocol, Option<u16>),
    /// `-m conntrack --ctstate`
    State(Is, State),
    /// `-m addrtype --src-type LOCAL`, `--dst-type LOCAL`: the address is one of the node's, as its routes say.
    Local(AddressSide, Is),
    /// `-m mark`: the bits of the mask are as in the value. Value and mask.
    Marked(Is, u32, u32),
    /// `-m statistic --mode random`: holds with this chance, in units of 2^-31 as the kernel stores it.
    Chance(u32),
    /// `-m recent --rcheck`: the client is in the list of this endpoint since at most so many seconds.
    Known(Hash, u32),
    /// `-m recent --set`: enters the client into the list of this endpoint, and always holds.
    Remember(Hash),
}

/// What is done with a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Goes to a chain and comes back.
    Jump(ChainName),
    /// ACCEPT: leaves the table; in nat untranslated.
    Accept,
    /// DROP: silence.
    Drop,
    /// RETURN: goes back to where the chain was called from.
    Return,
    /// REJECT
    Reject(RejectWith),
    /// DNAT: sends the connection there.
    SendTo(SocketAddr),
    /// MARK: clears the bits of the mask, then flips those of the value. Value and mask.
    Mark(u32, u32),
    /// MASQUERADE with a random port: gives the connection an address of the node's.
    Masquerade,
    /// None: counts, and goes on with the next rule.
    None,
    /// A rule that is not understood: all of it as iptables-save prints it behind the chain's name.
    Strange(Arc<str>),
}

/// What a client is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectWith {
    /// ICMP: port unreachable.
    PortUnreachable,
    /// A TCP reset.
    Reset,
}

impl Condition {
    /// A comment as near to this text as one can be.
    pub(crate) fn comment(text: &str) -> Self {
        Self::Comment(fitting(text))
    }
}

/// Text as a comment can have it: at most 255 bytes (`XT_MAX_COMMENT_LEN`), none of which ends a line.
pub(crate) fn fitting(text: &str) -> Arc<str> {
    let mut end = text.len().min(255);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let shown = |character: char| if character.is_control() { '?' } else { character };
    text.get(..end).unwrap_or_default().chars().map(shown).collect::<String>().into()
}

impl Rule {
    /// A rule with these conditions. One that every address meets is left out, as the kernel does.
    #[must_use]
    pub fn new(conditions: impl IntoIterator<Item = Condition>, target: Target) -> Self {
        let asks =
            |condition: &Condition| !matches!(condition, Condition::Within(_, Is::In, net) if net.prefix_len() == 0);
        Self { conditions: conditions.into_iter().filter(asks).collect(), target }
    }

    /// Its comment, if it has one.
    #[must_use]
    pub fn comment(&self) -> Option<&Arc<str>> {
        self.conditions.iter().find_map(|condition| match condition {
            Condition::Comment(text) => Some(text),
            _ => None,
        })
    }

    /// The chain that must exist for this.
    #[must_use]
    pub const fn chain(&self) -> Option<ChainName> {
        match self.target {
            Target::Jump(chain) => Some(chain),
            _ => None,
        }
    }
}
