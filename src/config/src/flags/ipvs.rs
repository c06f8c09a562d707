//! Flags for ipvs mode.

use clap::Args;

/// Flags for ipvs mode.
#[derive(Debug, Clone, Default, Args)]
pub struct IpvsFlags {
    /// How often everything is checked [default: 30s]
    #[arg(long, value_name = "DURATION")]
    pub ipvs_sync_period: Option<String>,
    /// The least time between two syncs [default: 1s]
    #[arg(long, value_name = "DURATION")]
    pub ipvs_min_sync_period: Option<String>,
    /// How an endpoint is chosen [default: rr]
    #[arg(long, value_name = "NAME")]
    pub ipvs_scheduler: Option<String>,
    /// Virtual servers inside these CIDRs are left alone
    #[arg(long, value_name = "CIDR[,CIDR...]")]
    pub ipvs_exclude_cidrs: Vec<String>,
    /// Answer ARP only at the link that has the address
    #[arg(long, value_name = "BOOL", require_equals = true)]
    pub ipvs_strict_arp: Option<Option<String>>,
    /// How long an idle TCP connection is kept; 0 leaves the kernel's value [default: 0s]
    #[arg(long, value_name = "DURATION")]
    pub ipvs_tcp_timeout: Option<String>,
    /// The same after a FIN [default: 0s]
    #[arg(long, value_name = "DURATION")]
    pub ipvs_tcpfin_timeout: Option<String>,
    /// The same for UDP [default: 0s]
    #[arg(long, value_name = "DURATION")]
    pub ipvs_udp_timeout: Option<String>,
}
