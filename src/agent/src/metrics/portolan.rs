//! Portolan's own families, `portolan_*`: what kube-proxy has no word for.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use portolan_core::{
    model::Counts,
    name::ServicePortName,
    object::{FrontendCounts, SyncReport},
};
use prometheus::{IntCounter, IntCounterVec, IntGauge, Result, proto::MetricFamily};

use super::{
    Metrics,
    family::{Kind, Sample, family},
    registrar::Registrar,
    text::float,
};

/// So many ServicePorts are told apart at most: a server that scrapes 500 nodes pays for every line.
const MOST_COUNTED: usize = 10_000;

/// What the kernel counted for one ServicePort, over all its Frontends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// Which one.
    pub port: ServicePortName,
    /// What came to it.
    pub counts: FrontendCounts,
}

/// Another service proxy that may run on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rival {
    /// A kube-proxy.
    KubeProxy,
    /// A second Portolan.
    Portolan,
}

/// The families.
pub(super) struct Portolan {
    drift: IntCounter,
    rejected: IntCounterVec,
    quarantined: IntGauge,
    sync_failures: IntCounter,
    transactions: IntCounter,
    operations: IntCounter,
    services: IntGauge,
    endpoints: IntGauge,
    frontends: IntGauge,
    config_stale: IntGauge,
    synced: IntGauge,
    conflicting_proxy: IntGauge,
    rivals: Mutex<BTreeSet<Rival>>,
    contested: IntGauge,
    sysctl_failures: IntCounter,
    events_dropped: IntCounter,
}

impl Portolan {
    pub(super) fn new(families: &mut Registrar<'_>) -> Result<Self> {
        Ok(Self {
            drift: families.counter(
                "portolan_drift_repaired_objects_total",
                "Kernel objects of Portolan's that another program had changed, and that were repaired",
            )?,
            rejected: families.counters(
                "portolan_rejections_total",
                "Parts of API objects that were refused, by the kind of the object and the rule",
                &["kind", "reason"],
            )?,
            quarantined: families.gauge(
                "portolan_quarantined_service_ports",
                "ServicePorts that the kernel refuses; what was last good for them stays",
            )?,
            sync_failures: families.counter("portolan_sync_failures_total", "Syncs that failed and are tried again")?,
            transactions: families.counter(
                "portolan_kernel_transactions_total",
                "Transactions that the kernel applied; zero growth means that nothing had to change",
            )?,
            operations: families
                .counter("portolan_kernel_operations_total", "Objects that were added, changed or removed in them")?,
            services: families.gauge("portolan_services", "Services that are served")?,
            endpoints: families.gauge("portolan_endpoints", "Endpoints of these Services")?,
            frontends: families.gauge("portolan_frontends", "Addresses and ports that clients connect to")?,
            config_stale: families.gauge(
                "portolan_config_stale",
                "1 while the configuration file says something else than what is in effect: it has a mistake, or needs \
                 a restart",
            )?,
            synced: families
                .gauge("portolan_synced", "1 once all Services were programmed for the first time since the start")?,
            conflicting_proxy: families
                .gauge("portolan_conflicting_proxy", "1 while another service proxy seems to run on this node")?,
            rivals: Mutex::default(),
            contested: families.gauge(
                "portolan_rules_contested",
                "1 while another program keeps undoing repairs, which are made less often therefore",
            )?,
            sysctl_failures: families
                .counter("portolan_sysctl_failures_total", "Kernel settings that could not be written")?,
            events_dropped: families
                .counter("portolan_events_dropped_total", "Kubernetes Events that were not sent, or refused")?,
        })
    }
}

impl Metrics {
    /// A sync ended; so many ServicePorts are in quarantine after it.
    pub fn sync_reported(&self, report: &SyncReport, quarantined: usize) {
        let own = &self.portolan;
        own.drift.inc_by(count(report.drift.len()));
        own.transactions.inc_by(report.batches);
        own.operations.inc_by(report.operations);
        own.quarantined.set(gauge(quarantined));
    }

