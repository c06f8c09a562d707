//! The block of the file that the mode makes count.

use super::Configuration;
use crate::{duration::GoDuration, mode::Mode};

/// What kube-proxy keeps once for all modes, and where it stands in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Active {
    /// What is programmed.
    pub(crate) mode: Mode,
    /// The block with the periods: that of the mode, or `iptables` where nftables stands in.
    pub(crate) block: &'static str,
    /// The block that says how to masquerade. ipvs has nothing about it.
    pub(crate) masquerade_block: &'static str,
    pub(crate) masquerade_bit: i32,
    pub(crate) masquerade_all: bool,
    pub(crate) sync_period: GoDuration,
    /// Nothing where it was not said.
    pub(crate) min_sync_period: Option<GoDuration>,
}

impl Configuration {
    /// Whether nftables stands in for iptables mode: that is what a blank mode means in kube-proxy, and what kubeadm
    /// writes from 1.37 on where nobody has chosen a mode (kubernetes#139777). Both are the same cluster, before and after
    /// an upgrade, and so both mean the same here.
    pub(crate) fn nftables_stands_in(&self) -> bool {
        self.mode.is_empty() || Mode::of(&self.mode) == Some(Mode::Iptables)
    }

    /// The block that counts; that of iptables for a mode that there is not, as in kube-proxy.
    pub(crate) fn active(&self) -> Active {
        let mode = if self.nftables_stands_in() { Some(Mode::Nftables) } else { Mode::of(&self.mode) };
        let Self { iptables, ipvs, nftables, .. } = self;
        let of_iptables = Active {
            mode: mode.unwrap_or(Mode::Iptables),
            block: "iptables",
            masquerade_block: "iptables",
            masquerade_bit: iptables.masquerade_bit,
            masquerade_all: iptables.masquerade_all,
            sync_period: iptables.sync_period,
            min_sync_period: iptables.min_sync_period,
        };
        match mode {
            Some(Mode::Nftables) if !self.nftables_stands_in() => Active {
                block: "nftables",
                masquerade_block: "nftables",
                masquerade_bit: nftables.masquerade_bit,
                masquerade_all: nftables.masquerade_all,
                sync_period: nftables.sync_period,
                min_sync_period: nftables.min_sync_period,
                ..of_iptables
            },
            Some(Mode::Ipvs) => Active {
                block: "ipvs",
                sync_period: ipvs.sync_period,
                min_sync_period: Some(ipvs.min_sync_period),
                ..of_iptables
            },
            _ => of_iptables,
        }
    }
}
