//! Values that are accepted and not followed, each with the reason: kube-proxy takes them, so that a file or command
//! line that works there must work here. A default value is never told.

use std::fmt::Display;

use portolan_core::{addr::Family, model::NodePortAddresses};

use crate::{
    configuration::{Configuration, default},
    detect::DetectLocalMode,
    gates::Features,
    problem::{Findings, Problem},
    value::NodePortList,
};

/// Tells what has no effect.
struct InVain<'a> {
    findings: &'a mut Findings,
}

impl InVain<'_> {
    fn unless(&mut self, is_default: bool, path: &str, value: impl Display, why: &str) {
        self.unless_else(is_default, path, value, why, "remove it");
    }

    fn unless_else(&mut self, is_default: bool, path: &str, value: impl Display, why: &str, advice: &str) {
        if !is_default {
            self.findings.warning(Problem::new(path, value, format!("has no effect: {why}"), advice));
        }
    }
}

/// What has no effect, or another one than somebody may think.
pub(crate) fn warn(of: &Configuration, findings: &mut Findings) {
    let mut in_vain = InVain { findings };
    let client = &of.client_connection;
    let speaks = "Portolan speaks JSON with the API server";
    let is_json = |types: &str| types.is_empty() || types.contains("application/json");
    in_vain.unless(
        is_json(&client.accept_content_types) || client.accept_content_types.contains(default::CONTENT_TYPE),
        "clientConnection.acceptContentTypes",
        &client.accept_content_types,
        speaks,
    );
    in_vain.unless(
        is_json(&client.content_type) || client.content_type == default::CONTENT_TYPE,
        "clientConnection.contentType",
        &client.content_type,
        speaks,
    );
    let windows = "it is for Windows";
    let winkernel = &of.winkernel;
    for (name, text) in [
        ("networkName", &winkernel.network_name),
        ("sourceVip", &winkernel.source_vip),
        ("rootHnsEndpointName", &winkernel.root_hns_endpoint_name),
    ] {
        in_vain.unless(text.is_empty(), &format!("winkernel.{name}"), text, windows);
    }
    in_vain.unless(!winkernel.enable_dsr, "winkernel.enableDSR", true, windows);
    in_vain.unless(!winkernel.forward_health_check_vip, "winkernel.forwardHealthCheckVip", true, windows);
    in_vain.unless(!of.windows_run_as_service, "windowsRunAsService", true, windows);
    in_vain.unless(
        of.port_range.is_empty(),
        "portRange",
        &of.port_range,
        "it was for a mode that kube-proxy no longer has",
    );
    let hidden = &of.show_hidden_metrics_for_version;
    in_vain.unless(hidden.is_empty(), "showHiddenMetricsForVersion", hidden, "no metric is hidden");
    logging(of, &mut in_vain);
    other_blocks(of, &mut in_vain);
    interfaces(of, &mut in_vain);
    one_family(of, findings);
}

fn logging(of: &Configuration, in_vain: &mut InVain<'_>) {
    let at_once = "log lines are written at once";
    let logging = &of.logging;
    let may_split = Features::of(&of.feature_gates).logging_alpha;
    let flush = logging.flush_frequency.duration;
    in_vain.unless(flush == default::FLUSH_FREQUENCY, "logging.flushFrequency", flush, at_once);
    for (format, routing) in [("text", &logging.options.text), ("json", &logging.options.json)] {
        let path = format!("logging.options.{format}.infoBufferSize");
        in_vain.unless(routing.has_no_buffer(), &path, &routing.info_buffer_size, at_once);
        let path = format!("logging.options.{format}.splitStream");
        let split = routing.split_stream;
        let why = "it needs the feature gate LoggingAlphaOptions, which is off";
        in_vain.unless_else(!split || may_split, &path, split, why, "remove it, or switch the gate on");
        let is_followed = !may_split || logging.format == format;
        in_vain.unless(!split || is_followed, &path, split, "log lines have the other format");
    }
    let patterns = logging.vmodule.iter().map(|item| format!("{}={}", item.file_pattern, item.verbosity));
    let patterns: Vec<String> = patterns.collect();
    let names = "it names kube-proxy's source files, which Portolan does not have";
    in_vain.unless(patterns.is_empty(), "logging.vmodule", patterns.join(","), names);
}

