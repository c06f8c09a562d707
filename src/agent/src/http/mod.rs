//! The servers that others ask: load balancers, the kubelet, Prometheus, administrators. Bodies, headers and codes are
//! kube-proxy's.
//!
//! ```text
//!   sync loop ---- Health, Metrics (shared) ----+      thread "http"
//!                                               v
//!                        10256  /healthz /livez /readyz        <-- load balancers, kubelet
//!                        10249  /metrics /proxyMode /configz.. <-- Prometheus, people
//!      HealthCheckServers -> healthCheckNodePort of each Service <-- load balancers
//! ```
//!
//! The servers have a thread of their own, so that they answer while others wait for the kernel. Nothing that they are
//! asked changes anything, but for the verbosity of the log.

mod answer;
mod debug_flags;
mod health;
mod health_checks;
mod health_server;
mod metrics_server;
mod negotiate;
mod serve;
mod zpages;

use std::{io, net::SocketAddr, sync::Arc, thread, time::Duration};

use tokio::{
    runtime::{self, Handle},
    sync::oneshot,
};

pub use self::{
    health::{Health, Now, Snapshot},
    health_checks::{HealthCheckServers, ListenFailure},
    metrics_server::About,
};
use self::{
    health_server::HealthSite,
    metrics_server::MetricsSite,
    serve::{Site, serve},
};
use crate::{listen, metrics::Metrics};

/// kube-proxy's pause between two tries to listen.
const RETRY: Duration = Duration::from_secs(5);

/// Where the servers listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// `healthzBindAddress`; none turns the server off.
    pub healthz: Option<SocketAddr>,
    /// `metricsBindAddress`; none turns the server off.
    pub metrics: Option<SocketAddr>,
    /// `bindAddressHardFail`: not to listen is an error, and is not tried again.
    pub hard_fail: bool,
}

/// Which server an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// /healthz, /livez, /readyz
    Health,
    /// /metrics and the rest
    Metrics,
}

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Health => "health server",
            Self::Metrics => "metrics server",
        })
    }
}

/// The servers cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address is not to be had, and `bindAddressHardFail` is set.
    #[error("the {server} cannot listen on {address}: {cause}")]
    Listen {
        /// Which one.
        server: Server,
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The thread cannot be started.
    #[error("the thread of the HTTP servers cannot be started: {0}")]
    Thread(#[source] io::Error),
}

/// The servers at work; all ports are closed when this is dropped.
#[derive(Debug)]
pub struct HttpServers {
    runtime: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
    healthz: Option<SocketAddr>,
    metrics: Option<SocketAddr>,
}

impl HttpServers {
    /// Starts the servers, before anything is known of the cluster. Where an address is not to be had and that is no
    /// error, it is tried again every five seconds.
    ///
    /// # Errors
    /// [`StartError`]
    pub fn start(
        addresses: Addresses,
        health: Arc<Health>,
        metrics: Arc<Metrics>,
        about: About,
    ) -> Result<Self, StartError> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(StartError::Thread)?;
        let (stop, stopped) = oneshot::channel::<()>();
        let handle = runtime.handle().clone();
        let thread = thread::Builder::new()
            .name("http".to_owned())
            .spawn(move || {
                // Either way it is over: told, or the other end is gone.
                let _ = runtime.block_on(stopped);
            })
            .map_err(StartError::Thread)?;
        let (stop, thread) = (Some(stop), Some(thread));
        let mut servers = Self { runtime: handle, stop, thread, healthz: None, metrics: None };
        let site = Arc::new(HealthSite { health, metrics: Arc::clone(&metrics) });
        servers.healthz = servers.open(Server::Health, addresses.healthz, addresses.hard_fail, site)?;
        let site = Arc::new(MetricsSite::new(about, metrics));
        servers.metrics = servers.open(Server::Metrics, addresses.metrics, addresses.hard_fail, site)?;
        Ok(servers)
    }

    /// Where the health server listens since the start.
    #[must_use]
    pub const fn healthz(&self) -> Option<SocketAddr> {
        self.healthz
    }

    /// Where the metrics server listens since the start.
    #[must_use]
    pub const fn metrics(&self) -> Option<SocketAddr> {
        self.metrics
    }

    const fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Opens one server, and says where it listens if it does already.
    fn open(
        &self,
        server: Server,
        address: Option<SocketAddr>,
        hard_fail: bool,
        site: Arc<dyn Site>,
    ) -> Result<Option<SocketAddr>, StartError> {
        let Some(address) = address else { return Ok(None) };
        match self.listen(address) {
            Ok(listener) => {
                let bound = listener.local_addr().ok();
                self.runtime.spawn(serve(listener, site));
                Ok(bound)
            }
            Err(cause) if hard_fail => Err(StartError::Listen { server, address, cause }),
            Err(cause) => {
                tracing::error!(
                    "the {server} cannot listen on {address}: {cause}. It is tried again every {} s; until then nobody \
                     is answered there",
                    RETRY.as_secs()
                );
                self.runtime.spawn(retry(server, address, site));
                Ok(None)
            }
        }
    }

    fn listen(&self, address: SocketAddr) -> io::Result<tokio::net::TcpListener> {
        let _inside = self.runtime.enter();
        tokio::net::TcpListener::from_std(listen::both_families(address)?)
    }
}

/// Listens as soon as it can, and serves.
async fn retry(server: Server, address: SocketAddr, site: Arc<dyn Site>) {
    loop {
        tokio::time::sleep(RETRY).await;
        match listen::both_families(address).and_then(tokio::net::TcpListener::from_std) {
            Ok(listener) => {
                tracing::info!("the {server} listens on {address} now");
                return serve(listener, site).await;
            }
            Err(error) => tracing::debug!("the {server} still cannot listen on {address}: {error}"),
        }
    }
}

impl Drop for HttpServers {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of it was its own.
            let _ = thread.join();
        }
    }
}
