//! One NodePort at one loopback address.

use std::{
    io,
    net::{Shutdown, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use portolan_core::desired::LoopbackNodePort;
use socket2::SockRef;
use tokio::{
    net::TcpListener,
    task::{AbortHandle, JoinSet},
};

use super::{
    choice::Choice,
    relay::relay,
    worker::{Shared, Worker},
};
use crate::listen;

/// Where no connection can be accepted (no file is left, as a rule), the next try comes after this time.
const PAUSE: Duration = Duration::from_millis(100);

/// Listens until this is dropped; its connections end then.
pub(super) struct Listener {
    address: SocketAddr,
    choice: Arc<Mutex<Choice>>,
    /// The task has it too.
    socket: Arc<TcpListener>,
    task: AbortHandle,
}

impl Listener {
    pub(super) fn open(worker: &Worker, wanted: &LoopbackNodePort) -> io::Result<Self> {
        let choice = Arc::new(Mutex::new(Choice::new(wanted)));
        let _inside = worker.runtime.enter();
        let socket = Arc::new(TcpListener::from_std(listen::one_family(wanted.address)?)?);
        let accept = accept(Arc::clone(&socket), Arc::clone(&choice), Arc::clone(&worker.shared));
        let task = worker.runtime.spawn(accept);
        Ok(Self { address: wanted.address, choice, socket, task: task.abort_handle() })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends new connections to other endpoints.
    pub(super) fn lead_to(&self, wanted: &LoopbackNodePort) {
        lock(&self.choice).lead_to(wanted);
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // The other thread closes it when it comes to it. From now on nobody is accepted, and the port can be had by
        // the next listener, which has SO_REUSEADDR: the kernel refuses that only while somebody listens.
        let _ = SockRef::from(&*self.socket).shutdown(Shutdown::Both);
        self.task.abort();
    }
}

fn lock(choice: &Mutex<Choice>) -> MutexGuard<'_, Choice> {
    choice.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Connections end with it.
async fn accept(listener: Arc<TcpListener>, choice: Arc<Mutex<Choice>>, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        // Forgets those that have ended.
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((client, _)) => {
                let Some(room) = shared.room().await else { return };
                let endpoint = lock(&choice).next(Instant::now());
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    let _room = room;
                    if let Some(endpoint) = endpoint
                        && let Err(error) = relay(&client, endpoint, &shared.pipes).await
                    {
                        tracing::debug!(%endpoint, %error, "a connection to a NodePort at loopback failed");
                    }
                });
            }
            Err(error) => {
                tracing::debug!(%error, "a connection to a NodePort at loopback was not accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
