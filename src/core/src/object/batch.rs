//! What is done to the kernel: operations, and which of them are handed over together.

use super::Dialect;

/// Bytes of a removal, which names a key: no dialect writes one in more.
pub(super) const KEY_WEIGHT: usize = 256;

/// One change to one object.
#[derive(Debug, Clone, PartialEq)]
pub enum Op<D: Dialect> {
    /// Create an object that is not there.
    Add(D::Key, D::Value),
    /// Give an object that is there this value. The last value is what it has, for backends that can only name an object by all
    /// of it. Apart, since few operations have it.
    Replace(D::Key, D::Value, Box<D::Value>),
    /// Remove an object and all that it holds. The value is what it has.
    Remove(D::Key, D::Value),
    /// Remove a container and all it holds, to be made anew by the operations that follow in the same batch: a root whole,
    /// any other together with the rules that read it.
    Rebuild(D::Key),
}

impl<D: Dialect> Op<D> {
    /// The object that is changed.
    pub const fn key(&self) -> &D::Key {
        match self {
            Self::Add(key, _) | Self::Replace(key, ..) | Self::Remove(key, _) | Self::Rebuild(key) => key,
        }
    }

    /// Bytes that it takes, at most.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Add(key, value) => D::weight(key, value),
            Self::Replace(key, value, _) => D::weight(key, value) + KEY_WEIGHT,
            Self::Remove(..) | Self::Rebuild(_) => KEY_WEIGHT,
        }
    }
}

/// Operations that are applied together, as far as the kernel can do so.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch<D: Dialect> {
    /// In the order in which they have to be carried out.
    pub ops: Vec<Op<D>>,
}

impl<D: Dialect> Batch<D> {
    /// The container that it makes larger, if it does nothing else.
    #[must_use]
    pub fn grown(&self) -> Option<&D::Key> {
        match self.ops.first() {
            Some(Op::Rebuild(key)) if D::parent(key).is_some() => Some(key),
            _ => None,
        }
    }

    /// Whether it makes a container anew.
    #[must_use]
    pub fn is_rebuild(&self) -> bool {
        matches!(self.ops.first(), Some(Op::Rebuild(_)))
    }
}
