//! The shape of a set: what its keys are made of and what its elements lead to.

use super::field::Field;

/// Keys and data of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// What its keys are made of.
    pub key: Vec<Field>,
    /// What its elements lead to.
    pub data: DataKind,
    /// Whether packets put its elements there, which are then no objects, instead of us.
    pub filled_by_packets: bool,
}

/// What the elements of a set lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataKind {
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