    /// A sync failed, in whichever family.
    pub fn sync_errored(&self) {
        self.portolan.sync_failures.inc();
    }

    /// All Services are in the kernel for the first time.
    pub fn first_sync_completed(&self) {
        self.portolan.synced.set(1);
    }

    /// A part of an object was refused; `reason` is one of a few words, never a value of the object.
    pub fn rejected(&self, kind: &str, reason: &str) {
        self.portolan.rejected.with_label_values(&[kind, reason]).inc();
    }

    /// There is so much to serve.
    pub fn serving(&self, counts: Counts) {
        self.portolan.services.set(gauge(counts.services));
        self.portolan.endpoints.set(gauge(counts.endpoints));
        self.portolan.frontends.set(gauge(counts.frontends));
    }

    /// The configuration file was read: whether it says something else than what is in effect.
    pub fn config_read(&self, stale: bool) {
        self.portolan.config_stale.set(i64::from(stale));
    }

    /// Another service proxy was found on this node, or is gone.
    pub fn conflicting_proxy(&self, rival: Rival, there: bool) {
        let mut rivals = self.portolan.rivals.lock().unwrap_or_else(PoisonError::into_inner);
        if there {
            rivals.insert(rival);
        } else {
            rivals.remove(&rival);
        }
        self.portolan.conflicting_proxy.set(i64::from(!rivals.is_empty()));
    }

    /// Repairs wait since others undo them, or are made at once again.
    pub fn contested(&self, contested: bool) {
        self.portolan.contested.set(i64::from(contested));
    }

    /// So many kernel settings could not be written.
    pub fn sysctls_failed(&self, failed: usize) {
        self.portolan.sysctl_failures.inc_by(count(failed));
    }

    /// So many Events were not sent since the start.
    pub fn events_dropped(&self, dropped: u64) {
        let counter = &self.portolan.events_dropped;
        counter.inc_by(dropped.saturating_sub(counter.get()));
    }

    /// From now on the connections and refusals that the kernel counts are asked for with each answer; to be said once.
    pub fn count_with(&self, ask: impl Fn() -> Vec<Counted> + Send + Sync + 'static) {
        // Who says it first is asked.
        let _ = self.counter.set(Box::new(ask));
    }

    pub(super) fn counted(&self) -> Vec<MetricFamily> {
        let Some(ask) = self.counter.get() else { return Vec::new() };
        let mut counted = ask();
        counted.sort_by(|one, other| one.port.cmp(&other.port));
        counted.truncate(MOST_COUNTED);
        let (mut connections, mut refusals) = (Vec::new(), Vec::new());
        for Counted { port, counts } in &counted {
            connections.extend(counts.connections.map(|connections| sample(port, None, connections)));
            let reasons = [
                ("no-endpoints", counts.no_endpoints),
                ("no-local-endpoints", counts.no_local_endpoints),
                ("source-ranges", counts.source_ranges),
            ];
            refusals.extend(reasons.map(|(reason, count)| sample(port, Some(reason), count)));
        }
        // A reason that never came up would be three quarters of all lines.
        refusals.retain(|(_, value)| *value > 0.0);
        vec![
            family(
                "portolan_service_connections_total",
                "New connections that came to a ServicePort",
                Kind::Counter,
                connections,
            ),
            family(
                "portolan_service_refusals_total",
                "Packets to a ServicePort that were refused, by the reason",
                Kind::Counter,
                refusals,
            ),
        ]
    }
}

fn sample(port: &ServicePortName, reason: Option<&'static str>, count: u64) -> Sample {
    let labels = [
        ("namespace", port.service.namespace.to_string()),
        ("service", port.service.name.to_string()),
        ("port", port.port.to_string()),
        ("protocol", port.protocol.to_string()),
    ];
    (labels.into_iter().chain(reason.map(|reason| ("reason", reason.to_owned()))).collect(), float(count))
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn gauge(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}
