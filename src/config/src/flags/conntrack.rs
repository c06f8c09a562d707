//! Flags about the kernel's connection tracking.

use clap::Args;

/// Flags about the kernel's connection tracking.
#[derive(Debug, Clone, Default, Args)]
pub struct ConntrackFlags {
    /// Connections that the kernel tracks, for each processor; 0 leaves its limit [default: 32768]
    #[arg(long, value_name = "NUMBER")]
    pub conntrack_max_per_core: Option<String>,
    /// Connections that the kernel tracks at least [default: 131072]
    #[arg(long, value_name = "NUMBER")]
    pub conntrack_min: Option<String>,
    /// How long an idle TCP connection is kept; 0 leaves the kernel's value [default: 24h]
    #[arg(long, value_name = "DURATION")]
    pub conntrack_tcp_timeout_established: Option<String>,
    /// The same for one that the other side has closed [default: 1h]
    #[arg(long, value_name = "DURATION")]
    pub conntrack_tcp_timeout_close_wait: Option<String>,
    /// Take TCP packets outside the window for valid
    #[arg(long, value_name = "BOOL", require_equals = true)]
    pub conntrack_tcp_be_liberal: Option<Option<String>>,
    /// How long a UDP packet without an answer is kept; 0 leaves the kernel's value [default: 0s]
    #[arg(long, value_name = "DURATION")]
    pub conntrack_udp_timeout: Option<String>,
    /// The same for UDP with answers [default: 0s]
    #[arg(long, value_name = "DURATION")]
    pub conntrack_udp_timeout_stream: Option<String>,
}
