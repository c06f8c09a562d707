//! What a configuration comes to: the mode is known, and only its block counts.
//!
//! kube-proxy keeps one `masqueradeAll` and one pair of periods, taken from the block of its mode, and writes them
//! back into that block alone: the others show `0s`.

use super::{Configuration, default};
use crate::{duration::GoDuration, mode::Mode};

impl Configuration {
    /// The configuration as its mode has it. It is what kube-proxy writes to files and shows at /configz.
    #[must_use]
    pub fn effective(mut self) -> Self {
        let mode = self.chosen_mode();
        if let Some(mode) = mode {
            mode.name().clone_into(&mut self.mode);
        }
        if mode == Some(Mode::Nftables) && self.has_no_node_port_addresses() {
            self.node_port_addresses = Some(vec!["primary".to_owned()]);
        }
        if self.detect_local_mode.is_empty() {
            default::DETECT_LOCAL_MODE.clone_into(&mut self.detect_local_mode);
        }
        // kube-proxy has no place for it, and forgets it.
        self.port_range.clear();
        self.only_the_block_of(mode);
        self
    }

    fn has_no_node_port_addresses(&self) -> bool {
        self.node_port_addresses.as_ref().is_none_or(Vec::is_empty)
    }

    fn only_the_block_of(&mut self, mode: Option<Mode>) {
        const NONE: GoDuration = GoDuration::ZERO;
        if mode == Some(Mode::Nftables) {
            self.iptables.masquerade_all = false;
        } else {
            self.nftables.masquerade_all = false;
            (self.nftables.sync_period, self.nftables.min_sync_period) = (NONE, Some(NONE));
        }
        if mode != Some(Mode::Ipvs) {
            (self.ipvs.sync_period, self.ipvs.min_sync_period) = (NONE, NONE);
        }
        if matches!(mode, Some(Mode::Nftables | Mode::Ipvs)) {
            (self.iptables.sync_period, self.iptables.min_sync_period) = (NONE, Some(NONE));
        }
    }
}
