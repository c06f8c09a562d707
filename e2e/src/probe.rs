//! A client: one connection, datagram or echo request, and what became of it.

use std::{
    io::{self, BufRead as _, BufReader, ErrorKind, Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpStream, UdpSocket},
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{self, AddressFamily, SockFlag, SockProtocol, SockType, SockaddrStorage},
};
use portolan_core::addr::{Family, Protocol};

use crate::{Error, cast::Member, destination::Destination};

/// What a client got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A server of the lab answered.
    Answered(Answer),
    /// An echo request was answered.
    Echoed,
    /// Refused at once: a TCP reset, or an ICMP error that says so.
    Refused,
    /// There is no way there, says the client's own routing table or an ICMP error.
    Unreachable,
    /// Nothing came within the time that the client waited.
    Silent,
    /// Its datagram or echo request was not even sent: a rule of the output hook took it, and send(2) said EPERM
    /// (`nf_hook_slow`). What it heard then.
    NotPermitted(Box<Self>),
    /// Something else: an answer that no server of the lab gives, or an error that a client should never see.
    Strange(String),
}

impl Outcome {
    /// Whether the client waited in vain.
    #[must_use]
    pub fn is_silence(&self) -> bool {
        match self {
            Self::NotPermitted(heard) => heard.is_silence(),
            other => *other == Self::Silent,
        }
    }
}

/// What a server of the lab tells its client.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Answer {
    /// The server's host and port in the cast, such as `pod-a1:8080`.
    pub server: String,
    /// Where the server is.
    pub at: SocketAddr,
    /// From where the server saw the connection come.
    pub source: SocketAddr,
}

impl Answer {
    /// One line, with blanks between.
    pub(crate) fn line(server: &str, at: SocketAddr, source: SocketAddr) -> String {
        format!("{server} {at} {source}\n")
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let (server, at, source) = (words.next()?, words.next()?, words.next()?);
        Some(Self { server: server.to_owned(), at: at.parse().ok()?, source: source.parse().ok()? })
    }
}

/// Whether this kernel has the protocol at all.
///
/// # Errors
/// When a socket cannot be made for another reason.
pub fn kernel_speaks(protocol: Protocol) -> Result<bool, Error> {
    if protocol != Protocol::Sctp {
        return Ok(true);
    }
    match stream_socket(protocol, Family::V4) {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(nix::libc::EPROTONOSUPPORT) => Ok(false),
        Err(source) => Err(Error::Client { host: "this machine", protocol: "sctp", source }),
    }
}

/// How long a connection that must be alive may take to echo: only reached when it is not.
const PATIENCE: Duration = Duration::from_secs(3);

/// Whether a connection to a server that echoes is alive.
///
/// # Errors
/// When it is not, or what comes back is not what was sent.
pub fn still_echoes(mut stream: &TcpStream) -> io::Result<()> {
    const WORD: [u8; 5] = *b"echo?";
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&WORD)?;
    let mut answer = [0; WORD.len()];
    stream.read_exact(&mut answer)?;
    if answer == WORD { Ok(()) } else { Err(ErrorKind::InvalidData.into()) }
}

/// A client of the calling thread's namespace, before it asks.
pub(crate) struct Client {
    /// Who it is.
    pub(crate) member: &'static Member,
    /// The address that it binds to; else the kernel chooses.
    pub(crate) source: Option<IpAddr>,
    /// How long it waits.
    pub(crate) timeout: Duration,
}

impl Client {
    /// Asks once, and says what became of it.
    pub(crate) fn ask(&self, to: Destination) -> Result<Outcome, Error> {
        let talk = match to {
            Destination::Port(Protocol::Udp, to) => return Ok(ask_from(&self.datagrams(to)?, to, self.timeout)),
            Destination::Port(protocol, to) => self.connect(protocol, to)?.map(|(_, line)| line),
            Destination::Echo(to) => return self.echo(to),
        };
        Ok(outcome(talk))
    }

