//! From a batch of operations to one netlink transaction.
//!
//! Runs of elements of the same set go into one message: a batch is sorted so that there are few of them.

use std::ops::Range;

use portolan_core::{
    addr::Family,
    object::{Batch, Op},
};
use portolan_netlink::{
    Transaction,
    attr::Writer,
    uapi::{flag, hook, msg, set},
    wire::{self, Counter, Element, Expr, Policy, SetData, Verdict, userdata as wire_userdata},
};

use super::{
    dialect::TableDialect,
    element::ElementKey,
    key::Key,
    layout::Layout,
    lower::{self, protocol_family},
    rule::Rule,
    second::Names,
    shape::{self, DataKind},
    userdata,
    value::{Data, Hook, HookKind, HookPoint, Value},
};

/// What the kernel is taken to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expectation {
    /// What we know of: it fails where an object is there already, or gone, since then the kernel holds something else.
    AsKnown,
    /// Whatever others have left: what is there already as it should be, or gone as it should be, is well.
    Whatever,
}

impl Expectation {
    const fn new_flags(self) -> u16 {
        match self {
            Self::AsKnown => flag::CREATE | flag::EXCL,
            Self::Whatever => flag::CREATE,
        }
    }

    /// Before Linux 6.3 the second is refused, as a message that does not exist.
    const fn delete_element(self) -> u8 {
        match self {
            Self::AsKnown => msg::DELSETELEM,
            Self::Whatever => msg::DESTROYSETELEM,
        }
    }
}

/// Writes a part of a batch into a transaction; a refusal names the operation by its index. A set that is made anew gets its
/// other name.
pub(crate) fn encode<L: TableDialect>(
    batch: &Batch<L>,
    part: Range<usize>,
    expectation: Expectation,
    names: &mut Names<L>,
    tx: &mut Transaction,
) {
    let mut index = part.start;
    while let Some(op) = batch.ops.get(index).filter(|_| index < part.end) {
        let run = match op.key() {
            Key::Element(family, set, _) => {
                let rest = batch.ops.get(index..part.end).unwrap_or_default();
                let length = rest.iter().take_while(|other| same_run(op, other)).count();
                let set = names.of(*family, *set);
                elements(tx, expectation, index, *family, &set, rest.get(..length).unwrap_or_default());
                length
            }
            _ => {
                structure(tx, expectation, names, index, op);
                1
            }
        };
        index += run.max(1);
    }
}

fn same_run<L: TableDialect>(op: &Op<L>, other: &Op<L>) -> bool {
    match (op.key(), other.key()) {
        (Key::Element(family, set, _), Key::Element(other_family, other_set, _)) => {
            family == other_family && set == other_set && std::mem::discriminant(op) == std::mem::discriminant(other)
        }
        _ => false,
    }
}

fn elements<L: TableDialect>(
    tx: &mut Transaction,
    expectation: Expectation,
    first: usize,
    family: Family,
    set: &str,
    run: &[Op<L>],
) {
    let number = protocol_family(family);
    let removes = run.first().is_some_and(|op| !matches!(op, Op::Add(..)));
    let adds = run.first().is_some_and(|op| !matches!(op, Op::Remove(..)));
    // Data cannot be changed in place (EEXIST): delete and add within the transaction, seen by packets as one.
    if removes {
        tx.elements(first, expectation.delete_element(), 0, number, L::TABLE, set, run, |w, op| {
            Element::of(key_bytes(op)).put(w);
        });
    }
    if adds {
        tx.elements(first, msg::NEWSETELEM, expectation.new_flags(), number, L::TABLE, set, run, put_element);
    }
}

fn key_bytes<L: TableDialect>(op: &Op<L>) -> &[u8] {
    match op.key() {
        Key::Element(_, _, element) => element.as_slice(),
        _ => &[],
    }
}

fn put_element<L: TableDialect>(w: &mut Writer<'_>, op: &Op<L>) {
    let (Op::Add(_, Value::Element(data, comment)) | Op::Replace(_, Value::Element(data, comment), _)) = op else {
        return;
    };
    let element = Element { comment: comment.as_ref().map(|comment| comment.as_str()), ..Element::of(key_bytes(op)) };
    match data {
        Data::None => element.put(w),
        Data::Endpoint(addr, port) => {
            let endpoint = ElementKey::endpoint(*addr, *port);
            Element { data: wire::Data::Value(endpoint.as_slice()), ..element }.put(w);
        }
        Data::Jump(chain) => {
            Element { data: wire::Data::Verdict(Verdict::Jump(&chain.to_string())), ..element }.put(w);
        }
        Data::Goto(chain) => {
            Element { data: wire::Data::Verdict(Verdict::Goto(&chain.to_string())), ..element }.put(w);
        }
    }
}

