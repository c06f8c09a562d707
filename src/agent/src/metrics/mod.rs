//! What the agent counts, as Prometheus reads it: kube-proxy's families under their own names, so that dashboards and
//! alerts go on, and Portolan's under `portolan_`. docs/metrics.md explains each.
//!
//! ```text
//!   sync loop, watches, HTTP --"this happened"--> Metrics --text()--> GET /metrics
//!                                                    ^
//!                      /proc/self, the kernel's counters: asked for each answer
//! ```
//!
//! Methods are named for what happened, not for counters: who calls them need not know what is counted.

mod build;
mod family;
mod kube_proxy;
mod portolan;
mod process;
mod registrar;
mod rest_client;
mod slis;
mod text;

use std::sync::{Arc, OnceLock};

use prometheus::Registry;

pub use self::{
    build::Build,
    kube_proxy::{Change, SyncKind},
    portolan::{Counted, Rival},
};
use self::{
    family::{Kind, family},
    kube_proxy::KubeProxy,
    portolan::Portolan,
    registrar::Registrar,
    rest_client::RestClient,
    slis::Slis,
    text::float,
};

/// A feature gate that users see in `kubernetes_feature_enabled`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feature {
    /// As `--feature-gates` has it.
    pub name: String,
    /// `ALPHA`, `BETA`, `DEPRECATED`, or empty for one that is stable.
    pub stage: String,
    /// Whether it is on.
    pub enabled: bool,
}

/// Asks the kernel for what it counted.
type Counter = dyn Fn() -> Vec<Counted> + Send + Sync;

/// All that is counted in this process. Cheap to call from every thread.
pub struct Metrics {
    registry: Registry,
    registered: Vec<(&'static str, u64)>,
    features: Vec<Feature>,
    kube_proxy: KubeProxy,
    rest_client: RestClient,
    portolan: Portolan,
    slis: Slis,
    /// What asks the kernel for the connections that it counts, where it does.
    counter: OnceLock<Box<Counter>>,
}

impl Metrics {
    /// Nothing has happened yet.
    ///
    /// # Errors
    /// When a family has an impossible name, which none has.
    pub fn new(features: Vec<Feature>) -> prometheus::Result<Arc<Self>> {
        let registry = Registry::new();
        let mut registrar = Registrar::new(&registry);
        let kube_proxy = KubeProxy::new(&mut registrar)?;
        let rest_client = RestClient::new(&mut registrar)?;
        let portolan = Portolan::new(&mut registrar)?;
        let registered = registrar.counts();
        let (slis, counter) = (Slis::default(), OnceLock::new());
        Ok(Arc::new(Self { registry, registered, features, kube_proxy, rest_client, portolan, slis, counter }))
    }

    /// The answer to `GET /metrics`.
    #[must_use]
    pub fn text(&self) -> String {
        let mut families = self.registry.gather();
        families.extend(process::families());
        families.extend(self.meta());
        families.extend(self.counted());
        families.sort_by(|one, other| one.name().cmp(other.name()));
        text::write(&families)
    }

    /// What every component of Kubernetes says of itself.
    fn meta(&self) -> [prometheus::proto::MetricFamily; 5] {
        let build = Build::CURRENT;
        let (platform, version) = (build.platform(), build.git_version());
        let labels = [
            ("major", build.major),
            ("minor", build.minor),
            ("git_version", &version),
            ("git_commit", ""),
            ("git_tree_state", ""),
            ("build_date", ""),
            ("go_version", build.language),
            ("compiler", "rustc"),
            ("platform", &platform),
        ];
        let features = self.features.iter().map(|feature| {
            let labels = vec![("name", feature.name.clone()), ("stage", feature.stage.clone())];
            (labels, f64::from(u8::from(feature.enabled)))
        });
        let registered = self.registered.iter().map(|(stability, count)| {
            let labels = vec![("deprecated_version", String::new()), ("stability_level", (*stability).to_owned())];
            (labels, float(*count))
        });
        let none = || vec![(Vec::new(), 0.0)];
        [
            family(
                "kubernetes_build_info",
                "[BETA] A metric with a constant '1' value labeled by major, minor, git version, git commit, git tree \
                 state, build date, Go version, and compiler from which Kubernetes was built, and platform on which it \
                 is running.",
                Kind::Gauge,
                vec![(labels.map(|(name, value)| (name, value.to_owned())).into(), 1.0)],
            ),
            family(
                "kubernetes_feature_enabled",
                "[BETA] This metric records the data about the stage and enablement of a k8s feature.",
                Kind::Gauge,
                features.collect(),
            ),
            family(
                "registered_metrics_total",
                "[BETA] The count of registered metrics broken by stability level and deprecation version.",
                Kind::Counter,
                registered.collect(),
            ),
            family("hidden_metrics_total", "[BETA] The count of hidden metrics.", Kind::Counter, none()),
            family("disabled_metrics_total", "[BETA] The count of disabled metrics.", Kind::Counter, none()),
        ]
    }
}
