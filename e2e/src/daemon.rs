//! Portolan as a daemon on a node, and what is asked about a node while it runs.
//!
//! ```text
//!   Daemon   portolan run, a child process; its log is read line by line, and a test can wait for a line
//!   lone     a node without a network around it: enough where no packet is sent, and there in milliseconds
//!   Rules    what nft and netlink say about the rules of a node
//! ```
//!
//! Nothing waits for a while and hopes: a wait is for a condition, and ends as a failure after [`PATIENCE`].

use std::{
    fmt,
    fs::{self, File},
    io::{self, BufRead as _, BufReader},
    path::Path,
    process::{Child, ExitStatus},
    sync::{Arc, Condvar, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sched::{CloneFlags, unshare},
    sys::{
        ptrace,
        signal::{Signal, kill},
        wait::{WaitPidFlag, waitpid},
    },
    unistd::Pid,
};
use portolan::backends::{self, LINK_OF_SERVICES};
use portolan_core::object::{Backend as _, LiveFrontend};
use portolan_netlink::Connection;
use portolan_nftables::{Key, Nftables, Value};

use crate::{
    Error, Mode, cast,
    harness::Test,
    has_kernel_for,
    host::{Host, HostCommand},
    product::Portolan,
};

/// How long something that must happen may take: far more than it does on a slow machine under load.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Something that must happen did not.
#[derive(Debug, thiserror::Error)]
#[error("after {} s still waiting for {what}; the log of portolan:\n{log}", PATIENCE.as_secs())]
pub struct TooLate {
    what: String,
    log: String,
}

impl TooLate {
    /// With what is known about it.
    #[must_use]
    pub fn with_log(self, log: &str) -> Self {
        Self { log: log.to_owned(), ..self }
    }
}

/// A test that fails with whatever error its work ends with.
pub fn test<E: fmt::Display>(name: &str, work: impl FnOnce() -> Result<(), E> + Send + 'static) -> Test {
    Test::new(name, move || work().map_err(|error| format!("{error:#}")))
}

/// Looks again and again until `look` finds something.
///
/// # Errors
/// What `look` says, and [`TooLate`] after [`PATIENCE`].
pub fn until<T, E: From<TooLate>>(what: &str, mut look: impl FnMut() -> Result<Option<T>, E>) -> Result<T, E> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            return Err(TooLate { what: what.to_owned(), log: String::new() }.into());
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// A new network namespace that is called node-a and has no link.
///
/// # Errors
/// When the kernel refuses it.
pub fn lone() -> Result<Host, Error> {
    let member = cast::named("node-a")?;
    thread::scope(|scope| {
        let made = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            File::open("/proc/thread-self/ns/net")
        });
        let namespace = made.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let failed = |source| Error::Namespace { host: member.name, source };
        Ok(Host::new(member, Arc::new(namespace.map_err(failed)?)))
    })
}

/// The same for a mode: IPVS takes no endpoint where there is no address.
///
/// # Errors
/// As [`lone`].
pub fn lone_for(mode: Mode) -> Result<Host, Error> {
    let node = lone()?;
    if mode == Mode::Ipvs {
        node.command("ip").args(["address", "add", "192.168.100.11/24", "dev", "lo"]).expect_exit(0)?;
    }
    Ok(node)
}

/// `portolan run` on a node; killed when this is dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    log: Arc<Log>,
}

#[derive(Debug, Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