fn structure<L: TableDialect>(
    tx: &mut Transaction,
    expectation: Expectation,
    names: &mut Names<L>,
    index: usize,
    op: &Op<L>,
) {
    let new = expectation.new_flags();
    let family = op.key().family();
    let number = protocol_family(family);
    match op {
        // The one that there is stays for those who still read it.
        Op::Rebuild(Key::Set(_, set)) => {
            if names.exchange(family, *set) {
                tx.delete_set(index, number, L::TABLE, &names.of(family, *set));
            }
        }
        Op::Remove(key, _) | Op::Rebuild(key) => match key {
            Key::Table(_) => {
                names.forget(family);
                tx.delete_table(index, number, L::TABLE);
            }
            Key::Set(_, set) => tx.delete_set(index, number, L::TABLE, &names.of(family, *set)),
            Key::Clients(_, set) => tx.delete_set(index, number, L::TABLE, &set.to_string()),
            Key::ForeignSet(_, set) => tx.delete_set(index, number, L::TABLE, set),
            Key::Chain(_, chain) => tx.delete_chain(index, number, L::TABLE, &chain.to_string()),
            Key::Rules(_, chain) => tx.flush_chain(index, number, L::TABLE, &chain.to_string()),
            Key::Element(..) => {}
        },
        Op::Add(key, value) | Op::Replace(key, value, _) => match (key, value) {
            (Key::Table(_), _) => {
                let table = wire::Table { name: L::TABLE.to_owned(), ..wire::Table::default() };
                tx.message(index, msg::NEWTABLE, new, number, |w| table.put(w));
            }
            (Key::Set(_, set), Value::Set { size, counts }) => {
                let name = names.of(family, *set).into_owned();
                new_set(tx, new, index, number, &wire::Set { name, ..wire_set::<L>(family, *set, *size, *counts) });
            }
            (Key::Clients(_, set), _) => new_set(tx, new, index, number, &wire_clients::<L>(family, set)),
            (Key::Chain(_, chain), Value::Chain(hook)) => {
                let chain = wire_chain::<L>(chain, *hook);
                tx.message(index, msg::NEWCHAIN, new, number, |w| chain.put(w));
            }
            (Key::Rules(_, chain), Value::Rules(_) | Value::LiveRules(_)) => {
                if matches!(op, Op::Replace(..)) || expectation == Expectation::Whatever {
                    tx.flush_chain(index, number, L::TABLE, &chain.to_string());
                }
                for mut rule in wire_rules(family, chain, value) {
                    names.apply(family, &mut rule.exprs);
                    tx.add_rule(index, number, &rule);
                }
            }
            _ => {}
        },
    }
}

fn new_set(tx: &mut Transaction, flags: u16, index: usize, family: u8, set: &wire::Set) {
    // Tells the sets of one transaction from each other.
    let id = u32::try_from(index).unwrap_or(u32::MAX);
    tx.message(index, msg::NEWSET, flags, family, |w| set.put(w, id));
}

/// A set of ours as it is sent.
#[must_use]
pub(crate) fn wire_set<L: Layout>(family: Family, name: L::Set, size: Option<u32>, counts: bool) -> wire::Set {
    let shape = L::shape(name);
    let data = match shape.data {
        DataKind::None => None,
        DataKind::Verdict => Some(SetData::Verdict),
        DataKind::Endpoint => Some(SetData::Value {
            kind: lower::key_type(family, &shape::ENDPOINT),
            len: lower::key_len(family, &shape::ENDPOINT),
        }),
    };
    wire::Set {
        table: L::TABLE.to_owned(),
        name: name.to_string(),
        flags: match (shape.filled_by_packets, &data) {
            (true, _) => set::F_EVAL,
            (_, Some(_)) => set::F_MAP,
            (_, None) => 0,
        },
        key_type: lower::key_type(family, &shape.key),
        key_len: lower::key_len(family, &shape.key),
        data,
        size,
        exprs: if counts { vec![Expr::Counter(Counter::default())] } else { Vec::new() },
        userdata: userdata::of_set(family, &shape),
        ..wire::Set::default()
    }
}

/// A set that packets fill, as it is sent.
#[must_use]
pub(crate) fn wire_clients<L: Layout>(family: Family, name: &L::Clients) -> wire::Set {
    wire::Set {
        table: L::TABLE.to_owned(),
        name: name.to_string(),
        flags: set::F_EVAL | set::F_TIMEOUT,
        key_type: lower::key_type(family, &shape::CLIENT),
        key_len: lower::key_len(family, &shape::CLIENT),
        size: Some(shape::CLIENTS),
        userdata: userdata::of_clients(family),
        ..wire::Set::default()
    }
}

/// A hook as it is sent.
#[must_use]
pub(crate) const fn wire_hook(hook: Hook) -> wire::Hook {
    wire::Hook {
        number: match hook.point {
            HookPoint::Prerouting => hook::PREROUTING,
            HookPoint::Input => hook::INPUT,
            HookPoint::Forward => hook::FORWARD,
            HookPoint::Output => hook::OUTPUT,
            HookPoint::Postrouting => hook::POSTROUTING,
        },
        priority: hook.priority,
        kind: match hook.kind {
            HookKind::Nat => wire::ChainKind::Nat,
            HookKind::Filter => wire::ChainKind::Filter,
        },
        policy: Policy::Accept,
    }
}

fn wire_chain<L: Layout>(name: &L::Chain, hook: Option<Hook>) -> wire::Chain {
    wire::Chain { table: L::TABLE.to_owned(), name: name.to_string(), hook: hook.map(wire_hook), userdata: Vec::new() }
}

fn wire_rules<L: Layout>(family: Family, chain: &L::Chain, value: &Value<L>) -> Vec<wire::Rule> {
    match value {
        Value::Rules(rules) => rules.iter().map(|rule| wire_rule(family, chain, rule)).collect(),
        Value::LiveRules(rules) => {
            let rule = |exprs: &Vec<Expr>| wire::Rule {
                table: L::TABLE.to_owned(),
                chain: chain.to_string(),
                handle: None,
                exprs: exprs.clone(),
                userdata: Vec::new(),
            };
            rules.iter().map(rule).collect()
        }
        _ => Vec::new(),
    }
}

fn wire_rule<L: Layout>(family: Family, chain: &L::Chain, rule: &Rule<L>) -> wire::Rule {
    // Our comments are constants of a few bytes, which always fit.
    let userdata = rule.comment.and_then(|comment| wire_userdata::comment(comment).ok()).unwrap_or_default();
    wire::Rule {
        table: L::TABLE.to_owned(),
        chain: chain.to_string(),
        handle: None,
        exprs: lower::expressions(family, rule),
        userdata,
    }
}
