//! How likely the kernel ends this process when memory is short (`--oom-score-adj`).

use std::{fs, io, path::Path};

/// Of the process that opens it.
const OWN: &str = "/proc/self/oom_score_adj";

/// Sets it for this process, -1000 to 1000; a failure is logged and no more. Less than before needs CAP_SYS_RESOURCE,
/// which a container often lacks, and kubelet gives critical pods about the same (-997) by itself.
pub fn adjust(score: i32) {
    if let Err(error) = write(Path::new(OWN), score) {
        tracing::info!(
            "{OWN} cannot be set to {score}: {error}. Services are served, but the kernel may end this process earlier \
             when memory is short. Give it the capability SYS_RESOURCE, or set --oom-score-adj to what it has"
        );
    }
}

fn write(path: &Path, score: i32) -> io::Result<()> {
    if fs::read_to_string(path)?.trim().parse() == Ok(score) {
        return Ok(());
    }
    fs::write(path, score.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_where_it_differs() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "0\n").unwrap();
        for score in [-999, 500] {
            write(file.path(), score).unwrap();
            assert_eq!(fs::read_to_string(file.path()).unwrap(), score.to_string());
        }
        assert!(write(Path::new("/proc/self/no-such-file"), 0).is_err());
    }

    /// A value that a process has it may always set, without any capability.
    #[test]
    fn the_kernel_takes_it() {
        let own = fs::read_to_string(OWN).unwrap();
        write(Path::new(OWN), own.trim().parse().unwrap()).unwrap();
        let others = own.trim().parse::<i32>().unwrap().clamp(-999, 999) + 1;
        write(Path::new(OWN), others).unwrap();
        assert_eq!(fs::read_to_string(OWN).unwrap().trim(), others.to_string());
    }
}
