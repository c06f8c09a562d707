//! The rules that values must keep: kube-proxy's own, and those of what stands behind a value here.
//!
//! Paths are those of the file; where there is none, `resolve` puts the flag in their place.

mod addresses;
mod logging;

pub(crate) use addresses::socket_address;

use std::fmt::Display;

use portolan_core::desired::{NoSuchScheduler, Scheduler};

use crate::{
    anchor::PREVIOUS,
    configuration::{Active, Configuration},
    duration::GoDuration,
    gates::{self, Features},
    mode::Mode,
    nearest::did_you_mean,
    problem::{Findings, Problem},
    value::MasqueradeBit,
};

/// Collects problems under their paths.
struct Rules<'a> {
    findings: &'a mut Findings,
}

/// Every rule, on every value that counts.
pub(crate) fn validate(of: &Configuration, findings: &mut Findings) {
    gates::check(&of.feature_gates, findings);
    let active = of.active();
    let mut rules = Rules { findings };
    mode(of, &mut rules);
    let (burst, version) = (of.client_connection.burst, &of.show_hidden_metrics_for_version);
    rules.at_least_zero("clientConnection.burst", burst, "leave it out for 10");
    addresses::check(of, &mut rules);
    rules.hold(
        version.is_empty() || PREVIOUS.contains(&version.as_str()),
        "showHiddenMetricsForVersion",
        version,
        format!("is not one of the versions whose hidden metrics can be asked for, {}", PREVIOUS.join(", ")),
        "leave it out",
    );
    masquerade_bits(of, &active, &mut rules);
    periods(of, &active, &mut rules);
    let oom = of.oom_score_adj;
    rules.hold((-1000..=1000).contains(&oom), "oomScoreAdj", oom, "is not from -1000 to 1000", "leave it out for -999");
    conntrack(of, &mut rules);
    if active.mode == Mode::Ipvs {
        ipvs(of, &mut rules);
    }
    logging::check(&of.logging, Features::of(&of.feature_gates), &mut rules);
}

impl Rules<'_> {
    fn broken(&mut self, path: &str, value: impl Display, rule: impl Display, advice: &str) {
        self.findings.problem(Problem::new(path, value, rule, advice));
    }

    fn hold(&mut self, holds: bool, path: &str, value: impl Display, rule: impl Display, advice: &str) {
        if !holds {
            self.broken(path, value, rule, advice);
        }
    }

    fn at_least_zero<T: Display + Default + PartialOrd>(&mut self, path: &str, value: T, advice: &str) {
        self.hold(value >= T::default(), path, value, "is less than 0", advice);
    }
}

fn mode(of: &Configuration, rules: &mut Rules<'_>) {
    match of.chosen_mode() {
        Some(Mode::Iptables | Mode::Nftables | Mode::Ipvs) => {}
        None => {
            let advice = did_you_mean(&of.mode, Mode::ALL.map(Mode::name), "write `nftables`, `iptables` or `ipvs`");
            rules.broken("mode", &of.mode, "is not iptables, ipvs, nftables or blank", &advice);
        }
    }
}

/// That of iptables is judged in every mode, and that of nftables in its own.
fn masquerade_bits(of: &Configuration, active: &Active, rules: &mut Rules<'_>) {
    let mut bits = vec![("iptables", of.iptables.masquerade_bit)];
    if active.masquerade_block == "nftables" {
        bits.push(("nftables", of.nftables.masquerade_bit));
    }
    // One flag sets both.
    bits.dedup_by_key(|(_, bit)| *bit);
    for (block, bit) in bits {
        if let Err(error) = MasqueradeBit::try_from(bit) {
            rules.broken(&format!("{block}.masqueradeBit"), bit, error.rule, error.rule.advice());
        }
    }
}

fn periods(of: &Configuration, active: &Active, rules: &mut Rules<'_>) {
    let (period, least) = (active.sync_period, active.min_sync_period.unwrap_or(GoDuration::ZERO));
    let (path, least_path) = (format!("{}.syncPeriod", active.block), format!("{}.minSyncPeriod", active.block));
    for (path, value) in [("configSyncPeriod", of.config_sync_period), (path.as_str(), period)] {
        rules.hold(value > GoDuration::ZERO, path, value, "is not more than 0", "leave it out for its default");
    }
    if least < GoDuration::ZERO {
        rules.broken(&least_path, least, "is less than 0", "leave it out for none");
    } else if period > GoDuration::ZERO {
        let rule = format!("is more than the sync period, {period}");
        rules.hold(least <= period, &least_path, least, rule, "make it less");
    }
}

fn conntrack(of: &Configuration, rules: &mut Rules<'_>) {
    const KERNELS: &str = "write 0 to leave the kernel's own value";
    let conntrack = &of.conntrack;
    rules.at_least_zero("conntrack.maxPerCore", conntrack.max_per_core, "write 0 to leave the kernel's own limit");
    rules.at_least_zero("conntrack.min", conntrack.min, "leave it out for 131072");
    for (name, value) in [
        ("tcpEstablishedTimeout", conntrack.tcp_established_timeout),
        ("tcpCloseWaitTimeout", conntrack.tcp_close_wait_timeout),
        ("udpTimeout", conntrack.udp_timeout),
        ("udpStreamTimeout", conntrack.udp_stream_timeout),
    ] {
        rules.at_least_zero(&format!("conntrack.{name}"), value, KERNELS);
    }
}

fn ipvs(of: &Configuration, rules: &mut Rules<'_>) {
    let ipvs = &of.ipvs;
    if let (false, Err(_)) = (ipvs.scheduler.is_empty(), ipvs.scheduler.parse::<Scheduler>()) {
        rules.broken("ipvs.scheduler", &ipvs.scheduler, NoSuchScheduler::RULE, "leave it out for rr");
    }
    for (name, value) in
        [("tcpTimeout", ipvs.tcp_timeout), ("tcpFinTimeout", ipvs.tcp_fin_timeout), ("udpTimeout", ipvs.udp_timeout)]
    {
        rules.at_least_zero(&format!("ipvs.{name}"), value, "write 0 to leave the kernel's own value");
    }
    for (index, entry) in ipvs.exclude_cidrs.iter().flatten().enumerate() {
        if let Err(error) = crate::value::cidr(entry) {
            rules.broken(&format!("ipvs.excludeCIDRs[{index}]"), &error.entry, error.rule, error.rule.advice());
        }
    }
}