/// What is set in the block of another mode, unless the block that counts says the same.
fn other_blocks(of: &Configuration, in_vain: &mut InVain<'_>) {
    let active = of.active();
    let mode_is = match &*of.mode {
        "" => "no mode is given, which is iptables".to_owned(),
        _ => format!("the mode is {}", active.mode),
    };
    let (iptables, nftables, ipvs) = (&of.iptables, &of.nftables, &of.ipvs);
    for (block, bit, all) in [
        ("iptables", iptables.masquerade_bit, iptables.masquerade_all),
        ("nftables", nftables.masquerade_bit, nftables.masquerade_all),
    ] {
        let counts = active.masquerade_block == block;
        let as_active = counts || bit == active.masquerade_bit;
        let is_default = bit == default::MASQUERADE_BIT;
        in_vain.unless(as_active || is_default, &format!("{block}.masqueradeBit"), bit, &mode_is);
        let as_active = counts || all == active.masquerade_all;
        in_vain.unless(as_active || !all, &format!("{block}.masqueradeAll"), all, &mode_is);
    }
    for (block, period, least, default_least) in [
        ("iptables", iptables.sync_period, iptables.min_sync_period, None),
        ("nftables", nftables.sync_period, nftables.min_sync_period, None),
        ("ipvs", ipvs.sync_period, Some(ipvs.min_sync_period), Some(Default::default())),
    ] {
        let counts = active.block == block;
        let as_active = counts || period == active.sync_period;
        let is_default = period == default::SYNC_PERIOD;
        in_vain.unless(as_active || is_default, &format!("{block}.syncPeriod"), period, &mode_is);
        let as_active = counts || least == active.min_sync_period || least == Some(default::MIN_SYNC_PERIOD);
        let path = format!("{block}.minSyncPeriod");
        in_vain.unless(as_active || least == default_least, &path, least.unwrap_or_default(), &mode_is);
    }
    let localhost = iptables.localhost_node_ports;
    in_vain.unless(localhost || active.block == "iptables", "iptables.localhostNodePorts", localhost, &mode_is);
    let excluded = ipvs.exclude_cidrs.as_deref().unwrap_or_default();
    if active.block == "ipvs" {
        let spared = "Portolan leaves all virtual servers alone but its own, which are at addresses of kube-ipvs0";
        in_vain.unless(excluded.is_empty(), "ipvs.excludeCIDRs", excluded.join(","), spared);
    } else {
        in_vain.unless(ipvs.scheduler.is_empty(), "ipvs.scheduler", &ipvs.scheduler, &mode_is);
        in_vain.unless(excluded.is_empty(), "ipvs.excludeCIDRs", excluded.join(","), &mode_is);
        in_vain.unless(!ipvs.strict_arp, "ipvs.strictARP", true, &mode_is);
        for (name, timeout) in [
            ("tcpTimeout", ipvs.tcp_timeout),
            ("tcpFinTimeout", ipvs.tcp_fin_timeout),
            ("udpTimeout", ipvs.udp_timeout),
        ] {
            in_vain.unless(timeout == Default::default(), &format!("ipvs.{name}"), timeout, &mode_is);
        }
    }
}

fn interfaces(of: &Configuration, in_vain: &mut InVain<'_>) {
    let mode = DetectLocalMode::of(&of.detect_local_mode);
    for (name, text, needs) in [
        ("bridgeInterface", &of.detect_local.bridge_interface, DetectLocalMode::BridgeInterface),
        ("interfaceNamePrefix", &of.detect_local.interface_name_prefix, DetectLocalMode::InterfaceNamePrefix),
    ] {
        let why = format!("it is for detectLocalMode {needs}");
        in_vain.unless(text.is_empty() || mode == Some(needs), &format!("detectLocal.{name}"), text, &why);
    }
}

/// kube-proxy takes a family without an entry for one with all its addresses, and says so in its log.
fn one_family(of: &Configuration, findings: &mut Findings) {
    let entries = of.node_port_addresses.as_deref().unwrap_or_default();
    let Ok(NodePortList(NodePortAddresses { primary: false, cidrs })) = NodePortList::of(entries) else { return };
    let families = Family::ALL.map(|family| cidrs.iter().any(|cidr| Family::of(cidr.addr()) == family));
    for (family, has_cidrs) in Family::ALL.into_iter().zip(families) {
        if !has_cidrs && !cidrs.is_empty() {
            let rule = format!("has no {family} CIDR, so that NodePorts are on all {family} addresses of the node");
            let advice = format!("add the {family} CIDRs of the node's addresses");
            findings.warning(Problem::new("nodePortAddresses", entries.join(","), rule, advice));
        }
    }
}
