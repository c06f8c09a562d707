//! Reads what has changed, and tells the difference to what was read before.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io,
    path::Path,
    sync::Arc,
};

use super::{
    Event,
    files::{self, Root, Stamp},
    ledger::{Claim, Ledger, Reader, Reading},
    object,
    parse::{parse, unreadable},
    refused::{Reason, Refused},
};

/// A file or folder of manifests, and what was read from it so far.
#[derive(Debug)]
pub struct Source {
    root: Root,
    files: BTreeMap<Arc<Path>, FileState>,
    ledger: Ledger,
    /// Why the folder itself cannot be read, while it cannot.
    folder: Option<Refused>,
}

#[derive(Debug, Default)]
struct FileState {
    /// As the file was when it was last read or refused; `None` makes it be read again.
    stamp: Option<Stamp>,
    begun: Reading,
    /// The last reading that came to the end; 0 for none.
    complete: Reading,
    refused: Vec<Refused>,
}

impl Source {
    /// Finds out whether the path is a file or a folder, and reads nothing yet.
    ///
    /// # Errors
    /// When there is nothing at the path, or a folder that cannot be listed.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { root: Root::open(path)?, files: BTreeMap::new(), ledger: Ledger::default(), folder: None })
    }

    /// Reads the files that are new or have changed, and tells `emit` what that changes. Deletions come last; while a
    /// file has never been read there are none.
    ///
    /// A file that `busy` tells is being written to counts as unchanged.
    pub fn scan(&mut self, busy: &mut dyn FnMut(&Path) -> bool, emit: &mut dyn FnMut(Event)) {
        match self.root.list() {
            Ok(files) => {
                self.folder = None;
                self.read_changed(files, busy, emit);
            }
            Err(error) => {
                let refused = Refused::file(self.root.path(), unreadable(&error));
                if self.folder.as_ref() != Some(&refused) {
                    emit(Event::Refused(refused.clone()));
                }
                self.folder = Some(refused);
            }
        }
        emit(Event::Scanned { complete: self.is_complete() });
    }

    /// Whether every file was read at least once.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.folder.is_none() && self.files.values().all(|file| file.complete > 0)
    }

    /// What could not be used when it was last read, in the order of the files.
    pub fn refused(&self) -> impl Iterator<Item = &Refused> {
        self.folder.iter().chain(self.files.values().flat_map(|file| &file.refused))
    }

    /// The files that the last scan found.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.keys().map(AsRef::as_ref)
    }

    pub(super) const fn root(&self) -> &Root {
        &self.root
    }

    fn read_changed(
        &mut self,
        listed: Vec<Arc<Path>>,
        busy: &mut dyn FnMut(&Path) -> bool,
        emit: &mut dyn FnMut(Event),
    ) {
        let listed: BTreeSet<_> = listed.into_iter().collect();
        self.files.retain(|path, _| listed.contains(path));
        let mut changed = BTreeSet::new();
        for path in listed {
            let stamp = Stamp::at(&path);
            let state = self.files.entry(Arc::clone(&path)).or_default();
            if stamp.is_none() || state.stamp != stamp {
                changed.insert(path);
            }
        }
        // Each file inherits at most once in a scan, so that this ends.
        let mut inherited = BTreeSet::new();
        loop {
            while let Some(path) = changed.pop_first() {
                let displaced = self.read(&path, busy, emit);
                changed.extend(displaced);
            }
            changed = self.ledger.heirs(&complete(&self.files));
            changed.retain(|path| self.files.contains_key(path) && inherited.insert(Arc::clone(path)));
            if changed.is_empty() {
                break;
            }
        }
        if self.is_complete() {
            self.ledger.sweep(&complete(&self.files)).into_iter().for_each(|object| emit(Event::Deleted(object)));
        }
    }

    /// Reads one file; returns the later files that have lost an object to it.
    fn read(
        &mut self,
        path: &Arc<Path>,
        busy: &mut dyn FnMut(&Path) -> bool,
        emit: &mut dyn FnMut(Event),
    ) -> BTreeSet<Arc<Path>> {
        let mut displaced = BTreeSet::new();
        let (mut file, stamp) = match files::open(path) {
            Ok(opened) => opened,
            Err(reason) => {
                self.refuse(path, Stamp::at(path), reason, emit);
                return displaced;
            }
        };
        // Asked once the file is open: what was in it before is whole, or its writer has been noticed by now.
        if busy(path) {
            return displaced;
        }
        let Some(state) = self.files.get_mut(path) else { return displaced };
        state.begun += 1;
        // Should the reading not come to its end, the file is read again.
        state.stamp = None;
        let reading = state.begun;
        let result = self.read_documents(&mut file, path, reading, &mut displaced, emit);

        if busy(path) {
            return displaced;
        }
        match result {
            Err(reason) => self.refuse(path, stamp, reason, emit),
            Ok(_) if Stamp::of_file(&file) != stamp => self.refuse(path, None, Reason::BeingWritten, emit),
            Ok(refused) => {
                if let Some(state) = self.files.get_mut(path) {
                    state.stamp = stamp;
                    state.complete = reading;
                    replace(&mut state.refused, refused, emit);
                }
            }
        }
        displaced
    }

    /// Tells what the documents of a file change; returns those that cannot be used.
    fn read_documents(
        &mut self,
        file: &mut File,
        path: &Arc<Path>,
        reading: Reading,
        displaced: &mut BTreeSet<Arc<Path>>,
        emit: &mut dyn FnMut(Event),
    ) -> Result<Vec<Refused>, Reason> {
        let (ledger, complete) = (&mut self.ledger, complete(&self.files));
        let reader = Reader { file: path, reading, complete: &complete };
        let mut refused = Vec::new();
        ledger.begin(path);
        parse(file, path, &mut |place, document, list| {
            let hash = Ledger::hash(&document);
            match object::object(document, list) {
                Ok(object) => {
                    let reference = object.reference();
                    match ledger.claim(&reference, hash, &reader, displaced) {
                        Claim::Changed => emit(Event::Applied(Box::new(object))),
                        Claim::Same => {}
                        Claim::Duplicate(first) => refused.push(Refused::duplicate(path, place, &reference, &first)),
                    }
                }
                Err((object, reason)) => refused.push(Refused { file: Arc::clone(path), place, object, reason }),
            }
        })?;
        Ok(refused)
    }

    fn refuse(&mut self, path: &Arc<Path>, stamp: Option<Stamp>, reason: Reason, emit: &mut dyn FnMut(Event)) {
        if let Some(state) = self.files.get_mut(path) {
            state.stamp = stamp;
            replace(&mut state.refused, vec![Refused::file(path, reason)], emit);
        }
    }
}

fn complete(files: &BTreeMap<Arc<Path>, FileState>) -> impl Fn(&Path) -> Option<Reading> {
    |path| files.get(path).map(|state| state.complete)
}

/// Keeps what is refused now, and tells what was not refused before.
fn replace(refused: &mut Vec<Refused>, now: Vec<Refused>, emit: &mut dyn FnMut(Event)) {
    for new in now.iter().filter(|new| !refused.contains(new)) {
        emit(Event::Refused(new.clone()));
    }
    *refused = now;
}
