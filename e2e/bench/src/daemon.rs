//! What the daemon's sync thread does, without the daemon: the same calls in the same order, each part timed.

use std::{fmt, os::fd::BorrowedFd, time::Duration};

use portolan_core::{
    ingest::{Object, ObjectRef},
    model::Cluster,
    object::{self, ApplyError, Backend, BackendError, Batch, Editor, Moved, SyncReport, Syncer},
};
use portolan_ipvs::Kernel;
use portolan_nftables::Nftables;

use crate::{
    clock::{Spent, spent},
    cluster,
    report::short,
};

/// Something that the watch of an API server tells.
#[derive(Debug)]
pub(crate) enum Event {
    Applied(Box<Object>),
    Deleted(ObjectRef),
}

impl Event {
    pub(crate) fn applied(object: Object) -> Self {
        Self::Applied(Box::new(object))
    }
}

/// A cluster and the kernel that is kept true to it.
pub(crate) struct Daemon<B: Backend> {
    cluster: Cluster,
    syncer: Syncer<Timed<B>>,
}

/// What the parts of a sync took on the processor.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Parts {
    /// Checking objects and deciding what they mean on this node.
    pub(crate) ingest: Duration,
    /// Making keyed objects of it, and noting who claims them.
    pub(crate) render: Duration,
    /// Reading the kernel.
    pub(crate) observe: Duration,
    /// Comparing and planning.
    pub(crate) plan: Duration,
    /// Encoding and the kernel's own work.
    pub(crate) apply: Duration,
}

impl fmt::Display for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ingest, render, observe, plan, apply } = self;
        let parts = [("ingest", ingest), ("render", render), ("observe", observe), ("plan", plan), ("apply", apply)];
        for (number, (name, time)) in parts.into_iter().enumerate() {
            write!(f, "{}{name} {}", if number == 0 { "" } else { ", " }, short(*time))?;
        }
        Ok(())
    }
}

impl Daemon<Nftables> {
    /// Watches as `portolan run` does.
    pub(crate) fn start() -> anyhow::Result<Self> {
        Self::with(Nftables::watching()?)
    }
}

impl Daemon<Kernel> {
    /// The same in ipvs mode.
    pub(crate) fn in_ipvs_mode() -> anyhow::Result<Self> {
        Self::with(Kernel::watching()?)
    }
}

impl<B: Backend> Daemon<B> {
    fn with(kernel: B) -> anyhow::Result<Self> {
        let backend = Timed { kernel, observe: Duration::ZERO, apply: Duration::ZERO };
        Ok(Self { cluster: Cluster::new(cluster::node_config()?), syncer: Syncer::new(backend) })
    }

    /// Takes events in and brings the kernel to what they say.
    pub(crate) fn take(&mut self, events: Vec<Event>) -> anyhow::Result<(SyncReport, Parts)> {
        let (changes, ingest) = spent(|| {
            for event in events {
                match event {
                    Event::Applied(object) => drop(self.cluster.apply(&object)),
                    Event::Deleted(object) => self.cluster.delete(&object),
                }
            }
            self.syncer.set_policy(&self.cluster.policy());
            self.cluster.take_changes().collect::<Vec<_>>()
        });
        let ((), render) = spent(|| {
            for change in changes {
                self.syncer.update(&change);
            }
            drop(self.cluster.take_conflicts());
        });
        let (report, sync) = spent(|| self.syncer.sync());
        let backend = self.syncer.backend_mut();
        let (observe, apply) = (std::mem::take(&mut backend.observe), std::mem::take(&mut backend.apply));
        let plan = sync.cpu.saturating_sub(observe + apply);
        Ok((report?, Parts { ingest: ingest.cpu, render: render.cpu, observe, plan, apply }))
    }

    /// What the daemon does every 30 s and whenever it is notified, also of its own commits.
    pub(crate) fn resync(&mut self) -> anyhow::Result<Spent> {
        let (report, spent) = spent(|| self.syncer.resync());
        anyhow::ensure!(report? == SyncReport::default(), "a resync wrote something although nothing had changed");
        Ok(spent)
    }
}

/// A backend with a clock.
struct Timed<B> {
    kernel: B,
    observe: Duration,
    apply: Duration,
}

impl<B: Backend> Backend for Timed<B> {
    type Dialect = B::Dialect;

    fn dialect(&self) -> &Self::Dialect {
        self.kernel.dialect()
    }

    fn begin(&mut self) {
        self.kernel.begin();
    }

    fn observe(&mut self) -> Result<Vec<object::Object<Self>>, BackendError> {
        let (result, spent) = spent(|| self.kernel.observe());
        self.observe += spent.cpu;
        result
    }

    fn apply(&mut self, batch: &Batch<Self::Dialect>) -> Result<(), ApplyError> {
        let (result, spent) = spent(|| self.kernel.apply(batch));
        self.apply += spent.cpu;
        result
    }

    fn apply_beside(&mut self, batch: &Batch<Self::Dialect>) -> Result<(), ApplyError> {
        self.kernel.apply_beside(batch)
    }

    fn editor(&mut self) -> Option<Editor> {
        self.kernel.editor()
    }

    fn moved(&mut self) -> Result<Moved, BackendError> {
        self.kernel.moved()
    }

    fn batch_bytes(&self) -> usize {
        self.kernel.batch_bytes()
    }

    fn wakers(&self) -> Vec<BorrowedFd<'_>> {
        self.kernel.wakers()
    }
}
