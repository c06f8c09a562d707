//! The daemon's loop with a dataplane whose objects drain: a kernel in memory, since none of the modes has any.

use std::{
    future::Future as _,
    os::fd::BorrowedFd,
    pin::pin,
    sync::{Arc, mpsc},
    task::{Context as Task, Poll, Waker},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use portolan::{
    events::Reporter,
    health_checks::HealthChecks,
    http::{About, Addresses, Health, HealthCheckServers, HttpServers},
    mailbox::{Mailbox, mailbox},
    manifest::Event,
    metrics::Metrics,
    sync_loop::{Message, Settings, SyncLoop},
    telemetry::Telemetry,
};
use portolan_config::Mode;
use portolan_core::{
    addr::Family,
    ingest::Object,
    model::{AtLoopback, NodeConfig},
    object::{self, ApplyError, Backend, BackendError, Batch, Editor, Moved, Syncer},
    testing::{MemoryKernel, ServerKey, ServerValue, Servers},
};
use portolan_e2e::daemon::{PATIENCE, lone};
use portolan_scripted::{endpoint_slice, service};

/// Longer than any test: whatever is done earlier is not done because it was time to look.
const PERIOD: Duration = Duration::from_secs(3600);

/// A kernel that says after each batch which weights its destinations have.
struct Told {
    kernel: MemoryKernel<Servers>,
    weights: mpsc::Sender<Vec<u32>>,
}

impl Told {
    fn tell(&self) {
        let weight = |value: &ServerValue| match value {
            ServerValue::Destination { weight } => Some(*weight),
            ServerValue::Plain | ServerValue::Server { .. } => None,
        };
        // Nobody may be listening any more.
        let _ = self.weights.send(self.kernel.objects().values().filter_map(weight).collect());
    }
}

impl Backend for Told {
    type Dialect = Servers;

    fn dialect(&self) -> &Servers {
        self.kernel.dialect()
    }

    fn observe(&mut self) -> Result<Vec<object::Object<Self>>, BackendError> {
        self.kernel.observe()
    }

    fn apply(&mut self, batch: &Batch<Servers>) -> Result<(), ApplyError> {
        let result = self.kernel.apply(batch);
        self.tell();
        result
    }

    fn apply_beside(&mut self, batch: &Batch<Servers>) -> Result<(), ApplyError> {
        self.kernel.apply_beside(batch)
    }

    fn moved(&mut self) -> Result<Moved, BackendError> {
        self.kernel.moved()
    }

    fn drained(&mut self, draining: &[ServerKey]) -> Result<Vec<ServerKey>, BackendError> {
        self.kernel.drained(draining)
    }

    fn editor(&mut self) -> Option<Editor> {
        self.kernel.editor()
    }

    fn batch_bytes(&self) -> usize {
        self.kernel.batch_bytes()
    }

    fn wakers(&self) -> Vec<BorrowedFd<'_>> {
        self.kernel.wakers()
    }
}

fn telemetry() -> Result<(Telemetry, HttpServers)> {
    let (health, metrics) =
        (Arc::new(Health::new(&Family::ALL, PERIOD)), Metrics::new(Vec::new(), AtLoopback::Nobody)?);
    let about = About {
        mode: "nftables",
        profiling: false,
        statusz: false,
        flagz: false,
        configuration: Arc::new(|| serde_json::Value::Null),
        flags: Arc::new(Vec::new),
        set_verbosity: Arc::new(drop),
    };
    let nowhere = Addresses { healthz: None, metrics: None, hard_fail: false };
    let servers = HttpServers::start(nowhere, Arc::clone(&health), Arc::clone(&metrics), about)?;
    let checks = HealthChecks::new(HealthCheckServers::new(&servers, None));
    Ok((Telemetry::new(metrics, health, Reporter::new("node-a", None), checks), servers))
}

/// Into a mailbox that has room.
fn send(mailbox: &Mailbox<Message>, event: Event) -> Result<()> {
    let sent = pin!(mailbox.send(Message::Manifest(event))).poll(&mut Task::from_waker(Waker::noop()));
    let Poll::Ready(sent) = sent else { bail!("the mailbox is full") };
    Ok(sent?)
}

fn slice(endpoints: u32) -> Result<Event> {
    Ok(Event::Applied(Box::new(Object::EndpointSlice(serde_json::from_value(endpoint_slice(0, endpoints))?))))
}

pub(crate) fn what_drains_is_removed_when_nothing_is_on_its_way_to_it() -> Result<()> {
    let (weights, told) = mpsc::channel();
    let (mailbox, inbox) = mailbox()?;
    // The loop removes what a kube-proxy left, so it runs in a namespace of its own.
    let node = lone()?;
    let run = || -> Result<()> {
        let (telemetry, _servers) = telemetry()?;
        let settings = Settings {
            node: NodeConfig::of("node-a"),
            sync_period: PERIOD,
            min_sync_period: Duration::ZERO,
            config_sync_period: PERIOD,
            delete_syn_sent: false,
        };
        let kernel = Told { kernel: MemoryKernel::new(), weights };
        SyncLoop::new(Mode::Nftables, settings, Box::new(Syncer::new(kernel)), telemetry).run(&inbox);
        Ok(())
    };
    thread::scope(|scope| {
        let running = scope.spawn(|| node.enter(run));
        let next = || told.recv_timeout(PATIENCE).context("nothing more was written");
        let check = move || -> Result<()> {
            // Dropped at the end, also at a failure: then the loop ends.
            let mailbox = mailbox;
            send(&mailbox, Event::Applied(Box::new(Object::Service(serde_json::from_value(service(0))?))))?;
            send(&mailbox, slice(2)?)?;
            send(&mailbox, Event::Scanned { complete: true })?;
            while next()? != [1, 1] {}
            send(&mailbox, slice(1)?)?;
            send(&mailbox, Event::Scanned { complete: true })?;
            ensure!(next()?.contains(&0), "an endpoint that is gone takes nothing new");
            // Nothing is sent any more.
            ensure!(next()? == [1], "and is removed, since nothing is on its way to it");
            Ok(())
        };
        let checked = check();
        running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))??;
        checked
    })
}
