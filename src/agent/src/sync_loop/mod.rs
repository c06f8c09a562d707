//! The sync thread: takes messages, keeps the cluster, and keeps the kernel true to it.
//!
//! ```text
//!   inbox ------------> Cluster --changes-> Dataplane::sync    at once, or when minSyncPeriod is over
//!   notifications ------------------------> Dataplane::check   when another program changed our objects, unless it does so
//!                                                              again and again
//!   every syncPeriod ---------------------> Dataplane::resync  should a notification be lost
//!   what drains --------------------------> Dataplane::drain   when it may be over
//!                                              |
//!                                              +--> FlowCleaner  stale UDP entries of conntrack
//!                                              +--> LoopbackNodePorts  listeners for what no rule can serve
//!                                              +--> Telemetry    metrics, health, Events, health-check node ports
//! ```
//!
//! Changes that arrive while the kernel is at work wait in the inbox and are one sync together: under load syncs grow,
//! and nothing is delayed to make them so. One that has much to write gives way to what has come, and goes on with both.

mod lists;
mod messages;
mod no_local;
mod pace;
mod predecessor;
mod repairs;
mod report;

use std::{
    os::fd::AsFd,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use portolan_config::Mode;
use portolan_core::{
    addr::Family,
    desired::NodePolicy,
    ingest::ObjectRef,
    model::{Cluster, NodeConfig},
    name::ServiceName,
    object::{Dataplane, Moment, SyncError, SyncReport},
};

use self::{
    lists::Lists,
    no_local::{NoLocalEndpoints, PolicyKind},
    pace::{Due, Outcome, Pace},
    predecessor::Predecessor,
    repairs::{Met, Repairs},
};
use crate::{
    conntrack::FlowCleaner, loopback::LoopbackNodePorts, mailbox::Inbox, manifest, metrics::SyncKind,
    telemetry::Telemetry,
};

pub use self::{
    repairs::SYNC_THREAD,
    report::{ErrorChain, Told, log_sync, warn_of_node},
};

/// What the sync thread is told.
#[derive(Debug)]
pub enum Message {
    /// What reading manifests tells.
    Manifest(manifest::Event),
    /// What watching the API server tells.
    Kube(portolan_kube::Event),
    /// The configuration was changed.
    Configure(Box<Settings>),
}

/// So long a sync writes before it gives way to what has come meanwhile.
const TURN: Duration = Duration::from_millis(100);

/// So often a change is written again that others undo at once, before it waits for the next repair with all else.
const AGAIN: u32 = 4;

/// What of the configuration the sync thread goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The node as it was configured.
    pub node: NodeConfig,
    /// How often the generation of the kernel's rules is compared, notified or not.
    pub sync_period: Duration,
    /// How long after the end of a sync changes wait at least.
    pub min_sync_period: Duration,
    /// How often the kernel is read whole, whatever is thought to be in it.
    pub config_sync_period: Duration,
    /// Whether unanswered TCP connections to gone endpoints are cut off, too; counts from the start on.
    pub delete_syn_sent: bool,
}

/// The sync thread's state: the cluster, the sync engine, and when to look again.
pub struct SyncLoop {
    cluster: Cluster,
    dataplane: Box<dyn Dataplane>,
    /// The beginning of the dataplane's clock.
    beginning: Instant,
    lists: Lists,
    pace: Pace,
    repairs: Repairs,
    no_local: NoLocalEndpoints,
    flows: FlowCleaner,
    loopback: LoopbackNodePorts,
    telemetry: Telemetry,
    predecessor: Predecessor,
    /// Whether a missing Node may still come.
    patient: bool,
    /// Whether something changed since what there is was counted.
    uncounted: bool,
    config_sync_period: Duration,
    /// What held for every Service at the last sync.
    policy: Option<NodePolicy>,
    /// When the kernel was last read whole for no other reason than that it was time.
    audited: Instant,
    /// What there is to say of a sync that gave way, when it comes to its end.
    unfinished: Option<Unfinished>,
    /// How often others undid at once what changed last.
    undone: u32,
}

/// A sync that gave way.
struct Unfinished {
    /// How often the kernel had been read before it began.
    observations: u64,
    /// Whether it was to look at the kernel, too.
    looks: bool,
    /// How long it has worked.
    took: Duration,
}

