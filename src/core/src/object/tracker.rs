//! Wanted and present: for every object what is claimed, what the kernel is known to hold, and where the two differ.
//!
//! The tracker holds no kernel and does no I/O. It is told three things: what a claimant wants now, what was observed,
//! and which operations were applied. What is left is `pending`, so that the cost of a change depends on the change.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    time::Duration,
};

use super::{
    Claimant, Dialect, Moment, Op, Rank, Unclaimed,
    claims::Claims,
    entry::Entry,
    left::Left,
    numbered::{Number, Numbered},
};
use crate::desired::{DesiredPort, NodePolicy};

/// What there is to do about one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// Wanted and not there.
    Missing,
    /// There, but not as it is wanted.
    Changed,
    /// There and wanted by nobody.
    Unwanted,
}

/// An object that differs from what is wanted.
#[derive(Debug)]
pub struct Pending<'a, D: Dialect> {
    /// Which one.
    pub key: &'a D::Key,
    /// What is wrong with it.
    pub difference: Difference,
    /// Whose wish it is, and what is wanted; `None` for one that is in nobody's wish.
    pub wanted: Option<(Claimant, &'a D::Value)>,
    /// The wishes of all who want it.
    pub(super) claims: &'a Claims<D::Value>,
}

/// How many objects a container holds.
#[derive(Debug, Default, Clone, Copy)]
struct Members {
    wanted: usize,
    present: usize,
}

/// What is wanted, what the kernel is known to hold, and where the two differ.
pub struct Tracker<D: Dialect> {
    entries: Numbered<D::Key, Entry<D::Value>>,
    /// What each claimant wants, at the place of its number.
    claimed: Vec<Box<[Number]>>,
    members: BTreeMap<D::Key, Members>,
    /// Every object that differs, each once, in the order in which they came to differ; and some that differ no more.
    /// A list that is thrown away when nothing differs: looking up half a million keys again would cost more than all
    /// the rest of a first sync.
    pending: Vec<Number>,
    /// Which list it is, counted from 1.
    round: u32,
    /// How many objects differ.
    differing: usize,
    /// Objects in the list that are neither wanted nor there.
    emptied: Vec<Number>,
    /// Objects that stay as they are for now.
    left: Left<D>,
    /// Rises with everything that may change what is pending.
    revision: u64,
}

impl<D: Dialect> Default for Tracker<D> {
    fn default() -> Self {
        Self {
            entries: Numbered::default(),
            claimed: Vec::new(),
            members: BTreeMap::new(),
            pending: Vec::new(),
            round: 1,
            differing: 0,
            emptied: Vec::new(),
            left: Left::default(),
            revision: 0,
        }
    }
}

impl<D: Dialect> Tracker<D> {
    /// What these ServicePorts want on this node, without a kernel.
    #[must_use]
    pub fn rendered(dialect: &D, policy: &NodePolicy, ports: &[DesiredPort]) -> Self {
        let mut tracker = Self::default();
        for (number, port) in (1..).zip(ports) {
            let mut objects = Vec::new();
            dialect.render(policy, port, &mut objects);
            tracker.claim(Claimant(number), objects);
        }
        let base = dialect.base(policy, &|container| tracker.wanted_members(container));
        tracker.claim(Claimant::BASE, base);
        tracker
    }

    /// Replaces everything that one claimant wants, and returns what it wanted before. Values that may be exchanged stay
    /// where the kernel holds them.
    pub fn claim(&mut self, who: Claimant, mut objects: Vec<(D::Key, D::Value)>) -> Vec<(D::Key, D::Value)> {
        let numbers: Box<[_]> = objects.iter().map(|(key, _)| self.entries.number(key)).collect();
        let entries = &self.entries;
        D::keep_places(&mut objects, &|object| entries.at(*numbers.get(object)?)?.1.present());
        let before = self.claimed.get_mut(place(who)).map(mem::take).unwrap_or_default();
        let old = self.take_back(who, &before, &numbers);
        for (number, (_, value)) in numbers.iter().zip(objects) {
            let is_claimed = |(_, entry): &(D::Key, Entry<D::Value>)| entry.claim_of(who) == Some(&value);
            if !self.entries.at(*number).is_some_and(is_claimed) {
                self.edit_at(*number, |_, entry| entry.claim(who, value));
            }
        }
        if self.claimed.len() <= place(who) {
            self.claimed.resize_with(place(who) + 1, Box::default);
        }
        if let Some(claimed) = self.claimed.get_mut(place(who)) {
            *claimed = numbers;
        }
        old
    }

