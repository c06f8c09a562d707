//! A layout as the engine's [`Dialect`], and what every layout answers alike when the engine asks about objects.

use portolan_core::object::Dialect;
use portolan_netlink::wire::Expr;

use super::{
    key::Key,
    layout::Layout,
    lower,
    value::{Data, Value},
};

/// A layout that the engine can work with.
pub trait TableDialect: Layout + Dialect<Key = Key<Self>, Value = Value<Self>> {}

impl<L: Layout + Dialect<Key = Key<L>, Value = Value<L>>> TableDialect for L {}

impl<L: Layout> Key<L> {
    /// The object that holds this one.
    pub(crate) fn parent(&self) -> Option<Self> {
        match self {
            Self::Table(_) => None,
            Self::Set(family, _) | Self::Clients(family, _) | Self::ForeignSet(family, _) | Self::Chain(family, _) => {
                Some(Self::Table(*family))
            }
            Self::Rules(family, chain) => Some(Self::Chain(*family, chain.clone())),
            Self::Element(family, set, _) => Some(Self::Set(*family, *set)),
        }
    }

    /// Whether the value of a live object can be changed.
    pub(crate) const fn is_replaceable(&self) -> bool {
        matches!(self, Self::Rules(..) | Self::Element(..))
    }
}

impl<L: Layout> Value<L> {
    /// How many objects fit into this one.
    pub(crate) fn capacity(&self) -> Option<usize> {
        match self {
            Self::Set { size: Some(size), .. } => usize::try_from(*size).ok(),
            _ => None,
        }
    }

    /// The same set with room for so many elements.
    pub(crate) fn grown(&self, need: usize) -> Option<Self> {
        match self {
            Self::Set { size: Some(_), counts } => Some(Self::Set { size: Some(size_for(need)), counts: *counts }),
            _ => None,
        }
    }

    /// Calls `visit` with every object that the one under this key names.
    pub(crate) fn references(&self, key: &Key<L>, visit: &mut dyn FnMut(Key<L>)) {
        let family = key.family();
        match self {
            Self::Element(Data::Jump(chain) | Data::Goto(chain), _) => visit(Key::Chain(family, chain.clone())),
            Self::Rules(rules) => {
                for statement in rules.iter().flat_map(|rule| &rule.statements) {
                    statement.set(family).into_iter().for_each(&mut *visit);
                    statement.chain().into_iter().for_each(|chain| visit(Key::Chain(family, chain.clone())));
                }
            }
            Self::LiveRules(rules) => {
                for set in rules.iter().flatten().filter_map(|expr| match expr {
                    Expr::Lookup { set, .. } => L::set(set),
                    _ => None,
                }) {
                    visit(Key::Set(family, set));
                }
            }
            _ => {}
        }
    }

    /// Whether what the kernel holds under a key could be written as it is.
    pub(crate) fn is_writable(&self, key: &Key<L>) -> bool {
        match (key, self) {
            (Key::Rules(_, chain), _) if L::is_foreign(chain) => false,
            (_, Self::Strange) => false,
            // What others have added may belong to this one rule, as an anonymous set does.
            (_, Self::LiveRules(rules)) => rules.iter().flatten().all(|instruction| match instruction {
                Expr::Other { .. } => false,
                Expr::Lookup { set, .. } => L::set(set).is_some() || L::clients(set).is_some(),
                _ => true,
            }),
            _ => true,
        }
    }

    /// Whether this, which the kernel holds under a key, does what is wanted.
    pub(crate) fn serves(&self, key: &Key<L>, wanted: &Self) -> bool {
        match (self, wanted) {
            // Whether there is room is counted apart: a set that is larger or smaller than we would make it now is fine.
            (Self::Set { size: live, counts: live_counts }, Self::Set { size, counts }) => {
                live.is_some() == size.is_some() && live_counts == counts
            }
            (Self::LiveRules(live), Self::Rules(wanted)) => lower::is_same(key.family(), live, wanted),
            (Self::Strange, _) => false,
            (live, wanted) => live == wanted,
        }
    }

    /// Bytes that writing it takes, at most.
    pub(crate) fn weight(&self) -> usize {
        match self {
            // Header, key and data at their largest, and the comment.
            Self::Element(_, comment) => 160 + comment.as_ref().map_or(0, |comment| comment.as_str().len()),
            // Five expressions at most for each, and a name.
            Self::Rules(rules) => rules.iter().map(|rule| 256 + 512 * rule.statements.len()).sum(),
            _ => 1024,
        }
    }
}

/// Room for a quarter more than is needed: a set cannot be resized, and with a size the kernel uses a hash table that never
/// has to grow inside a transaction (0.65 us an element instead of up to 3). The table has a power of two of places, 4/3 of
/// the size at least (`nft_hash_buckets`), so that sizes of three times a power of two use all of it.
pub(crate) fn size_for(need: usize) -> u32 {
    let places = need.saturating_add(need / 4).div_ceil(3).checked_next_power_of_two();
    places.and_then(|places| u32::try_from(places.checked_mul(3)?).ok()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_have_room_for_a_quarter_more_than_is_needed() {
        for (need, size) in [(0, 3), (1_000, 1_536), (1_228, 1_536), (1_230, 3_072), (100_000, 196_608)] {
            assert_eq!(size_for(need), size, "{need}");
        }
        assert_eq!(size_for(usize::MAX), u32::MAX);
    }
}
