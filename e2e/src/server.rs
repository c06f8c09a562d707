//! Servers in pods and on nodes. Each answers every connection with one line: its name, where it is, and the source it
//! saw; so the line tells a client all that a test wants to know. Then it closes, or echoes until the client closes.
//!
//! One thread serves all sockets of one [`Servers`]: they were made inside their namespaces and stay there.

use std::{
    fmt,
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::{
        fd::{AsFd, AsRawFd as _, BorrowedFd},
        unix::net::UnixStream,
    },
    thread::{self, JoinHandle},
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{self, Backlog, SockaddrStorage},
};
use portolan_core::addr::{Family, Protocol};

use crate::{
    Error, Lab,
    probe::{Answer, stream_socket},
};

/// Where a server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listener {
    /// The name of the host.
    pub host: &'static str,
    /// The protocol.
    pub protocol: Protocol,
    /// Its address, which the host must have, and its port.
    pub at: SocketAddr,
}

/// The server's name: `pod-a1:8080`.
impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.at.port())
    }
}

/// What a server does with a connection when it has answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It closes.
    Close,
    /// It sends back what comes, until the client closes.
    Echo,
}

/// Servers at work; they stop when this is dropped.
#[derive(Debug)]
pub struct Servers {
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Servers {
    pub(crate) fn start(lab: &Lab, listeners: impl IntoIterator<Item = Listener>, then: Then) -> Result<Self, Error> {
        let servers = listeners.into_iter().map(|listener| lab.host(listener.host)?.enter(|| Server::new(listener))?);
        let servers = servers.collect::<Result<Vec<_>, _>>()?;
        let (stop, stopped) =
            UnixStream::pair().map_err(|source| Error::Start { program: "servers".to_owned(), source })?;
        let thread = thread::spawn(move || serve(&servers, &stopped, then));
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        // Closing our end wakes the thread's poll.
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been printed; the clients saw silence.
            let _ = thread.join();
        }
    }
}

#[derive(Debug)]
struct Server {
    listener: Listener,
    socket: Socket,
}

#[derive(Debug)]
enum Socket {
    /// TCP, and SCTP's one-to-one sockets, which accept in the same way.
    Listener(TcpListener),
    Datagrams(UdpSocket),
}

impl Server {
    fn new(listener: Listener) -> Result<Self, Error> {
        let Listener { host, protocol, at } = listener;
        let socket = listen(protocol, at).map_err(|source| Error::Server { host, protocol, address: at, source })?;
        Ok(Self { listener, socket })
    }

    /// Answers one client; returns its connection, if it is one.
    fn answer(&self) -> io::Result<Option<TcpStream>> {
        let line = |source| Answer::line(&self.listener.to_string(), self.listener.at, source);
        match &self.socket {
            Socket::Listener(listener) => {
                let (mut stream, source) = listener.accept()?;
                stream.write_all(line(source).as_bytes())?;
                Ok(Some(stream))
            }
            Socket::Datagrams(socket) => {
                let (_, source) = socket.recv_from(&mut [0; 16])?;
                socket.send_to(line(source).as_bytes(), source)?;
                Ok(None)
            }
        }
    }
}

fn listen(protocol: Protocol, address: SocketAddr) -> io::Result<Socket> {
    let listener = match protocol {
        Protocol::Tcp => TcpListener::bind(address)?,
        Protocol::Udp => {
            let socket = UdpSocket::bind(address)?;
            socket.set_nonblocking(true)?;
            return Ok(Socket::Datagrams(socket));
        }
        Protocol::Sctp => {
            let socket = stream_socket(Protocol::Sctp, Family::of(address.ip()))?;
            socket::bind(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
            socket::listen(&socket, Backlog::MAXCONN)?;
            TcpListener::from(socket)
        }
    };
    // A client may be gone before it is accepted.
    listener.set_nonblocking(true)?;
    Ok(Socket::Listener(listener))
}

impl AsFd for Server {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Socket::Listener(listener) => listener.as_fd(),
            Socket::Datagrams(socket) => socket.as_fd(),
        }
    }
}

/// Until the other end of `stopped` is closed.
fn serve(servers: &[Server], stopped: &UnixStream, then: Then) {
    let mut kept = Vec::<TcpStream>::new();
    loop {
        let watched = servers.iter().map(AsFd::as_fd).chain([stopped.as_fd()]).chain(kept.iter().map(AsFd::as_fd));
        let mut polled: Vec<_> = watched.map(|socket| PollFd::new(socket, PollFlags::POLLIN)).collect();
        match poll(&mut polled, PollTimeout::NONE) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => {
                eprintln!("the lab's servers stop: poll: {errno}");
                return;
            }
        }
        let ready: Vec<_> = polled.iter().map(|socket| socket.any().unwrap_or(false)).collect();
        let (of_servers, others) = ready.split_at(servers.len());
        let Some((false, of_kept)) = others.split_first() else { return };
        let mut of_kept = of_kept.iter();
        kept.retain_mut(|stream| of_kept.next() != Some(&true) || echo(stream).unwrap_or(false));
        for (server, _) in servers.iter().zip(of_servers).filter(|(_, ready)| **ready) {
            // A client that went away is no matter of the server; what it missed shows in its outcome.
            let connection = server.answer().unwrap_or_default();
            kept.extend(connection.filter(|_| then == Then::Echo));
        }
    }
}

/// Sends back what has come; whether more may come.
fn echo(stream: &mut TcpStream) -> io::Result<bool> {
    let mut buffer = [0; 256];
    let length = stream.read(&mut buffer)?;
    stream.write_all(buffer.get(..length).unwrap_or_default())?;
    Ok(length > 0)
}
