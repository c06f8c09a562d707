//! Families whose values are asked for when somebody reads them, and kept nowhere.

use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

/// What a family's values are.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// Goes up only.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// The labels of a sample, and its value.
pub(super) type Sample = (Vec<(&'static str, String)>, f64);

/// One family with its samples.
pub(super) fn family(name: &str, help: &str, kind: Kind, samples: Vec<Sample>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(match kind {
        Kind::Counter => MetricType::COUNTER,
        Kind::Gauge => MetricType::GAUGE,
    });
    family.set_metric(samples.into_iter().map(|(labels, value)| metric(labels, kind, value)).collect());
    family
}

fn metric(mut labels: Vec<(&'static str, String)>, kind: Kind, value: f64) -> Metric {
    labels.sort_by_key(|(name, _)| *name);
    let mut metric = Metric::default();
    metric.set_label(labels.into_iter().map(pair).collect());
    match kind {
        Kind::Counter => {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        }
        Kind::Gauge => {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
    }
    metric
}

fn pair((name, value): (&'static str, String)) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value);
    pair
}
