//! `KubeProxyConfiguration`, `kubeproxy.config.k8s.io/v1alpha1`: kube-proxy's configuration file, field by field.
//!
//! ```text
//!   text ----> Node ------> Configuration ------> effective() -------> YAML (--write-config-to), JSON (/configz)
//!       tree.rs    read.rs   with defaults     as the mode has it    yaml.rs
//! ```
//!
//! The fields stand here in the order in which kube-proxy writes them as JSON; YAML is sorted by name. A value of
//! this type has kube-proxy's defaults filled in, and may still break its rules (`validate`).

mod active;
mod effective;
mod logging;
mod read;
mod write;
mod yaml;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::duration::GoDuration;

pub(crate) use active::Active;
pub(crate) use logging::is_quantity;
pub use logging::{FlushFrequency, FormatOptions, Logging, OutputRouting, VModuleItem};

pub(crate) use read::with_port;

/// The API group of the file, and the name under which /configz shows it.
pub const GROUP: &str = "kubeproxy.config.k8s.io";

/// What kube-proxy does where nothing is said, for fields whose default is not that of their type.
pub(crate) mod default {
    use crate::duration::GoDuration;

    pub(crate) const BIND_ADDRESS: &str = "0.0.0.0";
    pub(crate) const HEALTHZ_PORT: u16 = 10256;
    pub(crate) const METRICS_PORT: u16 = 10249;
    pub(crate) const CONTENT_TYPE: &str = "application/vnd.kubernetes.protobuf";
    pub(crate) const QPS: f32 = 5.0;
    pub(crate) const BURST: i32 = 10;
    pub(crate) const MASQUERADE_BIT: i32 = 14;
    pub(crate) const SYNC_PERIOD: GoDuration = GoDuration::seconds(30);
    pub(crate) const MIN_SYNC_PERIOD: GoDuration = GoDuration::seconds(1);
    pub(crate) const CONFIG_SYNC_PERIOD: GoDuration = GoDuration::seconds(15 * 60);
    pub(crate) const OOM_SCORE_ADJ: i32 = -999;
    pub(crate) const CONNTRACK_MAX_PER_CORE: i32 = 32 * 1024;
    pub(crate) const CONNTRACK_MIN: i32 = 128 * 1024;
    pub(crate) const TCP_ESTABLISHED_TIMEOUT: GoDuration = GoDuration::seconds(24 * 60 * 60);
    pub(crate) const TCP_CLOSE_WAIT_TIMEOUT: GoDuration = GoDuration::seconds(60 * 60);
    pub(crate) const LOG_FORMAT: &str = "text";
    pub(crate) const FLUSH_FREQUENCY: GoDuration = GoDuration::seconds(5);
    /// The one mode of telling pods from others that works without knowing anything.
    pub(crate) const DETECT_LOCAL_MODE: &str = "ClusterCIDR";
}

/// kube-proxy's configuration.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Configuration {
    kind: Kind,
    api_version: ApiVersion,
    /// Features of Kubernetes that are switched on or off by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub feature_gates: BTreeMap<String, bool>,
    /// How the API server is reached.
    pub client_connection: ClientConnection,
    /// Log lines.
    pub logging: Logging,
    /// The name of this node's Node object; empty for the host's name.
    pub hostname_override: String,
    /// This node's primary address; unspecified for that of the Node object. No socket is bound to it.
    pub bind_address: String,
    /// Where /healthz and /livez are served.
    pub healthz_bind_address: String,
    /// Where /metrics, /configz and others are served.
    pub metrics_bind_address: String,
    /// Whether it is the end if these two cannot be served.
    pub bind_address_hard_fail: bool,
    /// Whether /debug is served beside /metrics.
    pub enable_profiling: bool,
    /// The Kubernetes version whose metrics are shown although they are hidden now.
    pub show_hidden_metrics_for_version: String,
    /// `nftables`, `iptables`, `ipvs` or nothing.
    pub mode: String,
    /// What counts in iptables mode, and where no mode is said.
    pub iptables: Iptables,
    /// What counts in ipvs mode.
    pub ipvs: Ipvs,
    /// What counts in nftables mode.
    pub nftables: Nftables,
    /// Windows only.
    pub winkernel: Winkernel,
    /// How connections of pods are told from others.
    pub detect_local_mode: String,
    /// What two of these ways need.
    pub detect_local: DetectLocalNames,
    /// What the first of them needs: one CIDR, or one of each family with a comma between them.
    #[serde(rename = "clusterCIDR")]
    pub cluster_cidr: String,
    /// CIDRs of the node's addresses that have NodePorts, or the word `primary`.
    pub node_port_addresses: Option<Vec<String>>,
    /// How likely the kernel ends the process when memory is short.
    pub oom_score_adj: i32,
    /// The kernel's connection tracking.
    pub conntrack: Conntrack,
    /// How often all objects are looked at again.
    pub config_sync_period: GoDuration,
    /// Of kube-proxy's userspace mode, which is gone.
    pub port_range: String,
    /// Windows only.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub windows_run_as_service: bool,
}

