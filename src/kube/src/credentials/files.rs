//! Files that are read once, and compared later with what was read then.

use std::{
    fs,
    hash::{BuildHasher as _, RandomState},
    io,
    path::{Path, PathBuf},
};

/// The files that were read, with a hash of what they held: a token is not kept in yet another place.
#[derive(Default)]
pub(super) struct Files {
    seed: RandomState,
    read: Vec<(PathBuf, u64)>,
}

impl Files {
    pub(super) fn read(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        let bytes = fs::read(path)?;
        self.read.push((path.to_owned(), self.seed.hash_one(&bytes)));
        Ok(bytes)
    }

    /// Whether one of them holds something else now, or cannot be read any more.
    pub(super) fn are_stale(&self) -> bool {
        self.read.iter().any(|(path, hash)| fs::read(path).map_or(true, |bytes| self.seed.hash_one(&bytes) != *hash))
    }
}
