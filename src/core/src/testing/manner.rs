//! The manners that kernels have: what of a batch is done when some of it is refused, and whether they tell of others.

/// How a [`MemoryKernel`](super::MemoryKernel) takes batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manner {
    /// What is carried out whole or not at all.
    pub unit: Unit,
    /// Whether it tells that others have changed something.
    pub tells: bool,
    /// Whether it says of which operation it dislikes something.
    pub names: bool,
}

/// What is carried out whole or not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// All of a batch, as in nf_tables.
    Batch,
    /// What has the same root, one after the other, as iptables-restore does with tables: those before the refused one stay.
    Root,
    /// Each operation by itself, as in IPVS: all others are done.
    Operation,
}

impl Manner {
    /// That of nf_tables.
    pub const TRANSACTION: Self = Self { unit: Unit::Batch, tells: true, names: true };

    /// That of iptables-legacy.
    pub const LEGACY: Self = Self { unit: Unit::Root, tells: false, names: false };

    /// Every one there is.
    pub fn all() -> impl Iterator<Item = Self> + Clone {
        let units = [Unit::Batch, Unit::Root, Unit::Operation];
        let named = units.into_iter().flat_map(|unit| [true, false].map(|tells| Self { unit, tells, names: true }));
        named.chain([Self::LEGACY])
    }
}
