//! What can be named: the keys of the keyed objects.
//!
//! ```text
//!   -A PREROUTING -j KUBE-SERVICES                         Jumps: all of ours in one chain of the kernel's, in order
//!   -A KUBE-SERVICES -d 10.96.0.0/12 -j KUBE-SVC-10.96...  Rule: one rule of a chain that dispatches
//!   -A KUBE-SVC-10.96... -d 10.96.0.10/32 ... -j KUBE-SVC-TCOU7JCQXEZGVUNU
//!   :KUBE-SVC-TCOU7JCQXEZGVUNU                             Chain: with its rules, or, where it dispatches, without
//! ```
//!
//! Chains that all Services share hold a rule for each of them, so each of those rules is an object of its own: a change
//! inserts or deletes what it needs, and never writes such a chain anew.

use std::{fmt, net::IpAddr, sync::Arc};

use ipnet::IpNet;
use portolan_core::{
    addr::{Family, Protocol},
    desired::Vip,
};

use crate::{
    names::{BuiltIn, ChainName, Table},
    rule::Is,
};

/// One object in one of the tables.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// A chain, with its rules unless these are objects of their own ([`ChainName::dispatches`]).
    Chain(Family, Table, ChainName),
    /// One rule of a chain that dispatches, by what it matches.
    Rule(Family, Table, ChainName, Match),
    /// The rules in a built-in chain that jump to chains of ours, in order. Between them others may have rules of their own.
    Jumps(Family, Table, BuiltIn),
}

/// What a rule of a dispatching chain matches. No two of one chain match the same packet unless one of them
/// [is last](Self::is_last), so that the order of all others does not matter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Match {
    /// Packets to a VIP.
    Vip(Vip),
    /// Packets to a VIP that no NAT has sent there.
    AskedVip(Vip),
    /// Packets to a VIP that is an address of the node's.
    LocalVip(Vip),
    /// Packets to a port, whatever the address.
    Port(Protocol, u16),
    /// The same, of those that no NAT has sent there.
    AskedPort(Protocol, u16),
    /// Packets to an address inside, for which there is a chain of its own.
    Net(IpNet),
    /// Packets to an address, whatever else.
    Address(IpAddr),
    /// Packets to an address inside that no NAT has sent there.
    AskedNet(IpNet),
    /// Packets to an address of the node's, where a prefix is given only inside of it, or outside.
    Local(Option<(Is, IpNet)>),
    /// Packets to an address that is none of the node's.
    NotLocal,
    /// Packets to a loopback address that come from elsewhere and answer nothing.
    Martian,
    /// A rule that is not understood, as iptables-save prints it behind the chain's name.
    Other(Arc<str>),
}

impl Match {
    /// Whether it must stand behind all rules of its chain that are not last.
    #[must_use]
    pub const fn is_last(&self) -> bool {
        match self {
            Self::Address(_) | Self::AskedNet(_) | Self::Local(_) => true,
            Self::Vip(_) | Self::AskedVip(_) | Self::LocalVip(_) | Self::Port(..) | Self::AskedPort(..) => false,
            Self::Net(_) | Self::NotLocal | Self::Martian | Self::Other(_) => false,
        }
    }
}

impl Key {
    /// The family whose programs know it.
    #[must_use]
    pub const fn family(&self) -> Family {
        match self {
            Self::Chain(family, ..) | Self::Rule(family, ..) | Self::Jumps(family, ..) => *family,
        }
    }

    /// The table that it is in.
    #[must_use]
    pub const fn table(&self) -> Table {
        match self {
            Self::Chain(_, table, _) | Self::Rule(_, table, ..) | Self::Jumps(_, table, _) => *table,
        }
    }
}

/// As the logs and `portolan diff` name it.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = format_args!("in table {} of {}", self.table(), self.family());
        match self {
            Self::Chain(_, _, chain) => write!(f, "chain {chain} {of}"),
            Self::Rule(_, _, chain, matched) => write!(f, "the rule for {matched} in chain {chain} {of}"),
            Self::Jumps(_, _, chain) => write!(f, "the jumps in chain {chain} {of}"),
        }
    }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vip(vip) | Self::AskedVip(vip) | Self::LocalVip(vip) => write!(f, "{vip}"),
            Self::Port(protocol, port) | Self::AskedPort(protocol, port) => write!(f, "{port}/{protocol}"),
            Self::Net(net) | Self::AskedNet(net) => write!(f, "{net}"),
            Self::Address(addr) => write!(f, "{addr}"),
            Self::Local(None) => f.write_str("addresses of the node"),
            Self::Local(Some((Is::In, net))) => write!(f, "addresses of the node in {net}"),
            Self::Local(Some((Is::Not, net))) => write!(f, "addresses of the node outside of {net}"),
            Self::NotLocal => f.write_str("addresses of others"),
            Self::Martian => f.write_str("loopback addresses"),
            Self::Other(text) => write!(f, "{text:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_small_since_there_are_many() {
        assert!(size_of::<Key>() <= 64, "{}", size_of::<Key>());
    }
}
