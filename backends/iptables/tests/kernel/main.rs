//! The programs of iptables and the kernel behind them, each test in namespaces of its own.
//!
//! The program starts itself again under util-linux `unshare`, as root or in a user namespace. Inside, each test runs on a
//! thread that has left for a network namespace and a mount namespace of its own: no rule, no lock file and no program of
//! the machine is touched.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "all of this program is a test, which clippy knows only where the usual harness runs it"
)]

mod counting;
mod programs;
mod repair;
mod support;
mod writing;

use std::{
    env,
    os::unix::process::CommandExt,
    process::{Command, ExitCode, Stdio},
};

use libtest_mimic::{Arguments, Failed, Trial};
use nix::sched::{CloneFlags, unshare};
use portolan_iptables::Variant;

/// Says that the program is inside namespaces already.
const INSIDE: &str = "PORTOLAN_IPTABLES_TEST_INSIDE";

/// Options of `unshare`, the stronger first.
const WAYS_IN: [&str; 2] = ["-nm", "-Urnm"];

/// What the tests run beside what they test.
const PROGRAMS: [&str; 5] = ["iptables-nft", "ip6tables-nft", "iptables-legacy", "ip6tables-legacy", "nft"];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    if env::var_os(INSIDE).is_some() {
        return libtest_mimic::run(&arguments, trials()).exit_code();
    }
    let absent = PROGRAMS.into_iter().find(|program| !succeeds(program, &["--version"]));
    let missing = match (WAYS_IN.into_iter().find(|way| succeeds("unshare", &[way, "true"])), absent) {
        (Some(way), None) => {
            let own = env::current_exe().expect("a test knows its own file");
            let error = Command::new("unshare").arg(way).arg(own).args(env::args_os().skip(1)).env(INSIDE, "1").exec();
            format!("unshare does not start: {error}")
        }
        (Some(_), Some(program)) => format!("the program {program} is not installed"),
        (None, _) => "neither namespaces (root) nor user namespaces (anybody) are allowed here".to_owned(),
    };
    eprintln!("tests of iptables are ignored: {missing}");
    let ignored = trials().into_iter().map(|trial| trial.with_ignored_flag(true)).collect();
    libtest_mimic::run(&arguments, ignored).exit_code()
}

fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let status = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn trials() -> Vec<Trial> {
    let plain = programs::TESTS.iter().map(|&(name, test)| Trial::test(name, move || alone(test)));
    let of = |variant: Variant| {
        let tests = [writing::TESTS, repair::TESTS, counting::TESTS].concat().into_iter();
        tests.map(move |(name, test)| Trial::test(format!("{name} ({variant})"), move || alone(move || test(variant))))
    };
    plain.chain(of(Variant::Nft)).chain(of(Variant::Legacy)).collect()
}

/// Runs a test in namespaces of its own, with a lock file of its own.
fn alone(test: impl FnOnce() + Send + 'static) -> Result<(), Failed> {
    let thread = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).expect("namespaces inside of others");
        support::sh("mount -t tmpfs tmpfs /run");
        test();
    });
    thread.join().map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Failed::from(text.unwrap_or_else(|| "the test panicked".to_owned()))
    })
}
