//! What the daemon acts upon: the configuration in the types that the code wants, with nothing left to be decided.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use portolan_core::{
    addr::{Family, PerFamily, read_ip},
    desired::{InterfaceName, Scheduler},
    model::{AtLoopback, DetectLocal, NodeConfig, NodePortAddresses},
};

use crate::{
    configuration::Configuration,
    detect::DetectLocalMode,
    duration::GoDuration,
    gates::Features,
    mode::Mode,
    problem::{Problem, Problems},
    resolve::Resolved,
    validate::socket_address,
    value::{ClusterCidr, Hostname, MasqueradeBit, NodePortList},
};

/// What the daemon acts upon.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// What is programmed.
    pub mode: Mode,
    /// Whether no mode was said, which is iptables.
    pub mode_defaulted: bool,
    /// What the model is told about the node.
    pub node: NodeConfig,
    /// How often everything is checked.
    pub sync_period: Duration,
    /// The least time between two syncs. Nobody waits by default, unlike in kube-proxy: changes that come while a
    /// transaction runs are in the next one.
    pub min_sync_period: Duration,
    /// How often all objects are looked at again.
    pub config_sync_period: Duration,
    /// Where /healthz is served, if anywhere.
    pub healthz: Option<SocketAddr>,
    /// Where /metrics is served.
    pub metrics: SocketAddr,
    /// Whether it is the end if these two cannot be served.
    pub bind_hard_fail: bool,
    /// Whether /debug is served.
    pub profiling: bool,
    /// What the feature gates switch on.
    pub features: Features,
    /// The kernel's connection tracking.
    pub conntrack: ConntrackSettings,
    /// IPVS, in its mode.
    pub ipvs: Option<IpvsSettings>,
    /// How likely the kernel ends the process when memory is short.
    pub oom_score_adj: i32,
    /// How the API server is reached.
    pub client: ClientSettings,
    /// Log lines.
    pub logging: LoggingSettings,
}

/// The kernel's connection tracking. What is nothing is left as the kernel has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConntrackSettings {
    /// Entries for each processor.
    pub max_per_core: Option<u32>,
    /// Entries at least, where there is a number for each processor.
    pub min: u32,
    /// How long an idle TCP connection is kept.
    pub tcp_established: Option<Duration>,
    /// The same after the other side's FIN.
    pub tcp_close_wait: Option<Duration>,
    /// Whether TCP packets outside the window are taken for valid; it is never switched off.
    pub tcp_be_liberal: bool,
    /// How long a UDP packet without answer is kept.
    pub udp: Option<Duration>,
    /// The same for UDP with answers.
    pub udp_stream: Option<Duration>,
    /// Whether unanswered TCP SYN entries to gone endpoints are removed.
    pub delete_syn_sent: bool,
}

/// IPVS itself. Times are in seconds; 0 leaves the kernel's value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IpvsSettings {
    /// For how long an idle TCP connection is kept.
    pub tcp: u32,
    /// The same after a FIN.
    pub tcp_fin: u32,
    /// The same for UDP.
    pub udp: u32,
    /// Whether the node answers ARP for an address only at the link that has it.
    pub strict_arp: bool,
}