impl Daemon {
    /// Starts it; what it logs can be waited for.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub fn start(portolan: &Portolan, node: &Host, manifests: &Path) -> Result<Self, Error> {
        Self::spawn(portolan.on(node).arg("run").args(portolan.arguments(manifests, node)))
    }

    /// Starts a command of `portolan run`.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub fn spawn(run: HostCommand) -> Result<Self, Error> {
        let mut child = run.spawn()?;
        let log = Arc::new(Log::default());
        if let Some(stderr) = child.stderr.take() {
            let log = Arc::clone(&log);
            thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    log.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
                    log.more.notify_all();
                }
            });
        }
        Ok(Self { child, log })
    }

    /// What it has logged so far.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.log.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for a line with this part, after the first `seen` lines; returns it and the number of lines up to it.
    ///
    /// # Errors
    /// When it does not come.
    pub fn logs(&self, seen: usize, part: &str) -> Result<(String, usize), TooLate> {
        let find = |lines: &[String]| {
            let mut numbered = (1..).zip(lines).skip(seen);
            numbered.find(|(_, line)| line.contains(part)).map(|(number, line)| (line.clone(), number))
        };
        let lines = self.log.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let (lines, _) = self
            .log
            .more
            .wait_timeout_while(lines, PATIENCE, |lines| find(lines).is_none())
            .unwrap_or_else(PoisonError::into_inner);
        let late = || TooLate { what: format!("a log line with {part:?}"), log: lines.join("\n") };
        find(&lines).ok_or_else(late)
    }

    /// Sends a signal and waits for its end.
    ///
    /// # Errors
    /// When there is no such process any more.
    pub fn end(mut self, signal: Signal) -> Result<ExitStatus, Error> {
        let failed = |source| Error::Start { program: format!("{signal} for portolan"), source };
        let process = i32::try_from(self.child.id()).map(Pid::from_raw).unwrap_or(Pid::this());
        kill(process, signal).map_err(|errno| failed(errno.into()))?;
        let what = format!("portolan to end after {signal}");
        let ended = until::<_, Error>(&what, || self.child.try_wait().map_err(failed));
        ended.map_err(|error| match error {
            Error::TooLate(late) => late.with_log(&self.log().join("\n")).into(),
            other => other,
        })
    }

    /// Halts one of its threads for the rest of its life, as if the kernel did not give it back.
    ///
    /// # Errors
    /// When there is no such thread, or the kernel does not let us.
    pub fn halt(&self, thread: &str) -> Result<(), Error> {
        let failed = |source| Error::Start { program: format!("a debugger for {thread} of portolan"), source };
        let id = self.thread(thread).map_err(failed)?;
        let (sender, halted) = mpsc::channel();
        thread::spawn(move || {
            let stopped = ptrace::seize(id, ptrace::Options::empty())
                .and_then(|()| ptrace::interrupt(id))
                .and_then(|()| waitpid(id, Some(WaitPidFlag::__WALL)));
            let _ = sender.send(stopped.map(drop));
            // Only this thread hears of its end, and the process has none before.
            let _ = waitpid(id, Some(WaitPidFlag::__WALL));
        });
        let halted = halted.recv().map_err(|error| failed(io::Error::other(error)))?;
        halted.map_err(|errno| failed(errno.into()))
    }

    /// The number of a thread of this name.
    fn thread(&self, name: &str) -> io::Result<Pid> {
        for entry in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let entry = entry?;
            if fs::read_to_string(entry.path().join("comm"))?.trim_end() == name {
                let number = entry.file_name().to_str().and_then(|number| number.parse().ok());
                return number.map(Pid::from_raw).ok_or_else(|| io::ErrorKind::InvalidData.into());
            }
        }
        Err(io::ErrorKind::NotFound.into())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Both fail where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a node's kernel holds.
pub trait Rules {
    /// Lets nft carry out commands, all or none.
    ///
    /// # Errors
    /// When nft refuses them.
    fn nft(&self, commands: &str) -> Result<String, Error>;

    /// Everything, as nft lists it.
    ///
    /// # Errors
    /// When nft fails.
    fn listing(&self) -> Result<String, Error> {
        self.nft("list ruleset")
    }

    /// Portolan's tables, as nft lists them; in this order, whatever the order in which they were made.
    ///
    /// # Errors
    /// When one of them is not there.
    fn tables(&self) -> Result<String, Error> {
        // One command each: with both nft 1.0.6 reads only one of them from the kernel.
        Ok(self.nft("list table ip portolan")? + &self.nft("list table ip6 portolan")?)
    }

    /// How many times the rules were changed.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    fn generation(&self) -> Result<u32, Error>;

    /// The objects in Portolan's tables, sorted.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    fn objects(&self) -> Result<Vec<(Key, Value)>, Error>;

    /// What Portolan's objects serve in a mode.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    fn frontends(&self, mode: Mode) -> Result<Vec<LiveFrontend>, Error>;

    /// What Portolan holds in a mode, as the mode's own tool lists it; in one order, whatever the order in which it was made.
    ///
    /// # Errors
    /// When the tool fails.
    fn listed(&self, mode: Mode) -> Result<String, Error>;

    /// Has the mode's own tool read rules that Portolan rendered, without carrying them out.
    ///
    /// # Errors
    /// When it does not take them.
    fn takes(&self, mode: Mode, rendered: &str) -> Result<(), Error>;
}

impl Rules for Host {
    fn nft(&self, commands: &str) -> Result<String, Error> {
        self.command("nft").args(["-f", "-"]).input(commands).expect_exit(0)
    }

    fn generation(&self) -> Result<u32, Error> {
        self.enter(|| Connection::open().map_err(failed)?.generation().map_err(failed))?
    }

    fn objects(&self) -> Result<Vec<(Key, Value)>, Error> {
        self.enter(|| {
            let mut objects = Nftables::open().map_err(failed)?.observe().map_err(failed)?;
            objects.sort_by(|(one, _), (other, _)| one.cmp(other));
            Ok(objects)
        })?
    }

