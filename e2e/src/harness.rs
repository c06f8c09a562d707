//! The frame of every test binary that needs a lab: `harness = false` in the manifest, and a `main` that calls [`run`].

use std::{process::ExitCode, thread};

use libtest_mimic::{Arguments, Completion, Trial};

use crate::inside;

/// What a test says when it fails.
pub type Failure = String;

/// One test: its name and what it does.
pub struct Test {
    name: String,
    work: Box<dyn FnOnce() -> Result<(), Failure> + Send>,
}

impl Test {
    /// A test that runs inside.
    pub fn new(name: impl Into<String>, work: impl FnOnce() -> Result<(), Failure> + Send + 'static) -> Self {
        Self { name: name.into(), work: Box::new(work) }
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
    let trials = tests.into_iter().map(|test| match &inside {
        Ok(()) => Trial::test(test.name, move || (test.work)().map_err(Into::into)),
        Err(refused) => {
            let reason = refused.to_string();
            Trial::ignorable_test(test.name, move || Ok(Completion::ignored_with(reason)))
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
