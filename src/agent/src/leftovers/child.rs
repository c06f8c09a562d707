//! Programs of others: by absolute path, with an empty environment, input by stdin only, and limits on what they write and how
//! long they take.

use std::{
    io::{self, Read, Write as _},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Far more than 100,000 rules take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// 100,000 rules of iptables are 20 MB.
const MAX_OUTPUT: u64 = 256 << 20;

/// The beginning of what it complains about.
const MAX_COMPLAINT: u64 = 1 << 10;

/// Why a program did not do what it should.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChildError {
    /// It cannot be started, or its pipes fail.
    #[error("{program}: {source}")]
    Io {
        /// Its path.
        program: String,
        /// What the operating system says.
        source: io::Error,
    },
    /// It ended badly.
    #[error("{program}: {status}: {complaint}")]
    Failed {
        /// Its path.
        program: String,
        /// How.
        status: ExitStatus,
        /// The beginning of its stderr.
        complaint: String,
    },
    /// It did not end, or wrote too much.
    #[error("{program} was stopped: it took more than {} s or wrote more than {MAX_OUTPUT} bytes", TIMEOUT.as_secs())]
    Stopped {
        /// Its path.
        program: String,
    },
}

/// Runs a program to its end and returns what it wrote to its stdout.
pub(super) fn run(program: &str, arguments: &[&str], input: &str) -> Result<String, ChildError> {
    let failed = |source| ChildError::Io { program: program.to_owned(), source };
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("LC_ALL", "C")
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    thread::scope(|scope| {
        // Each pipe has a thread: the program may write before it has read all. One that does not read to its end says so by
        // its exit status.
        scope.spawn(move || stdin.map(|mut pipe| pipe.write_all(input.as_bytes())));
        let output = scope.spawn(move || read(stdout, MAX_OUTPUT));
        let complaint = scope.spawn(move || read(stderr, MAX_COMPLAINT));
        let status = wait(&mut child);
        let [output, complaint] = [output, complaint].map(|reader| reader.join().unwrap_or_default());
        match status.map_err(failed)? {
            Some(status) if status.success() && (output.len() as u64) < MAX_OUTPUT => Ok(output),
            Some(status) if !status.success() => {
                let complaint = complaint.trim().to_owned();
                Err(ChildError::Failed { program: program.to_owned(), status, complaint })
            }
            _ => Err(ChildError::Stopped { program: program.to_owned() }),
        }
    })
}

/// So much of a pipe as there may be. What comes after that meets a closed pipe.
fn read(pipe: Option<impl Read>, limit: u64) -> String {
    let mut bytes = Vec::new();
    // What cannot be read was not written.
    let _ = pipe.map(|pipe| pipe.take(limit).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Its exit status; none if it had to be ended.
fn wait(child: &mut Child) -> io::Result<Option<ExitStatus>> {
    let deadline = Instant::now() + TIMEOUT;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        thread::sleep(Duration::from_millis(2));
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_and_output_go_through_pipes_and_the_environment_is_empty() {
        let long = "line\n".repeat(100_000);
        assert_eq!(run("/bin/cat", &[], &long).unwrap(), long);
        assert_eq!(run("/usr/bin/env", &[], "").unwrap(), "LC_ALL=C\n");
    }

    #[test]
    fn what_goes_wrong_is_told() {
        for (program, arguments, said) in [
            ("/nowhere/at/all", [].as_slice(), "No such file"),
            ("/bin/cat", &["/nowhere"], "No such file"),
            ("/bin/false", &[], "exit status: 1"),
        ] {
            let error = run(program, arguments, "").unwrap_err().to_string();
            assert!(error.contains(program) && error.contains(said), "{error}");
        }
    }
}
