//! The shape of each set: what its keys are made of and what its elements lead to.

use crate::{
    names::{DIRECT, SetName},
    rule::{Field, VIP},
};

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

/// Keys and data of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shape {
    /// What its keys are made of.
    pub key: Vec<Field>,
    /// What its elements lead to.
    pub data: DataKind,
}

/// The shape of one of our sets.
#[must_use]
pub(crate) fn shape(set: SetName) -> Shape {
    let vip = |data| Shape { key: VIP.to_vec(), data };
    let slot = |count| Shape { key: VIP.into_iter().chain([Field::Random(count)]).collect(), data: DataKind::Endpoint };
    match set {
        SetName::Services | SetName::NoEndpoints => vip(DataKind::None),
        SetName::ServicePolicies | SetName::ServicesLarge => vip(DataKind::Verdict),
        SetName::Direct(1) => vip(DataKind::Endpoint),
        SetName::Direct(count) => slot(u32::from(count)),
        // The number in the type is only for the reader: every `pick` chain draws below its own.
        SetName::Endpoints => slot(u32::from(DIRECT) + 1),
        SetName::ClusterIps => Shape { key: vec![Field::Destination], data: DataKind::None },
        SetName::Hairpin => Shape { key: vec![Field::Source, Field::Destination], data: DataKind::None },
    }
}
