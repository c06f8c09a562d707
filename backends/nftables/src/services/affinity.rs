//! Session affinity: the chain of one ServicePort, and for each of its endpoints the set of clients that stay with it.
//!
//! ```text
//!   chain affinity-default/web/tcp/http
//!       ip saddr @..a  update @..a { ip saddr timeout 3h }  dnat to a      a client that is known stays, for 3 h from now
//!       ip saddr @..b  update @..b { ip saddr timeout 3h }  dnat to b
//!       numgen random mod 2 == 0  update @..a { .. }  dnat to a            one that is not gets one endpoint or the other
//!                                 update @..b { .. }  dnat to b
//! ```
//!
//! All frontends of the ServicePort go through the same chain, so that a client finds its endpoint by whichever it comes.
//! Clients of local endpoints only have a chain and sets of their own. When an endpoint goes its set goes with it. A full set makes `update` fail, and
//! with it the rule: the next endpoint takes the client, and behind the last one the connection falls through to where those
//! without affinity are sent on.
//!
//! The timeout is the rule's, not the set's: a new one holds from the next connection on, and nobody is forgotten.

use std::{iter, sync::Arc};

use portolan_core::{desired::DesiredPort, model::TrafficPolicy};

use super::{
    Key, Rule, Statement, Value,
    names::{ChainName, PortName},
};
use crate::table::rule::Statement::{Is, Known, OneIn, Remember, TranslateTo};

/// Appends the chain and the sets for one list of endpoints.
pub(crate) fn render(port: &DesiredPort, list: TrafficPolicy, objects: &mut Vec<(Key, Value)>) {
    let Some(timeout) = port.affinity else { return };
    let name = PortName::affinity(&port.name, list);
    let endpoints = port.endpoints_for(list);
    let clients: Vec<_> = endpoints.iter().map(|endpoint| (*endpoint, name.clients_of(endpoint))).collect();
    objects.extend(clients.iter().map(|(_, set)| (Key::Clients(port.family, set.clone()), Value::Clients)));
    // nft takes a port to translate to only behind a match of its protocol.
    let rule = |condition: Option<Statement>, endpoint, set: &PortName| {
        let stay = [Remember(set.clone(), timeout), TranslateTo(endpoint)];
        let statements = iter::once(Is(port.name.protocol)).chain(condition).chain(stay).collect();
        Rule { statements, comment: None }
    };
    let known = clients.iter().map(|(endpoint, set)| rule(Some(Known(set.clone())), *endpoint, set));
    let left = (1..=clients.len()).rev().map(|left| u32::try_from(left).unwrap_or(u32::MAX));
    let new = left.zip(&clients).map(|(left, (endpoint, set))| rule((left > 1).then_some(OneIn(left)), *endpoint, set));
    let rules: Arc<[_]> = known.chain(new).collect();
    let chain = ChainName::OfPort(name);
    objects.push((Key::Chain(port.family, chain.clone()), Value::Chain(None)));
    objects.push((Key::Rules(port.family, chain), Value::Rules(rules)));
}
