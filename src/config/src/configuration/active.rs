//! The block of the file that the mode makes count.

use super::Configuration;
use crate::{duration::GoDuration, mode::Mode};

/// What kube-proxy keeps once for all modes, and where it stands in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Active {
    /// What is programmed.
    pub(crate) mode: Mode,
    /// The block with the periods.
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
    /// The mode; nothing where there is no such mode. A blank one is iptables, as in kube-proxy: where nobody has chosen a mode,
    /// kubeadm writes a blank one up to 1.36 and `iptables` from 1.37 on (kubernetes#139777). Both are the same cluster, before
    /// and after an upgrade, and so both mean the same here.
    pub(crate) fn chosen_mode(&self) -> Option<Mode> {
        if self.mode.is_empty() { Some(Mode::Iptables) } else { Mode::of(&self.mode) }
    }

    /// The block that counts; that of iptables for a mode that there is not, as in kube-proxy.
    pub(crate) fn active(&self) -> Active {
        let Self { iptables, ipvs, nftables, .. } = self;
        let of_iptables = Active {
            mode: Mode::Iptables,
            block: "iptables",
            masquerade_block: "iptables",
            masquerade_bit: iptables.masquerade_bit,
            masquerade_all: iptables.masquerade_all,
            sync_period: iptables.sync_period,
            min_sync_period: iptables.min_sync_period,
        };
        match self.chosen_mode() {
            Some(Mode::Nftables) => Active {
                mode: Mode::Nftables,
                block: "nftables",
                masquerade_block: "nftables",
                masquerade_bit: nftables.masquerade_bit,
                masquerade_all: nftables.masquerade_all,
                sync_period: nftables.sync_period,
                min_sync_period: nftables.min_sync_period,
            },
            Some(Mode::Ipvs) => Active {
                mode: Mode::Ipvs,
                block: "ipvs",
                sync_period: ipvs.sync_period,
                min_sync_period: Some(ipvs.min_sync_period),
                ..of_iptables
            },
            Some(Mode::Iptables) | None => of_iptables,
        }
    }
}
