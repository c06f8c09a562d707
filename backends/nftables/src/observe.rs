//! What the kernel holds in our tables, as keys and values.
//!
//! Anything inside them counts: what is like ours reads as what we would have written, and everything else as
//! [`Value::Strange`] or a foreign key, which nobody wants, so that the diff removes it.

use portolan_core::addr::Family;
use portolan_netlink::{
    Connection, DumpError,
    uapi::set,
    wire::{self, Chain, ListedElement, Rule, Set, Table, Verdict},
};

use crate::{
    element::{ElementKey, read_endpoint},
    encode::{wire_clients, wire_hook, wire_set},
    key::Key,
    lower::protocol_family,
    names::{ChainName, PortName, SetName, TABLE},
    sets::{self, DataKind},
    value::{Comment, Data, Hook, HookKind, HookPoint, Value},
};

/// Reads one of our tables; nothing where it is not there.
///
/// # Errors
/// See [`DumpError`].
pub(crate) fn observe(connection: &mut Connection, family: Family) -> Result<Vec<(Key, Value)>, DumpError> {
    let number = protocol_family(family);
    let Some(table) = connection.table(number, TABLE)? else { return Ok(Vec::new()) };
    let mut objects = vec![(Key::Table(family), read_table(&table))];
    for chain in connection.chains(number, TABLE)? {
        objects.push((Key::Chain(family, ChainName::parse(&chain.name)), read_chain(&chain)));
    }
    read_rules(family, &connection.rules(number, TABLE)?, &mut objects);
    // An anonymous set belongs to its rule, and comes and goes with it.
    let is_named = |set: &Set| set.flags & set::F_ANONYMOUS == 0;
    for set in connection.sets(number, TABLE)?.into_iter().filter(is_named) {
        if let Some(name) = SetName::parse(&set.name) {
            objects.push((Key::Set(family, name), read_set(family, name, &set)));
            if name != SetName::Links {
                read_elements(connection, family, name, &mut objects)?;
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
fn read_rules(family: Family, rules: &[Rule], objects: &mut Vec<(Key, Value)>) {
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

/// User data is for listings; all else decides what packets meet.
fn same(live: &Set, ours: Set) -> bool {
    *live == Set { userdata: live.userdata.clone(), ..ours }
}

fn read_elements(
    connection: &mut Connection,
    family: Family,
    name: SetName,
    objects: &mut Vec<(Key, Value)>,
) -> Result<(), DumpError> {
    let kind = sets::shape(name).data;
    let number = protocol_family(family);
    let mut elements: Vec<_> =
        connection.elements(number, TABLE, name.as_str(), |elements: &mut Vec<_>, element| {
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
