//! The release of Kubernetes whose kube-proxy Portolan takes the place of, and its neighbours whose configurations are
//! taken as well: a control plane is a release ahead of its nodes, or behind, for the time of an upgrade.

/// A release of Kubernetes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Release {
    /// `1`
    pub major: &'static str,
    /// `37`
    pub minor: &'static str,
    /// `2`
    pub patch: &'static str,
}

/// The release whose kube-proxy is the measure. This is the only place that names it.
pub const ANCHOR: Release = Release { major: "1", minor: "37", patch: "2" };

/// The releases whose feature gates are known (`gates.txt`).
pub(crate) const RELEASES: &str = "1.36 to 1.38";

/// What `showHiddenMetricsForVersion` may be: each of these releases allows the one before it alone
/// (`ValidateShowHiddenMetricsVersion`).
pub(crate) const PREVIOUS: [&str; 3] = ["1.35", "1.36", "1.37"];
