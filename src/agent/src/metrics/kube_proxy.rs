//! The families that kube-proxy has in every mode, by name, labels, buckets and help text. A mode's own are its backend's
//! ([`Figure`](portolan_core::object::Figure)), but for those of listeners.

use std::time::{Duration, SystemTime};

use portolan_core::addr::Family;
use prometheus::{GaugeVec, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Result};

use super::{
    Metrics,
    registrar::{IP_FAMILY, Registrar},
};

/// What a change is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A Service
    Service,
    /// Endpoints of a Service
    Endpoints,
}

/// How much a sync looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncKind {
    /// Everything, after the kernel was read.
    Full,
    /// What had changed.
    Partial,
}

/// The families.
pub(super) struct KubeProxy {
    sync: HistogramVec,
    full_sync: HistogramVec,
    partial_sync: HistogramVec,
    last_queued: GaugeVec,
    last_synced: GaugeVec,
    network_programming: HistogramVec,
    services: Changes,
    endpoints: Changes,
    no_local_endpoints: IntGaugeVec,
    conntrack: HistogramVec,
    conntrack_deleted: IntCounterVec,
    healthz: IntCounterVec,
    livez: IntCounterVec,
}

/// The changes of one sort.
struct Changes {
    pending: IntGauge,
    total: IntCounter,
}

impl KubeProxy {
    pub(super) fn new(families: &mut Registrar<'_>) -> Result<Self> {
        let by_family = &[IP_FAMILY];
        let mut duration = |name: &str, help: &str| {
            families.histograms(name, help, prometheus::exponential_buckets(0.001, 2.0, 15)?, by_family)
        };
        let sync =
            duration("kubeproxy_sync_proxy_rules_duration_seconds", "[ALPHA] SyncProxyRules latency in seconds")?;
        let full_sync = duration(
            "kubeproxy_sync_full_proxy_rules_duration_seconds",
            "[ALPHA] SyncProxyRules latency in seconds for full resyncs",
        )?;
        let partial_sync = duration(
            "kubeproxy_sync_partial_proxy_rules_duration_seconds",
            "[ALPHA] SyncProxyRules latency in seconds for partial resyncs",
        )?;
        let conntrack = duration(
            "kubeproxy_conntrack_reconciler_sync_duration_seconds",
            "[ALPHA] ReconcileConntrackFlowsLatency latency in seconds",
        )?;
        let mut timestamp = |name: &str, help: &str| families.add(GaugeVec::new(Opts::new(name, help), by_family));
        let last_queued = timestamp(
            "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds",
            "[ALPHA] The last time a sync of proxy rules was queued",
        )?;
        let last_synced = timestamp(
            "kubeproxy_sync_proxy_rules_last_timestamp_seconds",
            "[ALPHA] The last time proxy rules were successfully synced",
        )?;
        let mut changes = |what: &str, shown: &str| {
            let name = format!("kubeproxy_sync_proxy_rules_{what}_changes");
            Result::Ok(Changes {
                pending: families
                    .gauge(&format!("{name}_pending"), &format!("[ALPHA] Pending proxy rules {shown} changes"))?,
                total: families
                    .counter(&format!("{name}_total"), &format!("[ALPHA] Cumulative proxy rules {shown} changes"))?,
            })
        };
        Ok(Self {
            sync,
            full_sync,
            partial_sync,
            last_queued,
            last_synced,
            conntrack,
            services: changes("service", "Service")?,
            endpoints: changes("endpoint", "Endpoint")?,
            network_programming: families.histograms(
                "kubeproxy_network_programming_duration_seconds",
                "[ALPHA] In Cluster Network Programming Latency in seconds",
                network_programming_buckets(),
                by_family,
            )?,
            no_local_endpoints: families.gauges(
                "kubeproxy_sync_proxy_rules_no_local_endpoints_total",
                "[ALPHA] Number of services with a Local traffic policy and no endpoints",
                &["traffic_policy", IP_FAMILY],
            )?,
            conntrack_deleted: families.counters(
                "kubeproxy_conntrack_reconciler_deleted_entries_total",
                "[ALPHA] Cumulative conntrack flows deleted by conntrack reconciler",
                by_family,
            )?,
            healthz: families.counters(
                "kubeproxy_proxy_healthz_total",
                "[ALPHA] Cumulative proxy healthz HTTP status",
                &["code"],
            )?,
            livez: families.counters(
                "kubeproxy_proxy_livez_total",
                "[ALPHA] Cumulative proxy livez HTTP status",
                &["code"],
            )?,
        })
    }