    /// A connection and the line that the server begins with.
    pub(crate) fn connect(&self, protocol: Protocol, to: SocketAddr) -> Result<io::Result<(TcpStream, String)>, Error> {
        let family = Family::of(to.ip());
        // SCTP tells its peer all of its addresses unless it is bound to one; NAT knows nothing of those.
        let only = || (protocol == Protocol::Sctp).then(|| self.member.address(family));
        let made = || {
            let socket = stream_socket(protocol, family)?;
            if let Some(source) = self.source.or_else(only) {
                socket::bind(socket.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(source, 0)))?;
            }
            Ok(TcpStream::from(socket))
        };
        let word = if protocol == Protocol::Sctp { "sctp" } else { "tcp" };
        let stream = made().map_err(|source| self.failed(word, source))?;
        Ok(connect(&stream, to, self.timeout).map(|line| (stream, line)))
    }

    /// A socket for datagrams.
    pub(crate) fn datagrams(&self, to: SocketAddr) -> Result<UdpSocket, Error> {
        let any = if to.is_ipv4() { IpAddr::V4([0; 4].into()) } else { IpAddr::V6([0; 16].into()) };
        UdpSocket::bind((self.source.unwrap_or(any), 0)).map_err(|source| self.failed("udp", source))
    }

    /// The kernel's ping socket: it fills in identifier and checksum (Documentation of `ping_group_range`, which
    /// [`crate::wiring`] opens).
    fn echo(&self, to: IpAddr) -> Result<Outcome, Error> {
        let (family, protocol, request, reply) = match to {
            IpAddr::V4(_) => (AddressFamily::Inet, SockProtocol::Icmp, 8, 0),
            IpAddr::V6(_) => (AddressFamily::Inet6, SockProtocol::IcmpV6, 128, 129),
        };
        let made = || {
            let socket = socket::socket(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC, protocol)?;
            if let Some(source) = self.source {
                socket::bind(socket.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(source, 0)))?;
            }
            Ok(UdpSocket::from(socket))
        };
        let socket = made().map_err(|source| self.failed("icmp", source))?;
        // Type, code, checksum, identifier, sequence number.
        let request = [request, 0, 0, 0, 0, 0, 0, 1];
        Ok(exchange(&socket, SocketAddr::new(to, 0), self.timeout, &request, |answer| match answer {
            Ok(answer) if answer.first() == Some(&reply) => Outcome::Echoed,
            Ok(answer) => Outcome::Strange(format!("{answer:?}")),
            Err(error) => outcome_of(&error),
        }))
    }

    const fn failed(&self, protocol: &'static str, source: io::Error) -> Error {
        Error::Client { host: self.member.name, protocol, source }
    }
}

/// Asks once from a socket for datagrams, wherever it was made.
pub(crate) fn ask_from(socket: &UdpSocket, to: SocketAddr, timeout: Duration) -> Outcome {
    exchange(socket, to, timeout, b"who?", |answer| {
        outcome(answer.map(|answer| String::from_utf8_lossy(&answer).into_owned()))
    })
}

fn outcome(talk: io::Result<String>) -> Outcome {
    match talk {
        Ok(text) => Answer::parse(&text).map_or(Outcome::Strange(text), Outcome::Answered),
        Err(error) => outcome_of(&error),
    }
}

fn outcome_of(error: &io::Error) -> Outcome {
    match error.kind() {
        ErrorKind::ConnectionRefused => Outcome::Refused,
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => Outcome::Unreachable,
        ErrorKind::TimedOut | ErrorKind::WouldBlock => Outcome::Silent,
        _ => Outcome::Strange(error.to_string()),
    }
}

/// Connects and reads one line.
fn connect(stream: &TcpStream, to: SocketAddr, timeout: Duration) -> io::Result<String> {
    let deadline = Instant::now() + timeout;
    // A connect that blocks would not hear of an ICMP error that comes while its SYN is sent, as it does between
    // namespaces (net/ipv4/tcp_ipv4.c, tcp_v4_err, with the socket owned by its user); a poll does.
    stream.set_nonblocking(true)?;
    match socket::connect(stream.as_raw_fd(), &SockaddrStorage::from(to)) {
        Err(Errno::EINPROGRESS) => {
            let patience = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
            if poll(&mut [PollFd::new(stream.as_fd(), PollFlags::POLLOUT)], patience)? == 0 {
                return Err(ErrorKind::TimedOut.into());
            }
            stream.take_error()?.map_or(Ok(()), Err)?;
        }
        done => done?,
    }
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(time_left(deadline)))?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(line)
}

/// Sends one datagram and waits for one; `judge` says what came of it.
fn exchange(
    socket: &UdpSocket,
    to: SocketAddr,
    timeout: Duration,
    request: &[u8],
    judge: impl Fn(io::Result<Vec<u8>>) -> Outcome,
) -> Outcome {
    // Connected, so that an ICMP error reaches it and an answer from elsewhere does not.
    let send = || {
        socket.connect(to)?;
        socket.set_read_timeout(Some(timeout))?;
        socket.send(request)
    };
    let receive = || {
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer)?;
        Ok(buffer.get(..length).unwrap_or_default().to_vec())
    };
    match send() {
        Ok(_) => judge(receive()),
        // Whether the rule refused or dropped it shows in the ICMP error that follows or does not.
        Err(error) if error.raw_os_error() == Some(nix::libc::EPERM) => {
            Outcome::NotPermitted(Box::new(judge(receive())))
        }
        Err(error) => judge(Err(error)),
    }
}

/// Zero would mean "for ever".
fn time_left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
}

/// TCP, or SCTP one-to-one, which behaves as TCP does (RFC 6458, section 4).
pub(crate) fn stream_socket(protocol: Protocol, family: Family) -> io::Result<OwnedFd> {
    let family = match family {
        Family::V4 => AddressFamily::Inet,
        Family::V6 => AddressFamily::Inet6,
    };
    let protocol = if protocol == Protocol::Sctp { SockProtocol::Sctp } else { SockProtocol::Tcp };
    Ok(socket::socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, protocol)?)
}
