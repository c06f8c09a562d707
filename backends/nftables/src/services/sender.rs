//! What sends connections on to endpoints, and the rules that are there because of it.

use portolan_core::{
    addr::Protocol,
    desired::{DesiredPort, Frontend, FrontendKind},
    model::TrafficPolicy,
};

use super::{
    Rule, Statement, commented,
    names::{ChainName, SetName},
    rule,
};
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
    /// A virtual server of IPVS for each ServicePort, at its cluster IP. Rules lead the other frontends to it, and serve those
    /// that may use [other endpoints](Self::server).
    Ipvs,
}

impl Sender {
    /// Whether the address of a frontend is one of the node's own, on its link kube-ipvs0.
    #[must_use]
    pub fn has_address(self, frontend: &Frontend) -> bool {
        self == Self::Ipvs && frontend.kind == FrontendKind::ClusterIp
    }

    /// Whether there is such a base chain. One that is hooked elsewhere has another name, since the kernel moves none: a table would
    /// have to be made anew where one mode takes the place of the other, and nothing be served meanwhile.
    pub(super) fn needs(self, chain: &ChainName) -> bool {
        match chain {
            ChainName::FilterOutput => self == Self::Rules,
            ChainName::FilterOutputEarly => self == Self::Ipvs,
            _ => true,
        }
    }

    /// The frontend whose virtual server sends connections to the endpoints of a list: the cluster IP, if that is its list.
    #[must_use]
    pub fn server(self, port: &DesiredPort, list: TrafficPolicy) -> Option<&Frontend> {
        if port.endpoints_for(list).is_empty() {
            return None;
        }
        port.frontends.iter().find(|frontend| self.has_address(frontend) && frontend.policy == list)
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

/// What the node sends to a cluster IP. What IPVS is to send on passes.
pub(super) fn refuse_sent() -> [Rule; 4] {
    let no_endpoints = || In(VIP.to_vec(), SetName::NoEndpoints(Scope::Vip));
    let cluster_ip = || In(vec![Destination], SetName::ClusterIps);
    let no_such_port = || NotIn(VIP.to_vec(), SetName::Services(Scope::Vip));
    [
        rule([Is(Protocol::Tcp), no_endpoints(), RejectWithReset]),
        rule([no_endpoints(), Reject]),
        commented("no such port", [Is(Protocol::Tcp), cluster_ip(), no_such_port(), RejectWithReset]),
        commented("no such port", [cluster_ip(), no_such_port(), Reject]),
    ]
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
