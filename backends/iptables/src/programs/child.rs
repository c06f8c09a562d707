//! One run of a program of iptables: started by its absolute path with an empty environment, fed by stdin only, and stopped
//! with all that it has started when it takes too long or writes too much.
//!
//! One thread does it: the three pipes do not block, and `poll` says which of them is ready, and then, by a pidfd (Linux 5.3),
//! when the program has ended.

use std::{
    io::{self, ErrorKind, Read, Write},
    os::{fd::AsFd, unix::process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use rustix::process::{PidfdFlags, pidfd_open};

/// Far more than the rules of 100,000 Services take.
const TIME: Duration = Duration::from_secs(120);

/// iptables-save prints about 2 KB for a Service with two endpoints.
const OUTPUT: usize = 512 << 20;

/// What is kept of its complaints. iptables-nft has a line for each rule that the kernel refuses.
const COMPLAINT: usize = 256 << 10;

/// Bytes that are read at once: what a pipe holds.
const CHUNK: usize = 64 << 10;

/// A program that has ended by itself.
#[derive(Debug)]
pub(crate) struct Finished {
    /// Its number while it ran.
    pub(crate) process: u32,
    pub(crate) status: ExitStatus,
    pub(crate) output: String,
    /// The beginning of its stderr.
    pub(crate) complaint: String,
}

/// Why a program did not run to its end.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// It was not started.
    #[error("{} cannot be started: {source}", program.display())]
    NotStarted {
        /// Its path.
        program: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// Its pipes failed, so it was stopped.
    #[error("{} was stopped, for nothing can be read from it or written to it: {source}", program.display())]
    Pipes {
        /// Its path.
        program: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// It did not end.
    #[error("{} was stopped: it took more than {} s", program.display(), limit.as_secs())]
    TooSlow {
        /// Its path.
        program: PathBuf,
        /// How long it may take.
        limit: Duration,
    },
    /// It wrote too much.
    #[error("{} was stopped: it printed more than {limit} bytes", program.display())]
    TooLong {
        /// Its path.
        program: PathBuf,
        /// How much it may print.
        limit: usize,
    },
}

/// What a program may use.
#[derive(Debug, Clone, Copy)]
struct Limits {
    time: Duration,
    output: usize,
}

/// Runs a program to its end, whatever its exit status is.
pub(crate) fn run(program: &Path, arguments: &[&str], input: &str) -> Result<Finished, ChildError> {
    run_within(program, arguments, input, Limits { time: TIME, output: OUTPUT })
}

fn run_within(program: &Path, arguments: &[&str], input: &str, limits: Limits) -> Result<Finished, ChildError> {
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("LC_ALL", "C")
        .current_dir("/")
        // A group of its own, so that what it starts (modprobe) can be stopped with it.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|source| ChildError::NotStarted { program: program.to_owned(), source })?;
    let result = converse(&mut child, input, limits);
    if result.is_err() {
        stop(&mut child);
    }
    result.map_err(|end| match end {
        End::Pipes(source) => ChildError::Pipes { program: program.to_owned(), source },
        End::TooSlow => ChildError::TooSlow { program: program.to_owned(), limit: limits.time },
        End::TooLong => ChildError::TooLong { program: program.to_owned(), limit: limits.output },
    })
}

/// Why a conversation was broken off.
enum End {
    Pipes(io::Error),
    TooSlow,
    TooLong,
}

impl<E: Into<io::Error>> From<E> for End {
    fn from(error: E) -> Self {
        Self::Pipes(error.into())
    }
}

fn converse(child: &mut Child, input: &str, limits: Limits) -> Result<Finished, End> {
    let deadline = Instant::now() + limits.time;
    let (mut stdin, mut stdout, mut stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let fds = [stdin.as_ref().map(AsFd::as_fd), stdout.as_ref().map(AsFd::as_fd), stderr.as_ref().map(AsFd::as_fd)];
    for fd in fds.into_iter().flatten() {
        fcntl(fd, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    }
    let mut input = input.as_bytes();
    let (mut output, mut complaint) = (Vec::new(), Vec::new());
    while stdout.is_some() || stderr.is_some() {
        let write = stdin.iter().map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLOUT));
        let read = [stdout.as_ref().map(AsFd::as_fd), stderr.as_ref().map(AsFd::as_fd)].into_iter().flatten();
        wait_for(write.chain(read.map(|fd| PollFd::new(fd, PollFlags::POLLIN))).collect(), deadline)?;
        if write_some(&mut stdin, &mut input)? {
            stdin = None;
        }
        if read_some(&mut stdout, &mut output)? {
            stdout = None;
        }
        if read_some(&mut stderr, &mut complaint)? {
            stderr = None;
        }
        complaint.truncate(COMPLAINT);
        if output.len() > limits.output {
            return Err(End::TooLong);
        }
    }
    let status = ended(child, deadline)?;
    Ok(Finished { process: child.id(), status, output: text(output), complaint: text(complaint) })
}

/// Until one of them is ready.
fn wait_for(mut fds: Vec<PollFd<'_>>, deadline: Instant) -> Result<(), End> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(End::TooSlow);
    }
    match poll(&mut fds, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Writes what the pipe takes, and says whether that was all that is to be written.
fn write_some(pipe: &mut Option<impl Write>, input: &mut &[u8]) -> io::Result<bool> {
    let Some(pipe) = pipe else { return Ok(true) };
    while !input.is_empty() {
        match pipe.write(input) {
            Ok(written) => *input = input.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // It has read enough, and says by its exit status whether that was right.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(true),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Reads what is in the pipe, at most [`CHUNK`] bytes, and says whether it has come to its end.
fn read_some(pipe: &mut Option<impl Read>, into: &mut Vec<u8>) -> io::Result<bool> {
    let Some(pipe) = pipe else { return Ok(true) };
    let before = into.len();
    into.resize(before + CHUNK, 0);
    let room = into.get_mut(before..).unwrap_or_default();
    let (read, result) = match pipe.read(room) {
        Ok(read) => (read, Ok(read == 0)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => (0, Ok(false)),
        Err(error) => (0, Err(error)),
    };
    into.truncate(before + read);
    result
}

/// How it ended, which follows at once, as a rule, when it has closed its pipes.
fn ended(child: &mut Child, deadline: Instant) -> Result<ExitStatus, End> {
    let process = pidfd_open(rustix::process::Pid::from_child(child), PidfdFlags::empty()).map_err(io::Error::from)?;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        wait_for(vec![PollFd::new(process.as_fd(), PollFlags::POLLIN)], deadline)?;
    }
}

fn stop(child: &mut Child) {
    if let Ok(group) = i32::try_from(child.id()) {
        // It may have ended meanwhile.
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
    let _ = child.wait();
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_and_output_go_through_pipes_and_the_environment_is_empty() {
        let long = "line\n".repeat(1_000_000);
        assert_eq!(run(Path::new("/bin/cat"), &[], &long).unwrap().output, long);
        assert_eq!(run(Path::new("/usr/bin/env"), &[], "").unwrap().output, "LC_ALL=C\n");
        let ended = run(Path::new("/bin/cat"), &["/nowhere"], &long).unwrap();
        assert_eq!(ended.status.code(), Some(1));
        assert!(ended.complaint.contains("No such file"), "{}", ended.complaint);
    }

    #[test]
    fn a_program_that_is_not_there_is_told() {
        let error = run(Path::new("/nowhere/at/all"), &[], "").unwrap_err();
        assert_eq!(error.to_string(), "/nowhere/at/all cannot be started: No such file or directory (os error 2)");
    }

    #[test]
    fn what_takes_too_long_is_stopped_with_what_it_has_started() {
        let limits = Limits { time: Duration::from_millis(300), output: OUTPUT };
        let mark = format!("{}.5", 1000 + std::process::id());
        let script = format!("sleep {mark} & sleep {mark}");
        let error = run_within(Path::new("/bin/sh"), &["-c", &script], "", limits).unwrap_err();
        assert!(matches!(error, ChildError::TooSlow { .. }), "{error}");
        let runs = |entry: io::Result<std::fs::DirEntry>| {
            let command = std::fs::read_to_string(entry.unwrap().path().join("cmdline")).unwrap_or_default();
            command == format!("sleep\0{mark}\0")
        };
        // The end of a process that was killed is a moment away.
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::fs::read_dir("/proc").unwrap().any(runs) {
            assert!(Instant::now() < deadline, "a child of the child lives on");
            std::thread::yield_now();
        }
    }

    #[test]
    fn what_lives_on_without_its_pipes_is_waited_for_and_not_asked_again_and_again() {
        let script = "exec <&- >&- 2>&-; sleep 0.3; exit 7";
        let sleeps = || {
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
            line.trim().parse::<u64>().unwrap()
        };
        let (before, start) = (sleeps(), Instant::now());
        let finished = run(Path::new("/bin/sh"), &["-c", script], "").unwrap();
        let waits = sleeps() - before;
        assert_eq!(finished.status.code(), Some(7));
        assert!(start.elapsed() >= Duration::from_millis(300), "{:?}", start.elapsed());
        assert!(waits < 50, "{waits} waits");
        let limits = Limits { time: Duration::from_millis(100), output: OUTPUT };
        let error = run_within(Path::new("/bin/sh"), &["-c", script], "", limits).unwrap_err();
        assert!(matches!(error, ChildError::TooSlow { .. }), "{error}");
    }

    #[test]
    fn what_prints_too_much_is_stopped() {
        let limits = Limits { time: TIME, output: 1 << 20 };
        let error = run_within(Path::new("/usr/bin/yes"), &[], "", limits).unwrap_err();
        assert_eq!(error.to_string(), "/usr/bin/yes was stopped: it printed more than 1048576 bytes");
    }
}
