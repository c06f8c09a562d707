//! A client: one connection, and what became of it.

use std::{
    io::{self, ErrorKind, Read as _},
    net::{IpAddr, SocketAddr, TcpStream, UdpSocket},
    os::fd::{AsRawFd as _, OwnedFd},
    time::{Duration, Instant},
};

use nix::sys::socket::{self, AddressFamily, SockFlag, SockProtocol, SockType, SockaddrStorage};
use portolan_core::addr::{Family, Protocol};

use crate::{Error, cast::Member};

/// What a client got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A server of the lab answered.
    Answered(Answer),
    /// Refused at once: a TCP reset, or an ICMP error that says so.
    Refused,
    /// There is no way there, says the client's own routing table or an ICMP error.
    Unreachable,
    /// Nothing came within the time that the client waited.
    Silent,
    /// Something else: an answer that no server of the lab gives, or an error that a client should never see.
    Strange(String),
}

/// What a server of the lab tells its client.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Answer {
    /// The server's host and port in the cast, such as `pod-a1:8080`.
    pub server: String,
    /// From where the server saw the connection come.
    pub source: SocketAddr,
}

impl Answer {
    /// One line: server, blank, source.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (server, source) = text.trim_end().split_once(' ')?;
        Some(Self { server: server.to_owned(), source: source.parse().ok()? })
    }

    pub(crate) fn line(server: &str, source: SocketAddr) -> String {
        format!("{server} {source}\n")
    }
}

/// Whether this kernel has the protocol at all.
///
/// # Errors
/// When a socket cannot be made for another reason.
pub fn kernel_speaks(protocol: Protocol) -> io::Result<bool> {
    if protocol != Protocol::Sctp {
        return Ok(true);
    }
    match sctp_socket(Family::V4) {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(nix::libc::EPROTONOSUPPORT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// One connection of the calling thread's namespace.
pub(crate) fn connect(
    client: &'static Member,
    protocol: Protocol,
    to: SocketAddr,
    timeout: Duration,
) -> Result<Outcome, Error> {
    let failed = |source| Error::Client { host: client.name, protocol, source };
    let deadline = Instant::now() + timeout;
    let talk = match protocol {
        Protocol::Tcp => TcpStream::connect_timeout(&to, timeout).and_then(|stream| read_answer(stream, deadline)),
        Protocol::Udp => {
            let any = if to.is_ipv4() { IpAddr::V4([0; 4].into()) } else { IpAddr::V6([0; 16].into()) };
            let socket = UdpSocket::bind((any, 0)).map_err(failed)?;
            ask(&socket, to, timeout)
        }
        Protocol::Sctp => {
            let family = Family::of(to.ip());
            let socket = sctp_socket(family).map_err(failed)?;
            // SCTP tells its peer all of its addresses unless it is bound to one; NAT knows nothing of those.
            let local = SockaddrStorage::from(SocketAddr::new(client.address(family), 0));
            socket::bind(socket.as_raw_fd(), &local).map_err(|errno| failed(errno.into()))?;
            sctp_connect(socket, to, timeout).and_then(|stream| read_answer(stream, deadline))
        }
    };
    Ok(match talk {
        Ok(text) => Answer::parse(&text).map_or(Outcome::Strange(text), Outcome::Answered),
        Err(error) => outcome_of(&error),
    })
}

fn outcome_of(error: &io::Error) -> Outcome {
    // How SO_SNDTIMEO ends a connect.
    if error.raw_os_error() == Some(nix::libc::EINPROGRESS) {
        return Outcome::Silent;
    }
    match error.kind() {
        ErrorKind::ConnectionRefused => Outcome::Refused,
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => Outcome::Unreachable,
        ErrorKind::TimedOut | ErrorKind::WouldBlock => Outcome::Silent,
        _ => Outcome::Strange(error.to_string()),
    }
}

/// Servers answer at once and close, so the answer is all there is until the end.
fn read_answer(mut stream: TcpStream, deadline: Instant) -> io::Result<String> {
    stream.set_read_timeout(Some(time_left(deadline)))?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

fn ask(socket: &UdpSocket, to: SocketAddr, timeout: Duration) -> io::Result<String> {
    // Connected, so that an ICMP error reaches it and an answer from elsewhere does not.
    socket.connect(to)?;
    socket.set_read_timeout(Some(timeout))?;
    match socket.send(b"who?") {
        // A rule in the output hook took the packet (nf_hook_slow gives EPERM to the sender): whether it refused or
        // dropped it shows in the ICMP error that follows or does not.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
        sent => drop(sent?),
    }
    let mut buffer = [0; 256];
    let length = socket.recv(&mut buffer)?;
    Ok(String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned())
}

/// Zero would mean "for ever".
fn time_left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
}

/// A one-to-one socket: it behaves as a TCP one does (RFC 6458, section 4).
pub(crate) fn sctp_socket(family: Family) -> io::Result<OwnedFd> {
    let family = match family {
        Family::V4 => AddressFamily::Inet,
        Family::V6 => AddressFamily::Inet6,
    };
    Ok(socket::socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, SockProtocol::Sctp)?)
}

fn sctp_connect(socket: OwnedFd, to: SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::from(socket);
    // SO_SNDTIMEO, which bounds a connect too.
    stream.set_write_timeout(Some(timeout))?;
    socket::connect(stream.as_raw_fd(), &SockaddrStorage::from(to))?;
    Ok(stream)
}
