//! Servers in pods and on nodes. Each answers every connection with one line, its name and the source it saw, and
//! closes; so the line tells a client all that a test wants to know.
//!
//! One thread serves all sockets of one [`Servers`]: they were made inside their namespaces and stay there.

use std::{
    io::{self, Write as _},
    net::{SocketAddr, TcpListener, UdpSocket},
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
    cast::{Member, Target},
    probe::{Answer, sctp_socket},
};

/// Servers at work; they stop when this is dropped.
#[derive(Debug)]
pub struct Servers {
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Servers {
    pub(crate) fn start(lab: &Lab, targets: impl IntoIterator<Item = Target>) -> Result<Self, Error> {
        let mut sockets = Vec::new();
        for target in targets {
            let host = lab.host(target.host)?;
            for family in Family::ALL {
                sockets.push(host.enter(|| Server::new(host.member(), target, family))??);
            }
        }
        let (stop, stopped) =
            UnixStream::pair().map_err(|source| Error::Start { program: "servers".to_owned(), source })?;
        let thread = thread::spawn(move || serve(&sockets, &stopped));
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
    name: String,
    socket: Socket,
}

#[derive(Debug)]
enum Socket {
    /// TCP, and SCTP's one-to-one sockets, which accept in the same way.
    Listener(TcpListener),
    Datagrams(UdpSocket),
}

impl Server {
    fn new(host: &'static Member, target: Target, family: Family) -> Result<Self, Error> {
        let address = SocketAddr::new(host.address(family), target.port);
        let socket = listen(target.protocol, address).map_err(|source| Error::Server {
            host: host.name,
            protocol: target.protocol,
            address,
            source,
        })?;
        Ok(Self { name: target.to_string(), socket })
    }

    fn answer(&self) -> io::Result<()> {
        match &self.socket {
            Socket::Listener(listener) => {
                let (mut stream, source) = listener.accept()?;
                stream.write_all(Answer::line(&self.name, source).as_bytes())
            }
            Socket::Datagrams(socket) => {
                let (_, source) = socket.recv_from(&mut [0; 16])?;
                socket.send_to(Answer::line(&self.name, source).as_bytes(), source).map(drop)
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
            let socket = sctp_socket(Family::of(address.ip()))?;
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
fn serve(servers: &[Server], stopped: &UnixStream) {
    let watched = servers.iter().map(AsFd::as_fd).chain([stopped.as_fd()]);
    let mut polled: Vec<_> = watched.map(|socket| PollFd::new(socket, PollFlags::POLLIN)).collect();
    loop {
        match poll(&mut polled, PollTimeout::NONE) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => {
                eprintln!("the lab's servers stop: poll: {errno}");
                return;
            }
        }
        // More sockets than servers: the last one is `stopped`.
        if polled.last().and_then(PollFd::any).unwrap_or(false) {
            return;
        }
        for (server, ready) in servers.iter().zip(&polled) {
            if ready.any().unwrap_or(false) {
                // A client that went away is no matter of the server; what it missed shows in its outcome.
                let _ = server.answer();
            }
        }
    }
}
