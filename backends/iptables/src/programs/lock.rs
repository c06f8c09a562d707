//! The lock that iptables-legacy takes while it changes a table, so that two programs do not undo each other's changes.
//! iptables-nft takes none: there the kernel refuses a change that is based on what is no more.

use std::{fmt, fs, io, os::unix::fs::MetadataExt as _};

use nix::sys::stat::{major, minor};

/// Where it is, unless the environment says otherwise (XTABLES_LOCKFILE); we start programs with an empty one.
pub(crate) const FILE: &str = "/run/xtables.lock";

/// Who holds a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The number of the process, as this pid namespace has it.
    process: u32,
    /// The program's name; empty where the process ended meanwhile.
    program: String,
}

/// Who holds the lock at this moment. Not known where it is a process of another pid namespace: the kernel lists only those
/// of the reader's (`locks_show` of fs/locks.c).
pub(crate) fn holder() -> Option<Holder> {
    holder_of(FILE).ok().flatten()
}

fn holder_of(file: &str) -> io::Result<Option<Holder>> {
    let metadata = fs::metadata(file)?;
    let (device, inode) = (metadata.dev(), metadata.ino());
    let id = format!("{:02x}:{:02x}:{inode}", major(device), minor(device));
    let process = fs::read_to_string("/proc/locks")?.lines().find_map(|line| process_of(line, &id));
    Ok(process.map(|process| {
        let program = fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
        Holder { process, program: program.trim_end().to_owned() }
    }))
}

/// `1: FLOCK  ADVISORY  WRITE 27941 fe:00:9773057 0 EOF`; a line with `->` is of one who waits.
fn process_of(line: &str, id: &str) -> Option<u32> {
    let mut words = line.split_whitespace().skip(1);
    (words.next()? == "FLOCK").then_some(())?;
    let process = words.nth(2)?.parse().ok()?;
    (words.next()? == id).then_some(process)
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.program.as_str() {
            "" => write!(f, "process {}", self.process),
            program => write!(f, "{program} (process {})", self.process),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_has_the_lock_is_found() {
        let id = "fe:00:9773057";
        for (line, process) in [
            ("1: FLOCK  ADVISORY  WRITE 27941 fe:00:9773057 0 EOF", Some(27941)),
            ("1: -> FLOCK  ADVISORY  WRITE 27942 fe:00:9773057 0 EOF", None),
            ("2: FLOCK  ADVISORY  WRITE 27943 fe:00:9773058 0 EOF", None),
            ("3: POSIX  ADVISORY  WRITE 27944 fe:00:9773057 0 EOF", None),
            ("4: FLOCK  ADVISORY  WRITE", None),
            ("", None),
        ] {
            assert_eq!(process_of(line, id), process, "{line}");
        }
    }

    #[test]
    fn a_lock_that_we_hold_is_ours() {
        let file = std::env::temp_dir().join(format!("portolan-lock-{}", std::process::id()));
        let opened = fs::OpenOptions::new().create(true).truncate(false).write(true).open(&file).unwrap();
        assert_eq!(holder_of(file.to_str().unwrap()).unwrap(), None);
        opened.lock().unwrap();
        let holder = holder_of(file.to_str().unwrap()).unwrap();
        fs::remove_file(&file).unwrap();
        assert_eq!(holder.map(|holder| holder.process), Some(std::process::id()));
    }
}
