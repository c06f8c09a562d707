//! What is in each set of the layout.

use super::names::{DIRECT, SetName};
use crate::table::{
    field::{Field, Scope, frontend, frontend_and},
    shape::{DataKind, Shape},
};

/// The shape of one of our sets.
#[must_use]
pub(crate) fn shape(set: SetName) -> Shape {
    let scope = set.scope();
    let of = |key, data| Shape { key, data, filled_by_packets: false };
    let slot = |count| of(frontend_and(scope, Field::Random(count)), DataKind::Endpoint);
    match set {
        SetName::Services(_) | SetName::NoEndpoints(_) | SetName::NoLocalEndpoints(_) | SetName::Restricted => {
            of(frontend(scope), DataKind::None)
        }
        SetName::Policies(_)
        | SetName::Large(_)
        | SetName::LocalServices(_)
        | SetName::Affinities(_)
        | SetName::LocalAffinities(_)
        | SetName::RestrictedPolicies => of(frontend(scope), DataKind::Verdict),
        SetName::Direct(1) => of(frontend(scope), DataKind::Endpoint),
        SetName::Direct(count) => slot(u32::from(count)),
        // The number in the type is only for the reader: every `pick` chain draws below its own.
        SetName::Endpoints(Scope::Vip) => slot(u32::from(DIRECT) + 1),
        SetName::Endpoints(Scope::NodePort) | SetName::LocalEndpoints(_) => slot(2),
        SetName::ClusterIps | SetName::Scheduled => of(vec![Field::Destination], DataKind::None),
        SetName::Hairpin => of(vec![Field::Source, Field::Destination], DataKind::None),
        SetName::Links => Shape { filled_by_packets: true, ..of(vec![Field::CameBy, Field::LeavesBy], DataKind::None) },
    }
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counts {
    /// New connections: only where that is wanted, since it costs each of them a little.
    Connections,
    /// Packets that are refused: always.
    Refusals,
}

/// What a lookup that finds an element says about the connection, if the elements of a set can count.
#[must_use]
pub(crate) const fn counts(set: SetName) -> Option<Counts> {
    match set {
        // Where a connection is looked up once: at the policy, since every NodePort has one, or else at the gate.
        SetName::Services(Scope::Vip) | SetName::Policies(Scope::NodePort) => Some(Counts::Connections),
        SetName::NoEndpoints(_) | SetName::NoLocalEndpoints(_) | SetName::Restricted => Some(Counts::Refusals),
        _ => None,
    }
}
