//! The files that may be written, and what each is for.

/// A file that may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Setting {
    Max,
    HashSize,
    TcpEstablished,
    TcpCloseWait,
    Udp,
    UdpStream,
    TcpBeLiberal,
    RouteLocalnet,
    VsConntrack,
    VsExpireNodest,
    VsExpireQuiescent,
    VsConnReuse,
    VsConnLoad,
    ArpIgnore,
    ArpAnnounce,
}

impl Setting {
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Max => "proc/sys/net/netfilter/nf_conntrack_max",
            // Of the whole machine, whatever network namespace one is in.
            Self::HashSize => "sys/module/nf_conntrack/parameters/hashsize",
            Self::TcpEstablished => "proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established",
            Self::TcpCloseWait => "proc/sys/net/netfilter/nf_conntrack_tcp_timeout_close_wait",
            Self::Udp => "proc/sys/net/netfilter/nf_conntrack_udp_timeout",
            Self::UdpStream => "proc/sys/net/netfilter/nf_conntrack_udp_timeout_stream",
            Self::TcpBeLiberal => "proc/sys/net/netfilter/nf_conntrack_tcp_be_liberal",
            Self::RouteLocalnet => "proc/sys/net/ipv4/conf/all/route_localnet",
            Self::VsConntrack => "proc/sys/net/ipv4/vs/conntrack",
            Self::VsExpireNodest => "proc/sys/net/ipv4/vs/expire_nodest_conn",
            Self::VsExpireQuiescent => "proc/sys/net/ipv4/vs/expire_quiescent_template",
            Self::VsConnReuse => "proc/sys/net/ipv4/vs/conn_reuse_mode",
            Self::VsConnLoad => "proc/sys/net/ipv4/vs/conn_lfactor",
            Self::ArpIgnore => "proc/sys/net/ipv4/conf/all/arp_ignore",
            Self::ArpAnnounce => "proc/sys/net/ipv4/conf/all/arp_announce",
        }
    }

    /// Whether kernels without it need it not: the connection table of IPVS had one size before it had this.
    pub(super) const fn is_of_newer_kernels(self) -> bool {
        matches!(self, Self::VsConnLoad)
    }

    /// What it means that it could not be written, and which option leaves it alone.
    pub(super) const fn meaning(self) -> (&'static str, &'static str) {
        match self {
            Self::Max => ("new connections fail when the table is full", "--conntrack-max-per-core=0"),
            Self::HashSize => ("a full table is slower", "--conntrack-max-per-core=0"),
            Self::TcpEstablished => {
                ("idle TCP connections are remembered as long as before", "--conntrack-tcp-timeout-established=0")
            }
            Self::TcpCloseWait => {
                ("half-closed TCP connections are remembered as long as before", "--conntrack-tcp-timeout-close-wait=0")
            }
            Self::Udp => ("UDP flows without answers are remembered as long as before", "--conntrack-udp-timeout=0"),
            Self::UdpStream => ("UDP flows are remembered as long as before", "--conntrack-udp-timeout-stream=0"),
            Self::TcpBeLiberal => {
                ("TCP packets outside the window are invalid as before", "--conntrack-tcp-be-liberal=false")
            }
            Self::RouteLocalnet => {
                ("NodePorts at 127.0.0.1 do not answer unless it is set", "--iptables-localhost-nodeports=false")
            }
            Self::VsConntrack => ("clients that must be masqueraded get no answer unless it is set", "mode: nftables"),
            Self::VsExpireNodest => {
                ("UDP clients of an endpoint that is gone are silent until their flow expires", "mode: nftables")
            }
            Self::VsExpireQuiescent => (
                "clients with session affinity stay with an endpoint that is to get no more connections",
                "mode: nftables",
            ),
            Self::VsConnReuse => (
                "a client that uses a port again stays with the endpoint that it had, where it is not 1",
                "mode: nftables",
            ),
            Self::VsConnLoad => (
                "connections from a port that is used again at once may fail while the table of connections grows",
                "mode: nftables",
            ),
            Self::ArpIgnore | Self::ArpAnnounce => {
                ("the node answers ARP for the addresses of Services", "--ipvs-strict-arp=false")
            }
        }
    }
}
