//! Which ServicePorts drop connections because their policy is `Local` and this node has no endpoint of theirs, while
//! others have: the metric `kubeproxy_sync_proxy_rules_no_local_endpoints_total`.

use std::collections::BTreeSet;

use portolan_core::{
    addr::Family,
    desired::{DesiredPort, PortChange, PortId},
    model::TrafficPolicy,
};

/// The two policies that can be `Local`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PolicyKind {
    /// `internalTrafficPolicy`
    Internal,
    /// `externalTrafficPolicy`
    External,
}

impl PolicyKind {
    /// Both.
    const ALL: [Self; 2] = [Self::Internal, Self::External];
}

/// The ServicePorts concerned.
#[derive(Debug, Default)]
pub(super) struct NoLocalEndpoints(BTreeSet<(PolicyKind, PortId)>);

impl NoLocalEndpoints {
    /// Takes over what became of a ServicePort.
    pub(super) fn update(&mut self, change: &PortChange) {
        for kind in PolicyKind::ALL {
            let key = (kind, change.id.clone());
            if change.desired.as_ref().is_some_and(|port| is_concerned(port, kind)) {
                self.0.insert(key);
            } else {
                self.0.remove(&key);
            }
        }
    }

    /// How many there are.
    pub(super) fn count(&self, kind: PolicyKind, family: Family) -> usize {
        self.0.iter().filter(|(of, id)| *of == kind && id.family == family).count()
    }
}

fn is_concerned(port: &DesiredPort, kind: PolicyKind) -> bool {
    let mut frontends =
        port.frontends.iter().filter(|frontend| frontend.is_external() == (kind == PolicyKind::External));
    !port.endpoints.is_empty()
        && port.local_endpoints.is_empty()
        && frontends.any(|frontend| frontend.policy == TrafficPolicy::Local)
}
