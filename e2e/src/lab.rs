//! A lab: the whole cast in fresh network namespaces, wired. Dropping it ends the namespaces with their rules, links
//! and connections, since nothing but its own file descriptors holds them.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Write as _},
    net::{IpAddr, SocketAddr},
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
};

use nix::sched::{CloneFlags, unshare};
use portolan_core::addr::Family;

use crate::{
    Error,
    cast::{self, CAST, Member, Role, Target},
    host::Host,
    scenario::AddressChange,
    server::{Listener, Servers, Then},
    settle, wiring,
};

/// What can be different from one lab to the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Who is in it, from the outside in.
    pub cast: &'static [Member],
    /// Whether nodes have default routes, towards `outside`.
    pub default_routes: bool,
    /// The name of the bridge on which a node's pods hang; without it each hangs on a link of its own.
    pub pod_bridge: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { cast: &CAST, default_routes: true, pod_bridge: None }
    }
}

/// A small cluster. Several may live in one process; they know nothing of each other.
#[derive(Debug)]
pub struct Lab {
    hosts: Vec<Host>,
}

impl Lab {
    /// Makes namespaces, links, addresses and routes. Every address works when this returns.
    ///
    /// # Errors
    /// When the kernel refuses a namespace or a setting, or `ip` (iproute2) is missing. Call
    /// [`crate::inside::enter`] first.
    pub fn new(options: &Options) -> Result<Self, Error> {
        let hosts = thread::scope(|scope| {
            let made: Vec<_> = options.cast.iter().map(|member| scope.spawn(|| namespace(member))).collect();
            made.into_iter()
                .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect::<Result<Vec<_>, _>>()
        })?;
        let lab = Self { hosts };
        lab.wire(options)?;
        Ok(lab)
    }

    /// One host of the cast.
    ///
    /// # Errors
    /// When nobody has this name.
    pub fn host(&self, name: &str) -> Result<&Host, Error> {
        self.hosts.iter().find(|host| host.name() == name).ok_or_else(|| Error::UnknownHost(name.to_owned()))
    }

    /// All hosts, in the order of the cast.
    #[must_use]
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// The nodes: where Portolan runs.
    pub fn nodes(&self) -> impl Iterator<Item = &Host> {
        self.hosts.iter().filter(|host| host.member().is_node())
    }

    /// Starts servers that tell their name and whom they saw, and close. They end when the value is dropped.
    ///
    /// # Errors
    /// When a socket cannot be made, such as for SCTP in a kernel without it
    /// (see [`crate::probe::kernel_speaks`]).
    pub fn serve(&self, targets: impl IntoIterator<Item = Target>) -> Result<Servers, Error> {
        let mut listeners = Vec::new();
        for Target { host, port, protocol } in targets {
            let member = self.host(host)?.member();
            let at = |family| SocketAddr::new(member.address(family), port);
            listeners.extend(Family::ALL.map(|family| Listener { host, protocol, at: at(family) }));
        }
        Servers::start(self, listeners, Then::Close)
    }

    /// Starts servers that tell their name, where they are and whom they saw, and then echo.
    ///
    /// # Errors
    /// As [`Lab::serve`].
    pub fn listen(&self, listeners: impl IntoIterator<Item = Listener>) -> Result<Servers, Error> {
        Servers::start(self, listeners, Then::Echo)
    }

    /// Has `outside` take packets for addresses that nobody else has.
    ///
    /// # Errors
    /// When the kernel refuses one.
    pub fn stand_in(&self, addresses: &BTreeSet<IpAddr>) -> Result<(), Error> {
        let outside = self.host(cast::OUTSIDE)?;
        for (family, flag) in [(Family::V4, "-4"), (Family::V6, "-6")] {
            let mut own = addresses.iter().filter(|address| Family::of(**address) == family).peekable();
            if own.peek().is_some() {
                finish(start(outside, &[flag], &wiring::stand_in(family, own))?)?;
            }
        }
        settle::wait(outside, &[])
    }

    /// Gives hosts addresses and takes them away. Every address works when this returns.
    ///
    /// # Errors
    /// When the kernel refuses one.
    pub fn change_addresses(&self, changes: &[AddressChange]) -> Result<(), Error> {
        for change in changes {
            finish(start(self.host(change.host.name)?, &[], &wiring::change(change))?)?;
        }
        changes.iter().try_for_each(|change| settle::wait(self.host(change.host.name)?, &[]))
    }

    fn wire(&self, options: &Options) -> Result<(), Error> {
        let process = std::process::id();
        let path = |name: &str| {
            let descriptor = self.hosts.iter().find(|host| host.name() == name).map_or(-1, Host::descriptor);
            format!("/proc/{process}/fd/{descriptor}")
        };
        let Some(first) = self.hosts.first() else { return Ok(()) };
        finish(start(first, &[], &wiring::links(options.cast, path))?)?;
        // From the outside in; what does not depend on each other together.
        for layer in self.hosts.chunk_by(|one, other| one.member().role.is_like(&other.member().role)) {
            let started = layer.iter().map(|host| start(host, &[], &wiring::configuration(host.member(), options)));
            started.collect::<Result<Vec<_>, _>>()?.into_iter().try_for_each(finish)?;
        }
        self.hosts.iter().try_for_each(|host| settle::wait(host, &wiring::link_names(host.member(), options)))
    }
}

/// A new network namespace with its settings, made by a thread that ends in it.
fn namespace(member: &'static Member) -> Result<Host, Error> {
    let failed = |source| Error::Namespace { host: member.name, source };
    unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| failed(errno.into()))?;
    let more: &[_] = match member.role {
        Role::Outside => &wiring::OUTSIDE_SYSCTLS,
        Role::Node { .. } => &wiring::NODE_SYSCTLS,
        Role::ControlPlane | Role::Pod { .. } => &[],
    };
    for &(name, value) in wiring::SYSCTLS.iter().chain(more) {
        let path = wiring::sysctl_path(name);
        fs::write(&path, value).map_err(|source| Error::Sysctl { host: member.name, path, value, source })?;
    }
    let file = File::open("/proc/thread-self/ns/net").map_err(failed)?;
    Ok(Host::new(member, Arc::new(file)))
}

/// An `ip -batch` at work; several run at the same time.
struct Batch {
    child: Child,
    commands: String,
}

fn start(host: &Host, flags: &[&str], commands: &str) -> Result<Batch, Error> {
    let failed = |source| Error::Start { program: "ip".to_owned(), source };
    let mut child = host
        .enter(|| {
            Command::new("ip")
                .args(flags)
                .args(["-batch", "-"])
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
        })?
        .map_err(failed)?;
    if let Some(mut input) = child.stdin.take() {
        // A batch that fails early closes its input: its own words, read below, say more than EPIPE.
        input.write_all(commands.as_bytes()).or_else(ignore_broken_pipe).map_err(failed)?;
    }
    Ok(Batch { child, commands: format!("ip -batch on {}\n{commands}", host.name()) })
}

fn finish(batch: Batch) -> Result<(), Error> {
    let failed = |source| Error::Start { program: "ip".to_owned(), source };
    let output = batch.child.wait_with_output().map_err(failed)?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(Error::Ended { command: batch.commands, status: output.status, expected: 0, stderr })
}

fn ignore_broken_pipe(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) }
}
