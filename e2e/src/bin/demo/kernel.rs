//! What each mode has in the kernel, as the usual programs show it, and how somebody takes it away.

use portolan_e2e::Mode;

/// What somebody does.
pub(crate) struct Drift {
    pub(crate) what: &'static str,
    /// The command.
    pub(crate) by: &'static str,
}

/// Commands that show what Portolan has written, where that is short.
pub(crate) const fn programs(mode: Mode) -> &'static [&'static str] {
    match mode {
        Mode::Nftables => &["nft list map ip portolan endpoints-3"],
        Mode::Iptables => &["iptables -t nat -S KUBE-SERVICES"],
        Mode::Ipvs => &["ipvsadm -Ln", "ip addr show dev kube-ipvs0"],
    }
}

/// The command that shows an endpoint that is going, and what there is to see.
pub(crate) const fn going(mode: Mode) -> Option<(&'static str, &'static str)> {
    match mode {
        Mode::Nftables | Mode::Iptables => None,
        Mode::Ipvs => Some((
            "ipvsadm -Ln -t 10.96.0.10:80",
            "With weight 0 it gets no new connections. It is removed when IPVS has forgotten those that it had.",
        )),
    }
}

/// What is repaired.
pub(crate) const fn drifts(mode: Mode) -> &'static [Drift] {
    match mode {
        Mode::Nftables => &[Drift { what: "Somebody flushes all rules", by: "nft flush ruleset" }],
        Mode::Iptables => &[Drift { what: "Somebody flushes a table", by: "iptables -t nat -F" }],
        Mode::Ipvs => &[
            Drift { what: "Somebody deletes a virtual server", by: "ipvsadm -D -t 10.96.0.10:80" },
            Drift { what: "Somebody deletes them all", by: "ipvsadm -C" },
        ],
    }
}
