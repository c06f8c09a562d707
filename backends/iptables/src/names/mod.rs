//! What tables and chains are called: as kube-proxy calls them, so that people, tools and a kube-proxy that comes back find
//! what they know.

mod chain;
mod hash;

use std::fmt;

pub use chain::{ChainName, Level, Part, Tree};
pub use hash::Hash;

/// A table of x_tables that has chains of ours. Each is committed by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// What is refused, and what is accepted.
    Filter,
    /// Where connections are sent.
    Nat,
}

impl Table {
    /// Both, in the order in which they are listed.
    pub const ALL: [Self; 2] = [Self::Filter, Self::Nat];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Nat => "nat",
        }
    }

    /// The table with this name; `None` for one where nothing is ours.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.as_str() == name)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A chain that a table always has. Packets start there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BuiltIn {
    /// Before the routing decision.
    Prerouting,
    /// For this node.
    Input,
    /// Passing through.
    Forward,
    /// From this node.
    Output,
    /// About to leave.
    Postrouting,
}

impl BuiltIn {
    /// All of them, in the order in which a packet can meet them.
    pub const ALL: [Self; 5] = [Self::Prerouting, Self::Input, Self::Forward, Self::Output, Self::Postrouting];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Prerouting => "PREROUTING",
            Self::Input => "INPUT",
            Self::Forward => "FORWARD",
            Self::Output => "OUTPUT",
            Self::Postrouting => "POSTROUTING",
        }
    }

    /// The chain with this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|chain| chain.as_str() == name)
    }
}

impl fmt::Display for BuiltIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
