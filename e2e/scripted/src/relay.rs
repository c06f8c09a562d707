//! A balancer between a client and the server: it carries bytes, or takes them and carries none.

use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

/// A relay on loopback. Its threads end with the connections of both sides, and the one that accepts with the process.
pub struct Relay {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    holds: AtomicBool,
    carried: [AtomicU64; 2],
}

impl Relay {
    /// Carries connections to this address.
    ///
    /// # Errors
    /// When there is no socket for it.
    pub fn start(to: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let state = Arc::<State>::default();
        let of_thread = Arc::clone(&state);
        thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                // A server that is gone closes the connection of the client.
                let _ = carry(client, to, &of_thread);
            }
        });
        Ok(Self { address, state })
    }

    /// Where clients connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes connections and bytes from now on, and carries none of them; or carries new connections again. Connections
    /// that lost a byte stay lost.
    pub fn hold(&self, holds: bool) {
        self.state.holds.store(holds, Ordering::SeqCst);
    }

    /// How many bytes were carried to the server, and from it.
    #[must_use]
    pub fn carried(&self) -> [u64; 2] {
        self.state.carried.each_ref().map(|bytes| bytes.load(Ordering::SeqCst))
    }
}

/// Both ways, each on a thread of its own.
fn carry(client: TcpStream, to: SocketAddr, state: &Arc<State>) -> io::Result<()> {
    let server = TcpStream::connect(to)?;
    let ways = [(client.try_clone()?, server.try_clone()?), (server, client)];
    for (way, (from, to)) in ways.into_iter().enumerate() {
        to.set_nodelay(true)?;
        let state = Arc::clone(state);
        thread::spawn(move || copy(from, to, &state.holds, state.carried.get(way)));
    }
    Ok(())
}

fn copy(mut from: TcpStream, mut to: TcpStream, holds: &AtomicBool, carried: Option<&AtomicU64>) {
    let mut buffer = [0; 16 << 10];
    let mut lost = false;
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        lost |= holds.load(Ordering::SeqCst);
        let bytes = buffer.get(..count).unwrap_or_default();
        if lost {
            continue;
        }
        if to.write_all(bytes).is_err() {
            break;
        }
        if let Some(carried) = carried {
            carried.fetch_add(bytes.len() as u64, Ordering::SeqCst);
        }
    }
    // The other side hears of the end of this one, unless that is kept from it, too.
    if !lost {
        let _ = to.shutdown(Shutdown::Write);
    }
}
