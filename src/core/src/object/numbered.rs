//! A map whose keys have numbers: whoever refers to a key keeps its number and finds it again without looking it up.
//!
//! ```text
//!   key --hash--> index: numbers -----> chunks: (key, value)
//!                                         ^
//!   claims, pending objects ---- numbers -+
//! ```
//!
//! There are hundreds of thousands of keys. Each is kept once; a table of numbers and full chunks have none of the room
//! that a tree keeps free in its nodes.

use std::hash::{BuildHasher as _, Hash};

use hashbrown::{DefaultHashBuilder, HashTable};

/// Stands for a key while the map has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Number(pub(super) u32);

/// So many slots lie together: a list that grows by doubling would be half empty at times.
const CHUNK: usize = 1 << 10;

/// A key with its value, or a place that is free.
type Slot<K, V> = Option<(K, V)>;

/// The map. Its hashes differ from run to run, and nothing it gives depends on them.
#[derive(Debug)]
pub(super) struct Numbered<K, V> {
    chunks: Vec<Vec<Slot<K, V>>>,
    free: Vec<Number>,
    index: HashTable<Number>,
    hasher: DefaultHashBuilder,
}

impl<K, V> Default for Numbered<K, V> {
    fn default() -> Self {
        let (index, hasher) = (HashTable::new(), DefaultHashBuilder::default());
        Self { chunks: Vec::new(), free: Vec::new(), index, hasher }
    }
}

impl<K: Clone + Eq + Hash, V: Default> Numbered<K, V> {
    /// The number of a key.
    pub(super) fn find(&self, key: &K) -> Option<Number> {
        self.index.find(self.hasher.hash_one(key), |number| self.key(*number) == Some(key)).copied()
    }

    /// The number of a key, which is put in if it is not there.
    pub(super) fn number(&mut self, key: &K) -> Number {
        let hash = self.hasher.hash_one(key);
        let known = self.index.find(hash, |number| self.key(*number) == Some(key));
        if let Some(number) = known {
            return *number;
        }
        let slot = Some((key.clone(), V::default()));
        let number = match self.free.pop() {
            Some(number) => {
                if let Some(place) = slot_mut(&mut self.chunks, number) {
                    *place = slot;
                }
                number
            }
            None => self.append(slot),
        };
        let (chunks, hasher) = (&self.chunks, &self.hasher);
        self.index.insert_unique(hash, number, |number| {
            slot_of(chunks, *number).and_then(Option::as_ref).map_or(0, |(key, _)| hasher.hash_one(key))
        });
        number
    }

    fn append(&mut self, slot: Slot<K, V>) -> Number {
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
        // Four thousand million are more than any kernel's set holds.
        Number(u32::try_from(chunk * CHUNK + last).unwrap_or(u32::MAX))
    }

    /// Forgets a key. Its number may stand for another one from now on.
    pub(super) fn remove(&mut self, number: Number) {
        let Some((key, _)) = slot_mut(&mut self.chunks, number).and_then(Option::take) else { return };
        if let Ok(found) = self.index.find_entry(self.hasher.hash_one(&key), |other| *other == number) {
            found.remove();
        }
        self.free.push(number);
    }

    pub(super) fn key(&self, number: Number) -> Option<&K> {
        Some(&self.at(number)?.0)
    }

    pub(super) fn at(&self, number: Number) -> Option<&(K, V)> {
        slot_of(&self.chunks, number)?.as_ref()
    }

    pub(super) fn at_mut(&mut self, number: Number) -> Option<(&K, &mut V)> {
        let (key, value) = slot_mut(&mut self.chunks, number)?.as_mut()?;
        Some((key, value))
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        Some(&self.at(self.find(key)?)?.1)
    }

    /// All of them, in no order that means anything.
    pub(super) fn iter(&self) -> impl Iterator<Item = &(K, V)> {
        self.chunks.iter().flatten().flatten()
    }
}

impl<K: Ord + Clone + Hash, V: Default> Numbered<K, V> {
    /// All of them, in the order of the keys.
    pub(super) fn sorted(&self) -> Vec<&(K, V)> {
        let mut all: Vec<_> = self.iter().collect();
        all.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        all
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::testing::Seed;

    #[test]
    fn a_number_stands_for_its_key_until_that_is_removed() {
        let mut seed = Seed::new(1);
        let (mut map, mut numbers) = (Numbered::<usize, usize>::default(), BTreeMap::new());
        for _ in 0..20_000 {
            let key = seed.below(3000);
            if seed.one_in(3) {
                if let Some(number) = numbers.remove(&key) {
                    map.remove(number);
                }
            } else {
                let number = map.number(&key);
                assert_eq!(*numbers.entry(key).or_insert(number), number);
                *map.at_mut(number).unwrap().1 = 2 * key;
            }
        }
        assert!(map.chunks.len() > 1 && map.free.len() > 1);
        for key in 0..3000 {
            assert_eq!(map.find(&key), numbers.get(&key).copied());
            assert_eq!(map.get(&key).copied(), numbers.contains_key(&key).then_some(2 * key));
        }
        assert!(map.sorted().into_iter().map(|(key, _)| key).eq(numbers.keys()));
        assert!(numbers.iter().all(|(key, number)| map.key(*number) == Some(key)));
    }
}
