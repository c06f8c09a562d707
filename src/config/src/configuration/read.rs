//! From a document to a `Configuration` with kube-proxy's defaults.

use std::net::IpAddr;

use portolan_core::addr::read_ip;

use super::{
    ApiVersion, ClientConnection, Configuration, Conntrack, DetectLocalNames, GROUP, Iptables, Ipvs, Kind, Nftables,
    Winkernel, default,
};
use crate::{
    duration::GoDuration,
    fields::{Fields, Section},
    problem::{Findings, Problem, Problems, Warning},
    tree::Node,
};

const KIND: &str = "KubeProxyConfiguration";
const VERSION: &str = "kubeproxy.config.k8s.io/v1alpha1";

impl Configuration {
    /// Reads a file. Values may still break rules.
    ///
    /// # Errors
    /// When it is neither YAML nor JSON, of another kind, or has values of a wrong type.
    pub fn parse(text: &str) -> Result<(Self, Vec<Warning>), Problems> {
        let mut findings = Findings::default();
        let configuration = Self::parse_into(text, &mut findings);
        match configuration {
            Some(configuration) if findings.problems.is_empty() => Ok((configuration, findings.warnings)),
            _ => Err(findings.into()),
        }
    }

    /// The same, with what was found beside others; nothing where it is no configuration at all.
    pub(crate) fn parse_into(text: &str, findings: &mut Findings) -> Option<Self> {
        let documents = match Node::read(text) {
            Ok(documents) => documents,
            Err(why) => {
                let rule = format!("is neither YAML nor JSON ({why})");
                findings.problem(Problem::without_value("--config", rule, "correct the file"));
                return None;
            }
        };
        if documents.len() > 1 {
            let rule = "has a second document, which has no effect";
            findings.warning(Problem::without_value("--config", rule, "remove it"));
        }
        let entries = match documents.first() {
            Some(Node::Map(entries)) => entries.as_slice(),
            None | Some(Node::Null) => &[],
            Some(_) => {
                findings.problem(Problem::without_value("--config", format!("is not a {KIND}"), "correct the file"));
                return None;
            }
        };
        let mut fields = Fields::of_document(entries, findings);
        let kind = fields.value::<String>("kind");
        let version = fields.value::<String>("apiVersion");
        if kind != KIND || version != VERSION {
            wrong("kind", &kind, KIND, findings);
            wrong("apiVersion", &version, VERSION, findings);
            return None;
        }
        let configuration = Self::read(&mut fields);
        fields.warn_of_others();
        Some(configuration)
    }
}

fn wrong(path: &str, value: &str, right: &str, findings: &mut Findings) {
    let advice = format!("write `{path}: {right}`");
    if value.is_empty() && findings.problems.iter().all(|problem| problem.path != path) {
        findings.problem(Problem::without_value(path, "is missing", advice));
    } else if !value.is_empty() && value != right {
        let other = if path == "apiVersion" && value.starts_with(GROUP) { "a version that" } else { "what" };
        findings.problem(Problem::new(path, value, format!("is not {other} Portolan reads"), advice));
    }
}

/// kube-proxy's defaults: an empty file.
impl Default for Configuration {
    fn default() -> Self {
        let mut findings = Findings::default();
        <Self as Section>::read(&mut Fields::of_document(&[], &mut findings))
    }
}

impl Section for Configuration {
    fn read(fields: &mut Fields<'_>) -> Self {
        let bind_address = or(fields.value("bindAddress"), default::BIND_ADDRESS);
        let (healthz, metrics) = default_addresses(&bind_address);
        Self {
            kind: Kind::default(),
            api_version: ApiVersion::default(),
            feature_gates: fields.map("featureGates"),
            client_connection: fields.section("clientConnection"),
            logging: fields.section("logging"),
            hostname_override: fields.value("hostnameOverride"),
            healthz_bind_address: with_port(or(fields.value("healthzBindAddress"), healthz), default::HEALTHZ_PORT),
            metrics_bind_address: with_port(or(fields.value("metricsBindAddress"), metrics), default::METRICS_PORT),
            bind_address,
            bind_address_hard_fail: fields.value("bindAddressHardFail"),
            enable_profiling: fields.value("enableProfiling"),
            show_hidden_metrics_for_version: fields.value("showHiddenMetricsForVersion"),
            mode: fields.value("mode"),
            iptables: fields.section("iptables"),
            ipvs: fields.section("ipvs"),
            nftables: fields.section("nftables"),
            winkernel: fields.section("winkernel"),
            detect_local_mode: fields.value("detectLocalMode"),
            detect_local: fields.section("detectLocal"),
            cluster_cidr: fields.value("clusterCIDR"),
            node_port_addresses: fields.list("nodePortAddresses"),
            oom_score_adj: fields.value::<Option<_>>("oomScoreAdj").unwrap_or(default::OOM_SCORE_ADJ),
            conntrack: fields.section("conntrack"),
            config_sync_period: duration(fields, "configSyncPeriod", default::CONFIG_SYNC_PERIOD),
            port_range: fields.value("portRange"),
            windows_run_as_service: fields.value("windowsRunAsService"),
        }
    }
}

