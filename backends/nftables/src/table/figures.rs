//! What kube-proxy counts in nftables mode alone (pkg/proxy/metrics/metrics.go).

use portolan_core::{
    addr::Family,
    object::{Figure, FigureKind, Stats},
};

/// A transaction is of both families, so what fails is counted for each.
pub(super) fn figures(stats: &Stats) -> Vec<Figure> {
    let figure = |name, help, count: u64| {
        let samples = Family::ALL.map(|family| (vec![("ip_family", family.to_string())], count)).to_vec();
        // As kube-proxy shows them: from the first one on.
        Figure { name, help, kind: FigureKind::Counter, samples: if count == 0 { Vec::new() } else { samples } }
    };
    vec![
        figure(
            "kubeproxy_sync_proxy_rules_nftables_sync_failures_total",
            "[ALPHA] Cumulative proxy nftables sync failures",
            stats.failures,
        ),
        figure(
            "kubeproxy_sync_proxy_rules_nftables_cleanup_failures_total",
            "[ALPHA] Cumulative proxy nftables cleanup failures",
            stats.stuck,
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_shown_for_both_families_from_the_first_time_on() {
        let stats = Stats { failures: 2, ..Stats::default() };
        let shown: Vec<_> = figures(&stats).into_iter().map(|figure| (figure.name, figure.samples)).collect();
        let of = |family: &str| (vec![("ip_family", family.to_owned())], 2);
        assert_eq!(
            shown,
            [
                ("kubeproxy_sync_proxy_rules_nftables_sync_failures_total", vec![of("IPv4"), of("IPv6")]),
                ("kubeproxy_sync_proxy_rules_nftables_cleanup_failures_total", Vec::new()),
            ]
        );
    }
}