impl SyncLoop {
    /// A loop that has heard of nothing yet.
    pub fn new(mode: Mode, settings: Settings, mut dataplane: Box<dyn Dataplane>, telemetry: Telemetry) -> Self {
        let now = Instant::now();
        dataplane.give_way_after(TURN, Box::new(move || moment(now)));
        telemetry.metrics.dataplane_counts(dataplane.figures());
        Self {
            cluster: Cluster::new(settings.node),
            dataplane,
            beginning: now,
            lists: Lists::none(),
            pace: Pace::new(now, settings.sync_period, settings.min_sync_period),
            repairs: Repairs::default(),
            no_local: NoLocalEndpoints::default(),
            flows: FlowCleaner::new(settings.delete_syn_sent),
            loopback: LoopbackNodePorts::default(),
            telemetry,
            predecessor: Predecessor::of(mode),
            patient: true,
            uncounted: false,
            config_sync_period: settings.config_sync_period,
            policy: None,
            audited: now,
            unfinished: None,
            undone: AGAIN,
        }
    }

    /// Runs until the other end of the inbox is gone.
    pub fn run(mut self, inbox: &Inbox<Message>) {
        while !self.step(inbox) {}
    }

    /// Waits until there is something to do, and does it; whether that was the last.
    fn step(&mut self, inbox: &Inbox<Message>) -> bool {
        let notified = self.wait(inbox);
        let closed = self.take_messages(inbox);
        if self.lists.may_write() {
            let now = Instant::now();
            match self.pace.due(now) {
                Due::Sync => self.sync(),
                Due::Ahead => {
                    self.take_changes();
                    self.dataplane.go_ahead();
                    self.pace.went_ahead(Instant::now());
                }
                Due::Resync => {
                    if self.audited.elapsed() >= self.config_sync_period {
                        self.audited = Instant::now();
                        self.dataplane.look_again();
                    }
                    self.loopback.settle(&self.telemetry.metrics);
                    self.settle(true, |dataplane| dataplane.resync());
                    self.count();
                }
                Due::Nothing if notified => self.settle(true, |dataplane| dataplane.check()),
                Due::Nothing if self.drained().is_some_and(|drained| now >= drained) => {
                    let now = moment(self.beginning);
                    self.settle(false, |dataplane| dataplane.drain(now));
                }
                Due::Nothing => {}
            }
            if !self.pace.is_behind() {
                self.clean_flows();
            }
        }
        closed
    }

    /// When something that drains may be removed. After a failure other things come first.
    fn drained(&self) -> Option<Instant> {
        let due = self.dataplane.due().filter(|_| !self.pace.is_behind());
        due.map(|due| self.beginning + due.since_beginning())
    }

    /// Sleeps until there is something to do; whether the kernel has notified us.
    fn wait(&self, inbox: &Inbox<Message>) -> bool {
        let mut fds = vec![PollFd::new(inbox.as_fd(), PollFlags::POLLIN)];
        if self.lists.may_write() && !self.pace.is_held() {
            // Not before there is something to repair, and not while a failed sync, or a repair, waits to be tried again.
            fds.extend(self.dataplane.wakers().into_iter().map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        }
        let now = Instant::now();
        let flows = self.flows.due().filter(|_| !self.pace.is_behind());
        let next =
            self.pace.next().into_iter().chain(flows).chain(self.drained()).min().filter(|_| self.lists.may_write());
        let timeout = next.into_iter().chain(self.lists.waits_for_node(now)).min().map_or(PollTimeout::NONE, |next| {
            let left = next.saturating_duration_since(now);
            // Rounded up: a poll that returns early would spin through the last millisecond.
            let rounded = if left.is_zero() { left } else { left + Duration::from_millis(1) };
            PollTimeout::try_from(rounded).unwrap_or(PollTimeout::MAX)
        });
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => tracing::error!(%error, "waiting for events failed"),
        }
        fds.iter().skip(1).any(|fd| fd.any().unwrap_or(false))
    }
}

impl SyncLoop {
    /// Takes over what changed, and brings the kernel to it.
    fn sync(&mut self) {
        self.pace.begun();
        self.take_changes();
        self.settle(false, |dataplane| dataplane.sync());
    }

    /// Hands what changed to those who carry it out, and tells what is wrong with it.
    fn take_changes(&mut self) {
        self.uncounted = true;
        let now = Instant::now();
        if self.lists.waits_for_node(now).is_none() || self.cluster.node_eligible() {
            warn_of_node(&mut self.cluster);
        }
        let may_remove = self.lists.may_remove(now);
        self.dataplane.set_additions_only(!may_remove);
        self.flows.hold(!may_remove);
        let policy = self.cluster.policy();
        if self.dataplane.set_policy(&policy) {
            self.cluster.decide_all();
        }
        self.policy = Some(policy);
        for change in self.cluster.take_changes() {
            self.undone = 0;
            self.no_local.update(&change);
            self.loopback.update(&change);
            self.dataplane.update(&change);
        }
        self.loopback.settle(&self.telemetry.metrics);
        self.flows.touch(&mut self.cluster);
        for conflict in self.cluster.take_conflicts() {
            tracing::warn!("{conflict}");
            let ObjectRef { namespace, name, .. } = conflict.object().clone();
            let uid = self.cluster.uid(&ServiceName { namespace, name });
            self.telemetry.reporter.conflict(&conflict, uid);
        }
        let reread = self.cluster.take_reread();
        self.telemetry.count(&reread);
        for finding in &reread {
            tracing::warn!("{finding}");
            let ObjectRef { namespace, name, .. } = finding.object().clone();
            let uid = self.cluster.uid(&ServiceName { namespace, name });
            self.telemetry.reporter.found_anew(finding, uid);
        }
    }

