//! A folder as a kubelet keeps it for a container: a ConfigMap, or the token of a service account.
//!
//! ```text
//!   token -> ..data/token      ..data -> ..2      ..2/token
//! ```
//!
//! All files change at once, when `..data` is renamed to another folder (pkg/volume/util/atomic_writer.go).

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

/// The folder.
#[derive(Debug)]
pub struct Volume {
    folder: PathBuf,
    writes: u32,
}

impl Volume {
    /// An empty one.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn new(folder: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        Ok(Self { folder, writes: 0 })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Gives all its files new contents; their names stay the same.
    ///
    /// # Errors
    /// When one of them cannot be written.
    pub fn write<'file>(&mut self, files: impl IntoIterator<Item = (&'file str, &'file str)>) -> io::Result<()> {
        let old = format!("..{}", self.writes);
        self.writes += 1;
        let new = format!("..{}", self.writes);
        fs::create_dir(self.folder.join(&new))?;
        for (name, text) in files {
            fs::write(self.folder.join(&new).join(name), text)?;
            if self.writes == 1 {
                symlink(Path::new("..data").join(name), self.folder.join(name))?;
            }
        }
        symlink(&new, self.folder.join("..data_tmp"))?;
        fs::rename(self.folder.join("..data_tmp"), self.folder.join("..data"))?;
        if self.writes > 1 {
            fs::remove_dir_all(self.folder.join(old))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_change_together() {
        let folder = tempfile::tempdir().unwrap();
        let mut volume = Volume::new(folder.path().join("secret")).unwrap();
        for text in ["one", "two", "three"] {
            volume.write([("token", text), ("ca.crt", text)]).unwrap();
            for name in ["token", "ca.crt", "..data/token"] {
                assert_eq!(fs::read_to_string(volume.path().join(name)).unwrap(), text);
            }
        }
        assert_eq!(fs::read_dir(volume.path()).unwrap().count(), 4);
    }
}
