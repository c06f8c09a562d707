//! Objects that are not as they are wanted, and are left as they are for now.
//!
//! ```text
//!   the kernel refuses a change       until it is looked at again, or everything is tried again
//!   unclaimed, `UntilNextLook`        until it is looked at again
//!   unclaimed, `Draining`             until nothing is on its way to it any more, or its time is over; then it is removed
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    time::Duration,
};

use super::{Dialect, Moment, Unclaimed};

/// Which objects are left as they are.
pub(super) struct Left<D: Dialect> {
    lingering: BTreeSet<D::Key>,
    draining: BTreeMap<D::Key, Drain>,
}

/// What is known about an object that drains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Drain {
    /// It has just begun, and nobody has said when that was.
    Begun,
    /// It drains until then at most.
    Until(Moment),
    /// It may go.
    Over,
}

impl<D: Dialect> Default for Left<D> {
    fn default() -> Self {
        Self { lingering: BTreeSet::new(), draining: BTreeMap::new() }
    }
}

impl<D: Dialect> Left<D> {
    /// Whether an object is left as it is.
    pub(super) fn contains(&self, key: &D::Key) -> bool {
        self.lingering.contains(key) || self.draining.get(key).is_some_and(|drain| *drain != Drain::Over)
    }

    /// Takes note of what an object has become: `unclaimed` is what the kernel holds, where nobody claims it.
    pub(super) fn note(&mut self, key: &D::Key, unclaimed: Option<&D::Value>) {
        match unclaimed.map(|live| D::unclaimed(key, live)) {
            None => {
                self.lingering.remove(key);
                self.draining.remove(key);
            }
            Some(Unclaimed::UntilNextLook) => drop(self.lingering.insert(key.clone())),
            Some(Unclaimed::Draining { .. }) => drop(self.draining.entry(key.clone()).or_insert(Drain::Begun)),
            Some(Unclaimed::Remove | Unclaimed::Retire(_)) => drop(self.draining.remove(key)),
        }
    }

    /// Leaves an object as it is.
    pub(super) fn leave(&mut self, key: &D::Key) {
        self.lingering.insert(key.clone());
    }

    /// Leaves nothing any more, but for what drains. What was left.
    pub(super) fn sweep(&mut self) -> BTreeSet<D::Key> {
        mem::take(&mut self.lingering)
    }

    /// Leaves only those of these, and what drains. What was left beside them.
    pub(super) fn keep(&mut self, stays: impl Fn(&D::Key) -> bool) -> BTreeSet<D::Key> {
        let (stay, others) = mem::take(&mut self.lingering).into_iter().partition(stays);
        self.lingering = stay;
        others
    }

    /// What drains, and may not go yet.
    pub(super) fn draining(&self) -> impl Iterator<Item = &D::Key> {
        self.draining.iter().filter(|(_, drain)| **drain != Drain::Over).map(|(key, _)| key)
    }

    /// When the first of what drains has to go; at once where it is not known since when one drains; `None` where nothing does.
    pub(super) fn next_to_go(&self) -> Option<Moment> {
        let when = self.draining.values().filter_map(|drain| match drain {
            Drain::Begun => Some(Moment::default()),
            Drain::Until(moment) => Some(*moment),
            Drain::Over => None,
        });
        when.min()
    }

    /// It is now `now`, and these hold nothing any more. `at_most` says how long an object may drain. What may go from now on.
    pub(super) fn pass(
        &mut self,
        now: Moment,
        drained: &BTreeSet<D::Key>,
        at_most: impl Fn(&D::Key) -> Duration,
    ) -> BTreeSet<D::Key> {
        let mut may_go = BTreeSet::new();
        for (key, drain) in &mut self.draining {
            let until = match *drain {
                Drain::Begun => now + at_most(key),
                Drain::Until(moment) => moment,
                Drain::Over => continue,
            };
            *drain = Drain::Until(until);
            if until <= now || drained.contains(key) {
                *drain = Drain::Over;
                may_go.extend((!self.lingering.contains(key)).then(|| key.clone()));
            }
        }
        may_go
    }
}
