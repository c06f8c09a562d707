//! The netlink floor against a real kernel, each test in a network namespace of its own. Those of IPVS are ignored by a kernel
//! that has none.
//!
//! The program starts itself again under util-linux `unshare`: as root with a network namespace, as anybody else with
//! a user namespace around it. Inside, each test runs on a thread that has left for a network namespace of its own, so
//! that generations, notifications and rulesets of tests do not meet, and the host's are never touched.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "all of this program is a test, which clippy knows only where the usual harness runs it"
)]

mod channel;
mod commits;
mod conntrack;
mod ipvs;
mod limits;
mod links;
mod listing;
mod packets;
mod support;
mod watching;

use std::{
    env,
    os::unix::process::CommandExt,
    process::{Command, ExitCode, Stdio},
};

use libtest_mimic::{Arguments, Failed, Trial};
use nix::sched::{CloneFlags, unshare};

/// Says that the program is inside a namespace already.
const INSIDE: &str = "PORTOLAN_KERNEL_TEST_INSIDE";

/// Options of `unshare`, the stronger first.
const WAYS_IN: [&str; 2] = ["-n", "-Urn"];

fn main() -> ExitCode {
    if let Some(part) = env::var_os(support::CHILD) {
        return limits::child(&part);
    }
    let arguments = Arguments::from_args();
    if env::var_os(INSIDE).is_some() {
        return libtest_mimic::run(&arguments, trials()).exit_code();
    }
    let missing = match WAYS_IN.into_iter().find(|way| succeeds("unshare", &[way, "true"])) {
        Some(way) if succeeds("nft", &["--version"]) => {
            let own = env::current_exe().expect("a test knows its own file");
            let error = Command::new("unshare").arg(way).arg(own).args(env::args_os().skip(1)).env(INSIDE, "1").exec();
            format!("unshare does not start: {error}")
        }
        Some(_) => "the program nft is not installed".to_owned(),
        None => "neither network namespaces (root) nor user namespaces (anybody) are allowed here".to_owned(),
    };
    eprintln!("kernel tests are ignored: {missing}");
    let ignored = trials().into_iter().map(|trial| trial.with_ignored_flag(true)).collect();
    libtest_mimic::run(&arguments, ignored).exit_code()
}

fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let status = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn trials() -> Vec<Trial> {
    let everywhere = [
        channel::TESTS,
        commits::TESTS,
        conntrack::TESTS,
        limits::TESTS,
        links::TESTS,
        listing::TESTS,
        packets::TESTS,
        watching::TESTS,
    ];
    let trial = |(name, test)| Trial::test(name, move || alone(test));
    let mut trials: Vec<_> = everywhere.concat().into_iter().map(trial).collect();
    let missing = ipvs::missing();
    if let Some(missing) = &missing {
        eprintln!("tests of IPVS are ignored: {missing}");
    }
    let of_ipvs = ipvs::TESTS.iter().map(|test| trial(*test).with_ignored_flag(missing.is_some()));
    trials.extend(of_ipvs);
    trials
}

/// Runs a test in a network namespace of its own.
fn alone(test: fn()) -> Result<(), Failed> {
    let thread = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace inside of one");
        test();
    });
    thread.join().map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Failed::from(text.unwrap_or_else(|| "the test panicked".to_owned()))
    })
}
