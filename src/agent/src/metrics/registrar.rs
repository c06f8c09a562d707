//! Makes families and enters them in the registry.

use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, Result,
    core::Collector,
};

/// The label of whatever is counted for each IP family.
pub(super) const IP_FAMILY: &str = "ip_family";

/// Kubernetes writes a family's stability into its help text.
pub(super) const ALPHA: &str = "[ALPHA] ";

/// Where families are entered, and how many of them are Kubernetes' own.
pub(super) struct Registrar<'registry> {
    registry: &'registry Registry,
    alpha: u64,
}

impl<'registry> Registrar<'registry> {
    /// Nothing is entered yet.
    pub(super) const fn new(registry: &'registry Registry) -> Self {
        Self { registry, alpha: 0 }
    }

    /// Enters a family.
    pub(super) fn add<C: Collector + Clone + 'static>(&mut self, collector: Result<C>) -> Result<C> {
        let collector = collector?;
        self.alpha += u64::from(collector.desc().iter().any(|desc| desc.help.starts_with(ALPHA)));
        self.registry.register(Box::new(collector.clone()))?;
        Ok(collector)
    }

    /// A counter.
    pub(super) fn counter(&mut self, name: &str, help: &str) -> Result<IntCounter> {
        self.add(IntCounter::new(name, help))
    }

    /// A counter with labels.
    pub(super) fn counters(&mut self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec> {
        self.add(IntCounterVec::new(Opts::new(name, help), labels))
    }

    /// A gauge.
    pub(super) fn gauge(&mut self, name: &str, help: &str) -> Result<IntGauge> {
        self.add(IntGauge::new(name, help))
    }

    /// A gauge with labels.
    pub(super) fn gauges(&mut self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec> {
        self.add(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    /// A histogram with labels.
    pub(super) fn histograms(
        &mut self,
        name: &str,
        help: &str,
        buckets: Vec<f64>,
        labels: &[&str],
    ) -> Result<HistogramVec> {
        self.add(HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets), labels))
    }

    /// How many of them are Kubernetes' own.
    pub(super) const fn alpha(&self) -> u64 {
        self.alpha
    }
}
