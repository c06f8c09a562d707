//! Every object that somebody wants or the kernel holds, found by its key or by its number.
//!
//! ```text
//!   key --hash--> index: numbers -----> chunks: (key, entry)
//!                                         ^
//!   claimants, pending objects -- numbers-+
//! ```
//!
//! There are hundreds of thousands of them. A key is kept once, and whoever refers to an object keeps its number; a
//! table of numbers and full chunks have none of the room that a tree keeps free in its nodes.

use std::hash::{DefaultHasher, Hash, Hasher as _};

use hashbrown::HashTable;

use super::{Dialect, entry::Entry};

/// Stands for an object while it has an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Number(u32);

/// So many objects lie together: a list that grows by doubling would be half empty at times.
const CHUNK: usize = 1 << 10;

/// An object, or a place that is free.
type Slot<D> = Option<(<D as Dialect>::Key, Entry<<D as Dialect>::Value>)>;

/// The objects.
pub(super) struct Entries<D: Dialect> {
    chunks: Vec<Vec<Slot<D>>>,
    free: Vec<Number>,
    index: HashTable<Number>,
}

impl<D: Dialect> Default for Entries<D> {
    fn default() -> Self {
        Self { chunks: Vec::new(), free: Vec::new(), index: HashTable::new() }
    }
}

impl<D: Dialect> Entries<D> {
    /// The number of an object that has an entry.
    pub(super) fn find(&self, key: &D::Key) -> Option<Number> {
        self.index.find(hash(key), |number| self.key(*number) == Some(key)).copied()
    }

    /// The number of an object, which gets an empty entry if it has none.
    pub(super) fn number(&mut self, key: &D::Key) -> Number {
        if let Some(number) = self.find(key) {
            return number;
        }
        let slot = Some((key.clone(), Entry::default()));
        let number = match self.free.pop() {
            Some(number) => {
                if let Some(place) = slot_mut(&mut self.chunks, number) {
                    *place = slot;
                }
                number
            }
            None => self.append(slot),
        };
        let chunks = &self.chunks;
        self.index.insert_unique(hash(key), number, |number| {
            slot_of(chunks, *number).and_then(Option::as_ref).map_or(0, |(key, _)| hash(key))
        });
        number
    }

    fn append(&mut self, slot: Slot<D>) -> Number {
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            // The first ones grow as they need: most tests and many clusters are small.
            let room = if self.chunks.is_empty() { 0 } else { CHUNK };
            self.chunks.push(Vec::with_capacity(room));
        }
        let chunk = self.chunks.len().saturating_sub(1);
        let last = self.chunks.last_mut().map_or(0, |chunk| {
            chunk.push(slot);
            chunk.len() - 1
        });
        // Four thousand million objects are more than any kernel's set holds.
        Number(u32::try_from(chunk * CHUNK + last).unwrap_or(u32::MAX))
    }

    /// Forgets an object. Its number may stand for another one from now on.
    pub(super) fn remove(&mut self, number: Number) {
        let Some((key, _)) = slot_mut(&mut self.chunks, number).and_then(Option::take) else { return };
        if let Ok(found) = self.index.find_entry(hash(&key), |other| *other == number) {
            found.remove();
        }
        self.free.push(number);
    }

    pub(super) fn key(&self, number: Number) -> Option<&D::Key> {
        Some(&self.at(number)?.0)
    }

    pub(super) fn at(&self, number: Number) -> Option<&(D::Key, Entry<D::Value>)> {
        slot_of(&self.chunks, number)?.as_ref()
    }

    pub(super) fn at_mut(&mut self, number: Number) -> Option<(&D::Key, &mut Entry<D::Value>)> {
        let (key, entry) = slot_mut(&mut self.chunks, number)?.as_mut()?;
        Some((key, entry))
    }

    pub(super) fn get(&self, key: &D::Key) -> Option<&Entry<D::Value>> {
        Some(&self.at(self.find(key)?)?.1)
    }

    /// All of them, in the order of the keys.
    pub(super) fn sorted(&self) -> Vec<&(D::Key, Entry<D::Value>)> {
        let mut all: Vec<_> = self.iter().collect();
        all.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        all
    }

    /// All of them, in no order that means anything.
    pub(super) fn iter(&self) -> impl Iterator<Item = &(D::Key, Entry<D::Value>)> {
        self.chunks.iter().flatten().flatten()
    }
}

const fn place(number: Number) -> (usize, usize) {
    let number = number.0 as usize;
    (number / CHUNK, number % CHUNK)
}

fn slot_of<S>(chunks: &[Vec<S>], number: Number) -> Option<&S> {
    let (chunk, place) = place(number);
    chunks.get(chunk)?.get(place)
}

fn slot_mut<S>(chunks: &mut [Vec<S>], number: Number) -> Option<&mut S> {
    let (chunk, place) = place(number);
    chunks.get_mut(chunk)?.get_mut(place)
}

/// The same in every run: what comes of a sync must not depend on chance.
fn hash(key: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}
