//! What the agent counts, as Prometheus reads it: kube-proxy's families under their own names, so that dashboards and
//! alerts go on, and Portolan's under `portolan_`. docs/metrics.md explains each.
//!
//! ```text
//!   sync loop, watches, HTTP --"this happened"--> Metrics --text()--> GET /metrics
//!                                                    ^
//!   dataplane: what it counts of its own   /proc/self, the kernel's counters: asked for each answer
//! ```
//!
//! Methods are named for what happened, not for counters: who calls them need not know what is counted.

mod build;
mod family;
mod kube_proxy;
mod loopback;
mod portolan;
mod process;
mod registrar;
mod rest_client;
mod slis;
mod text;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use portolan_core::{
    model::AtLoopback,
    object::{Figure, FigureKind},
};
use prometheus::Registry;

pub use self::{
    build::Build,
    kube_proxy::{Change, SyncKind},
    portolan::{Counted, Rival},
};
use self::{
    family::{Kind, family},
    kube_proxy::KubeProxy,
    loopback::Loopback,
    portolan::Portolan,
    registrar::{ALPHA, Registrar},
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

/// Asks the kernel for what it counted that only one mode has.
type KernelFigures = dyn Fn() -> Vec<Figure> + Send + Sync;

/// All that is counted in this process. Cheap to call from every thread.
pub struct Metrics {
    registry: Registry,
    /// How many families of the registry are Kubernetes' own.
    alpha: u64,
    features: Vec<Feature>,
    kube_proxy: KubeProxy,
    /// Where there are listeners at loopback addresses.
    loopback: Option<Loopback>,
    /// What only the mode that runs has.
    figures: Mutex<Vec<Figure>>,
    kernel_figures: OnceLock<Box<KernelFigures>>,
    rest_client: RestClient,
    portolan: Portolan,
    slis: Slis,
    /// What asks the kernel for the connections that it counts, where it does.
    counter: OnceLock<Box<Counter>>,
}

impl Metrics {
    /// Nothing has happened yet. Who serves NodePorts at loopback addresses decides whether there is anything to say of them.
    ///
    /// # Errors
    /// When a family has an impossible name, which none has.
    pub fn new(features: Vec<Feature>, at_loopback: AtLoopback) -> prometheus::Result<Arc<Self>> {
        let registry = Registry::new();
        let mut registrar = Registrar::new(&registry);
        let kube_proxy = KubeProxy::new(&mut registrar)?;
        let loopback = match at_loopback {
            AtLoopback::Listener => Some(Loopback::new(&mut registrar)?),
            AtLoopback::Rules | AtLoopback::Nobody => None,
        };
        let rest_client = RestClient::new(&mut registrar)?;
        let portolan = Portolan::new(&mut registrar)?;
        let alpha = registrar.alpha();
        Ok(Arc::new(Self {
            registry,
            alpha,
            features,
            kube_proxy,
            loopback,
            figures: Mutex::default(),
            kernel_figures: OnceLock::new(),
            rest_client,
            portolan,
            slis: Slis::default(),
            counter: OnceLock::new(),
        }))
    }

    /// The answer to `GET /metrics`.
    #[must_use]
    pub fn text(&self) -> String {
        let mut families = self.registry.gather();
        families.extend(process::families());
        let figures = self.figures();
        let alpha = figures.iter().filter(|figure| figure.help.starts_with(ALPHA)).count();
        families.extend(self.meta(u64::try_from(alpha).unwrap_or(u64::MAX)));
        families.extend(figures.into_iter().map(of_figure));
        families.extend(self.counted());
        families.sort_by(|one, other| one.name().cmp(other.name()));
        text::write(&families)
    }

    /// This is what the dataplane counts of its own now.
    pub fn dataplane_counts(&self, figures: Vec<Figure>) {
        *self.figures.lock().unwrap_or_else(PoisonError::into_inner) = figures;
    }

    /// From now on the kernel is asked with each answer what else it counts in the mode that runs; to be said once.
    pub fn kernel_counts_with(&self, ask: impl Fn() -> Vec<Figure> + Send + Sync + 'static) {
        // Who says it first is asked.
        let _ = self.kernel_figures.set(Box::new(ask));
    }

    fn figures(&self) -> Vec<Figure> {
        let mut figures = self.figures.lock().unwrap_or_else(PoisonError::into_inner).clone();
        figures.extend(self.kernel_figures.get().into_iter().flat_map(|ask| ask()));
        figures
    }

    /// What every component of Kubernetes says of itself. So many families that are Kubernetes' own are not in the registry.
    fn meta(&self, beside: u64) -> [prometheus::proto::MetricFamily; 5] {
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
        // These five are the beta ones.
        let registered = [("ALPHA", self.alpha + beside), ("BETA", 5)].map(|(stability, count)| {
            let labels = vec![("deprecated_version", String::new()), ("stability_level", stability.to_owned())];
            (labels, float(count))
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
                registered.to_vec(),
            ),
            family("hidden_metrics_total", "[BETA] The count of hidden metrics.", Kind::Counter, none()),
            family("disabled_metrics_total", "[BETA] The count of disabled metrics.", Kind::Counter, none()),
        ]
    }
}

fn of_figure(Figure { name, help, kind, samples }: Figure) -> prometheus::proto::MetricFamily {
    let kind = match kind {
        FigureKind::Counter => Kind::Counter,
        FigureKind::Gauge => Kind::Gauge,
    };
    family(name, help, kind, samples.into_iter().map(|(labels, value)| (labels, float(value))).collect())
}