/// `kind`, which has one value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
enum Kind {
    #[default]
    KubeProxyConfiguration,
}

/// `apiVersion`, which has one value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
enum ApiVersion {
    #[default]
    #[serde(rename = "kubeproxy.config.k8s.io/v1alpha1")]
    V1alpha1,
}

/// `clientConnection`
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientConnection {
    /// Path to a kubeconfig file; empty for the ServiceAccount of the pod.
    pub kubeconfig: String,
    /// Which encodings of answers are asked for.
    pub accept_content_types: String,
    /// The encoding of requests.
    pub content_type: String,
    /// Requests a second.
    #[serde(serialize_with = "write::number")]
    pub qps: f32,
    /// Requests at once.
    pub burst: i32,
}

/// `iptables`
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Iptables {
    /// Which bit of the packet mark says "masquerade".
    pub masquerade_bit: i32,
    /// Whether pods are masqueraded too when they connect to a cluster IP.
    pub masquerade_all: bool,
    /// Whether NodePorts are served on 127.0.0.1.
    pub localhost_node_ports: bool,
    /// How often everything is checked.
    pub sync_period: GoDuration,
    /// The least time between two syncs; nothing where kube-proxy's default is meant.
    #[serde(serialize_with = "write::min_sync_period")]
    pub min_sync_period: Option<GoDuration>,
}

/// `ipvs`
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ipvs {
    /// How often everything is checked.
    pub sync_period: GoDuration,
    /// The least time between two syncs.
    pub min_sync_period: GoDuration,
    /// How an endpoint is chosen; empty for round robin.
    pub scheduler: String,
    /// Virtual servers that are left alone.
    #[serde(rename = "excludeCIDRs")]
    pub exclude_cidrs: Option<Vec<String>>,
    /// Whether the node answers ARP only at the link that has the address.
    #[serde(rename = "strictARP")]
    pub strict_arp: bool,
    /// How long an idle TCP connection is kept; 0 leaves the kernel's value.
    pub tcp_timeout: GoDuration,
    /// The same after a FIN.
    pub tcp_fin_timeout: GoDuration,
    /// The same for UDP.
    pub udp_timeout: GoDuration,
}

/// `nftables`
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Nftables {
    /// Which bit of the packet mark says "masquerade".
    pub masquerade_bit: i32,
    /// Whether pods are masqueraded too when they connect to a cluster IP.
    pub masquerade_all: bool,
    /// How often everything is checked.
    pub sync_period: GoDuration,
    /// The least time between two syncs; nothing where kube-proxy's default is meant.
    #[serde(serialize_with = "write::min_sync_period")]
    pub min_sync_period: Option<GoDuration>,
}

/// `winkernel`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Winkernel {
    /// Windows only.
    pub network_name: String,
    /// Windows only.
    pub source_vip: String,
    /// Windows only.
    #[serde(rename = "enableDSR")]
    pub enable_dsr: bool,
    /// Windows only.
    pub root_hns_endpoint_name: String,
    /// Windows only.
    pub forward_health_check_vip: bool,
}

/// `detectLocal`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DetectLocalNames {
    /// BridgeInterface: the bridge of the pods.
    pub bridge_interface: String,
    /// InterfaceNamePrefix: how the names of the pods' interfaces begin.
    pub interface_name_prefix: String,
}

/// `conntrack`
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Conntrack {
    /// Entries for each processor; 0 leaves the kernel's limit.
    pub max_per_core: i32,
    /// Entries at least.
    pub min: i32,
    /// How long an idle TCP connection is kept; 0 leaves the kernel's value.
    pub tcp_established_timeout: GoDuration,
    /// The same after the other side's FIN.
    pub tcp_close_wait_timeout: GoDuration,
    /// Whether TCP packets outside the window are taken for valid.
    pub tcp_be_liberal: bool,
    /// How long a UDP packet without answer is kept; 0 leaves the kernel's value.
    pub udp_timeout: GoDuration,
    /// The same for UDP with answers.
    pub udp_stream_timeout: GoDuration,
}
