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

use crate::{
    attr::{Attr, Attrs},
    error::Malformed,
};

/// Reads attributes that an object must have.
#[derive(Clone, Copy)]
struct Fields<'a> {
    object: &'static str,
    attrs: Attrs<'a>,
}

impl<'a> Fields<'a> {
    const fn new(object: &'static str, attrs: Attrs<'a>) -> Self {
        Self { object, attrs }
    }

    fn need(self, kind: u16, attribute: &'static str) -> Result<Attr<'a>, Malformed> {
        self.attrs.get(kind).ok_or(Malformed { object: self.object, attribute })
    }

    fn text(self, kind: u16, attribute: &'static str) -> Result<String, Malformed> {
        self.need(kind, attribute).map(|attr| attr.str().to_owned())
    }

    fn be32(self, kind: u16, attribute: &'static str) -> Result<u32, Malformed> {
        self.need(kind, attribute)?.be32().ok_or(Malformed { object: self.object, attribute })
    }

    /// An attribute that may be missing.
    fn be32_or(self, kind: u16, default: u32) -> u32 {
        self.attrs.get(kind).and_then(|attr| attr.be32()).unwrap_or(default)
    }

    /// An attribute that may be missing.
    fn bytes(self, kind: u16) -> Vec<u8> {
        self.attrs.get(kind).map(|attr| attr.value.to_vec()).unwrap_or_default()
    }
}
