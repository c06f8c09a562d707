//! Objects that are left as they are for now, and when they are pending again.

use std::{collections::BTreeSet, time::Duration};

use super::{Tracker, difference};
use crate::object::{Dialect, Moment, Unclaimed, entry::Entry};

impl<D: Dialect> Tracker<D> {
    /// Makes all objects pending again that were left as they are, but for those that drain.
    pub fn sweep(&mut self) {
        let left = self.left.sweep();
        self.put_back(left);
    }

    /// Makes objects pending again that the kernel refused; what may stay unclaimed stays.
    pub fn retry(&mut self) {
        let entries = &self.entries;
        let may_stay = |key: &D::Key| entries.get(key).is_some_and(|entry| is_to_linger::<D>(key, entry));
        let refused = self.left.keep(may_stay);
        self.put_back(refused);
    }

    fn put_back(&mut self, left: BTreeSet<D::Key>) {
        self.revision += 1;
        for key in left {
            let Some(number) = self.entries.find(&key) else { continue };
            let Some((key, entry)) = self.entries.at_mut(number) else { continue };
            if difference::<D>(key, entry).is_none() || self.left.contains(key) {
                continue;
            }
            self.differing += 1;
            if entry.queued != self.round {
                entry.queued = self.round;
                self.pending.push(number);
            }
        }
    }

    /// Leaves an object as it is until the next sweep.
    pub fn let_linger(&mut self, key: &D::Key) {
        self.revision += 1;
        let differs = self.entries.get(key).is_some_and(|entry| self.difference(key, entry).is_some());
        self.left.leave(key);
        self.differing = self.differing.saturating_sub(usize::from(differs));
    }

    /// Objects that drain and may not be removed yet.
    pub fn draining(&self) -> impl Iterator<Item = &D::Key> {
        self.left.draining()
    }

    /// When the first of them has to be removed, drained or not; [at the beginning](Moment::default) where it is not known
    /// since when one drains.
    pub fn next_to_go(&self) -> Option<Moment> {
        self.left.next_to_go()
    }

    /// It is now `now`, and these hold nothing any more: they, and those whose time is over, may be removed.
    pub fn pass(&mut self, now: Moment, drained: &BTreeSet<D::Key>) {
        let entries = &self.entries;
        let may_go = self.left.pass(now, drained, |key| {
            match entries.get(key).and_then(Entry::present).map(|live| D::unclaimed(key, live)) {
                Some(Unclaimed::Draining { at_most }) => at_most,
                _ => Duration::ZERO,
            }
        });
        self.put_back(may_go);
    }
}

/// Whether it is nobody's wish, and may stay until the next look.
fn is_to_linger<D: Dialect>(key: &D::Key, entry: &Entry<D::Value>) -> bool {
    let unclaimed = entry.present().filter(|_| entry.wanted().is_none()).map(|live| D::unclaimed(key, live));
    matches!(unclaimed, Some(Unclaimed::UntilNextLook))
}