fn or(text: String, default: &str) -> String {
    if text.is_empty() { default.to_owned() } else { text }
}

/// A duration that is no pointer: absent is zero, and zero is its default.
fn duration(fields: &mut Fields<'_>, name: &'static str, default: GoDuration) -> GoDuration {
    fields.value::<GoDuration>(name).or(default)
}

/// Both servers are by default on addresses of the family that `bindAddress` has.
fn default_addresses(bind_address: &str) -> (&'static str, &'static str) {
    match read_ip(bind_address).map(|read| read.addr) {
        Some(IpAddr::V4(_)) => ("0.0.0.0", "127.0.0.1"),
        _ => ("::", "::1"),
    }
}

/// An address without a port gets one; anything else is left to validation (`AppendPortIfNeeded`).
pub(crate) fn with_port(address: String, port: u16) -> String {
    if read_ip(&address).is_none() {
        address
    } else if address.contains(':') {
        format!("[{address}]:{port}")
    } else {
        format!("{address}:{port}")
    }
}

impl Section for ClientConnection {
    fn read(fields: &mut Fields<'_>) -> Self {
        let nonzero = |number: f32| if number == 0.0 { default::QPS } else { number };
        Self {
            kubeconfig: fields.value("kubeconfig"),
            accept_content_types: fields.value("acceptContentTypes"),
            content_type: or(fields.value("contentType"), default::CONTENT_TYPE),
            qps: nonzero(fields.value("qps")),
            burst: match fields.value("burst") {
                0 => default::BURST,
                burst => burst,
            },
        }
    }
}

impl Section for Iptables {
    fn read(fields: &mut Fields<'_>) -> Self {
        Self {
            masquerade_bit: fields.value::<Option<_>>("masqueradeBit").unwrap_or(default::MASQUERADE_BIT),
            masquerade_all: fields.value("masqueradeAll"),
            localhost_node_ports: fields.value::<Option<_>>("localhostNodePorts").unwrap_or(true),
            sync_period: duration(fields, "syncPeriod", default::SYNC_PERIOD),
            min_sync_period: explicit(fields, "minSyncPeriod"),
        }
    }
}

impl Section for Nftables {
    fn read(fields: &mut Fields<'_>) -> Self {
        Self {
            masquerade_bit: fields.value::<Option<_>>("masqueradeBit").unwrap_or(default::MASQUERADE_BIT),
            masquerade_all: fields.value("masqueradeAll"),
            sync_period: duration(fields, "syncPeriod", default::SYNC_PERIOD),
            min_sync_period: explicit(fields, "minSyncPeriod"),
        }
    }
}

/// Zero is what kubeadm writes for "not said".
fn explicit(fields: &mut Fields<'_>, name: &'static str) -> Option<GoDuration> {
    Some(fields.value(name)).filter(|duration| *duration != GoDuration::ZERO)
}

impl Section for Ipvs {
    fn read(fields: &mut Fields<'_>) -> Self {
        Self {
            sync_period: duration(fields, "syncPeriod", default::SYNC_PERIOD),
            min_sync_period: fields.value("minSyncPeriod"),
            scheduler: fields.value("scheduler"),
            exclude_cidrs: fields.list("excludeCIDRs"),
            strict_arp: fields.value("strictARP"),
            tcp_timeout: fields.value("tcpTimeout"),
            tcp_fin_timeout: fields.value("tcpFinTimeout"),
            udp_timeout: fields.value("udpTimeout"),
        }
    }
}

impl Section for Winkernel {
    fn read(fields: &mut Fields<'_>) -> Self {
        Self {
            network_name: fields.value("networkName"),
            source_vip: fields.value("sourceVip"),
            enable_dsr: fields.value("enableDSR"),
            root_hns_endpoint_name: fields.value("rootHnsEndpointName"),
            forward_health_check_vip: fields.value("forwardHealthCheckVip"),
        }
    }
}

impl Section for DetectLocalNames {
    fn read(fields: &mut Fields<'_>) -> Self {
        Self {
            bridge_interface: fields.value("bridgeInterface"),
            interface_name_prefix: fields.value("interfaceNamePrefix"),
        }
    }
}

impl Section for Conntrack {
    fn read(fields: &mut Fields<'_>) -> Self {
        // Pointers: null is the default, and zero leaves the kernel's value.
        let mut pointer = |name, default| fields.value::<Option<_>>(name).unwrap_or(default);
        let tcp_established_timeout = pointer("tcpEstablishedTimeout", default::TCP_ESTABLISHED_TIMEOUT);
        let tcp_close_wait_timeout = pointer("tcpCloseWaitTimeout", default::TCP_CLOSE_WAIT_TIMEOUT);
        Self {
            max_per_core: fields.value::<Option<_>>("maxPerCore").unwrap_or(default::CONNTRACK_MAX_PER_CORE),
            min: fields.value::<Option<_>>("min").unwrap_or(default::CONNTRACK_MIN),
            tcp_established_timeout,
            tcp_close_wait_timeout,
            tcp_be_liberal: fields.value("tcpBeLiberal"),
            udp_timeout: fields.value("udpTimeout"),
            udp_stream_timeout: fields.value("udpStreamTimeout"),
        }
    }
}
