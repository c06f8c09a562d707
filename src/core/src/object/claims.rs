//! Who wants an object, and with what value.
//!
//! Rendering is not disjoint: a cluster IP, a hairpin pair or a `pick-N` chain is rendered by every ServicePort that
//! needs it. So an object has claimants and exists while one claims it. Which of two Services gets a Frontend is
//! decided before, in [`desired`](crate::desired); claimants of one object therefore agree on its value, and should
//! they not, the first in order wins, whatever the order in which they came.

use std::collections::BTreeMap;

/// Who claims an object: the node itself, or a ServicePort in one family by a number that it keeps while it has
/// objects. A number and not a name, since every one of hundreds of thousands of objects has at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claimant(pub(super) u32);

impl Claimant {
    /// The node itself: what is there whatever the Services are. Comes before every ServicePort.
    pub const BASE: Self = Self(0);
}

/// The claims on one object. Nearly always one, so that the common case holds no map.
#[derive(Debug, Clone)]
pub(super) enum Claims<V> {
    None,
    One(Claimant, V),
    Many(BTreeMap<Claimant, V>),
}

impl<V> Claims<V> {
    /// The winning claimant and its value.
    pub(super) fn winner(&self) -> Option<(Claimant, &V)> {
        match self {
            Self::None => None,
            Self::One(claimant, value) => Some((*claimant, value)),
            Self::Many(claims) => claims.first_key_value().map(|(claimant, value)| (*claimant, value)),
        }
    }

    /// The wishes of all who want it, where these are several.
    pub(super) const fn shared(&self) -> Option<&BTreeMap<Claimant, V>> {
        match self {
            Self::Many(claims) => Some(claims),
            Self::None | Self::One(..) => None,
        }
    }

    /// The value that is wanted.
    pub(super) fn wanted(&self) -> Option<&V> {
        self.winner().map(|(_, value)| value)
    }

    /// The value that one claimant wants.
    pub(super) fn of(&self, who: Claimant) -> Option<&V> {
        match self {
            Self::One(claimant, value) if *claimant == who => Some(value),
            Self::Many(claims) => claims.get(&who),
            Self::None | Self::One(..) => None,
        }
    }

    /// Adds a claim, or changes its value.
    pub(super) fn insert(&mut self, who: Claimant, value: V) {
        *self = match std::mem::replace(self, Self::None) {
            Self::None => Self::One(who, value),
            Self::One(claimant, _) if claimant == who => Self::One(claimant, value),
            Self::One(claimant, old) => Self::Many(BTreeMap::from([(claimant, old), (who, value)])),
            Self::Many(mut claims) => {
                claims.insert(who, value);
                Self::Many(claims)
            }
        };
    }

    /// Takes a claim back and returns its value.
    pub(super) fn remove(&mut self, who: Claimant) -> Option<V> {
        let (rest, value) = match std::mem::replace(self, Self::None) {
            Self::One(claimant, value) if claimant == who => (Self::None, Some(value)),
            Self::Many(mut claims) => {
                let value = claims.remove(&who);
                let last = if claims.len() == 1 { claims.pop_first() } else { None };
                (last.map_or(Self::Many(claims), |(claimant, value)| Self::One(claimant, value)), value)
            }
            other => (other, None),
        };
        *self = rest;
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_exists_while_one_claims_it_and_the_order_of_claims_does_not_matter() {
        let [a, b, c] = [1, 2, 3].map(Claimant);
        for order in [[a, b, c], [c, b, a], [b, c, a]] {
            let mut claims = Claims::None;
            for who in order {
                claims.insert(who, who.0);
            }
            assert_eq!(claims.winner(), Some((a, &1)));
            claims.remove(a);
            assert_eq!(claims.winner(), Some((b, &2)));
            claims.remove(c);
            assert!(matches!(&claims, Claims::One(who, _) if *who == b));
            assert_eq!(claims.remove(c), None);
            claims.remove(b);
            assert!(claims.wanted().is_none());
        }
    }
}
