//! Which object comes from which file: what tells a new object from an unchanged one, a deleted from a moved one, and
//! a duplicate from the original.
//!
//! An object that stands in several files belongs to the first of them in the order of their names, whatever the order
//! in which they were read or changed. The others are remembered as waiting: when the first gives the object up, they
//! are read again.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
    path::Path,
    sync::Arc,
};

use portolan_core::ingest::ObjectRef;
use serde_json::Value;

/// Counts how often a file was begun to be read.
pub(super) type Reading = u32;

#[derive(Debug, Default)]
pub(super) struct Ledger {
    held: BTreeMap<ObjectRef, Held>,
    waiting: BTreeMap<ObjectRef, BTreeSet<Arc<Path>>>,
}

/// Small on purpose: there is one for every object of the cluster.
#[derive(Debug)]
struct Held {
    file: Arc<Path>,
    hash: u64,
    seen: Reading,
}

/// What becomes of an object that was met in a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// It is new or other than before.
    Changed,
    /// It is as before.
    Same,
    /// It is taken from this file, which comes first.
    Duplicate(Arc<Path>),
}

/// A file while it is being read.
pub(super) struct Reader<'a> {
    pub(super) file: &'a Arc<Path>,
    pub(super) reading: Reading,
    /// The last complete reading of a file; `None` when the file is gone.
    pub(super) complete: &'a dyn Fn(&Path) -> Option<Reading>,
}

impl Ledger {
    /// A hash of an object's content. Two contents with one hash are 2^-64 unlikely.
    pub(super) fn hash(document: &Value) -> u64 {
        let mut hasher = DefaultHasher::new();
        document.hash(&mut hasher);
        hasher.finish()
    }

    /// Must be called before a file is read.
    pub(super) fn begin(&mut self, file: &Path) {
        self.waiting.retain(|_, files| {
            files.remove(file);
            !files.is_empty()
        });
    }

    /// Claims an object for the file that it was met in. A later file that had it is added to `displaced`.
    pub(super) fn claim(
        &mut self,
        object: &ObjectRef,
        hash: u64,
        reader: &Reader<'_>,
        displaced: &mut BTreeSet<Arc<Path>>,
    ) -> Claim {
        let Some(held) = self.held.get_mut(object) else {
            let held = Held { file: Arc::clone(reader.file), hash, seen: reader.reading };
            self.held.insert(object.clone(), held);
            return Claim::Changed;
        };
        if held.file == *reader.file {
            if held.seen == reader.reading {
                return Claim::Duplicate(Arc::clone(reader.file));
            }
        } else if !held.is_stale(reader.complete) {
            if held.file < *reader.file {
                self.waiting.entry(object.clone()).or_default().insert(Arc::clone(reader.file));
                return Claim::Duplicate(Arc::clone(&held.file));
            }
            displaced.insert(Arc::clone(&held.file));
        }
        let claim = if held.hash == hash { Claim::Same } else { Claim::Changed };
        *held = Held { file: Arc::clone(reader.file), hash, seen: reader.reading };
        claim
    }

    /// The files that wait for an object which its file has given up.
    pub(super) fn heirs(&self, complete: &dyn Fn(&Path) -> Option<Reading>) -> BTreeSet<Arc<Path>> {
        let free = |object| self.held.get(object).is_none_or(|held| held.is_stale(complete));
        self.waiting.iter().filter(|(object, _)| free(object)).flat_map(|(_, files)| files).cloned().collect()
    }

    /// Forgets the objects that no file has any more, and names them.
    pub(super) fn sweep(&mut self, complete: &dyn Fn(&Path) -> Option<Reading>) -> Vec<ObjectRef> {
        let mut gone = Vec::new();
        self.held.retain(|object, held| {
            let stale = held.is_stale(complete);
            if stale {
                gone.push(object.clone());
            }
            !stale
        });
        gone
    }
}

impl Held {
    /// Whether the file is gone, or was read to its end without meeting the object again.
    fn is_stale(&self, complete: &dyn Fn(&Path) -> Option<Reading>) -> bool {
        complete(&self.file).is_none_or(|last| last > self.seen)
    }
}
