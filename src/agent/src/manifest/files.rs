//! Which files are manifests, and whether one has changed since it was read.

use std::{
    fs::{self, File, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::Arc,
};

use super::{parse::unreadable, refused::Reason};

/// What `--manifests` names.
#[derive(Debug, Clone)]
pub(crate) enum Root {
    File(Arc<Path>),
    Folder(Arc<Path>),
}

impl Root {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        if fs::metadata(path)?.is_dir() {
            fs::read_dir(path)?;
            Ok(Self::Folder(path.into()))
        } else {
            Ok(Self::File(path.into()))
        }
    }

    pub(crate) const fn path(&self) -> &Arc<Path> {
        match self {
            Self::File(path) | Self::Folder(path) => path,
        }
    }

    /// The manifests, in no particular order: the file itself, or the folder's `*.yaml`, `*.yml` and `*.json`. Hidden
    /// ones are left out: in a mounted ConfigMap those are the kubelet's `..data` and the folders behind it.
    pub(super) fn list(&self) -> io::Result<Vec<Arc<Path>>> {
        let folder = match self {
            Self::File(path) => return Ok(vec![Arc::clone(path)]),
            Self::Folder(folder) => folder,
        };
        let mut files = Vec::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            let manifest = path.extension().is_some_and(|end| end == "yaml" || end == "yml" || end == "json");
            if manifest && !hidden && !path.is_dir() {
                files.push(path.into());
            }
        }
        Ok(files)
    }
}

/// What changes when a file is written to, replaced, or made readable. The change time (ctime) cannot be set back by
/// programs, as the modification time can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Of the file behind a path; `None` when there is none that could be read.
    pub(super) fn at(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().map(|metadata| Self::of(&metadata))
    }

    pub(super) fn of_file(file: &File) -> Option<Self> {
        file.metadata().ok().map(|metadata| Self::of(&metadata))
    }
}

/// Opens a manifest. A pipe is not even opened, which would block until somebody writes.
pub(super) fn open(path: &Path) -> Result<(File, Option<Stamp>), Reason> {
    if !fs::metadata(path).map_err(|error| unreadable(&error))?.is_file() {
        return Err(Reason::NotAFile);
    }
    let file = File::open(path).map_err(|error| unreadable(&error))?;
    let stamp = Stamp::of_file(&file);
    Ok((file, stamp))
}
