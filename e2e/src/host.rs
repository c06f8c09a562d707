//! One host of a lab: run a closure, a program or a connection in its network namespace.
//!
//! A network namespace belongs to a thread. So whatever happens "on a host" happens in a thread that enters the
//! namespace and ends; sockets and processes that it makes stay in the namespace, whoever uses them later.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Write as _},
    net::{IpAddr, SocketAddr, TcpStream, UdpSocket},
    os::fd::{AsRawFd as _, RawFd},
    process::{Child, Command, Output, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

use nix::sched::{CloneFlags, setns};
use portolan_core::addr::Protocol;

use crate::{
    Error,
    cast::Member,
    destination::Destination,
    probe::{Client, Outcome},
};

/// A member of the cast, alive. Cheap to clone; the namespace lives as long as a clone does.
#[derive(Debug, Clone)]
pub struct Host {
    member: &'static Member,
    namespace: Arc<File>,
}

impl Host {
    pub(crate) const fn new(member: &'static Member, namespace: Arc<File>) -> Self {
        Self { member, namespace }
    }

    /// Who it is.
    #[must_use]
    pub const fn member(&self) -> &'static Member {
        self.member
    }

    /// Its name in the cast.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.member.name
    }

    pub(crate) fn descriptor(&self) -> RawFd {
        self.namespace.as_raw_fd()
    }

    /// Runs `work` in a thread inside this host's network namespace and returns what it returns. A panic goes on here.
    ///
    /// # Errors
    /// When the namespace cannot be entered.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                setns(&self.namespace, CloneFlags::CLONE_NEWNET)
                    .map_err(|errno| Error::Namespace { host: self.name(), source: errno.into() })?;
                Ok(work())
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// A program to be run on this host.
    pub fn command(&self, program: impl AsRef<OsStr>) -> HostCommand {
        HostCommand { host: self.clone(), command: Command::new(program), input: None }
    }

    /// Asks once, from an address of this host or, for `None`, from the one that the kernel chooses.
    ///
    /// # Errors
    /// When the client's own socket cannot be made. Whatever the network does is an [`Outcome`].
    pub fn ask(&self, source: Option<IpAddr>, to: Destination, timeout: Duration) -> Result<Outcome, Error> {
        self.enter(|| Client { member: self.member, source, timeout }.ask(to))?
    }

    /// One connection from this host: TCP and SCTP connect and read the answer, UDP sends a datagram and waits for one.
    ///
    /// # Errors
    /// As [`Host::ask`].
    pub fn connect(&self, protocol: Protocol, to: SocketAddr, timeout: Duration) -> Result<Outcome, Error> {
        self.ask(None, Destination::Port(protocol, to), timeout)
    }

    /// So many connections, one after the other, each from another port.
    ///
    /// # Errors
    /// As [`Host::ask`].
    pub fn connections(
        &self,
        protocol: Protocol,
        to: SocketAddr,
        timeout: Duration,
        count: u32,
    ) -> Result<Vec<Outcome>, Error> {
        let client = Client { member: self.member, source: None, timeout };
        self.enter(|| (0..count).map(|_| client.ask(Destination::Port(protocol, to))).collect())?
    }

    /// A TCP connection that stays.
    ///
    /// # Errors
    /// As [`Host::ask`]; what the network does is the inner error.
    pub fn open(&self, to: SocketAddr, timeout: Duration) -> Result<io::Result<TcpStream>, Error> {
        let client = Client { member: self.member, source: None, timeout };
        self.enter(|| client.connect(Protocol::Tcp, to).map(|talk| talk.map(|(stream, _)| stream)))?
    }

    /// A UDP socket that stays, for datagrams of the family of `to`.
    ///
    /// # Errors
    /// As [`Host::ask`].
    pub fn datagrams(&self, to: SocketAddr) -> Result<UdpSocket, Error> {
        self.enter(|| Client { member: self.member, source: None, timeout: Duration::ZERO }.datagrams(to))?
    }
}

/// A [`Command`] whose process starts in a host's network namespace.
#[derive(Debug)]
pub struct HostCommand {
    host: Host,
    command: Command,
    input: Option<String>,
}

impl HostCommand {
    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(arguments);
        self
    }

    /// What it reads from its standard input; otherwise that is empty.
    #[must_use]
    pub fn input(mut self, text: impl Into<String>) -> Self {
        self.input = Some(text.into());
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// The command with its arguments, for messages.
    #[must_use]
    pub fn line(&self) -> String {
        let words = std::iter::once(self.command.get_program()).chain(self.command.get_args());
        let line = words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ");
        format!("{}: {line}", self.host.name())
    }

    /// Starts it, with pipes for its output and errors; who takes it ends it.
    ///
    /// # Errors
    /// When the namespace cannot be entered or the program not be started.
    pub fn spawn(mut self) -> Result<Child, Error> {
        self.start()
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// As [`HostCommand::spawn`]. The exit status is the caller's to judge.
    pub fn output(mut self) -> Result<Output, Error> {
        let child = self.start()?;
        child.wait_with_output().map_err(|source| self.failed(source))
    }

    /// Runs it to its end and returns what it wrote on its standard output.
    ///
    /// # Errors
    /// As [`HostCommand::spawn`], and when its exit status is not `expected`: the error holds what it wrote on its
    /// standard error.
    pub fn expect_exit(self, expected: i32) -> Result<String, Error> {
        let command = self.line();
        let output = self.output()?;
        if output.status.code() == Some(expected) {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(Error::Ended { command, status: output.status, expected, stderr })
    }

    fn start(&mut self) -> Result<Child, Error> {
        let input = self.input.take();
        self.command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let started = self.host.enter(|| self.command.spawn())?;
        let mut child = started.map_err(|source| self.failed(source))?;
        if let (Some(text), Some(mut pipe)) = (input, child.stdin.take()) {
            // In a thread: a program that writes before it has read all must not wait for us, nor we for it. One that
            // does not read to the end says so by its exit status.
            thread::spawn(move || pipe.write_all(text.as_bytes()));
        }
        Ok(child)
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::Start { program: self.command.get_program().to_string_lossy().into_owned(), source }
    }
}
