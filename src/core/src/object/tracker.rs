//! Wanted and present: for every object what is claimed, what the kernel is known to hold, and where the two differ.
//!
//! The tracker holds no kernel and does no I/O. It is told three things: what a claimant wants now, what was observed,
//! and which operations were applied. What is left is `pending`, so that the cost of a change depends on the change.
//! What it knows is read by `view.rs`; what is left as it is for now, `leaving.rs`.

mod leaving;
mod view;

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
};

use super::{
    Claimant, Dialect, Op,
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
    /// The wishes of all who want it, where these are several.
    pub(super) shared: Option<&'a BTreeMap<Claimant, D::Value>>,
}

/// How many objects a container holds.
#[derive(Debug, Default, Clone, Copy)]
struct Members {
    wanted: usize,
    present: usize,
    /// One came to be wanted since that was last asked.
    has_grown: bool,
}

/// What is wanted, what the kernel is known to hold, and where the two differ.
pub struct Tracker<D: Dialect> {
    entries: Numbered<D::Key, Entry<D::Value>>,
    /// What each claimant wants, at the place of its number.
    claimed: Vec<Box<[Number]>>,
    members: BTreeMap<D::Key, Members>,
    /// The containers in which an object came to be wanted since that was last asked, and some that are gone.
    grown: Vec<D::Key>,
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
            grown: Vec::new(),
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

    /// The containers in which an object came to be wanted since this was last asked. Of all containers there may be tens of
    /// thousands.
    pub(super) fn take_grown(&mut self) -> Vec<D::Key> {
        let grown = mem::take(&mut self.grown);
        for container in &grown {
            if let Some(members) = self.members.get_mut(container) {
                members.has_grown = false;
            }
        }
        grown
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
            if after.0 && !before.0 && !mem::replace(&mut members.has_grown, true) {
                self.grown.push(container.clone());
            }
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

/// What holds an object, from the inside out.
pub(super) fn containers_of<D: Dialect>(key: &D::Key) -> impl Iterator<Item = D::Key> {
    std::iter::successors(D::parent(key), D::parent)
}
