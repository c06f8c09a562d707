//! The objects of nf_tables as netlink attributes, in both directions.
//!
//! `put` writes what a request needs; `parse` reads what a dump has. What the kernel adds by itself (use counts,
//! handles of tables, flags that follow from other attributes) is left out, so that an object that was sent and
//! dumped again is equal to itself.

mod chain;
mod counter;
mod element;
mod expr;
mod rule;
mod set;
mod table;
mod transaction;
pub mod userdata;
mod verdict;

pub use chain::{Chain, ChainKind, Hook, Policy};
pub use counter::Counter;
pub use element::{Data, Element, ListedElement};
pub use expr::{CmpOp, DynsetOp, Expr, Register, Reject};
pub use rule::Rule;
pub use set::{Set, SetData};
pub use table::Table;
pub use verdict::Verdict;

use crate::fields::Fields;
