//! What a dataplane counts of its own, beside what every one does.

/// A family of metrics that only one mode has, as Prometheus knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figure {
    /// As in `kubeproxy_sync_proxy_rules_iptables_total`.
    pub name: &'static str,
    /// What it is, for people.
    pub help: &'static str,
    /// What its values do.
    pub kind: FigureKind,
    /// Its values, each by its labels; none before there is something to tell.
    pub samples: Vec<(Vec<(&'static str, String)>, u64)>,
}

/// What the values of a [`Figure`] do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FigureKind {
    /// They go up only, while the process lives.
    Counter,
    /// They go up and down.
    Gauge,
}
