//! kube-proxy's families of NodePorts that it listens for at loopback addresses, which it does in nftables mode alone.

use portolan_core::addr::Family;
use prometheus::{IntCounterVec, IntGaugeVec, Result};

use super::{
    Metrics,
    registrar::{IP_FAMILY, Registrar},
};

/// The families.
pub(super) struct Loopback {
    listeners: IntGaugeVec,
    failures: IntCounterVec,
    rejected: IntCounterVec,
}

impl Loopback {
    pub(super) fn new(families: &mut Registrar<'_>) -> Result<Self> {
        let by_family = &[IP_FAMILY];
        Ok(Self {
            listeners: families.gauges(
                "kubeproxy_nftables_localhost_nodeport_listeners",
                "[ALPHA] Number of active localhost NodePort userspace proxy listeners.",
                by_family,
            )?,
            failures: families.counters(
                "kubeproxy_nftables_localhost_nodeport_listener_creation_failures_total",
                "[ALPHA] Number of localhost NodePort userspace proxy listener creation failures.",
                by_family,
            )?,
            rejected: families.counters(
                "kubeproxy_nftables_localhost_nodeport_rejected_packets_total",
                "[ALPHA] Number of packets rejected on localhost NodePorts. UDP and SCTP are always rejected; TCP is \
                 rejected when the localhost NodePort proxy is not running",
                &[IP_FAMILY, "protocol"],
            )?,
        })
    }
}

impl Metrics {
    /// So many listeners serve NodePorts at the loopback address of a family. Nothing that comes there is rejected by a rule of
    /// ours: whoever has the port answers, or the kernel.
    pub fn loopback_listeners(&self, family: Family, count: usize) {
        let Some(loopback) = &self.loopback else { return };
        let family = family.to_string();
        loopback.listeners.with_label_values(&[&family]).set(i64::try_from(count).unwrap_or(i64::MAX));
        for protocol in ["TCP", "UDP", "SCTP"] {
            loopback.rejected.with_label_values(&[&family, protocol]).inc_by(0);
        }
    }

    /// A NodePort could not be listened for at the loopback address of a family.
    pub fn loopback_listener_failed(&self, family: Family) {
        if let Some(loopback) = &self.loopback {
            loopback.failures.with_label_values(&[&family.to_string()]).inc();
        }
    }
}
