//! What kube-proxy counts in ipvs mode alone (pkg/proxy/metrics/metrics.go).

use portolan_core::{
    addr::Family,
    object::{Figure, FigureKind, Stats},
};

/// There a run of iptables-restore that fails is a sync that fails, which is what alerts ask for. Nothing here runs it, so it is the
/// syncs themselves that are counted, for each family: they are of both.
pub(crate) fn figures(stats: &Stats) -> Vec<Figure> {
    // As kube-proxy shows them: from the first one on.
    let families = Family::ALL.into_iter().filter(|_| stats.failures > 0);
    vec![Figure {
        name: "kubeproxy_sync_proxy_rules_iptables_restore_failures_total",
        help: "[ALPHA] Cumulative proxy iptables restore failures",
        kind: FigureKind::Counter,
        samples: families.map(|family| (vec![("ip_family", family.to_string())], stats.failures)).collect(),
    }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syncs_that_failed_are_shown_for_both_families_from_the_first_one_on() {
        let samples = |failures| {
            let [Figure { samples, .. }] = &*figures(&Stats { failures, ..Stats::default() }) else { panic!("one") };
            samples.clone()
        };
        assert_eq!(samples(0), []);
        let of = |family: &str| (vec![("ip_family", family.to_owned())], 2);
        assert_eq!(samples(2), [of("IPv4"), of("IPv6")]);
    }
}
