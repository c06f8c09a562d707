//! NodePorts at 127.0.0.1 and ::1: listeners in user space, which connect each client to an endpoint and copy bytes.
//!
//! ```text
//!   sync thread                                    thread "loopback"
//!   PortChange --> LoopbackNodePorts --opens-----> Listener: accepts --> relay --> endpoint
//!                        '-----------endpoints---> Choice: who is next
//! ```
//!
//! The sync thread binds and closes the sockets, and exchanges the endpoints behind them; it never waits for the other one,
//! which does all that clients can make last. What is served follows from the cluster alone
//! ([`portolan_core::desired::at_loopback`]), whatever becomes of the kernel's rules.

mod choice;
mod listener;
mod relay;
mod worker;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::SocketAddr,
};

use portolan_core::{
    addr::Family,
    desired::{LoopbackNodePort, PortChange, PortId},
};

use self::{listener::Listener, worker::Worker};
use crate::{listen::is_no_ipv6, metrics::Metrics};

/// The loopback NodePorts that the cluster wants, and the listeners that serve them.
#[derive(Default)]
pub struct LoopbackNodePorts {
    wanted: BTreeMap<PortId, LoopbackNodePort>,
    /// What changed since the last time, and what could not be opened then.
    due: BTreeSet<PortId>,
    open: BTreeMap<PortId, Listener>,
    /// The addresses of which it was told that they are not to be had.
    told: BTreeSet<SocketAddr>,
    /// There once there is something to serve.
    worker: Option<Worker>,
}

impl LoopbackNodePorts {
    /// Takes over what became of a ServicePort.
    pub fn update(&mut self, change: &PortChange) {
        if self.wanted.get(&change.id) == change.loopback.as_ref() {
            return;
        }
        match &change.loopback {
            Some(wanted) => drop(self.wanted.insert(change.id.clone(), wanted.clone())),
            None => drop(self.wanted.remove(&change.id)),
        }
        self.due.insert(change.id.clone());
    }

    /// Opens and closes what changed, and tries again what could not be opened. Connections end with their listener, and
    /// outlive a change of its endpoints.
    pub fn settle(&mut self, metrics: &Metrics) {
        if self.due.is_empty() {
            return;
        }
        let due = std::mem::take(&mut self.due);
        // First of all, since a port may change hands.
        for id in &due {
            let address = self.wanted.get(id).map(|wanted| wanted.address);
            if self.open.get(id).map(Listener::address) != address {
                self.open.remove(id);
            }
        }
        for id in due {
            let Some(wanted) = self.wanted.get(&id) else { continue };
            if let Some(listener) = self.open.get(&id) {
                listener.lead_to(wanted);
                continue;
            }
            match listen(&mut self.worker, wanted) {
                Ok(listener) => {
                    self.told.remove(&wanted.address);
                    tracing::debug!(address = %wanted.address, service = %id.name, "a NodePort is listened for");
                    self.open.insert(id, listener);
                }
                Err(error) => {
                    // A kernel without IPv6 has nobody who could ask there.
                    if !is_no_ipv6(&error) {
                        metrics.loopback_listener_failed(id.family);
                        if self.told.insert(wanted.address) {
                            tracing::warn!(
                                "the NodePort of {} cannot be opened at {}: {error}; it is tried again at each sync, \
                                 everything else is served; end what has the port, or take `localhost` out of \
                                 nodePortAddresses",
                                id.name,
                                wanted.address
                            );
                        }
                    }
                    self.due.insert(id);
                }
            }
        }
        let wanted: BTreeSet<_> = self.wanted.values().map(|wanted| wanted.address).collect();
        self.told.retain(|address| wanted.contains(address));
        for family in Family::ALL {
            let open = self.open.keys().filter(|id| id.family == family).count();
            metrics.loopback_listeners(family, open);
        }
    }
}

fn listen(worker: &mut Option<Worker>, wanted: &LoopbackNodePort) -> io::Result<Listener> {
    let worker = match worker {
        Some(worker) => worker,
        none => none.insert(Worker::start()?),
    };
    Listener::open(worker, wanted)
}
