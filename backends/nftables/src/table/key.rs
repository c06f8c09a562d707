//! What can be named in our tables: the keys of the keyed objects.

use std::{fmt, sync::Arc};

use portolan_core::addr::Family;

use super::{
    element::{ElementKey, Fields},
    layout::Layout,
};

/// One object in one of our tables.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key<L: Layout> {
    /// The table itself.
    Table(Family),
    /// A set or map of ours, without its elements.
    Set(Family, L::Set),
    /// The set of one endpoint's clients; its elements come and go with connections, and are no objects.
    Clients(Family, L::Clients),
    /// A chain, without its rules.
    Chain(Family, L::Chain),
    /// The rules of a chain, in order.
    Rules(Family, L::Chain),
    /// An element of a set or map of ours.
    Element(Family, L::Set, ElementKey),
    /// A set that somebody else put into our table.
    ForeignSet(Family, Arc<str>),
}

impl<L: Layout> Key<L> {
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

    /// What the key of an element says; `None` of any other object.
    #[must_use]
    pub fn fields(&self) -> Option<Fields> {
        match self {
            Self::Element(family, set, element) => Some(element.read(*family, &L::shape(*set).key)),
            _ => None,
        }
    }
}

/// As the logs and `portolan diff` name it.
impl<L: Layout> fmt::Display for Key<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = format_args!("table {} {}", keyword(self.family()), L::TABLE);
        match self {
            Self::Table(_) => write!(f, "{table}"),
            Self::Set(_, set) => write!(f, "set {set} in {table}"),
            Self::Clients(_, set) => write!(f, "set {set} in {table}"),
            Self::Chain(_, chain) => write!(f, "chain {chain} in {table}"),
            Self::Rules(_, chain) => write!(f, "the rules of chain {chain} in {table}"),
            Self::Element(family, set, element) => {
                write!(f, "element {} of set {set} in {table}", element.read(*family, &L::shape(*set).key))
            }
            Self::ForeignSet(_, name) => write!(f, "set {name:?} in {table}"),
        }
    }
}

/// How nft names a family.
#[must_use]
pub(crate) const fn keyword(family: Family) -> &'static str {
    match family {
        Family::V4 => "ip",
        Family::V6 => "ip6",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::Nft;

    #[test]
    fn a_key_is_small_since_there_are_many() {
        assert!(size_of::<Key<Nft>>() <= 40, "{}", size_of::<Key<Nft>>());
    }
}
