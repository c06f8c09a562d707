//! Every exit code of the program, in one place.

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It did what it was asked: 0.
    Success,
    /// It could not do what it was asked, or the command line is wrong: 1.
    Failure,
    /// `diff`: the kernel holds something else than the manifests want: 2.
    Drift,
    /// `trace`: the packet is rejected or dropped, or may be: 2.
    Unanswered,
    /// `run --once` and `render`: something in the manifests was refused; everything else is programmed: 3.
    Refused,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Success => 0,
            Exit::Failure => 1,
            Exit::Drift | Exit::Unanswered => 2,
            Exit::Refused => 3,
        })
    }
}
