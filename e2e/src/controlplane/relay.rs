//! Carries connections from a node's loopback to the API server, which is in another network namespace.

use std::{
    io,
    net::{Shutdown, TcpListener, TcpStream},
    os::{fd::AsFd as _, unix::net::UnixStream},
    thread::{self, JoinHandle},
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::ADDRESS;
use crate::host::Host;

/// Takes connections at [`ADDRESS`] of a node; not any more when this is dropped.
#[derive(Debug)]
pub(super) struct Relay {
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    pub(super) fn start(node: &Host) -> Result<Self, super::Error> {
        let failed = || super::Error::system(format!("a listener at {ADDRESS} of {}", node.name()));
        let listener = node.enter(|| TcpListener::bind(ADDRESS))?.map_err(failed())?;
        let (stop, stopped) = UnixStream::pair().map_err(failed())?;
        let thread = thread::spawn(move || accept(&listener, &stopped));
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // Closing our end wakes the thread's poll.
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been printed; kube-proxy saw connections refused.
            let _ = thread.join();
        }
    }
}

/// Until the other end of `stopped` is closed.
fn accept(listener: &TcpListener, stopped: &UnixStream) {
    let mut polled = [listener.as_fd(), stopped.as_fd()].map(|socket| PollFd::new(socket, PollFlags::POLLIN));
    while poll(&mut polled, PollTimeout::NONE).is_ok() {
        if polled.last().and_then(PollFd::any).unwrap_or(false) {
            return;
        }
        // One that fails is closed; kube-proxy connects again.
        let _ = listener.accept().and_then(|(client, _)| carry(client));
    }
}

/// Both ways, until both ends have said all.
fn carry(client: TcpStream) -> io::Result<()> {
    let server = TcpStream::connect(ADDRESS)?;
    let (client_too, server_too) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || copy(&client, &server));
    thread::spawn(move || copy(&server_too, &client_too));
    Ok(())
}

fn copy(mut from: &TcpStream, mut to: &TcpStream) {
    // An end that is gone ends the copying, and the other end shall know.
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}
