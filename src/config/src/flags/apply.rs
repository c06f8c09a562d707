//! What flags say, put into a configuration.

use std::str::FromStr;

use super::{
    Flags, LoggingFlags,
    names::field_of,
    parse::{gates, list, switch, value, vmodule},
};
use crate::{
    configuration::{Configuration, FlushFrequency, default, is_quantity, with_port},
    duration::GoDuration,
    mode::Mode,
    problem::{Findings, Problem},
};

/// Puts flags into a configuration, and knows which of them changed it.
struct Apply<'a> {
    findings: &'a mut Findings,
    /// Flag and value.
    changed: Vec<(&'static str, String)>,
}

const WHOLE: &str = "a whole number of 32 bits";
const PORT: &str = "a port number";

impl Apply<'_> {
    fn set<T: PartialEq>(&mut self, flag: &'static str, text: &str, target: &mut T, value: T) {
        if *target != value {
            self.changed.push((flag, text.to_owned()));
            *target = value;
        }
    }

    fn text(&mut self, flag: &'static str, given: Option<&String>, target: &mut String) {
        if let Some(text) = given {
            self.set(flag, text, target, text.clone());
        }
    }

    fn value<T: FromStr + PartialEq>(
        &mut self,
        flag: &'static str,
        given: Option<&String>,
        expected: &str,
        target: &mut T,
    ) {
        if let Some(text) = given
            && let Some(value) = value(flag, text, expected, self.findings)
        {
            self.set(flag, text, target, value);
        }
    }

    fn whole<T: FromStr + PartialEq>(&mut self, flag: &'static str, given: Option<&String>, target: &mut T) {
        self.value(flag, given, WHOLE, target);
    }

    fn duration(&mut self, flag: &'static str, given: Option<&String>, target: &mut GoDuration) {
        self.value(flag, given, "a duration (such as 30s or 1h30m)", target);
    }

    fn switch(&mut self, flag: &'static str, given: Option<&Option<String>>, target: &mut bool) {
        if let Some(value) = switch(flag, given, self.findings) {
            self.set(flag, &value.to_string(), target, value);
        }
    }

    fn list(&mut self, flag: &'static str, given: &[String], target: &mut Option<Vec<String>>) {
        if !given.is_empty() {
            let entries = Some(list(flag, given, self.findings));
            if entries.as_ref().is_some_and(Vec::is_empty) {
                *target = entries;
            } else {
                self.set(flag, &given.join(","), target, entries);
            }
        }
    }
}

/// Puts all flags but those about log lines into kube-proxy's default configuration. The result names those that
/// changed it.
pub(crate) fn apply(flags: &Flags, to: &mut Configuration, findings: &mut Findings) -> Vec<(&'static str, String)> {
    let mut apply = Apply { findings, changed: Vec::new() };
    if !flags.feature_gates.is_empty() {
        let gates = gates("--feature-gates", &flags.feature_gates, apply.findings);
        apply.set("--feature-gates", &flags.feature_gates.join(","), &mut to.feature_gates, gates);
    }
    client(&mut apply, flags, to);
    servers(&mut apply, flags, to);
    apply.text("--proxy-mode", flags.proxy_mode.as_ref(), &mut to.mode);
    masquerade_and_periods(&mut apply, flags, to);
    // A blank one is this one.
    default::DETECT_LOCAL_MODE.clone_into(&mut to.detect_local_mode);
    apply.text("--detect-local-mode", flags.detect_local_mode.as_ref(), &mut to.detect_local_mode);
    apply.text("--pod-bridge-interface", flags.pod_bridge_interface.as_ref(), &mut to.detect_local.bridge_interface);
    apply.text(
        "--pod-interface-name-prefix",
        flags.pod_interface_name_prefix.as_ref(),
        &mut to.detect_local.interface_name_prefix,
    );
    apply.text("--cluster-cidr", flags.cluster_cidr.as_ref(), &mut to.cluster_cidr);
    apply.list("--nodeport-addresses", &flags.nodeport_addresses, &mut to.node_port_addresses);
    apply.whole("--oom-score-adj", flags.oom_score_adj.as_ref(), &mut to.oom_score_adj);
    conntrack(&mut apply, flags, to);
    ipvs(&mut apply, flags, to);
    apply.duration("--config-sync-period", flags.config_sync_period.as_ref(), &mut to.config_sync_period);
    apply.changed
}

