//! How a connection gets to one of several endpoints.
//!
//! ```text
//!   KUBE-SVC-   -m recent --rcheck --name KUBE-SEP-a  --> KUBE-SEP-a     with affinity: who is known stays
//!               -m recent --rcheck --name KUBE-SEP-b  --> KUBE-SEP-b
//!               one in 2                              --> KUBE-SEP-a     who is not goes to one or the other
//!                                                     --> KUBE-SEP-b
//!   KUBE-SEP-a  from a itself                         --> KUBE-MARK-MASQ
//!               -m recent --set --name KUBE-SEP-a         DNAT to a
//! ```

use std::{iter, net::SocketAddr};

use portolan_core::{
    desired::{DesiredPort, Endpoint},
    model::TrafficPolicy,
};

use crate::{
    names::{ChainName, Hash, Part},
    parse::units,
    rule::{AddressSide, Condition, Is, Rule, Target},
};

/// Whose chain an endpoint has. Clients of endpoints of this node only, where they are remembered, have chains of their own:
/// what they have learnt stands apart from what all others have.
pub(crate) fn hash(port: &DesiredPort, list: TrafficPolicy, endpoint: &Endpoint) -> Hash {
    match (list, port.affinity) {
        (TrafficPolicy::Local, Some(_)) => Hash::of_local_endpoint(&port.name, at(endpoint)),
        (TrafficPolicy::Cluster, _) | (_, None) => Hash::of_endpoint(&port.name, at(endpoint)),
    }
}

/// The rules that choose an endpoint of a list.
pub(crate) fn choose(port: &DesiredPort, list: TrafficPolicy, is_large: bool) -> impl Iterator<Item = Rule> {
    let endpoints = port.endpoints_for(list);
    let to = move |endpoint: &Endpoint, condition: Option<Condition>| {
        let comment = (!is_large).then(|| Condition::comment(&format!("{} -> {}", port.name, at(endpoint))));
        let chain = ChainName::Of(Part::Endpoint, hash(port, list, endpoint));
        Rule::new(comment.into_iter().chain(condition), Target::Jump(chain))
    };
    let known = port.affinity.into_iter().flat_map(move |seconds| {
        endpoints.iter().map(move |endpoint| to(endpoint, Some(Condition::Known(hash(port, list, endpoint), seconds))))
    });
    let left = (1..=endpoints.len()).rev();
    known.chain(left.zip(endpoints).map(move |(left, endpoint)| to(endpoint, chance(left))))
}

/// The chance of one in so many, as kube-proxy writes it: with ten digits. The last one needs none.
fn chance(left: usize) -> Option<Condition> {
    let left = u32::try_from(left).unwrap_or(u32::MAX);
    let share = format!("{:.10}", 1.0 / f64::from(left)).parse().ok().and_then(units);
    share.filter(|_| left > 1).map(Condition::Chance)
}

/// The rules of an endpoint's own chain.
pub(crate) fn rules(port: &DesiredPort, list: TrafficPolicy, endpoint: &Endpoint, is_large: bool) -> Vec<Rule> {
    let name = || (!is_large).then(|| Condition::comment(&port.name.to_string()));
    let itself = Condition::Within(AddressSide::Source, Is::In, endpoint.addr.into());
    let remember = port.affinity.map(|_| Condition::Remember(hash(port, list, endpoint)));
    let protocol = port.name.protocol;
    let sent = iter::once(Condition::Protocol(Is::In, protocol))
        .chain(name())
        .chain(remember)
        .chain([Condition::Port(protocol, None)]);
    vec![
        // A pod that is sent to itself would answer itself directly, and drop the answer.
        Rule::new(iter::once(itself).chain(name()), Target::Jump(ChainName::MarkMasquerade)),
        Rule::new(sent, Target::SendTo(at(endpoint))),
    ]
}

const fn at(endpoint: &Endpoint) -> SocketAddr {
    SocketAddr::new(endpoint.addr, endpoint.port)
}
