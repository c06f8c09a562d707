//! Chains that are made when a Service needs them: those that pick an endpoint of a list by its length, which Services share, and that
//! of a ServicePort's source ranges.

use std::sync::Arc;

use portolan_core::{addr::Family, desired::DesiredPort};

use super::{
    Key, Value,
    names::{ChainName, PortName, SetName},
    rule,
};
use crate::table::{
    field::{
        Field::{self, Source},
        Scope, VIP, frontend_and,
    },
    rule::Statement::{Drop, Goto, In, Translate, Within},
};

/// The chain that picks one of `count` endpoints of a large Service.
pub(crate) fn pick(family: Family, scope: Scope, count: u32) -> [(Key, Value); 2] {
    pick_from(family, ChainName::Pick(scope, count), SetName::Endpoints(scope), count)
}

/// The chain that picks one of `count` local endpoints.
pub(crate) fn pick_local(family: Family, scope: Scope, count: u32) -> [(Key, Value); 2] {
    pick_from(family, ChainName::PickLocal(scope, count), SetName::LocalEndpoints(scope), count)
}

fn pick_from(family: Family, chain: ChainName, set: SetName, count: u32) -> [(Key, Value); 2] {
    let rules = [rule([Translate(frontend_and(set.scope(), Field::Random(count)), set)])];
    [
        (Key::Chain(family, chain.clone()), Value::Chain(None)),
        (Key::Rules(family, chain), Value::Rules(Arc::new(rules))),
    ]
}

/// The chain that lets a ServicePort's sources go on to the policy of their frontend, and drops all others. Rules and no
/// set of ranges: those are changed as one, where ranges of old and new lists overlap, and cost nobody else anything (a
/// set of 5,000 ranges takes the kernel 40 ms for each one that is deleted).
pub(crate) fn sources(port: &DesiredPort) -> [(Key, Value); 2] {
    let chain = ChainName::OfPort(PortName::sources(&port.name));
    let allowed = port.sources.iter().map(|net| rule([Within(Source, *net), Goto(ChainName::RestrictedPolicies)]));
    let refused = [rule([In(VIP.to_vec(), SetName::Restricted), Drop]), rule([Drop])];
    let rules = allowed.chain(refused).collect();
    [
        (Key::Chain(port.family, chain.clone()), Value::Chain(None)),
        (Key::Rules(port.family, chain), Value::Rules(rules)),
    ]
}
