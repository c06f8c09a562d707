//! Whom the sync thread tells what happens: metrics, health, and Events that users read.
//!
//! ```text
//!   SyncLoop --"this happened"--> Telemetry --> Metrics    GET /metrics
//!                                     |-------> Health     GET /healthz, /livez, /readyz
//!                                     |-------> Reporter   Kubernetes Events
//!                                     '-------> HealthCheckServers   what load balancers ask
//! ```

use std::{
    collections::BTreeSet,
    mem,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use portolan_core::{
    addr::{Family, PerFamily},
    desired::PortId,
    ingest::{Finding, Kind, Object},
    model::Cluster,
    name::ServiceName,
    object::{SyncError, SyncReport},
};
use portolan_kube::{NoticeType, last_change_trigger_time};

use crate::{
    events::Reporter,
    health_checks::HealthChecks,
    http::{Health, Now},
    metrics::{Change, Metrics, SyncKind},
    sync_loop::ErrorChain,
};

/// Another program that fights for our rules is told about so often.
const QUIET: Duration = Duration::from_secs(60);

/// So many changes are timed at most while none can be synced.
const MOST_WAITING: usize = 10_000;

/// Those who are told.
pub struct Telemetry {
    /// What Prometheus reads.
    pub metrics: Arc<Metrics>,
    /// What load balancers and the kubelet ask.
    pub health: Arc<Health>,
    /// What people read in the cluster.
    pub reporter: Reporter,
    /// The health-check node ports.
    pub health_checks: HealthChecks,
    triggers: Triggers,
    told: Told,
}

/// What was told in an Event already: a trouble that lasts is told once.
#[derive(Default)]
struct Told {
    ports: BTreeSet<(ServiceName, SocketAddr)>,
    quarantined: BTreeSet<PortId>,
    failing: bool,
    contested: bool,
    repaired: Option<Instant>,
}

/// When the changes began that wait for the next sync.
struct Triggers {
    started: SystemTime,
    waiting: PerFamily<Vec<SystemTime>>,
}

impl Telemetry {
    /// Tells them.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>, health: Arc<Health>, reporter: Reporter, health_checks: HealthChecks) -> Self {
        let triggers = Triggers { started: SystemTime::now(), waiting: PerFamily::default() };
        Self { metrics, health, reporter, health_checks, triggers, told: Told::default() }
    }

    /// When the change of a slice began, as its annotation has it; none for what happened before we were there, which says
    /// nothing about us.
    pub(crate) fn trigger(&self, object: &Object) -> Option<(Family, SystemTime)> {
        let Object::EndpointSlice(slice) = object else { return None };
        let since = last_change_trigger_time(object).filter(|since| *since >= self.triggers.started)?;
        Some((slice.family()?, since))
    }

    /// That change has made a difference, and waits for the next sync.
    pub(crate) fn triggered(&mut self, (family, since): (Family, SystemTime)) {
        let waiting = self.triggers.waiting.get_mut(family);
        if waiting.len() < MOST_WAITING {
            waiting.push(since);
        }
    }

    /// An object came, changed or went.
    pub(crate) fn changed(&self, kind: Kind) {
        match kind {
            // Once for each family, as kube-proxy's two proxies count it; a slice is of one family.
            Kind::Service => Family::ALL.into_iter().for_each(|_| self.metrics.change_queued(Change::Service)),
            Kind::EndpointSlice => self.metrics.change_queued(Change::Endpoints),
            Kind::Node | Kind::ServiceCidr => {}
        }
    }

    /// Something waits for the next sync.
    pub(crate) fn queued(&self) {
        let now = Now::read();
        for family in Family::ALL {
            self.health.queued(family, now);
            self.metrics.sync_queued(family);
        }
    }

    /// Something is wrong with an object of the API server's.
    pub(crate) fn found(&self, object: &Object, findings: &[Finding]) {
        self.reporter.findings(object, findings);
        self.count(findings);
    }

    /// Counts what was refused.
    pub(crate) fn count(&self, findings: &[Finding]) {
        for finding in findings {
            if let Finding::Rejected(rejection) = finding {
                self.metrics.rejected(&rejection.object.kind.to_string(), rejection.reason.word());
            }
        }
    }

    /// Everything that has changed is in the kernel; whether all else is, too, or others may have undone it.
    pub(crate) fn complete(&mut self, is_whole: bool) {
        let (now, time) = (Now::read(), SystemTime::now());
        for family in Family::ALL {
            if is_whole {
                self.health.synced(family, now);
            } else {
                self.health.written(family, now);
            }
            for since in mem::take(self.triggers.waiting.get_mut(family)) {
                self.metrics.network_programmed(family, time.duration_since(since).unwrap_or_default());
            }
        }
        self.metrics.changes_synced();
        self.metrics.first_sync_completed();
    }

    /// A sync succeeded; these ServicePorts are set aside.
    pub(crate) fn synced(
        &mut self,
        cluster: &Cluster,
        report: &SyncReport,
        quarantined: &BTreeSet<&PortId>,
        kind: SyncKind,
        took: Duration,
    ) {
        for family in Family::ALL {
            self.metrics.synced(family, kind, took);
        }
        self.metrics.sync_reported(report, quarantined.len());
        self.metrics.events_dropped(self.reporter.dropped());
        self.told.failing = false;
        let failures = self.health_checks.update(cluster);
        let ports = failures.iter().map(|failure| (failure.service.clone(), failure.address)).collect();
        let told = mem::replace(&mut self.told.ports, ports);
        for failure in failures.iter().filter(|failure| !told.contains(&(failure.service.clone(), failure.address))) {
            tracing::warn!("{failure}; it is tried again at each sync, everything else is served");
            self.reporter.listen_failed(&failure.service, cluster.uid(&failure.service), failure.to_string());
        }
        self.told.quarantined.retain(|told| quarantined.contains(told));
        for quarantined in &report.quarantined {
            if self.told.quarantined.insert(quarantined.port.clone()) {
                let note = format!(
                    "{} ({}): the kernel refuses it: {}; what was last good for it stays",
                    quarantined.port.name, quarantined.port.family, quarantined.cause
                );
                self.reporter.node(NoticeType::Warning, "ServicePortRefused", "SyncRules", note);
            }
        }
        let is_news = !self.told.contested && self.told.repaired.is_none_or(|told| told.elapsed() >= QUIET);
        if let Some(first) = report.drift.first().filter(|_| is_news) {
            self.told.repaired = Some(Instant::now());
            let note = format!(
                "another program changed {} of Portolan's objects in the kernel, the first of them {}; they were repaired",
                report.drift.len(),
                first.object
            );
            self.reporter.node(NoticeType::Warning, "RulesRepaired", "SyncRules", note);
        }
    }

    /// Whether repairs wait, since others undo them.
    pub(crate) fn contested(&mut self, contested: bool) {
        self.told.contested = contested;
        self.health.contested(contested);
        self.metrics.contested(contested);
    }

    /// A sync gave way before it was done.
    pub(crate) fn gave_way(&self) {
        let now = Now::read();
        Family::ALL.into_iter().for_each(|family| self.health.behind(family, now));
    }

    /// A sync failed; it is tried again.
    pub(crate) fn failed(&mut self, error: &SyncError, kind: SyncKind, took: Duration) {
        // That others keep changing our objects is told by an Event of its own.
        let is_told = matches!(error, SyncError::Unsettled(_)) || mem::replace(&mut self.told.failing, true);
        if !is_told {
            let why = ErrorChain(error);
            let note =
                format!("the kernel could not be brought to what is wanted: {why}; it is tried again until it can");
            self.reporter.node(NoticeType::Warning, "SyncFailed", "SyncRules", note);
        }
        let now = Now::read();
        for family in Family::ALL {
            self.health.behind(family, now);
            self.metrics.sync_failed(family, kind, took);
        }
        self.metrics.sync_errored();
    }
}
