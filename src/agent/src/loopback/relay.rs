//! From a client to an endpoint and back. The bytes stay in the kernel: splice(2) moves pages from a socket into a pipe and
//! from there into the other socket.
//!
//! ```text
//!   client socket --splice--> pipe --splice--> endpoint socket      and the same the other way round
//! ```
//!
//! A pipe is borrowed only while bytes are on their way, so that an idle connection is two sockets and nothing else. The end
//! of one direction is passed on as such (FIN), a failure of either as a reset of both. Where one side takes no more, what it
//! has sent before still arrives: a server may answer a request that it does not want to read.

use std::{
    io::{self, PipeReader, PipeWriter},
    net::{Shutdown, SocketAddr},
    os::fd::AsFd,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use nix::fcntl::{SpliceFFlags, splice};
use socket2::{SockRef, TcpKeepalive};
use tokio::{io::Interest, net::TcpStream, time::timeout};

/// For so long an endpoint may take to answer; kube-proxy's time.
const DIAL: Duration = Duration::from_secs(5);

/// An endpoint that is silent is asked after this time, and every so often, whether it is still there: after nine times
/// without an answer the connection fails. Go's defaults, by which kube-proxy does it.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVES: u32 = 9;

/// Bytes moved at once: what a pipe holds.
const PIECE: usize = 1 << 16;

/// Empty pipes that are kept for the next one.
const MOST_PIPES: usize = 64;

/// A pipe with nothing in it.
type Pipe = (PipeReader, PipeWriter);

/// Pipes that nobody uses.
#[derive(Debug, Default)]
pub(super) struct Pipes(Mutex<Vec<Pipe>>);

impl Pipes {
    fn take(&self) -> io::Result<Pipe> {
        let free = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        free.map_or_else(io::pipe, Ok)
    }

    /// It must be empty.
    fn give_back(&self, pipe: Pipe) {
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < MOST_PIPES {
            free.push(pipe);
        }
    }
}

/// Connects a client to an endpoint until both have ended, or one has failed.
pub(super) async fn relay(client: &TcpStream, to: SocketAddr, pipes: &Pipes) -> io::Result<()> {
    let carried = async {
        let endpoint = timeout(DIAL, TcpStream::connect(to)).await.map_err(|_| io::ErrorKind::TimedOut)??;
        client.set_nodelay(true)?;
        endpoint.set_nodelay(true)?;
        let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE).with_retries(KEEPALIVES);
        SockRef::from(&endpoint).set_tcp_keepalive(&keepalive)?;
        let both = tokio::try_join!(one_way(client, &endpoint, pipes), one_way(&endpoint, client, pipes));
        let result = both.and_then(|(there, back)| there.and(back));
        if result.is_err() {
            reset(&endpoint);
        }
        result
    };
    let result = carried.await;
    if result.is_err() {
        reset(client);
    }
    result
}

/// Has the other side told by RST when the socket is closed.
fn reset(stream: &TcpStream) {
    // What fails leaves an ordinary end.
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// Until `from` ends, which is told to `to`. An error is one of `from` or of this machine, and ends the other direction at once;
/// the error inside says that `to` takes no more, from which there may still be something to read.
async fn one_way(from: &TcpStream, to: &TcpStream, pipes: &Pipes) -> io::Result<io::Result<()>> {
    loop {
        from.readable().await?;
        let pipe = pipes.take()?;
        let (output, input) = (&pipe.0, &pipe.1);
        let mut held = match from.try_io(Interest::READABLE, || move_bytes(from, input, PIECE)) {
            Ok(0) => {
                pipes.give_back(pipe);
                // Who is gone already need not be told.
                let _ = SockRef::from(to).shutdown(Shutdown::Write);
                return Ok(Ok(()));
            }
            Ok(held) => held,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                pipes.give_back(pipe);
                continue;
            }
            Err(error) => return Err(error),
        };
        while held > 0 {
            to.writable().await?;
            match to.try_io(Interest::WRITABLE, || move_bytes(output, to, held)) {
                Ok(0) => return Ok(Err(io::ErrorKind::WriteZero.into())),
                Ok(moved) => held = held.saturating_sub(moved),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Ok(Err(error)),
            }
        }
        pipes.give_back(pipe);
        // Who floods lets the others have their turns.
        tokio::task::yield_now().await;
    }
}

fn move_bytes(from: impl AsFd, to: impl AsFd, most: usize) -> io::Result<usize> {
    let flags = SpliceFFlags::SPLICE_F_NONBLOCK | SpliceFFlags::SPLICE_F_MOVE;
    Ok(splice(from, None, to, None, most, flags)?)
}
