//! Rules about log lines (`k8s.io/component-base/logs/api/v1`).

use super::Rules;
use crate::{
    configuration::{Logging, OutputRouting},
    duration::GoDuration,
    gates::Features,
    nearest::did_you_mean,
};

pub(super) fn check(of: &Logging, features: Features, rules: &mut Rules<'_>) {
    match of.format.as_str() {
        "text" => {}
        "json" => {
            let rule = "needs the feature gate LoggingBetaOptions, which is off";
            rules.hold(features.logging_beta, "logging.format", &of.format, rule, "remove the gate, or write `text`");
        }
        other => {
            let advice = did_you_mean(other, ["text", "json"], "leave it out for text");
            rules.broken("logging.format", other, "is not text or json", &advice);
        }
    }
    let flush = of.flush_frequency.duration;
    rules.hold(flush > GoDuration::ZERO, "logging.flushFrequency", flush, "is not more than 0", "leave it out for 5s");
    verbosity("logging.verbosity", of.verbosity, rules);
    patterns(of, rules);
    buffer("text", &of.options.text, features, rules);
    buffer("json", &of.options.json, features, rules);
}

fn verbosity(path: &str, value: u32, rules: &mut Rules<'_>) {
    rules.hold(i32::try_from(value).is_ok(), path, value, "is more than 2147483647", "the most that is used is 10");
}

fn patterns(of: &Logging, rules: &mut Rules<'_>) {
    let count = of.vmodule.len();
    if count > 0 && of.format == "json" {
        let value = format!("{count} patterns");
        rules.broken("logging.vmodule", value, "is for the format text alone", "remove it");
    }
    for (index, item) in of.vmodule.iter().enumerate() {
        let path = format!("logging.vmodule[{index}]");
        let pattern = &item.file_pattern;
        let is_good = !pattern.is_empty() && !pattern.contains(['=', ',']);
        let rule = "is not a pattern for names of files (one, without `=` and `,`)";
        rules.hold(is_good, &format!("{path}.filePattern"), pattern, rule, "remove it");
        verbosity(&format!("{path}.verbosity"), item.verbosity, rules);
    }
}

/// kube-proxy judges `splitStream` too, but has forgotten the file's by then: a warning has to do.
fn buffer(format: &str, of: &OutputRouting, features: Features, rules: &mut Rules<'_>) {
    rules.hold(
        of.has_no_buffer() || features.logging_alpha,
        &format!("logging.options.{format}.infoBufferSize"),
        &of.info_buffer_size,
        "needs the feature gate LoggingAlphaOptions, which is off",
        "remove it",
    );
}
