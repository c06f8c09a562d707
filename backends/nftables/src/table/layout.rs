//! What the machinery must know of a layout that stands on it: its names, and what is in its sets. What the engine
//! must know of it besides is its [`TableDialect`](super::dialect::TableDialect).

use std::{
    fmt::{Debug, Display},
    hash::Hash,
};

use super::shape::Shape;

/// Tables of one name in both families, with sets and chains of known names.
pub trait Layout: Copy + Default + Ord + Hash + Debug + 'static {
    /// The name of both tables, `table ip …` and `table ip6 …`. Nothing outside them is ever touched.
    const TABLE: &str;
    /// All sets and maps, but for sets of clients, in the order in which they are listed. Their names end with no `.b`.
    const SETS: &[Self::Set];

    /// Names a set or map; its elements are objects, unless packets fill it.
    type Set: Copy + Ord + Hash + Debug + Display;
    /// Names a chain, whoever put it there.
    type Chain: Clone + Ord + Hash + Debug + Display;
    /// Names a set of clients, whose elements come and go with connections.
    type Clients: Clone + Ord + Hash + Debug + Display;

    /// What is in a set.
    fn shape(set: Self::Set) -> Shape;

    /// The chain with this name.
    fn chain(name: &str) -> Self::Chain;

    /// Whether a chain is none of the layout's.
    fn is_foreign(chain: &Self::Chain) -> bool;

    /// The set of clients with this name, if it is called as those of the layout are.
    fn clients(name: &str) -> Option<Self::Clients>;

    /// The set with this name; `None` for a set that is not the layout's.
    fn set(name: &str) -> Option<Self::Set>;

    /// The name of a set in the kernel.
    fn set_name(set: Self::Set) -> &'static str;
}
