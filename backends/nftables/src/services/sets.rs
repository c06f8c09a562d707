//! The shape of each set: what its keys are made of and what its elements lead to.

use super::names::{DIRECT, Scope, SetName};
use crate::table::rule::{Field, frontend, frontend_and};

/// What the elements of a set lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DataKind {
    /// Nothing: a plain set.
    None,
    /// An endpoint, address and port.
    Endpoint,
    /// A chain. Changing an element makes the kernel validate every such map of the table.
    Verdict,
}

/// The fields of an endpoint. A map's data has no fields of a packet: nft writes the expressions of the same type.
pub(crate) const ENDPOINT: [Field; 2] = [Field::Destination, Field::Port];

/// The key of a set of clients.
pub(crate) const CLIENT: [Field; 1] = [Field::Source];

/// Clients that are remembered for each endpoint; whoever comes when the set is full is served without affinity. The kernel
/// makes the hash table of a set that packets fill for the low 16 bits of its size: for none of 65,536, but for nft's default of
/// 65,535 at once, which is 2 MB.
pub(crate) const CLIENTS: u32 = 65_536;

/// Keys and data of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shape {
    /// What its keys are made of.
    pub key: Vec<Field>,
    /// What its elements lead to.
    pub data: DataKind,
    /// What a lookup that finds an element says about the connection, if its elements can count.
    pub counts: Option<Counts>,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counts {
    /// New connections: only where that is wanted, since it costs each of them a little.
    Connections,
    /// Packets that are refused: always.
    Refusals,
}

/// The shape of one of our sets.
#[must_use]
pub(crate) fn shape(set: SetName) -> Shape {
    let scope = set.scope();
    let of = |key, data| Shape { key, data, counts: None };
    let slot = |count| of(frontend_and(scope, Field::Random(count)), DataKind::Endpoint);
    let connections = |scope_of_count| (scope == scope_of_count).then_some(Counts::Connections);
    match set {
        // Where a connection is looked up once: at the policy, since every NodePort has one, or else at the gate.
        SetName::Services(_) => Shape { counts: connections(Scope::Vip), ..of(frontend(scope), DataKind::None) },
        SetName::Policies(_) => {
            Shape { counts: connections(Scope::NodePort), ..of(frontend(scope), DataKind::Verdict) }
        }
        SetName::NoEndpoints(_) | SetName::NoLocalEndpoints(_) | SetName::Restricted => {
            Shape { counts: Some(Counts::Refusals), ..of(frontend(scope), DataKind::None) }
        }
        SetName::Large(_)
        | SetName::LocalServices(_)
        | SetName::Affinities(_)
        | SetName::LocalAffinities(_)
        | SetName::RestrictedPolicies => of(frontend(scope), DataKind::Verdict),
        SetName::Direct(1) => of(frontend(scope), DataKind::Endpoint),
        SetName::Direct(count) => slot(u32::from(count)),
        // The number in the type is only for the reader: every `pick` chain draws below its own.
        SetName::Endpoints(Scope::Vip) => slot(u32::from(DIRECT) + 1),
        SetName::Endpoints(Scope::NodePort) | SetName::LocalEndpoints(_) => slot(2),
        SetName::ClusterIps => of(vec![Field::Destination], DataKind::None),
        SetName::Hairpin => of(vec![Field::Source, Field::Destination], DataKind::None),
        SetName::Links => of(vec![Field::CameBy, Field::LeavesBy], DataKind::None),
    }
}