    /// Counts what there is, if that changed: now and then, since it takes a look at every Service.
    fn count(&mut self) {
        if std::mem::take(&mut self.uncounted) {
            self.telemetry.metrics.serving(self.cluster.counts());
        }
    }

    /// Cuts off flows that lead where the rules lead no more.
    fn clean_flows(&mut self) {
        for done in self.flows.clean(&self.cluster) {
            let deleted = u64::try_from(done.deleted).unwrap_or(u64::MAX);
            self.telemetry.metrics.conntrack_reconciled(done.family, done.took, deleted);
        }
    }

    /// Lets the dataplane work, which may be a look at the kernel, and tells what came of it.
    fn settle(&mut self, looks: bool, work: impl FnOnce(&mut dyn Dataplane) -> Result<SyncReport, SyncError>) {
        let (start, observations) = (Instant::now(), self.dataplane.stats().observations);
        let begun = Unfinished { observations, looks, took: Duration::ZERO };
        let begun = self.unfinished.take().unwrap_or(begun);
        let result = work(&mut *self.dataplane);
        let ended = Instant::now();
        let took = begun.took + (ended - start);
        if result.as_ref().is_ok_and(|report| report.unfinished) {
            self.unfinished = Some(Unfinished { took, ..begun });
            self.pace.ended(ended, took, Outcome::Unfinished);
            self.telemetry.gave_way();
            return;
        }
        // kube-proxy's word for a sync that reads what the kernel holds.
        let is_full = self.dataplane.stats().observations > begun.observations;
        let kind = if is_full { SyncKind::Full } else { SyncKind::Partial };
        let met = Met::of(&result, is_full || begun.looks);
        let was_contested = self.repairs.are_contested();
        let editor = result.as_ref().map_or_else(|_| self.dataplane.editor(), |report| report.editor.as_ref());
        let news = self.repairs.met(met, editor, ended, self.pace.sync_period());
        let is_contested = self.repairs.are_contested();
        self.dataplane.set_contested(is_contested);
        let outcome = match (&result, met) {
            (Err(_), _) => Outcome::Failed,
            (Ok(_), Met::Repaired) if is_contested => Outcome::Contested,
            (Ok(_), Met::NotLooked) if is_contested => Outcome::Beside,
            (Ok(_), Met::Nothing) if is_contested => Outcome::Calm,
            (Ok(_), _) => Outcome::Done,
        };
        self.pace.ended(ended, took, outcome);
        if matches!(result, Err(SyncError::Unsettled(_))) && (self.dataplane.has_new() || self.undone < AGAIN) {
            // Others came first, or undid it at once. What changed does not wait for the next repair.
            self.undone += u32::from(!self.dataplane.has_new());
            let _ = self.pace.changed();
        }
        match &result {
            Ok(report) => {
                report::log(report, took, was_contested);
                self.telemetry.synced(&self.cluster, report, &self.dataplane.quarantined(), kind, took);
                let may_remove = self.lists.may_remove(start);
                // A look at the kernel says nothing about changes that still wait.
                if !self.pace.waits() {
                    self.telemetry.complete(outcome != Outcome::Beside);
                }
                for family in Family::ALL {
                    let count = |kind| self.no_local.count(kind, family);
                    let (internal, external) = (count(PolicyKind::Internal), count(PolicyKind::External));
                    self.telemetry.metrics.no_local_endpoints(family, internal, external);
                }
                // At the first sync, and from then on in each period.
                if begun.observations == 0 {
                    self.count();
                }
                if may_remove {
                    self.predecessor.replace(&self.telemetry, self.pace.sync_period());
                }
            }
            Err(error) => {
                report::log_failure(error, self.pace.next().map(|next| next.saturating_duration_since(ended)));
                self.telemetry.failed(error, kind, took);
            }
        }
        self.telemetry.metrics.dataplane_counts(self.dataplane.figures());
        for news in &news {
            report::tell(news, &mut self.telemetry, self.pace.sync_period());
        }
    }
}

/// Now, on a clock with this beginning.
fn moment(beginning: Instant) -> Moment {
    Moment::after(beginning.elapsed())
}
