//! A source that is read again whenever its files change.

use std::{io, path::Path};

use super::{Event, Source, WatchError, watch::Watcher};

/// Manifests cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// There is nothing to read at the path.
    #[error("no manifests can be read at {}", .path.display())]
    Open {
        /// The path.
        path: Box<Path>,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Changes cannot be noticed.
    #[error(transparent)]
    Watch(#[from] WatchError),
}

/// A [`Source`] with a watch on its files.
#[derive(Debug)]
pub struct Follower {
    source: Source,
    watcher: Watcher,
}

impl Follower {
    /// Starts watching; nothing is read yet. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When there is nothing at the path, or it cannot be watched.
    pub fn open(path: &Path) -> Result<Self, FollowError> {
        let source = Source::open(path).map_err(|source| FollowError::Open { path: path.into(), source })?;
        Ok(Self { source, watcher: Watcher::new()? })
    }

    /// Reads what is new or has changed; blocks meanwhile.
    ///
    /// # Errors
    /// When a folder of the manifests cannot be watched.
    pub fn scan(&mut self, emit: &mut dyn FnMut(Event)) -> Result<(), WatchError> {
        // Watched first and read then, so that no change falls between the two. Where the files lead to is known only
        // once they were listed: should that be a new folder, they are looked at once more.
        let (source, watcher) = (&mut self.source, &mut self.watcher);
        watcher.cover(source.root(), source.files())?;
        loop {
            source.scan(&mut |file| watcher.is_busy(file), emit);
            if !watcher.cover(source.root(), source.files())? {
                return Ok(());
            }
        }
    }

    /// Waits until a file has changed. A file that is being written to is waited for until it is closed.
    ///
    /// # Errors
    /// When the kernel's notifications cannot be read.
    pub async fn changed(&mut self) -> Result<(), WatchError> {
        self.watcher.changed().await
    }

    /// What was read so far.
    #[must_use]
    pub const fn source(&self) -> &Source {
        &self.source
    }
}
