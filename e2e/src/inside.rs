//! The way into namespaces of one's own: user (for an ordinary user), mount, process and network.
//!
//! ```text
//!   test binary --exec--> unshare(1) --fork--> sh, process 1 of the new namespaces --> the same test binary
//!                           killed ----SIGKILL--^                                         and all it starts
//! ```
//!
//! The way leads through util-linux' `unshare`, since a process with threads cannot enter a user namespace and
//! `fork` is not safe Rust. When `unshare` is killed the kernel kills process 1, and with it everything in there, rules
//! and links included. Process 1 is a shell because the kernel gives process 1 no default signal actions: Ctrl-C would not
//! end a test binary that is process 1.

use std::{
    env, fs, io,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use nix::unistd::Uid;

/// Holds the network namespace that was left. Set by hand it does no harm: who is still in that namespace is not inside.
const LEFT_NAMESPACE: &str = "PORTOLAN_E2E_LEFT_NAMESPACE";

/// The new process namespace needs a /proc of its own; it is also writable where a container's is not.
const NAMESPACES: [&str; 6] = ["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"];
const USER_NAMESPACE: [&str; 2] = ["--user", "--map-root-user"];

/// A /run of our own: /run/xtables.lock and /run/netns are then nobody else's. A /sys that nobody writes to: the size of
/// conntrack's hash table is there, which is the machine's in every network namespace.
const PROCESS_ONE: &str = r#"mount -t tmpfs tmpfs /run && mount -o remount,bind,ro /sys && "$@"; exit $?"#;

/// Why this process cannot have namespaces of its own.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The system does not allow it.
    #[error("this system allows no namespaces to this user ({}); run the tests as root", .0.trim())]
    ByTheSystem(String),
    /// `unshare` could not be run.
    #[error("unshare of util-linux cannot be run")]
    Unshare(#[source] io::Error),
    /// /proc does not answer.
    #[error("/proc/self cannot be read")]
    Proc(#[source] io::Error),
}

/// Goes on inside: returns at once when the process is inside already, and otherwise replaces the process by
/// itself, with the same arguments, inside. To be called first of all in `main`.
///
/// # Errors
/// When the system does not let this user have namespaces: then there is nothing that can be tested with packets.
pub fn enter() -> Result<(), Refused> {
    let namespace = fs::read_link("/proc/self/ns/net").map_err(Refused::Proc)?;
    if env::var_os(LEFT_NAMESPACE).is_some_and(|left| Path::new(&left) != namespace) {
        return Ok(());
    }
    let executable = env::current_exe().map_err(Refused::Proc)?;
    Err(Refused::Unshare(exec(&unshare_arguments()?, &executable, namespace)))
}

/// Root needs no user namespace, unless it is a container's root without CAP_SYS_ADMIN.
fn unshare_arguments() -> Result<Vec<&'static str>, Refused> {
    let with_user: Vec<_> = USER_NAMESPACE.into_iter().chain(NAMESPACES).collect();
    let ways = if Uid::effective().is_root() { vec![NAMESPACES.to_vec(), with_user] } else { vec![with_user] };
    let mut reason = String::new();
    for way in ways {
        let tried = Command::new("unshare").args(&way).args(["--", "true"]).output().map_err(Refused::Unshare)?;
        if tried.status.success() {
            return Ok(way);
        }
        reason = String::from_utf8_lossy(&tried.stderr).into_owned();
    }
    Err(Refused::ByTheSystem(reason))
}

fn exec(namespaces: &[&str], executable: &Path, left: PathBuf) -> io::Error {
    Command::new("unshare")
        .args(namespaces)
        .args(["--", "sh", "-c", PROCESS_ONE, "sh"])
        .arg(executable)
        .args(env::args_os().skip(1))
        .env(LEFT_NAMESPACE, left)
        .exec()
}
