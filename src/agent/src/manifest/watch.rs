//! Notices by inotify that files have changed, and which are being written to right now.
//!
//! Folders are watched, not files: editors and the kubelet replace a file by renaming another over it. Watched are the
//! folder of manifests and the one that it is in itself (it may be replaced too), and the folders that symlinks lead to.
//!
//! A file between its first write and its closing (`IN_MODIFY`, `IN_CLOSE_WRITE`) is busy: half a manifest must not be
//! taken for a whole one. So nobody has to wait for a while and hope that the writer is done.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

use inotify::{Event, EventMask, Inotify, WatchDescriptor, WatchMask};
use tokio::io::unix::AsyncFd;

use super::files::Root;

/// Manifests cannot be watched for changes.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// No inotify instance.
    #[error("files cannot be watched for changes: raise fs.inotify.max_user_instances")]
    Start(#[source] io::Error),
    /// A folder cannot be watched.
    #[error(
        "the folder {} cannot be watched for changes: make it readable, or raise fs.inotify.max_user_watches",
        .folder.display()
    )]
    Add {
        /// Which one.
        folder: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Reading notifications failed.
    #[error("notifications of changed files cannot be read")]
    Read(#[source] io::Error),
}

/// Which names in a folder matter; `None` for all.
type Names = Option<OsString>;

#[derive(Debug)]
pub(crate) struct Watcher {
    inotify: AsyncFd<Inotify>,
    folders: HashMap<WatchDescriptor, (PathBuf, Names)>,
    busy: BTreeSet<PathBuf>,
    changed: bool,
}

/// Everything that can change what a name in a folder leads to or holds.
const CHANGES: WatchMask = WatchMask::CREATE
    .union(WatchMask::DELETE)
    .union(WatchMask::MOVED_FROM)
    .union(WatchMask::MOVED_TO)
    .union(WatchMask::MODIFY)
    .union(WatchMask::CLOSE_WRITE)
    .union(WatchMask::ATTRIB)
    .union(WatchMask::DELETE_SELF)
    .union(WatchMask::MOVE_SELF)
    .union(WatchMask::ONLYDIR);

impl Watcher {
    /// Must be called inside a tokio runtime.
    pub(crate) fn new() -> Result<Self, WatchError> {
        #[expect(
            deprecated,
            reason = "the newer call is `unsafe`: it makes its caller promise that the descriptor stays valid. It does, \
                      the Inotify owns it and stays inside"
        )]
        let inotify = Inotify::init().and_then(AsyncFd::new).map_err(WatchError::Start)?;
        Ok(Self { inotify, folders: HashMap::new(), busy: BTreeSet::new(), changed: false })
    }

    /// Watches the folders that the root and its files are in. Whether there was one that was not watched before:
    /// then something may have happened there unseen.
    pub(crate) fn cover<'a>(&mut self, root: &Root, files: impl Iterator<Item = &'a Path>) -> Result<bool, WatchError> {
        let mut folders: BTreeMap<PathBuf, Names> = BTreeMap::new();
        let name = root.path().file_name().map(ToOwned::to_owned);
        match root {
            Root::Folder(path) => {
                if name.is_some() {
                    folders.extend(folder_of(path).map(|parent| (parent, name)));
                }
                folders.extend(fs::canonicalize(path).ok().map(|folder| (folder, None)));
            }
            // Where a single file is watched everything in its folder matters: the file may be a symlink that
            // leads through another one, as in a ConfigMap.
            Root::File(path) => folders.extend(folder_of(path).map(|folder| (folder, None))),
        }
        let targets = files.filter_map(|file| fs::canonicalize(file).ok());
        folders.extend(targets.filter_map(|target| Some((target.parent()?.to_owned(), None))));

        let mut added = false;
        for (folder, names) in folders {
            match self.inotify.get_ref().watches().add(&folder, CHANGES) {
                Ok(watch) => added |= self.folders.insert(watch, (folder, names)).is_none(),
                // Gone since its name was resolved: whatever took it away is noticed in the folder above.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(WatchError::Add { folder, source }),
            }
        }
        Ok(added)
    }

    /// Waits until something has changed that is worth a look.
    pub(crate) async fn changed(&mut self) -> Result<(), WatchError> {
        loop {
            self.drain()?;
            if std::mem::take(&mut self.changed) {
                return Ok(());
            }
            let mut ready = self.inotify.readable_mut().await.map_err(WatchError::Read)?;
            ready.clear_ready();
        }
    }

    /// Whether a file has been written to and not been closed since, as far as the kernel has told by now.
    pub(crate) fn is_busy(&mut self, file: &Path) -> bool {
        if let Err(error) = self.drain() {
            // `changed` meets the same error and returns it.
            tracing::debug!(%error, "reading inotify failed");
        }
        !self.busy.is_empty() && fs::canonicalize(file).is_ok_and(|file| self.busy.contains(&file))
    }

    /// Takes what the kernel has told, without waiting.
    fn drain(&mut self) -> Result<(), WatchError> {
        let mut buffer = [0; 4096];
        loop {
            match self.inotify.get_mut().read_events(&mut buffer) {
                Ok(events) => {
                    for event in events {
                        note(&event, &mut self.folders, &mut self.busy, &mut self.changed);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(WatchError::Read(error)),
            }
        }
    }
}

fn note(
    event: &Event<&std::ffi::OsStr>,
    folders: &mut HashMap<WatchDescriptor, (PathBuf, Names)>,
    busy: &mut BTreeSet<PathBuf>,
    changed: &mut bool,
) {
    if event.mask.contains(EventMask::Q_OVERFLOW) {
        // Whose closing was lost is not known: rather read too early, a change in between is seen by its stamp.
        busy.clear();
        *changed = true;
        return;
    }
    if event.mask.contains(EventMask::IGNORED) {
        folders.remove(&event.wd);
        return;
    }
    let Some((folder, names)) = folders.get(&event.wd) else { return };
    if let (Some(only), Some(name)) = (names, event.name)
        && only != name
    {
        return;
    }
    let file = event.name.map(|name| folder.join(name));
    match file {
        Some(file) if event.mask.contains(EventMask::MODIFY) => {
            busy.insert(file);
        }
        Some(file) => {
            if !event.mask.intersects(EventMask::ATTRIB) {
                busy.remove(&file);
            }
            *changed = true;
        }
        None => *changed = true,
    }
}

/// The folder that a name is in, resolved.
fn folder_of(path: &Path) -> Option<PathBuf> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::canonicalize(folder).ok()
}
