//! What sends connections on to endpoints, and the rules that are there because of it.

use portolan_core::{
    addr::Protocol,
    desired::{DesiredPort, Frontend, FrontendKind},
};

use super::{Rule, Statement, commented, names::SetName, rule};
use crate::table::{
    field::{
        Field::{Asked, Destination, Source},
        Scope, VIP,
    },
    rule::Statement::{Drop, In, Is, Masquerade, NotIn, Reject, RejectWithReset, Return},
};

/// What sends connections on to endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// The rules of our tables, all of them.
    Rules,
    /// IPVS those that a virtual server [can serve](Self::schedules), and the rules all others.
    Ipvs,
}

impl Sender {
    /// Whether the address of a frontend is one of the node's own, on its link kube-ipvs0.
    #[must_use]
    pub fn has_address(self, frontend: &Frontend) -> bool {
        self == Self::Ipvs && frontend.kind == FrontendKind::ClusterIp
    }

    /// Whether a virtual server serves a frontend. Session affinity lasts longer than a connection and is the same at all
    /// frontends (S9.4), as IPVS has none, so rules serve those that have it.
    #[must_use]
    pub fn schedules(self, port: &DesiredPort, frontend: &Frontend) -> bool {
        self.has_address(frontend) && port.affinity.is_none()
    }
}

/// The client asked for an address at which IPVS sends connections on.
pub(super) fn scheduled() -> Statement {
    In(vec![Asked], SetName::Scheduled)
}

/// The address is not one of those, which are the node's own as well.
pub(super) fn not_scheduled() -> Statement {
    NotIn(vec![Destination], SetName::Scheduled)
}

/// What IPVS has given an endpoint's address, which may be somebody's frontend too.
pub(super) fn on_its_way() -> [Rule; 1] {
    [rule([scheduled(), not_scheduled(), Return])]
}

/// The addresses are the node's own, so without this its processes that listen at all addresses would answer there. While
/// connections to a Service drain that is gone its cluster IP is one of nobody.
pub(super) fn refuse() -> [Rule; 3] {
    let address = || In(vec![Destination], SetName::Scheduled);
    let no_such_port = || NotIn(VIP.to_vec(), SetName::Services(Scope::Vip));
    [
        commented("no such cluster IP", [address(), NotIn(vec![Destination], SetName::ClusterIps), Drop]),
        commented("no such port", [Is(Protocol::Tcp), address(), no_such_port(), RejectWithReset]),
        commented("no such port", [address(), no_such_port(), Reject]),
    ]
}

/// What the node itself sends to an address of its own comes from that address, at which no endpoint could answer.
pub(super) fn masquerade() -> [Rule; 1] {
    [rule([In(vec![Source], SetName::Scheduled), Masquerade])]
}