fn client(apply: &mut Apply<'_>, flags: &Flags, to: &mut Configuration) {
    let client = &mut to.client_connection;
    apply.text("--kubeconfig", flags.kubeconfig.as_ref(), &mut client.kubeconfig);
    apply.text("--kube-api-content-type", flags.kube_api_content_type.as_ref(), &mut client.content_type);
    apply.value("--kube-api-qps", flags.kube_api_qps.as_ref(), "a number", &mut client.qps);
    apply.whole("--kube-api-burst", flags.kube_api_burst.as_ref(), &mut client.burst);
}

fn servers(apply: &mut Apply<'_>, flags: &Flags, to: &mut Configuration) {
    // Go's flag of an address takes an empty value for none given.
    let address = |given: &Option<String>| given.clone().filter(|text| !text.is_empty());
    apply.text("--bind-address", address(&flags.bind_address).as_ref(), &mut to.bind_address);
    apply.switch("--bind-address-hard-fail", flags.bind_address_hard_fail.as_ref(), &mut to.bind_address_hard_fail);
    apply.text("--healthz-bind-address", address(&flags.healthz_bind_address).as_ref(), &mut to.healthz_bind_address);
    apply.text("--metrics-bind-address", address(&flags.metrics_bind_address).as_ref(), &mut to.metrics_bind_address);
    let (mut healthz, mut metrics) = (default::HEALTHZ_PORT, default::METRICS_PORT);
    apply.value("--healthz-port", flags.healthz_port.as_ref(), PORT, &mut healthz);
    apply.value("--metrics-port", flags.metrics_port.as_ref(), PORT, &mut metrics);
    if metrics == 0 {
        let rule = "would switch /metrics off, which is not possible, as in kube-proxy";
        apply.findings.problem(Problem::new("--metrics-port", metrics, rule, "leave it out"));
        metrics = default::METRICS_PORT;
    }
    for (address, port) in [(&mut to.healthz_bind_address, healthz), (&mut to.metrics_bind_address, metrics)] {
        *address = if port == 0 { String::new() } else { with_port(std::mem::take(address), port) };
    }
    apply.switch("--profiling", flags.profiling.as_ref(), &mut to.enable_profiling);
    apply.text(
        "--show-hidden-metrics-for-version",
        flags.show_hidden_metrics_for_version.as_ref(),
        &mut to.show_hidden_metrics_for_version,
    );
}

fn masquerade_and_periods(apply: &mut Apply<'_>, flags: &Flags, to: &mut Configuration) {
    let iptables = &mut to.iptables;
    apply.whole("--iptables-masquerade-bit", flags.iptables_masquerade_bit.as_ref(), &mut iptables.masquerade_bit);
    apply.switch("--masquerade-all", flags.masquerade_all.as_ref(), &mut iptables.masquerade_all);
    let localhost = flags.iptables_localhost_nodeports.as_ref();
    apply.switch("--iptables-localhost-nodeports", localhost, &mut iptables.localhost_node_ports);
    apply.duration("--iptables-sync-period", flags.iptables_sync_period.as_ref(), &mut iptables.sync_period);
    // Zero is an explicit value here, unlike in the file.
    let mut least = default::MIN_SYNC_PERIOD;
    apply.duration("--iptables-min-sync-period", flags.iptables_min_sync_period.as_ref(), &mut least);
    iptables.min_sync_period = flags.iptables_min_sync_period.as_ref().map(|_| least);
    // nftables mode has no flags of its own.
    to.nftables.masquerade_bit = iptables.masquerade_bit;
    to.nftables.masquerade_all = iptables.masquerade_all;
    to.nftables.sync_period = iptables.sync_period;
    to.nftables.min_sync_period = iptables.min_sync_period;
}

fn conntrack(apply: &mut Apply<'_>, flags: &Flags, to: &mut Configuration) {
    let (flags, to) = (&flags.conntrack, &mut to.conntrack);
    apply.whole("--conntrack-max-per-core", flags.conntrack_max_per_core.as_ref(), &mut to.max_per_core);
    apply.whole("--conntrack-min", flags.conntrack_min.as_ref(), &mut to.min);
    for (flag, given, target) in [
        (
            "--conntrack-tcp-timeout-established",
            &flags.conntrack_tcp_timeout_established,
            &mut to.tcp_established_timeout,
        ),
        ("--conntrack-tcp-timeout-close-wait", &flags.conntrack_tcp_timeout_close_wait, &mut to.tcp_close_wait_timeout),
        ("--conntrack-udp-timeout", &flags.conntrack_udp_timeout, &mut to.udp_timeout),
        ("--conntrack-udp-timeout-stream", &flags.conntrack_udp_timeout_stream, &mut to.udp_stream_timeout),
    ] {
        apply.duration(flag, given.as_ref(), target);
    }
    apply.switch("--conntrack-tcp-be-liberal", flags.conntrack_tcp_be_liberal.as_ref(), &mut to.tcp_be_liberal);
}

