//! The second name of a set. A set cannot be resized or renamed, so one that is full is replaced by a larger one under its
//! other name, together with the rules that read it.
//!
//! ```text
//!   services     full       one transaction: `services.b`, its elements, the rules that read it
//!   services.b   larger     the next one: `services` goes
//! ```
//!
//! Only what is sent and what is read knows of it: everywhere else a set has one name, its first.

use std::{borrow::Cow, collections::BTreeSet};

use portolan_core::addr::Family;
use portolan_netlink::wire::Expr;

use super::layout::Layout;

/// Which names sets have in the kernel.
#[derive(Debug, Clone)]
pub(crate) struct Names<L: Layout> {
    /// Those that have their second name.
    second: BTreeSet<(Family, L::Set)>,
    /// Those beside which one with their other name is there, which nobody reads.
    doubled: BTreeSet<(Family, L::Set)>,
}

impl<L: Layout> Default for Names<L> {
    fn default() -> Self {
        Self { second: BTreeSet::new(), doubled: BTreeSet::new() }
    }
}

impl<L: Layout> Names<L> {
    /// The name that a set has in the kernel.
    pub(crate) fn of(&self, family: Family, set: L::Set) -> Cow<'static, str> {
        if self.second.contains(&(family, set)) { second::<L>(set).into() } else { L::set_name(set).into() }
    }

    /// The name that it has not.
    pub(crate) fn other(&self, family: Family, set: L::Set) -> Cow<'static, str> {
        if self.second.contains(&(family, set)) { L::set_name(set).into() } else { second::<L>(set).into() }
    }

    /// Gives a set its other name. Whether there is another set of that name, which has to go first.
    pub(crate) fn exchange(&mut self, family: Family, set: L::Set) -> bool {
        if !self.second.remove(&(family, set)) {
            self.second.insert((family, set));
        }
        self.doubled.remove(&(family, set))
    }

    /// Takes note that there is a set of the other name, too.
    pub(crate) fn double(&mut self, family: Family, set: L::Set) {
        self.doubled.insert((family, set));
    }

    /// Forgets the sets of a table.
    pub(crate) fn forget(&mut self, family: Family) {
        self.second.retain(|(of, _)| *of != family);
        self.doubled.retain(|(of, _)| *of != family);
    }

    /// Has the instructions of a rule read the sets that there are.
    pub(crate) fn apply(&self, family: Family, rule: &mut [Expr]) {
        for set in rule.iter_mut().filter_map(read_by) {
            if let Some(name) = L::set(set) {
                *set = self.of(family, name).into_owned();
            }
        }
    }

    /// The reverse: a set that is not the one in use gets a name that no rule of ours has.
    pub(crate) fn lift(&self, family: Family, rule: &mut [Expr]) {
        for set in rule.iter_mut().filter_map(read_by) {
            if let Some(name) = parse::<L>(set) {
                let first =
                    if *set == self.of(family, name) { L::set_name(name).to_owned() } else { second::<L>(name) };
                *set = first;
            }
        }
    }
}

/// The set that has this name, be it its first or its second.
pub(crate) fn parse<L: Layout>(name: &str) -> Option<L::Set> {
    L::set(name.strip_suffix(SUFFIX).unwrap_or(name))
}

/// The second name of a set.
pub(crate) fn second<L: Layout>(set: L::Set) -> String {
    format!("{}{SUFFIX}", L::set_name(set))
}

/// nft takes it in names, and none of the first names has it.
const SUFFIX: &str = ".b";

fn read_by(instruction: &mut Expr) -> Option<&mut String> {
    match instruction {
        Expr::Lookup { set, .. } => Some(set),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use portolan_netlink::wire::Register;

    use super::*;
    use crate::{
        services::{Nft, names::SetName},
        table::field::Scope,
    };

    #[test]
    fn rules_are_sent_and_read_under_the_name_that_a_set_has() {
        let (family, set) = (Family::V6, SetName::Endpoints(Scope::Vip));
        let reads =
            |name: &str| [Expr::Lookup { set: name.to_owned(), sreg: Register::FIRST, dreg: None, invert: false }];
        let mut names = Names::<Nft>::default();
        for (own, other) in [("endpoints", "endpoints.b"), ("endpoints.b", "endpoints"), ("endpoints", "endpoints.b")] {
            assert_eq!((&*names.of(family, set), &*names.other(family, set)), (own, other));
            assert_eq!((parse::<Nft>(own), parse::<Nft>(other)), (Some(set), Some(set)));
            let mut rule = reads("endpoints");
            names.apply(family, &mut rule);
            assert_eq!(rule, reads(own));
            names.lift(family, &mut rule);
            assert_eq!(rule, reads("endpoints"));
            let mut stale = reads(other);
            names.lift(family, &mut stale);
            assert_ne!(stale, reads("endpoints"));
            names.double(family, set);
            assert!(names.exchange(family, set), "the other one has to go");
        }
        names.forget(Family::V4);
        assert_eq!(names.of(family, set), "endpoints.b");
        names.forget(family);
        assert_eq!(names.of(family, set), "endpoints");
        assert_eq!(parse::<Nft>("services.b.b"), None);
    }
}
