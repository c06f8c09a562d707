//! What the kernel holds in our tables, as keys and values.
//!
//! Anything inside them counts: what is like ours reads as what we would have written, and everything else as
//! [`Value::Strange`] or a foreign key, which nobody wants, so that the diff removes it.

use portolan_core::addr::Family;
use portolan_netlink::{
    Connection, DumpError,
    uapi::set,
    wire::{self, Chain, Expr, ListedElement, Rule, Set, Table, Verdict},
};

use super::{
    element::{ElementKey, read_endpoint},
    encode::{wire_clients, wire_hook, wire_set},
    key::Key,
    lower::protocol_family,
    second::{Names, parse, second},
    value::{Comment, Data, Hook, HookKind, HookPoint, Value},
};
use crate::services::{
    names::{ChainName, PortName, SetName, TABLE},
    sets::{self, DataKind},
};

/// Reads one of our tables, and which names its sets have; nothing where it is not there.
///
/// # Errors
/// See [`DumpError`].
pub(crate) fn observe(
    connection: &mut Connection,
    family: Family,
    names: &mut Names,
) -> Result<Vec<(Key, Value)>, DumpError> {
    let number = protocol_family(family);
    names.forget(family);
    let Some(table) = connection.table(number, TABLE)? else { return Ok(Vec::new()) };
    let mut objects = vec![(Key::Table(family), read_table(&table))];
    for chain in connection.chains(number, TABLE)? {
        objects.push((Key::Chain(family, ChainName::parse(&chain.name)), read_chain(&chain)));
    }
    let rules = connection.rules(number, TABLE)?;
    let mut sets = connection.sets(number, TABLE)?;
    // An anonymous set belongs to its rule, and comes and goes with it.
    sets.retain(|set| set.flags & set::F_ANONYMOUS == 0);
    find_names(family, &sets, &rules, names);
    read_rules(family, rules, names, &mut objects);
    for set in sets {
        if let Some(name) = parse(&set.name).filter(|name| set.name == names.of(family, *name)) {
            objects.push((Key::Set(family, name), read_set(family, name, &set)));
            if name != SetName::Links {
                read_elements(connection, family, name, &set.name, &mut objects)?;
            }
        } else if let Some(name) = PortName::parse(&set.name) {
            let value = if same(&set, wire_clients(family, &name)) { Value::Clients } else { Value::Strange };
            objects.push((Key::Clients(family, name), value));
        } else {
            objects.push((Key::ForeignSet(family, set.name.as_str().into()), Value::Strange));
        }
    }
    Ok(objects)
}

/// Of two sets with the first and the second name of one, that is in use which our rules read: a process that was killed
/// between two transactions has left the other.
fn find_names(family: Family, sets: &[Set], rules: &[Rule], names: &mut Names) {
    let is_read = |name: &str| {
        let reads = |expr: &Expr| matches!(expr, Expr::Lookup { set, .. } if set == name);
        let is_ours = |rule: &&Rule| !matches!(ChainName::parse(&rule.chain), ChainName::Foreign(_));
        rules.iter().filter(is_ours).any(|rule| rule.exprs.iter().any(reads))
    };
    // Links are put into their set by a rule, which knows the first name only; and it never grows.
    for set in SetName::ALL.into_iter().filter(|set| *set != SetName::Links) {
        let is_there = |name: &str| sets.iter().any(|live| live.name == name);
        let second = second(set);
        let there = (is_there(set.as_str()), is_there(&second));
        if there.1 && (!there.0 || is_read(&second)) {
            names.exchange(family, set);
        }
        if there == (true, true) {
            names.double(family, set);
        }
    }
}

const fn read_table(table: &Table) -> Value {
    // A dormant table is there and does nothing; an owned one dies with its owner.
    if table.flags == 0 { Value::Table } else { Value::Strange }
}

fn read_chain(chain: &Chain) -> Value {
    let Some(live) = chain.hook else { return Value::Chain(None) };
    let points =
        [HookPoint::Prerouting, HookPoint::Input, HookPoint::Forward, HookPoint::Output, HookPoint::Postrouting];
    let hooks = points
        .into_iter()
        .flat_map(|point| [HookKind::Nat, HookKind::Filter].map(|kind| Hook { kind, point, priority: live.priority }));
    hooks.into_iter().find(|hook| wire_hook(*hook) == live).map_or(Value::Strange, |hook| Value::Chain(Some(hook)))
}

/// The rules of a chain are one object, in their order; a chain without rules has an empty one only if somebody
/// emptied it, which its absence says as well.
fn read_rules(family: Family, mut rules: Vec<Rule>, names: &Names, objects: &mut Vec<(Key, Value)>) {
    rules.iter_mut().for_each(|rule| names.lift(family, &mut rule.exprs));
    for of_chain in rules.chunk_by(|a, b| a.chain == b.chain) {
        let Some(first) = of_chain.first() else { continue };
        let expressions = of_chain.iter().map(|rule| rule.exprs.clone()).collect();
        objects.push((Key::Rules(family, ChainName::parse(&first.chain)), Value::LiveRules(expressions)));
    }
}

fn read_set(family: Family, name: SetName, live: &Set) -> Value {
    let counts = !live.exprs.is_empty();
    if same(live, wire_set(family, name, live.size, counts)) {
        Value::Set { size: live.size, counts }
    } else {
        Value::Strange
    }
}

/// User data is for listings, and names are judged before; all else decides what packets meet.
fn same(live: &Set, ours: Set) -> bool {
    *live == Set { userdata: live.userdata.clone(), name: live.name.clone(), ..ours }
}

fn read_elements(
    connection: &mut Connection,
    family: Family,
    name: SetName,
    live_name: &str,
    objects: &mut Vec<(Key, Value)>,
) -> Result<(), DumpError> {
    let kind = sets::shape(name).data;
    let number = protocol_family(family);
    let mut elements: Vec<_> = connection.elements(number, TABLE, live_name, |elements: &mut Vec<_>, element| {
        let key = Key::Element(family, name, ElementKey::found(element.key));
        elements.push((key, read_element(family, kind, element)));
        Ok(())
    })?;
    objects.append(&mut elements);
    Ok(())
}

fn read_element(family: Family, kind: DataKind, element: &ListedElement<'_>) -> Value {
    let data = match (kind, element.data) {
        (DataKind::None, wire::Data::None) => Some(Data::None),
        (DataKind::Endpoint, wire::Data::Value(bytes)) => {
            read_endpoint(family, bytes).map(|(addr, port)| Data::Endpoint(addr, port))
        }
        (DataKind::Verdict, wire::Data::Verdict(Verdict::Jump(chain))) => Some(Data::Jump(ChainName::parse(chain))),
        (DataKind::Verdict, wire::Data::Verdict(Verdict::Goto(chain))) => Some(Data::Goto(ChainName::parse(chain))),
        _ => None,
    };
    let comment = element.comment().map(Comment::found);
    data.filter(|_| element.is_plain()).map_or(Value::Strange, |data| Value::Element(data, comment))
}
