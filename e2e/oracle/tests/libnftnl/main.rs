//! Our attributes against libnftnl's, byte for byte: tables, chains, sets, elements, and rules with every expression
//! that Portolan writes. Pure encoding: no kernel, no rights.
//!
//! Two differences mean nothing to the kernel and are made equal first:
//!
//! * libnftnl numbers the elements of a list (1, 2, 3, ...) where the kernel's header says `NFTA_LIST_ELEM` for each;
//! * the order of a rule's own attributes (libnftnl puts the user data before the expressions).

mod build;
mod exprs;
mod objects;

use portolan_netlink::attr::Attrs;

/// An attribute with all that is in it, comparable.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Attribute {
    kind: u16,
    value: Vec<u8>,
}

/// The attributes of one level, sorted by type.
fn sorted(bytes: &[u8]) -> Vec<Attribute> {
    let mut level: Vec<_> = Attrs::new(bytes).map(|a| Attribute { kind: a.kind, value: a.value.to_vec() }).collect();
    let whole: usize = level.iter().map(|a| (a.value.len() + 4).next_multiple_of(4)).sum();
    assert_eq!(whole, bytes.len(), "every byte is part of an attribute");
    level.sort();
    level
}
