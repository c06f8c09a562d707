//! The health-check node ports: load balancers ask them whether this node has endpoints of a Service.
//!
//! ```text
//!   Cluster::health_checks --set--> one server for each Service and family: a listener for each address,
//!                                   a count that changes under it
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
};

use hyper::{
    StatusCode,
    header::{HeaderName, HeaderValue},
};
use portolan_core::{
    addr::{Family, PerFamily},
    model::HealthCheck,
    name::ServiceName,
};
use tokio::{net::TcpListener, runtime::Handle, task::AbortHandle};

use super::{
    answer::{Answer, JSON, typed, with},
    health::{Health, Now},
    serve::{Asked, Site, serve},
};

use crate::listen;

/// Tells a load balancer how much of the traffic to send here.
const WEIGHT: HeaderName = HeaderName::from_static("x-load-balancing-endpoint-weight");

/// A health-check node port that cannot be opened; it is tried again with each [`HealthCheckServers::set`].
#[derive(Debug, thiserror::Error)]
#[error("the health check node port {address} of Service {service} cannot be opened: {cause}")]
pub struct ListenFailure {
    /// Whose port.
    pub service: ServiceName,
    /// Where.
    pub address: SocketAddr,
    /// Why.
    #[source]
    pub cause: io::Error,
}

/// All open health-check node ports.
pub struct HealthCheckServers {
    runtime: Handle,
    health: Option<Arc<Health>>,
    open: BTreeMap<(ServiceName, Family), Server>,
}

/// The server of one Service and family.
struct Server {
    port: u16,
    local_endpoints: Arc<AtomicUsize>,
    listeners: BTreeMap<IpAddr, Listener>,
}

/// Closed when this is dropped, and not a moment later: the port may be the next Service's.
struct Listener {
    task: AbortHandle,
    /// Disconnected once the task is gone, and its sockets with it.
    ended: mpsc::Receiver<()>,
}

impl HealthCheckServers {
    /// None is open. They are served by the thread of [`HttpServers`](super::HttpServers); `health` is none where the
    /// health server is off, as kube-proxy has nobody to ask then.
    #[must_use]
    pub fn new(servers: &super::HttpServers, health: Option<Arc<Health>>) -> Self {
        Self { runtime: servers.runtime().clone(), health, open: BTreeMap::new() }
    }

    /// Makes these the ports that are open, at these addresses (all of a family where the list has its unspecified one).
    /// To be called after each sync that succeeded: what is in the kernel is what may be told.
    ///
    /// Returns those that cannot be opened, for the log and an Event on each Service.
    pub fn set(&mut self, checks: &[HealthCheck], addresses: &PerFamily<Vec<IpAddr>>) -> Vec<ListenFailure> {
        let wanted: BTreeMap<_, _> =
            checks.iter().map(|check| ((check.service.clone(), check.family), check)).collect();
        // First of all, since a port may change hands.
        self.open.retain(|key, server| wanted.get(key).is_some_and(|check| check.port == server.port));
        let mut failures = Vec::new();
        for (key, check) in wanted {
            let server = self.open.entry(key).or_insert_with(|| Server {
                port: check.port,
                local_endpoints: Arc::default(),
                listeners: BTreeMap::new(),
            });
            server.local_endpoints.store(check.local_endpoints, Ordering::Relaxed);
            let addresses: BTreeSet<_> = addresses.get(check.family).iter().copied().collect();
            server.listeners.retain(|address, _| addresses.contains(address));
            for ip in addresses {
                if server.listeners.contains_key(&ip) {
                    continue;
                }
                let site = HealthCheckSite {
                    service: check.service.clone(),
                    local_endpoints: Arc::clone(&server.local_endpoints),
                    health: self.health.clone(),
                };
                let address = SocketAddr::new(ip, check.port);
                match Listener::open(&self.runtime, address, site) {
                    Ok(listener) => {
                        server.listeners.insert(ip, listener);
                    }
                    Err(cause) => {
                        failures.push(ListenFailure { service: check.service.clone(), address, cause });
                    }
                }
            }
        }
        failures
    }

    /// The addresses at which health-check node ports are, where all of the node's are NodePort addresses.
    #[must_use]
    pub fn everywhere() -> PerFamily<Vec<IpAddr>> {
        PerFamily { v4: vec![Ipv4Addr::UNSPECIFIED.into()], v6: vec![Ipv6Addr::UNSPECIFIED.into()] }
    }
}

impl Listener {
    fn open(runtime: &Handle, address: SocketAddr, site: HealthCheckSite) -> io::Result<Self> {
        let socket = listen::one_family(address)?;
        let _inside = runtime.enter();
        let socket = TcpListener::from_std(socket)?;
        let (ends, ended) = mpsc::channel();
        let task = runtime.spawn(async move {
            // Dropped after what follows.
            let _ends: mpsc::Sender<()> = ends;
            serve(socket, Arc::new(site)).await;
        });
        Ok(Self { task: task.abort_handle(), ended })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
        // Nothing is ever sent: it ends by being disconnected.
        let _ = self.ended.recv();
    }
}

/// What is behind one of the ports.
struct HealthCheckSite {
    service: ServiceName,
    local_endpoints: Arc<AtomicUsize>,
    health: Option<Arc<Health>>,
}

impl Site for HealthCheckSite {
    /// Whatever the path and the method.
    fn answer(&self, _asked: &Asked) -> Answer {
        let count = self.local_endpoints.load(Ordering::Relaxed);
        let healthy = self.health.as_ref().is_none_or(|health| health.at(Now::read()).healthy);
        let status = if count > 0 && healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let ServiceName { namespace, name } = &self.service;
        // Laid out as kube-proxy does; there are health checks that look for a piece of text.
        let body = format!(
            "{{\n\t\"service\": {{\n\t\t\"namespace\": \"{namespace}\",\n\t\t\"name\": \"{name}\"\n\t}},\n\t\
             \"localEndpoints\": {count},\n\t\"serviceProxyHealthy\": {healthy}\n}}"
        );
        with(typed(status, JSON, body), WEIGHT, HeaderValue::from(count))
    }
}