    /// Takes back what one claimant wants, but for what it wants on, and returns all that it wanted.
    fn take_back(&mut self, who: Claimant, before: &[Number], after: &[Number]) -> Vec<(D::Key, D::Value)> {
        let mut kept = if before.is_empty() { Vec::new() } else { after.to_vec() };
        kept.sort_unstable();
        let mut old = Vec::with_capacity(before.len());
        for number in before {
            let Some((key, entry)) = self.entries.at(*number) else { continue };
            let key = key.clone();
            let value = if kept.binary_search(number).is_ok() {
                entry.claim_of(who).cloned()
            } else {
                self.edit_at(*number, |_, entry| entry.unclaim(who)).flatten()
            };
            old.extend(value.map(|value| (key, value)));
        }
        old
    }

    /// Has claimants whose values differ from what the kernel holds exchange them, where that makes them differ less.
    pub fn adopt_places(&mut self) {
        let changed = |pending: &Pending<'_, D>| pending.difference == Difference::Changed;
        let claimants: BTreeSet<_> =
            self.pending().filter(changed).filter_map(|pending| Some(pending.wanted?.0)).collect();
        for who in claimants {
            let claimed = self.claimed.get(place(who)).map(Box::as_ref).unwrap_or_default();
            let claim = |number: &Number| {
                let (key, entry) = self.entries.at(*number)?;
                Some((key.clone(), entry.claim_of(who)?.clone()))
            };
            let objects = claimed.iter().filter_map(claim).collect();
            self.claim(who, objects);
        }
    }

    /// Whether a claimant wants anything at all.
    pub fn claims_anything(&self, who: Claimant) -> bool {
        self.claimed.get(place(who)).is_some_and(|claimed| !claimed.is_empty())
    }

    /// Takes over what the kernel holds, and returns what was changed by others: what is not as it was known to be, and
    /// not as it is wanted either.
    pub fn observed(&mut self, live: Vec<(D::Key, D::Value)>) -> Vec<(D::Key, Difference)> {
        let live: BTreeMap<_, _> = live.into_iter().collect();
        let is_gone = |(key, entry): &&(D::Key, Entry<D::Value>)| entry.present().is_some() && !live.contains_key(key);
        let mut gone: Vec<_> = self.entries.iter().filter(is_gone).map(|(key, _)| key.clone()).collect();
        gone.sort_unstable();
        let mut drift = Vec::new();
        for key in gone {
            let lost = self.edit(&key, |key, entry| {
                entry.set_present(None);
                difference::<D>(key, entry)
            });
            drift.extend(lost.map(|difference| (key, difference)));
        }
        for (key, value) in live {
            let changed = self.edit(&key, |key, entry| {
                let is_known = entry.present().is_some_and(|known| *known == value || D::serves(key, &value, known));
                entry.set_present(Some(value));
                if is_known { None } else { difference::<D>(key, entry) }
            });
            drift.extend(changed.map(|difference| (key, difference)));
        }
        drift
    }

    /// Takes note of an operation that the kernel has carried out.
    pub fn applied(&mut self, op: &Op<D>) {
        match op {
            Op::Add(key, value) | Op::Replace(key, value, _) => {
                let value = value.clone();
                self.edit(key, |_, entry| entry.set_present(Some(value)));
            }
            Op::Remove(key, _) | Op::Rebuild(key) => {
                if self.present_members(key) > 0 {
                    let held: Vec<_> = self
                        .held_by(key)
                        .filter(|(_, entry)| entry.present().is_some())
                        .map(|(key, _)| key.clone())
                        .collect();
                    for key in held {
                        self.edit(&key, |_, entry| entry.set_present(None));
                    }
                }
                self.edit(key, |_, entry| entry.set_present(None));
            }
        }
    }

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