    const fn changes(&self, of: Change) -> &Changes {
        match of {
            Change::Service => &self.services,
            Change::Endpoints => &self.endpoints,
        }
    }

    fn took(&self, family: &str, kind: SyncKind, took: Duration) {
        let of_kind = match kind {
            SyncKind::Full => &self.full_sync,
            SyncKind::Partial => &self.partial_sync,
        };
        for durations in [&self.sync, of_kind] {
            durations.with_label_values(&[family]).observe(took.as_secs_f64());
        }
    }
}

impl Metrics {
    /// A change came in and waits for the next sync. Once for each IP family that it concerns, as kube-proxy counts.
    pub fn change_queued(&self, change: Change) {
        let changes = self.kube_proxy.changes(change);
        changes.pending.inc();
        changes.total.inc();
    }

    /// Somebody asked for a sync of this family.
    pub fn sync_queued(&self, family: Family) {
        self.kube_proxy.last_queued.with_label_values(&[&family.to_string()]).set(now());
    }

    /// The changes that had been queued are in the kernel.
    pub fn changes_synced(&self) {
        for change in [Change::Service, Change::Endpoints] {
            self.kube_proxy.changes(change).pending.set(0);
        }
    }

    /// A sync of this family succeeded.
    pub fn synced(&self, family: Family, kind: SyncKind, took: Duration) {
        let family = family.to_string();
        self.kube_proxy.took(&family, kind, took);
        self.kube_proxy.last_synced.with_label_values(&[&family]).set(now());
    }

    /// A sync of this family failed; it will be tried again.
    pub fn sync_failed(&self, family: Family, kind: SyncKind, took: Duration) {
        self.kube_proxy.took(&family.to_string(), kind, took);
    }

    /// An EndpointSlice is in the kernel, so long after its change
    /// (`endpoints.kubernetes.io/last-change-trigger-time`).
    pub fn network_programmed(&self, family: Family, after: Duration) {
        self.kube_proxy.network_programming.with_label_values(&[&family.to_string()]).observe(after.as_secs_f64());
    }

    /// So many Services have a traffic policy Local and no endpoint on this node.
    pub fn no_local_endpoints(&self, family: Family, internal: usize, external: usize) {
        for (policy, count) in [("internal", internal), ("external", external)] {
            let gauge = self.kube_proxy.no_local_endpoints.with_label_values(&[policy, &family.to_string()]);
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Stale conntrack entries were looked for, and so many removed.
    pub fn conntrack_reconciled(&self, family: Family, took: Duration, deleted: u64) {
        let family = family.to_string();
        self.kube_proxy.conntrack.with_label_values(&[&family]).observe(took.as_secs_f64());
        self.kube_proxy.conntrack_deleted.with_label_values(&[&family]).inc_by(deleted);
    }

    /// `/healthz` was answered with this code.
    pub fn healthz_answered(&self, code: u16) {
        self.kube_proxy.healthz.with_label_values(&[&code.to_string()]).inc();
    }

    /// `/livez` was answered with this code.
    pub fn livez_answered(&self, code: u16) {
        self.kube_proxy.livez.with_label_values(&[&code.to_string()]).inc();
    }
}

/// 0, 0.25 s, 0.5 s, each second to 59, five by five to 115, thirty by thirty to 300.
fn network_programming_buckets() -> Vec<f64> {
    let seconds = (1..60).chain((60..120).step_by(5)).chain((120..=300).step_by(30));
    [0.0, 0.25, 0.5].into_iter().chain(seconds.map(f64::from)).collect()
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
