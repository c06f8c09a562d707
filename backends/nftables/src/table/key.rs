//! What can be named in our tables: the keys of the keyed objects.

use std::{fmt, sync::Arc};

use portolan_core::addr::Family;

use super::element::ElementKey;
use crate::services::names::{ChainName, PortName, SetName, TABLE, keyword};

/// One object in one of our tables.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// The table itself.
    Table(Family),
    /// A set or map of ours, without its elements.
    Set(Family, SetName),
    /// The set of one endpoint's clients; its elements come and go with connections, and are no objects.
    Clients(Family, PortName),
    /// A chain, without its rules.
    Chain(Family, ChainName),
    /// The rules of a chain, in order.
    Rules(Family, ChainName),
    /// An element of a set or map of ours.
    Element(Family, SetName, ElementKey),
    /// A set that somebody else put into our table.
    ForeignSet(Family, Arc<str>),
}

impl Key {
    /// In which of our two tables it is.
    #[must_use]
    pub const fn family(&self) -> Family {
        match self {
            Self::Table(family)
            | Self::Set(family, _)
            | Self::Clients(family, _)
            | Self::Chain(family, _)
            | Self::Rules(family, _)
            | Self::Element(family, ..)
            | Self::ForeignSet(family, _) => *family,
        }
    }
}

/// As the logs and `portolan diff` name it.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = format_args!("table {} {TABLE}", keyword(self.family()));
        match self {
            Self::Table(_) => write!(f, "{table}"),
            Self::Set(_, set) => write!(f, "set {set} in {table}"),
            Self::Clients(_, set) => write!(f, "set {set} in {table}"),
            Self::Chain(_, chain) => write!(f, "chain {chain} in {table}"),
            Self::Rules(_, chain) => write!(f, "the rules of chain {chain} in {table}"),
            Self::Element(family, set, element) => {
                write!(f, "element {} of set {set} in {table}", element.read(*family, *set))
            }
            Self::ForeignSet(_, name) => write!(f, "set {name:?} in {table}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_small_since_there_are_many() {
        assert!(size_of::<Key>() <= 40, "{}", size_of::<Key>());
    }
}