    /// The objects that differ from what is wanted, with whose wish that is and what it is. What one claimant has
    /// brought stands together.
    pub fn pending(&self) -> impl Iterator<Item = Pending<'_, D>> {
        self.pending.iter().filter_map(|number| {
            let (key, entry) = self.entries.at(*number)?;
            let difference = self.difference(key, entry)?;
            Some(Pending { key, difference, wanted: entry.winner(), claims: entry.claims() })
        })
    }

    /// A number that is another after everything that may have changed what is pending.
    pub(super) const fn revision(&self) -> u64 {
        self.revision
    }

    /// Forgets about objects that differ no more, once they are the larger part of the list: so a change costs what it
    /// touches even while something else cannot be settled.
    pub fn settle(&mut self) {
        const FEW: usize = 64;
        if self.differing > 0 && self.pending.len() <= 2 * self.differing + FEW {
            return;
        }
        self.round = self.round.wrapping_add(1).max(1);
        let mut pending = mem::take(&mut self.pending);
        if self.differing > 0 {
            pending.retain(|number| {
                let Some((key, entry)) = self.entries.at_mut(*number) else { return false };
                let differs = difference::<D>(key, entry).is_some() && !self.left.contains(key);
                if differs {
                    entry.queued = self.round;
                }
                differs
            });
            self.pending = pending;
        }
        for number in mem::take(&mut self.emptied) {
            let is_empty = |entry: &Entry<D::Value>| entry.present().is_none() && entry.wanted().is_none();
            if self.entries.at(number).is_some_and(|(_, entry)| is_empty(entry)) {
                self.entries.remove(number);
            }
        }
    }

    /// The value that is wanted, with the claimant whose it is.
    pub fn wanted(&self, key: &D::Key) -> Option<(Claimant, &D::Value)> {
        self.entries.get(key)?.winner()
    }

    /// All who want an object.
    pub(super) fn claims(&self, key: &D::Key) -> Option<&Claims<D::Value>> {
        Some(self.entries.get(key)?.claims())
    }

    /// Everything that is wanted, in the order of the keys.
    pub fn all_wanted(&self) -> impl Iterator<Item = (&D::Key, &D::Value)> {
        self.entries.sorted().into_iter().filter_map(|(key, entry)| Some((key, entry.wanted()?)))
    }

    /// What the kernel is known to hold under a key.
    pub fn present(&self, key: &D::Key) -> Option<&D::Value> {
        self.entries.get(key)?.present()
    }

    /// Every object that holds others.
    pub fn containers(&self) -> impl Iterator<Item = &D::Key> {
        self.members.keys()
    }

    /// How many objects are wanted in a container.
    pub fn wanted_members(&self, container: &D::Key) -> usize {
        self.members.get(container).map_or(0, |members| members.wanted)
    }

    /// How many objects a container is known to hold.
    pub fn present_members(&self, container: &D::Key) -> usize {
        self.members.get(container).map_or(0, |members| members.present)
    }

    /// Everything that is wanted and held by a container, directly or not, in the order of the keys.
    pub fn wanted_in<'a>(&'a self, container: &'a D::Key) -> impl Iterator<Item = (&'a D::Key, &'a D::Value)> {
        let mut held: Vec<_> =
            self.held_by(container).filter_map(|(key, entry)| Some((key, entry.wanted()?))).collect();
        held.sort_unstable_by_key(|(key, _)| *key);
        held.into_iter()
    }

    /// Everything that a container is known to hold, directly, in the order of the keys.
    pub fn present_in<'a>(&'a self, container: &'a D::Key) -> impl Iterator<Item = (&'a D::Key, &'a D::Value)> {
        let is_member = |key: &D::Key| D::parent(key).as_ref() == Some(container);
        self.all_present(is_member).into_iter()
    }

    /// All rules that the kernel is known to hold, in the order of the keys.
    pub fn present_rules(&self) -> impl Iterator<Item = (&D::Key, &D::Value)> {
        self.all_present(|key| D::rank(key) == Rank::Rules).into_iter()
    }

    fn all_present(&self, chosen: impl Fn(&D::Key) -> bool) -> Vec<(&D::Key, &D::Value)> {
        let present = self.entries.iter().filter(|(key, _)| chosen(key));
        let mut present: Vec<_> = present.filter_map(|(key, entry)| Some((key, entry.present()?))).collect();
        present.sort_unstable_by_key(|(key, _)| *key);
        present
    }

    fn held_by<'a>(&'a self, container: &'a D::Key) -> impl Iterator<Item = &'a (D::Key, Entry<D::Value>)> {
        let is_held = move |(key, _): &&(D::Key, _)| containers_of::<D>(key).any(|held_by| held_by == *container);
        self.entries.iter().filter(is_held)
    }

    fn edit<R: Default>(&mut self, key: &D::Key, change: impl FnOnce(&D::Key, &mut Entry<D::Value>) -> R) -> R {
        let number = self.entries.number(key);
        self.edit_at(number, change).unwrap_or_default()
    }

    /// The only way in which an entry changes: keeps the counts and the pending objects true. `None` where there is no
    /// such entry.
    fn edit_at<R>(&mut self, number: Number, change: impl FnOnce(&D::Key, &mut Entry<D::Value>) -> R) -> Option<R> {
        self.revision += 1;
        let (key, entry) = self.entries.at_mut(number)?;
        let before = (entry.wanted().is_some(), entry.present().is_some());
        let differed = difference::<D>(key, entry).is_some() && !self.left.contains(key);
        let result = change(key, entry);
        let after = (entry.wanted().is_some(), entry.present().is_some());
        self.left.note(key, entry.present().filter(|_| !after.0));
        let differs = difference::<D>(key, entry).is_some() && !self.left.contains(key);
        self.differing = self.differing + usize::from(differs) - usize::from(differed);
        if differs && entry.queued != self.round {
            entry.queued = self.round;
            self.pending.push(number);
        }
        if before != after
            && let Some(container) = D::parent(key)
        {
            let members = self.members.entry(container.clone()).or_default();
            members.wanted = members.wanted + usize::from(after.0) - usize::from(before.0);
            members.present = members.present + usize::from(after.1) - usize::from(before.1);
            if (members.wanted, members.present) == (0, 0) {
                self.members.remove(&container);
            }
        }
        if after == (false, false) {
            if entry.queued == self.round {
                self.emptied.push(number);
            } else {
                self.entries.remove(number);
            }
        }
        Some(result)
    }

    fn difference(&self, key: &D::Key, entry: &Entry<D::Value>) -> Option<Difference> {
        difference::<D>(key, entry).filter(|_| !self.left.contains(key))
    }
}

/// Of a claimant in a list; their numbers are dense.
pub(super) const fn place(who: Claimant) -> usize {
    who.0 as usize
}

fn difference<D: Dialect>(key: &D::Key, entry: &Entry<D::Value>) -> Option<Difference> {
    if entry.is_as_wanted() {
        return None;
    }
    match (entry.wanted(), entry.present()) {
        (Some(_), None) => Some(Difference::Missing),
        (Some(wanted), Some(live)) => (!D::serves(key, live, wanted)).then_some(Difference::Changed),
        (None, Some(_)) => Some(Difference::Unwanted),
        (None, None) => None,
    }
}

/// Whether it is nobody's wish, and may stay until the next look.
fn is_to_linger<D: Dialect>(key: &D::Key, entry: &Entry<D::Value>) -> bool {
    let unclaimed = entry.present().filter(|_| entry.wanted().is_none()).map(|live| D::unclaimed(key, live));
    matches!(unclaimed, Some(Unclaimed::UntilNextLook))
}

/// What holds an object, from the inside out.
pub(super) fn containers_of<D: Dialect>(key: &D::Key) -> impl Iterator<Item = D::Key> {
    std::iter::successors(D::parent(key), D::parent)
}