    fn frontends(&self, mode: Mode) -> Result<Vec<LiveFrontend>, Error> {
        self.enter(|| {
            let mut frontends = Vec::new();
            let all = backends::all().map_err(failed)?;
            for (_, mut backend) in all.into_iter().filter(|(of, _)| *of == mode) {
                frontends.append(&mut backend.observed().map_err(failed)?.frontends());
            }
            Ok(frontends)
        })?
    }

    fn listed(&self, mode: Mode) -> Result<String, Error> {
        if mode == Mode::Nftables {
            return self.tables();
        }
        if mode == Mode::Ipvs {
            return Ok(self.tables()? + &servers(self)?);
        }
        let mut listed = String::new();
        for program in ["iptables-save", "ip6tables-save"] {
            let saved = self.command(program).expect_exit(0)?;
            saved.split_inclusive("COMMIT\n").for_each(|table| listed.extend([program, "\n", &ours(table)]));
        }
        Ok(listed)
    }

    fn takes(&self, mode: Mode, rendered: &str) -> Result<(), Error> {
        if mode == Mode::Nftables {
            return self.command("nft").args(["-c", "-f", "-"]).input(rendered).expect_exit(0).map(drop);
        }
        if mode == Mode::Ipvs {
            return takes_ipvs(self, rendered);
        }
        let (v4, v6) = rendered.split_once(OF_IPV6).unwrap_or((rendered, "#"));
        for (program, rules) in [("iptables-restore", v4.to_owned()), ("ip6tables-restore", format!("#{v6}"))] {
            self.command(program).args(["--noflush", "--test"]).input(rules).expect_exit(0)?;
        }
        Ok(())
    }
}

/// Virtual servers, the link of Services and its addresses, sorted.
fn servers(host: &Host) -> Result<String, Error> {
    let servers = host.command("ipvsadm").args(["--save", "--numeric"]).expect_exit(0)?;
    let addresses = host.command("ip").args(["-oneline", "address"]).expect_exit(0)?;
    let addresses = addresses.lines().filter_map(|line| line.split_once(": ").map(|(_, rest)| rest));
    let ours = addresses.filter(|line| line.starts_with(LINK_OF_SERVICES));
    let mut lines: Vec<_> = servers.lines().chain(ours).collect();
    lines.sort_unstable();
    Ok(lines.join("\n"))
}

/// Has `nft` try the rules, and where there is IPVS the other programs do what is rendered for them, which has no test.
fn takes_ipvs(host: &Host, rendered: &str) -> Result<(), Error> {
    let (links, others) = rendered.split_once("# ipvsadm --restore\n").unwrap_or((rendered, ""));
    let (servers, rules) = others.split_once("# nft -f -\n").unwrap_or((others, ""));
    host.takes(Mode::Nftables, rules)?;
    if has_kernel_for(Mode::Ipvs) {
        host.command("ip").args(["-batch", "-"]).input(links).expect_exit(0)?;
        host.command("ipvsadm").arg("--restore").input(servers).expect_exit(0)?;
        host.command("ipvsadm").arg("--clear").expect_exit(0)?;
        host.command("ip").args(["link", "delete", "kube-ipvs0"]).expect_exit(0)?;
    }
    Ok(())
}

/// Where the rules of IPv6 begin in what is rendered for iptables.
const OF_IPV6: &str = "# ip6tables-restore";

/// What of a table, as iptables-save prints it, a service proxy has written, without counters. Chains come as they were made,
/// so they are sorted; the rules of each stay in their order.
fn ours(table: &str) -> String {
    let is_ours = |line: &&str| line.contains("KUBE-") && !KUBELETS.iter().any(|chain| line.contains(chain));
    let mut lines: Vec<_> = table.lines().filter(|line| line.starts_with('*') || is_ours(line)).collect();
    lines.sort_by_key(|line| match line.split(' ').nth(1).filter(|_| line.starts_with("-A")) {
        Some(chain) => (2, chain),
        None => (u8::from(line.starts_with(':')), *line),
    });
    let without_counts = lines.iter().map(|line| line.split(" [").next().unwrap_or(line));
    without_counts.flat_map(|line| [line, "\n"]).collect()
}

/// Chains of kubelet's, which are called as a service proxy's are.
const KUBELETS: [&str; 3] = ["KUBE-KUBELET-CANARY", "KUBE-IPTABLES-HINT", "KUBE-FIREWALL"];

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Start { program: "netlink".to_owned(), source: std::io::Error::other(error) }
}
