//! The files of this repository, for tests that read them.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Its folder.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What is in a folder.
///
/// # Errors
/// There is no such folder, or it cannot be read.
pub fn paths_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()
}

/// The Rust sources in a folder and its subfolders.
///
/// # Errors
/// As [`paths_in`].
pub fn sources(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in paths_in(folder)? {
        if path.is_dir() {
            found.append(&mut sources(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(found)
}
