//! Firewalls of the node that may drop what ipvs mode serves.

use portolan_kube::NoticeType;

use crate::{backends, events::Reporter, sync_loop::ErrorChain};

/// Tells once of chains that may drop packets to Services.
pub(super) fn report(reporter: &Reporter) {
    match backends::closed_inputs() {
        Ok(closed) if closed.is_empty() => {}
        Ok(closed) => {
            let note = format!(
                "in ipvs mode clients of Services come through the node's INPUT hook, where {} drops or rejects whatever no \
                 rule of its own accepts: their connections may fail. Have it accept what is sent to the ServiceCIDRs (nft: \
                 `ip daddr 10.96.0.0/12 accept`; iptables: `-d 10.96.0.0/12 -j ACCEPT`), or choose another mode",
                closed.join(", ")
            );
            tracing::warn!("{note}");
            reporter.node(NoticeType::Warning, "InputMayDropServices", "StartKubeProxy", note);
        }
        Err(error) => tracing::debug!("other programs' rules for INPUT cannot be read: {}", ErrorChain(&error)),
    }
}
