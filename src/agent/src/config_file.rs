//! The file that `--config` names, read again whenever it changes: edited, replaced, or swapped behind the symlinks of
//! a mounted ConfigMap. kube-proxy ends when the file is written to, and does not notice the swap.

use std::{fs, io, path::PathBuf};

use crate::manifest::{Root, WatchError, Watcher};

/// A configuration file with a watch on it.
#[derive(Debug)]
pub struct ConfigFile {
    root: Root,
    watcher: Watcher,
    /// What it said when it was last read; an unreadable file says nothing.
    text: Option<String>,
}

impl ConfigFile {
    /// Watches a file that has been read already. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When it is gone, or the kernel gives no watch.
    pub fn watch(path: PathBuf, text: String) -> Result<Self, WatchError> {
        let root = Root::File(path.into());
        Ok(Self { root, watcher: Watcher::new()?, text: Some(text) })
    }

    /// Waits until the file says something else than before, and gives it; an error when it cannot be read any more.
    ///
    /// # Errors
    /// When the kernel's notifications cannot be read.
    pub async fn changed(&mut self) -> Result<io::Result<String>, WatchError> {
        loop {
            // Watched first and read then, so that no change falls between the two.
            let path = self.root.path().clone();
            let new_folder = self.watcher.cover(&self.root, std::iter::once(&*path))?;
            if !self.watcher.is_busy(&path) {
                let read = fs::read_to_string(&path);
                let text = read.as_ref().ok().cloned();
                if text != self.text {
                    self.text = text;
                    return Ok(read);
                }
            }
            if !new_folder {
                self.watcher.changed().await?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::symlink, path::Path};

    use super::*;

    fn run<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
    }

    /// As the kubelet does it: a new folder with all files, then `..data` is exchanged for a symlink to it.
    fn swap(folder: &Path, name: &str, text: &str) {
        fs::create_dir(folder.join(name)).unwrap();
        fs::write(folder.join(name).join("config.conf"), text).unwrap();
        symlink(name, folder.join("..data_tmp")).unwrap();
        fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    }

    #[test]
    fn edits_replacements_and_swaps_are_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.conf");
        swap(folder.path(), "..one", "one");
        symlink("..data/config.conf", &path).unwrap();
        run(async {
            let mut file = ConfigFile::watch(path.clone(), "one".to_owned()).unwrap();
            swap(folder.path(), "..two", "two");
            assert_eq!(file.changed().await.unwrap().unwrap(), "two");

            fs::write(folder.path().join("..two/config.conf"), "three").unwrap();
            assert_eq!(file.changed().await.unwrap().unwrap(), "three");

            let new = folder.path().join("new");
            fs::write(&new, "four").unwrap();
            fs::rename(new, &path).unwrap();
            assert_eq!(file.changed().await.unwrap().unwrap(), "four");

            fs::remove_file(&path).unwrap();
            assert_eq!(file.changed().await.unwrap().unwrap_err().kind(), io::ErrorKind::NotFound);
            fs::write(&path, "four").unwrap();
            assert_eq!(file.changed().await.unwrap().unwrap(), "four");
        });
    }
}
