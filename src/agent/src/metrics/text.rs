//! The Prometheus text format 0.0.4, byte for byte as Go's client writes it.
//!
//! The `prometheus` crate's own writer differs in numbers: `le="1048576"` where kube-proxy has `le="1.048576e+06"`, and
//! a server that takes labels as text sees two buckets of different names.

use std::fmt::Write as _;

use prometheus::proto::{LabelPair, MetricFamily, MetricType};

/// Writes families, which must be sorted by name. None without a sample is written.
pub(super) fn write(families: &[MetricFamily]) -> String {
    let mut text = String::new();
    for family in families.iter().filter(|family| !family.get_metric().is_empty()) {
        // Writing to a String cannot fail.
        let _ = write_family(&mut text, family);
    }
    text
}

fn write_family(text: &mut String, family: &MetricFamily) -> std::fmt::Result {
    let (name, kind) = (family.name(), family.get_field_type());
    writeln!(text, "# HELP {name} {}", escape(family.help(), false))?;
    writeln!(text, "# TYPE {name} {}", word(kind))?;
    for metric in family.get_metric() {
        let labels = metric.get_label();
        match kind {
            MetricType::HISTOGRAM => {
                let histogram = metric.get_histogram();
                let (count, sum) = (histogram.get_sample_count(), histogram.get_sample_sum());
                let bounds =
                    histogram.get_bucket().iter().map(|one| (number(one.upper_bound()), one.cumulative_count()));
                for (bound, count) in bounds.chain([("+Inf".to_owned(), count)]) {
                    sample(text, &format!("{name}_bucket"), labels, Some(&bound), float(count))?;
                }
                sample(text, &format!("{name}_sum"), labels, None, sum)?;
                sample(text, &format!("{name}_count"), labels, None, float(count))?;
            }
            MetricType::COUNTER => sample(text, name, labels, None, metric.get_counter().get_value())?,
            _ => sample(text, name, labels, None, metric.get_gauge().get_value())?,
        }
    }
    Ok(())
}

/// Nothing else is registered.
const fn word(kind: MetricType) -> &'static str {
    match kind {
        MetricType::HISTOGRAM => "histogram",
        MetricType::COUNTER => "counter",
        _ => "gauge",
    }
}

/// One line: `name{label="value",le="0.5"} 3`
fn sample(text: &mut String, name: &str, labels: &[LabelPair], bound: Option<&str>, value: f64) -> std::fmt::Result {
    let pairs = labels.iter().map(|pair| (pair.name(), pair.value())).chain(bound.map(|bound| ("le", bound)));
    let pairs: Vec<_> = pairs.map(|(label, value)| format!("{label}=\"{}\"", escape(value, true))).collect();
    let labels = if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) };
    writeln!(text, "{name}{labels} {}", number(value))
}

/// Backslashes and newlines, and quotes in the value of a label.
fn escape(text: &str, quotes: bool) -> String {
    let escaped = text.replace('\\', "\\\\").replace('\n', "\\n");
    if quotes { escaped.replace('"', "\\\"") } else { escaped }
}

/// As Go's `strconv.FormatFloat(value, 'g', -1, 64)`: the shortest digits, with an exponent from a million on and below
/// a ten thousandth.
pub(super) fn number(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    match scientific.split_once('e').map(|(digits, exponent)| (digits, exponent.parse::<i32>())) {
        Some((digits, Ok(exponent))) if value != 0.0 && !(-4..6).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
        _ => value.to_string(),
    }
}

/// A count, as every value of the format is a float; beyond 2^53 the last digits are lost, as in Go.
#[expect(clippy::cast_precision_loss, reason = "the format has no integers")]
pub(super) const fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_go() {
        let of_go = [
            (0.0, "0"),
            (1.0, "1"),
            (0.001, "0.001"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (16.384, "16.384"),
            (262_144.0, "262144"),
            (999_999.0, "999999"),
            (1_000_000.0, "1e+06"),
            (1_048_576.0, "1.048576e+06"),
            (1_795_274_357.69, "1.79527435769e+09"),
            (1.844_674_407_370_955_2e19, "1.8446744073709552e+19"),
            (-2.5, "-2.5"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ];
        for (value, text) in of_go {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn nothing_that_a_name_holds_breaks_a_line() {
        assert_eq!(escape("a\\b\n\"c\"", true), r#"a\\b\n\"c\""#);
        assert_eq!(escape("a\\b\n\"c\"", false), r#"a\\b\n"c""#);
    }
}