/// How the API server is reached.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientSettings {
    /// Path to a kubeconfig file. Without it and `master` it is the pod's ServiceAccount.
    pub kubeconfig: Option<PathBuf>,
    /// URL, in place of that of the kubeconfig.
    pub master: Option<String>,
    /// Requests in a second; nothing for no limit.
    pub qps: Option<f32>,
    /// Requests at once.
    pub burst: u32,
    /// Whether lists are streamed.
    pub streaming_lists: bool,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoggingSettings {
    /// Their form.
    pub format: LogFormat,
    /// kube-proxy's `-v`.
    pub verbosity: u32,
    /// Whether errors go to stderr and everything else to stdout; otherwise all goes to stderr.
    pub split_stream: bool,
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

impl Settings {
    /// From a configuration that was judged, and the name of this host, which counts where no other is given.
    ///
    /// # Errors
    /// When the host has no name and none is given.
    pub fn new(resolved: &Resolved, host_name: &str) -> Result<Self, Problems> {
        let Resolved { configuration: of, run, features, .. } = resolved;
        let active = of.active();
        let address = |path: &str, text: &str| socket_address(text).ok_or_else(|| unjudged(path, text));
        let healthz = Some(&of.healthz_bind_address).filter(|text| !text.is_empty());
        Ok(Self {
            mode: active.mode,
            mode_defaulted: resolved.mode_defaulted,
            node: node(resolved, host_name)?,
            sync_period: active.sync_period.to_std(),
            min_sync_period: active.min_sync_period.unwrap_or(GoDuration::ZERO).to_std(),
            config_sync_period: of.config_sync_period.to_std(),
            healthz: healthz.map(|text| address("healthzBindAddress", text)).transpose()?,
            metrics: address("metricsBindAddress", &of.metrics_bind_address)?,
            bind_hard_fail: of.bind_address_hard_fail,
            profiling: of.enable_profiling,
            features: *features,
            conntrack: conntrack(of, run.conntrack_delete_syn_sent),
            ipvs: (active.mode == Mode::Ipvs).then(|| ipvs(of)),
            oom_score_adj: of.oom_score_adj,
            client: client(resolved),
            logging: logging(of, *features),
        })
    }
}

/// A value that validation lets through and no type can hold: it cannot happen, and must not end the process if it
/// does.
fn unjudged(path: &str, value: &str) -> Problems {
    Problem::new(path, value, "cannot be used", "correct it").into()
}

fn node(resolved: &Resolved, host_name: &str) -> Result<NodeConfig, Problems> {
    let of = &resolved.configuration;
    let active = of.active();
    let given = if of.hostname_override.is_empty() { host_name } else { &of.hostname_override };
    let Hostname(hostname) = given.parse().map_err(|_| {
        let rule = "is not set, and the host has no name";
        Problem::without_value("--hostname-override", rule, "give the name of this node's Node object")
    })?;
    let bit = MasqueradeBit::try_from(active.masquerade_bit);
    let masquerade_mark =
        bit.map_err(|error| unjudged(&format!("{}.masqueradeBit", active.masquerade_block), &error.entry))?.mark();
    Ok(NodeConfig {
        hostname,
        detect_local: detect_local(of)?,
        masquerade_all: active.masquerade_all,
        masquerade_mark,
        count_connections: resolved.run.count_connections,
        nodeport_addresses: nodeport_addresses(of)?,
        bind_address: read_ip(&of.bind_address).map(|read| read.addr).filter(|addr| !addr.is_unspecified()),
        at_loopback: at_loopback(resolved, active.mode),
        // A connection to an endpoint that is slow may be reset by its own packets, unless the kernel takes them for valid.
        drop_invalid: active.mode == Mode::Iptables && !of.conntrack.tcp_be_liberal,
        external_ips: resolved.features.external_ips,
        scheduler: scheduler(of, active.mode)?,
    })
}

/// Judged in ipvs mode alone.
fn scheduler(of: &Configuration, mode: Mode) -> Result<Scheduler, Problems> {
    let name = &of.ipvs.scheduler;
    if mode != Mode::Ipvs || name.is_empty() {
        return Ok(Scheduler::default());
    }
    name.parse().map_err(|_| unjudged("ipvs.scheduler", name))
}

fn ipvs(of: &Configuration) -> IpvsSettings {
    let seconds = |timeout: GoDuration| u32::try_from(timeout.to_std().as_secs()).unwrap_or(u32::MAX);
    IpvsSettings {
        tcp: seconds(of.ipvs.tcp_timeout),
        tcp_fin: seconds(of.ipvs.tcp_fin_timeout),
        udp: seconds(of.ipvs.udp_timeout),
        strict_arp: of.ipvs.strict_arp,
    }
}

/// Whether NodePorts at 127.0.0.1 are served by rules, whatever the node's name.
pub(crate) fn rules_serve_loopback(resolved: &Resolved) -> bool {
    node(resolved, "node").is_ok_and(|node| node.rules_serve_loopback(Family::V4))
}

/// Each mode has a switch of its own.
const fn at_loopback(resolved: &Resolved, mode: Mode) -> AtLoopback {
    match mode {
        Mode::Iptables if resolved.configuration.iptables.localhost_node_ports => AtLoopback::Rules,
        Mode::Nftables | Mode::Ipvs if resolved.features.localhost_node_ports => AtLoopback::Listener,
        Mode::Iptables | Mode::Nftables | Mode::Ipvs => AtLoopback::Nobody,
    }
}

fn detect_local(of: &Configuration) -> Result<DetectLocal, Problems> {
    let interface = |path, name: &str| name.parse::<InterfaceName>().map_err(|_| unjudged(path, name));
    let mode = &of.detect_local_mode;
    Ok(match DetectLocalMode::of(mode).ok_or_else(|| unjudged("detectLocalMode", mode))? {
        DetectLocalMode::ClusterCidr if of.cluster_cidr.is_empty() => DetectLocal::ClusterCidr(PerFamily::default()),
        DetectLocalMode::ClusterCidr => {
            let ClusterCidr(cidrs) = of.cluster_cidr.parse().map_err(|_| unjudged("clusterCIDR", &of.cluster_cidr))?;
            DetectLocal::ClusterCidr(cidrs)
        }
        DetectLocalMode::NodeCidr => DetectLocal::NodeCidr,
        DetectLocalMode::BridgeInterface => {
            DetectLocal::BridgeInterface(interface("detectLocal.bridgeInterface", &of.detect_local.bridge_interface)?)
        }
        DetectLocalMode::InterfaceNamePrefix => DetectLocal::InterfaceNamePrefix(interface(
            "detectLocal.interfaceNamePrefix",
            &of.detect_local.interface_name_prefix,
        )?),
    })
}

fn nodeport_addresses(of: &Configuration) -> Result<NodePortAddresses, Problems> {
    let mut entries = of.clone().effective().node_port_addresses.unwrap_or_default();
    if entries.is_empty() {
        entries.push("all".to_owned());
    }
    let NodePortList(addresses) =
        NodePortList::of(&entries).map_err(|_| unjudged("nodePortAddresses", &entries.join(",")))?;
    Ok(addresses)
}

fn conntrack(of: &Configuration, delete_syn_sent: bool) -> ConntrackSettings {
    let of = &of.conntrack;
    let number = |number: i32| u32::try_from(number).unwrap_or(0);
    let timeout = |timeout: GoDuration| Some(timeout.to_std()).filter(|timeout| !timeout.is_zero());
    ConntrackSettings {
        max_per_core: Some(number(of.max_per_core)).filter(|number| *number > 0),
        min: number(of.min),
        tcp_established: timeout(of.tcp_established_timeout),
        tcp_close_wait: timeout(of.tcp_close_wait_timeout),
        tcp_be_liberal: of.tcp_be_liberal,
        udp: timeout(of.udp_timeout),
        udp_stream: timeout(of.udp_stream_timeout),
        delete_syn_sent,
    }
}

fn client(resolved: &Resolved) -> ClientSettings {
    let (of, run) = (&resolved.configuration.client_connection, &resolved.run);
    ClientSettings {
        kubeconfig: Some(&of.kubeconfig).filter(|path| !path.is_empty()).map(PathBuf::from),
        master: run.master.clone(),
        qps: Some(of.qps).filter(|qps| *qps >= 0.0),
        burst: u32::try_from(of.burst).unwrap_or(0),
        streaming_lists: run.streaming_lists,
    }
}

fn logging(of: &Configuration, features: Features) -> LoggingSettings {
    let of = &of.logging;
    let (format, options) = match of.format.as_str() {
        "json" => (LogFormat::Json, &of.options.json),
        _ => (LogFormat::Text, &of.options.text),
    };
    let split_stream = options.split_stream && features.logging_alpha;
    LoggingSettings { format, verbosity: of.verbosity, split_stream }
}