fn ipvs(apply: &mut Apply<'_>, flags: &Flags, to: &mut Configuration) {
    let is_ipvs = Mode::of(&to.mode) == Some(Mode::Ipvs);
    let (flags, to) = (&flags.ipvs, &mut to.ipvs);
    for (flag, given, target) in [
        ("--ipvs-sync-period", &flags.ipvs_sync_period, &mut to.sync_period),
        ("--ipvs-tcp-timeout", &flags.ipvs_tcp_timeout, &mut to.tcp_timeout),
        ("--ipvs-tcpfin-timeout", &flags.ipvs_tcpfin_timeout, &mut to.tcp_fin_timeout),
        ("--ipvs-udp-timeout", &flags.ipvs_udp_timeout, &mut to.udp_timeout),
    ] {
        apply.duration(flag, given.as_ref(), target);
    }
    // With flags kube-proxy takes iptables' default, which the file's ipvs block does not have.
    let mut least = default::MIN_SYNC_PERIOD;
    apply.duration("--ipvs-min-sync-period", flags.ipvs_min_sync_period.as_ref(), &mut least);
    if is_ipvs || least != default::MIN_SYNC_PERIOD {
        to.min_sync_period = least;
    }
    apply.text("--ipvs-scheduler", flags.ipvs_scheduler.as_ref(), &mut to.scheduler);
    apply.list("--ipvs-exclude-cidrs", &flags.ipvs_exclude_cidrs, &mut to.exclude_cidrs);
    apply.switch("--ipvs-strict-arp", flags.ipvs_strict_arp.as_ref(), &mut to.strict_arp);
}

/// Puts the flags about log lines into a configuration, also into one from a file: there they win, and the file's
/// `vmodule` stands behind theirs. The result names those that changed it.
pub(crate) fn apply_logging(
    flags: &LoggingFlags,
    to: &mut Configuration,
    findings: &mut Findings,
) -> Vec<&'static str> {
    let to = &mut to.logging;
    let mut apply = Apply { findings, changed: Vec::new() };
    apply.whole("--v", flags.v.as_ref(), &mut to.verbosity);
    if !flags.vmodule.is_empty() {
        let mut patterns = vmodule("--vmodule", &flags.vmodule, apply.findings);
        patterns.append(&mut to.vmodule.clone());
        apply.set("--vmodule", "", &mut to.vmodule, patterns);
    }
    apply.text("--logging-format", flags.logging_format.as_ref(), &mut to.format);
    let mut flush = to.flush_frequency.duration;
    apply.duration("--log-flush-frequency", flags.log_flush_frequency.as_ref(), &mut flush);
    to.flush_frequency = FlushFrequency { duration: flush, ..to.flush_frequency };
    let (text, json) = (&mut to.options.text, &mut to.options.json);
    apply.switch("--log-text-split-stream", flags.log_text_split_stream.as_ref(), &mut text.split_stream);
    apply.switch("--log-json-split-stream", flags.log_json_split_stream.as_ref(), &mut json.split_stream);
    for (flag, given, target) in [
        ("--log-text-info-buffer-size", &flags.log_text_info_buffer_size, &mut text.info_buffer_size),
        ("--log-json-info-buffer-size", &flags.log_json_info_buffer_size, &mut json.info_buffer_size),
    ] {
        match given {
            Some(size) if !is_quantity(size) => {
                let rule = "is not a number of bytes (such as 512, 64Ki or 1M)";
                apply.findings.problem(Problem::new(flag, size, rule, "correct it"));
            }
            given => apply.text(flag, given.as_ref(), target),
        }
    }
    apply.changed.into_iter().map(|(flag, _)| flag).collect()
}

/// That a flag of kube-proxy's stands beside `--config`.
pub(crate) fn in_vain(flag: &str, value: &str) -> Problem {
    let advice = match field_of(flag) {
        Some(field) => format!("set `{field}` in the file"),
        None => "leave it out".to_owned(),
    };
    Problem::new(flag, value, "has no effect: with --config the file counts, as in kube-proxy", advice)
}
