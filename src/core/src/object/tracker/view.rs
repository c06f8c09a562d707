//! What a tracker knows, for whoever plans, compares or tells: nothing is changed here.

use std::collections::BTreeSet;

use super::{Difference, Pending, Tracker, containers_of, place};
use crate::object::{Claimant, Dialect, Rank, claims::Claims, entry::Entry, numbered::Number};

impl<D: Dialect> Tracker<D> {
    /// The objects that differ from what is wanted, with whose wish that is and what it is. What one claimant has
    /// brought stands together.
    pub fn pending(&self) -> impl Iterator<Item = Pending<'_, D>> {
        self.pending.iter().filter_map(|number| {
            let (key, entry) = self.entries.at(*number)?;
            let difference = self.difference(key, entry)?;
            Some(Pending { key, difference, wanted: entry.winner(), shared: entry.claims().shared() })
        })
    }

    /// Of what differs, what any of these wants.
    pub(in crate::object) fn pending_of(&self, claimants: &BTreeSet<Claimant>) -> Vec<Pending<'_, D>> {
        let is_theirs = |pending: &Pending<'_, D>| match pending.shared {
            Some(shared) => shared.keys().any(|who| claimants.contains(who)),
            None => pending.wanted.is_some_and(|(who, _)| claimants.contains(&who)),
        };
        self.pending().filter(is_theirs).collect()
    }

    /// Everything that these want, for whoever does not know what the kernel holds of it.
    pub(in crate::object) fn unknown_of(&self, claimants: impl Iterator<Item = Claimant>) -> Vec<Pending<'_, D>> {
        let claimed = claimants.filter_map(|who| self.claimed.get(place(who)));
        let numbers: BTreeSet<_> = claimed.flatten().copied().collect();
        let unknown = |number: Number| {
            let (key, entry) = self.entries.at(number)?;
            let difference = self.difference(key, entry).unwrap_or(Difference::Missing);
            Some(Pending { key, difference, wanted: entry.winner(), shared: entry.claims().shared() })
        };
        numbers.into_iter().filter_map(unknown).collect()
    }

    /// A number that is another after everything that may have changed what is pending.
    pub(in crate::object) const fn revision(&self) -> u64 {
        self.revision
    }

    /// The value that is wanted, with the claimant whose it is.
    pub fn wanted(&self, key: &D::Key) -> Option<(Claimant, &D::Value)> {
        self.entries.get(key)?.winner()
    }

    /// All who want an object.
    pub(in crate::object) fn claims(&self, key: &D::Key) -> Option<&Claims<D::Value>> {
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

    /// Everything that the kernel is known to hold, in no order.
    pub fn all_known(&self) -> impl Iterator<Item = (&D::Key, &D::Value)> {
        self.entries.iter().filter_map(|(key, entry)| Some((key, entry.present()?)))
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

    pub(super) fn held_by<'a>(&'a self, container: &'a D::Key) -> impl Iterator<Item = &'a (D::Key, Entry<D::Value>)> {
        let is_held = move |(key, _): &&(D::Key, _)| containers_of::<D>(key).any(|held_by| held_by == *container);
        self.entries.iter().filter(is_held)
    }
}
