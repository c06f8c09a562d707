//! The sync thread: takes events, keeps the cluster, and keeps the kernel true to it.
//!
//! ```text
//!   inbox ------------> Cluster --changes--> Syncer::sync     when a scan of the manifests is complete
//!   notifications ------------------------> Syncer::resync    when another program changed our objects
//!   every 30 s ---------------------------> Syncer::resync    should a notification be lost
//! ```

use std::{
    os::fd::AsFd,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use portolan_core::{
    model::Cluster,
    object::{Backend, SyncError, SyncReport, Syncer},
};

use crate::{mailbox::Inbox, manifest::Event};

/// How often the generation of the kernel's rules is compared, notified or not: kube-proxy's default syncPeriod.
const RESYNC: Duration = Duration::from_secs(30);

/// The first wait after a sync that failed; doubled after each further one, up to [`RESYNC`].
const RETRY: Duration = Duration::from_millis(100);

/// The sync thread's state: the cluster, the sync engine, and when to look again.
pub struct SyncLoop<B: Backend> {
    inbox: Inbox<Event>,
    cluster: Cluster,
    syncer: Syncer<B>,
    /// Whether the manifests were scanned at least once: before that, nothing is written.
    scanned: bool,
    /// When to look again although nothing was heard.
    next: Instant,
    retry: Duration,
}

impl<B: Backend> SyncLoop<B> {
    /// A loop that has heard of nothing yet.
    pub fn new(inbox: Inbox<Event>, cluster: Cluster, syncer: Syncer<B>) -> Self {
        Self { inbox, cluster, syncer, scanned: false, next: Instant::now() + RESYNC, retry: RETRY }
    }

    /// Runs until the other end of the inbox is gone.
    pub fn run(mut self) {
        loop {
            let woken = self.wait();
            let (scanned, closed) = self.take_events();
            if scanned {
                self.sync();
            }
            if self.scanned && Instant::now() >= self.next {
                self.resync();
            } else if woken.notified {
                self.check();
            }
            if closed {
                return;
            }
        }
    }

    /// Sleeps until there is something to do.
    fn wait(&self) -> Woken {
        let mut fds = vec![PollFd::new(self.inbox.as_fd(), PollFlags::POLLIN)];
        if self.scanned && self.retry == RETRY {
            // Not before there is something to repair, and not while a failed sync waits to be tried again.
            fds.extend(self.syncer.backend().notifications().map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        }
        let timeout = if self.scanned {
            let left = self.next.saturating_duration_since(Instant::now());
            // Rounded up: a poll that returns early would spin through the last millisecond.
            PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
        } else {
            PollTimeout::NONE
        };
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => tracing::error!(%error, "waiting for events failed"),
        }
        let notified = fds.get(1).and_then(PollFd::any).unwrap_or(false);
        Woken { notified }
    }

    /// Takes what has arrived into the cluster. Returns whether a scan was completed, and whether nothing more comes.
    fn take_events(&mut self) -> (bool, bool) {
        let mut scanned = false;
        let mut drain = self.inbox.drain();
        for event in &mut drain {
            match event {
                Event::Applied(object) => {
                    for finding in self.cluster.apply(*object) {
                        tracing::warn!("{finding}");
                    }
                }
                Event::Deleted(object) => self.cluster.delete(&object),
                Event::Refused(refused) => tracing::warn!("{refused}"),
                Event::Scanned { complete } => {
                    scanned = true;
                    self.syncer.set_additions_only(!complete);
                }
            }
        }
        (scanned, drain.closed())
    }

    fn sync(&mut self) {
        self.scanned = true;
        warn_of_node(&mut self.cluster);
        self.syncer.set_policy(&self.cluster.policy());
        for change in self.cluster.take_changes() {
            self.syncer.update(&change);
        }
        for conflict in self.cluster.take_conflicts() {
            tracing::warn!("{conflict}");
        }
        let result = log_sync(|| self.syncer.sync());
        self.schedule(&result);
    }

    fn check(&mut self) {
        let result = log_sync(|| self.syncer.check());
        self.schedule(&result);
    }

    fn resync(&mut self) {
        self.next = Instant::now() + RESYNC;
        let result = log_sync(|| self.syncer.resync());
        self.schedule(&result);
    }

    /// Has a failed sync tried again, after a wait that grows.
    fn schedule(&mut self, result: &Result<SyncReport, SyncError>) {
        if let Err(error) = result {
            tracing::error!(retry_in = ?self.retry, "{}", ErrorChain(error));
            self.next = Instant::now() + self.retry;
            self.retry = (self.retry * 2).min(RESYNC);
        } else {
            self.retry = RETRY;
        }
    }
}

/// What ended a wait, beside the inbox.
struct Woken {
    notified: bool,
}

/// Syncs and logs what came of it: nothing where nothing was to be done.
///
/// # Errors
/// As the sync itself.
pub fn log_sync(sync: impl FnOnce() -> Result<SyncReport, SyncError>) -> Result<SyncReport, SyncError> {
    let start = Instant::now();
    let report = sync()?;
    let took = start.elapsed();
    if let Some(first) = report.drift.first() {
        tracing::warn!(
            objects = report.drift.len(),
            first = %first.object,
            difference = ?first.difference,
            transactions = report.batches,
            ?took,
            "another program changed our objects: repaired"
        );
    } else if report.operations > 0 {
        tracing::info!(changes = report.operations, transactions = report.batches, ?took, "programmed");
    }
    for stuck in &report.stuck {
        tracing::error!(
            "another program's {} is in the way: the kernel does not let it be removed: {}. Services are programmed all \
             the same; remove it by hand",
            stuck.object,
            stuck.cause,
        );
    }
    for quarantined in &report.quarantined {
        tracing::error!(
            "{} ({}): the kernel refuses this ServicePort: {}. What was last good for it stays, all others are \
             programmed; it is tried again when it changes and every {} s",
            quarantined.port.name,
            quarantined.port.family,
            quarantined.cause,
            RESYNC.as_secs(),
        );
    }
    Ok(report)
}

/// Says why NodePorts are open at fewer or more addresses than somebody may expect, when that is news.
pub fn warn_of_node(cluster: &mut Cluster) {
    for note in cluster.take_node_notes() {
        tracing::warn!("{note}");
    }
}

/// An error with its sources, on one line.
struct ErrorChain<'a>(&'a dyn std::error::Error);

impl std::fmt::Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}
