//! The daemon's flags: kube-proxy's, by its names and defaults, and Portolan's own.
//!
//! ```text
//!   os arguments ----> go_arguments ----> clap ----> Flags ----> resolve
//!                       go.rs: Go's syntax            texts       values, with the file
//! ```
//!
//! Values stay texts here, so that all that are wrong can be told at once. A flag of kube-proxy's that is no logging
//! flag,
//! `--hostname-override` or `--master` has no effect beside `--config`: there the file counts, as in kube-proxy.

mod apply;
mod conntrack;
mod go;
mod ipvs;
mod logging;
mod names;
mod own;
mod parse;
mod shown;

use clap::Args;

use crate::problem::Problem;

pub(crate) use apply::{apply, apply_logging, in_vain};
pub use conntrack::ConntrackFlags;
pub use go::go_arguments;
pub use ipvs::IpvsFlags;
pub use logging::LoggingFlags;
pub(crate) use names::flag_of;
pub use own::OwnFlags;
pub(crate) use parse::{boolean, switch};
pub use shown::flag_values;

/// The daemon's command line, after `go_arguments`.
///
/// A doubled `Option` is a switch: absent, `--flag`, or `--flag=value`.
#[derive(Debug, Clone, Default, Args)]
#[command(disable_version_flag = true)]
pub struct Flags {
    /// A file with a KubeProxyConfiguration (YAML or JSON); most flags have no effect beside it
    #[arg(long, value_name = "FILE")]
    pub config: Option<String>,
    /// Write the configuration that this command line comes to into a file, and end
    #[arg(long, value_name = "FILE")]
    pub write_config_to: Option<String>,
    /// Remove everything of Portolan's and of kube-proxy's from the kernel, and end
    #[arg(long, value_name = "BOOL", require_equals = true)]
    pub cleanup: Option<Option<String>>,
    /// Do what needs full privileges (sysctls), and end; afterwards CAP_NET_ADMIN is enough
    #[arg(long, value_name = "BOOL", require_equals = true)]
    pub init_only: Option<Option<String>>,
    /// Print the version, and end; `raw` prints all that is known of it
    #[arg(long, value_name = "BOOL|raw", require_equals = true)]
    pub version: Option<Option<String>>,
    /// The name of this node's Node object, in place of the host's name; counts also beside --config
    #[arg(long, value_name = "NAME")]
    pub hostname_override: Option<String>,
    /// URL of the API server, in place of the kubeconfig's; counts also beside --config
    #[arg(long, value_name = "URL")]
    pub master: Option<String>,
    /// A kubeconfig file; without it, and without --master, the pod's ServiceAccount
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<String>,
    /// No effect: Portolan speaks JSON with the API server [default: application/vnd.kubernetes.protobuf]
    #[arg(long, value_name = "TYPE")]
    pub kube_api_content_type: Option<String>,
    /// Requests to the API server in a second; negative for no limit [default: 5]
    #[arg(long, value_name = "NUMBER")]
    pub kube_api_qps: Option<String>,
    /// Requests to the API server at once [default: 10]
    #[arg(long, value_name = "NUMBER")]
    pub kube_api_burst: Option<String>,
    /// How often all objects are looked at again [default: 15m]
    #[arg(long, value_name = "DURATION")]
    pub config_sync_period: Option<String>,
    /// Features of Kubernetes that are switched on or off: NAME=BOOL, with commas between them
    #[arg(long, value_name = "NAME=BOOL[,...]")]
    pub feature_gates: Vec<String>,
    /// This node's primary address, in place of the Node object's; nothing is bound to it [default: 0.0.0.0]
    #[arg(long, value_name = "IP")]
    pub bind_address: Option<String>,
    /// End if /healthz or /metrics cannot be served, in place of trying again
    #[arg(long, value_name = "BOOL", require_equals = true)]
    pub bind_address_hard_fail: Option<Option<String>>,
    /// Where /healthz, /livez and /readyz are served [default: 0.0.0.0:10256]
    #[arg(long, value_name = "IP[:PORT]")]
    pub healthz_bind_address: Option<String>,
    /// The port of --healthz-bind-address where it has none; 0 switches it off. Deprecated [default: 10256]
    #[arg(long, value_name = "PORT")]
    pub healthz_port: Option<String>,
    /// Where /metrics, /configz and /proxyMode are served [default: 127.0.0.1:10249]
    #[arg(long, value_name = "IP[:PORT]")]
    pub metrics_bind_address: Option<String>,
    /// The port of --metrics-bind-address where it has none. Deprecated [default: 10249]
    #[arg(long, value_name = "PORT")]
    pub metrics_port: Option<String>,
    /// Serve /debug beside /metrics
    #[arg(long, value_name = "BOOL", require_equals = true)]
    pub profiling: Option<Option<String>>,
    /// Show metrics that were hidden since this Kubernetes version, which can be the one before only
    #[arg(long, value_name = "MAJOR.MINOR")]
    pub show_hidden_metrics_for_version: Option<String>,
    /// Which part of the kernel is programmed: nftables. Blank is nftables with NodePorts on all the node's addresses
    #[arg(long, value_name = "MODE")]
    pub proxy_mode: Option<String>,
    /// Which bit of the packet mark says "masquerade": 0 to 31, in all modes [default: 14]
    #[arg(long, value_name = "BIT")]
    pub iptables_masquerade_bit: Option<String>,
    /// Masquerade every connection to a cluster IP, those of pods too
    #[arg(long, value_name = "BOOL", require_equals = true)]
    pub masquerade_all: Option<Option<String>>,
    /// NodePorts on 127.0.0.1, in iptables mode [default: true]
    #[arg(long, value_name = "BOOL", require_equals = true)]
    pub iptables_localhost_nodeports: Option<Option<String>>,
    /// How often everything is checked, in nftables mode too [default: 30s]
    #[arg(long, value_name = "DURATION")]
    pub iptables_sync_period: Option<String>,
    /// The least time between two syncs, in nftables mode too [default: 0s]
    #[arg(long, value_name = "DURATION")]
    pub iptables_min_sync_period: Option<String>,
    /// How connections of this node's pods are told from others: ClusterCIDR, NodeCIDR, BridgeInterface or
    /// InterfaceNamePrefix [default: ClusterCIDR]
    #[arg(long, value_name = "MODE")]
    pub detect_local_mode: Option<String>,
    /// ClusterCIDR: the addresses of pods, one CIDR for each IP family
    #[arg(long, value_name = "CIDR[,CIDR]")]
    pub cluster_cidr: Option<String>,
    /// BridgeInterface: the bridge of the pods; their connections come in by it
    #[arg(long, value_name = "NAME")]
    pub pod_bridge_interface: Option<String>,
    /// InterfaceNamePrefix: how the names of the pods' interfaces begin
    #[arg(long, value_name = "PREFIX")]
    pub pod_interface_name_prefix: Option<String>,
    /// Which of the node's addresses have NodePorts: `primary`, or those inside one of these CIDRs [default: primary; all of them
    /// without a mode]
    #[arg(long, value_name = "primary|CIDR[,CIDR...]")]
    pub nodeport_addresses: Vec<String>,
    /// How likely the kernel ends this process when memory is short: -1000 (never) to 1000 [default: -999]
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub oom_score_adj: Option<String>,
    /// No effect: Portolan does not read it
    #[arg(long, value_name = "FILES")]
    pub boot_id_file: Option<String>,
    /// No effect: Portolan does not read it
    #[arg(long, value_name = "FILES")]
    pub machine_id_file: Option<String>,
    /// Log lines.
    #[command(flatten, next_help_heading = "Log lines; these count also beside --config")]
    pub logging: LoggingFlags,
    /// The kernel's connection tracking.
    #[command(flatten, next_help_heading = "Connection tracking")]
    pub conntrack: ConntrackFlags,
    /// For ipvs mode.
    #[command(flatten, next_help_heading = "For ipvs mode")]
    pub ipvs: IpvsFlags,
    /// Not of kube-proxy.
    #[command(flatten, next_help_heading = "Portolan's own; these count also beside --config")]
    pub own: OwnFlags,
    /// What of the command line is not understood, by [`go_arguments`]: told with all else that is wrong.
    #[arg(skip)]
    pub mistakes: Vec<Problem>,
}

impl Flags {
    /// The file of the configuration, if there is one.
    #[must_use]
    pub fn config(&self) -> Option<&str> {
        self.config.as_deref().filter(|path| !path.is_empty())
    }
}
