//! The frame of every test binary that needs a lab: `harness = false` in the manifest, and a `main` that calls [`run`].

use std::{process::ExitCode, thread};

use libtest_mimic::{Arguments, Completion, Trial};

use crate::{Mode, has_kernel_for, inside};

/// What a test says when it fails.
pub type Failure = String;

/// One test: its name and what it does.
pub struct Test {
    name: String,
    mode: Option<Mode>,
    work: Box<dyn FnOnce() -> Result<(), Failure> + Send>,
}

impl Test {
    /// A test that runs inside.
    pub fn new(name: impl Into<String>, work: impl FnOnce() -> Result<(), Failure> + Send + 'static) -> Self {
        Self { name: name.into(), mode: None, work: Box::new(work) }
    }

    /// The same, ignored where the kernel has not what a mode takes.
    #[must_use]
    pub fn in_kernel_for(self, mode: Mode) -> Self {
        Self { mode: Some(mode), ..self }
    }

    /// Why it cannot be run although the process is inside.
    fn lacks(&self) -> Option<String> {
        let mode = self.mode.filter(|mode| !has_kernel_for(*mode))?;
        Some(format!("this kernel has not what {mode} mode takes"))
    }
}

/// Goes inside, runs the tests that `tests` gives as `cargo test` does, with its arguments, and then calls `end`. Where the
/// system allows no namespaces every test is listed as ignored, with the reason.
///
/// `tests` fails when there is nothing to test; what it says is printed.
pub fn run<E: std::fmt::Display>(tests: impl FnOnce() -> Result<Vec<Test>, E>, end: impl FnOnce()) -> ExitCode {
    let mut arguments = Arguments::from_args();
    let inside = inside::enter();
    let tests = match tests() {
        Ok(tests) => tests,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let trials = tests.into_iter().map(|test| {
        let reason = inside.as_ref().err().map(ToString::to_string).or_else(|| test.lacks());
        match reason {
            None => Trial::test(test.name, move || (test.work)().map_err(Into::into)),
            Some(reason) => Trial::ignorable_test(test.name, move || Ok(Completion::ignored_with(reason))),
        }
    });
    // Tests wait for packets and processes more than they use processors.
    arguments.test_threads = arguments.test_threads.or(thread::available_parallelism().ok().map(|cpus| cpus.get() * 2));
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    if !arguments.list {
        end();
    }
    conclusion.exit_code()
}
