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
    layout::Layout,
    lower::protocol_family,
    second::{Names, parse, second},
    shape::DataKind,
    value::{Comment, Data, Hook, HookKind, HookPoint, Value},
};

/// The objects of a table.
pub(crate) type Observed<L> = Vec<(Key<L>, Value<L>)>;

/// Reads one of our tables, and which names its sets have; nothing where it is not there.
///
/// # Errors
/// See [`DumpError`].
pub(crate) fn observe<L: Layout>(
    connection: &mut Connection,
    family: Family,
    names: &mut Names<L>,
) -> Result<Observed<L>, DumpError> {
    let number = protocol_family(family);
    names.forget(family);
    let Some(table) = connection.table(number, L::TABLE)? else { return Ok(Vec::new()) };
    let mut objects = vec![(Key::Table(family), read_table(&table))];
    for chain in connection.chains(number, L::TABLE)? {
        objects.push((Key::Chain(family, L::chain(&chain.name)), read_chain(&chain)));
    }
    let rules = connection.rules(number, L::TABLE)?;
    let mut sets = connection.sets(number, L::TABLE)?;
    // An anonymous set belongs to its rule, and comes and goes with it.
    sets.retain(|set| set.flags & set::F_ANONYMOUS == 0);
    find_names(family, &sets, &rules, names);
    read_rules(family, rules, names, &mut objects);
    for set in sets {
        if let Some(name) = parse::<L>(&set.name).filter(|name| set.name == names.of(family, *name)) {
            objects.push((Key::Set(family, name), read_set(family, name, &set)));
            if !L::shape(name).filled_by_packets {
                read_elements(connection, family, name, &set.name, &mut objects)?;
            }
        } else if let Some(name) = L::clients(&set.name) {
            let value = if same(&set, wire_clients::<L>(family, &name)) { Value::Clients } else { Value::Strange };
            objects.push((Key::Clients(family, name), value));
        } else {
            objects.push((Key::ForeignSet(family, set.name.as_str().into()), Value::Strange));
        }
    }
    Ok(objects)
}

/// Of two sets with the first and the second name of one, that is in use which our rules read: a process that was killed
/// between two transactions has left the other.
fn find_names<L: Layout>(family: Family, sets: &[Set], rules: &[Rule], names: &mut Names<L>) {
    let is_read = |name: &str| {
        let reads = |expr: &Expr| matches!(expr, Expr::Lookup { set, .. } if set == name);
        let is_ours = |rule: &&Rule| !L::is_foreign(&L::chain(&rule.chain));
        rules.iter().filter(is_ours).any(|rule| rule.exprs.iter().any(reads))
    };
    // What packets fill is put into its set by a rule, which knows the first name only; and it never grows.
    for set in L::SETS.iter().copied().filter(|set| !L::shape(*set).filled_by_packets) {
        let is_there = |name: &str| sets.iter().any(|live| live.name == name);
        let second = second::<L>(set);
        let there = (is_there(L::set_name(set)), is_there(&second));
        if there.1 && (!there.0 || is_read(&second)) {
            names.exchange(family, set);
        }
        if there == (true, true) {
            names.double(family, set);
        }
    }
}

const fn read_table<L: Layout>(table: &Table) -> Value<L> {
    // A dormant table is there and does nothing; an owned one dies with its owner.
    if table.flags == 0 { Value::Table } else { Value::Strange }
}

fn read_chain<L: Layout>(chain: &Chain) -> Value<L> {
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
fn read_rules<L: Layout>(family: Family, mut rules: Vec<Rule>, names: &Names<L>, objects: &mut Observed<L>) {
    rules.iter_mut().for_each(|rule| names.lift(family, &mut rule.exprs));
    for of_chain in rules.chunk_by(|a, b| a.chain == b.chain) {
        let Some(first) = of_chain.first() else { continue };
        let expressions = of_chain.iter().map(|rule| rule.exprs.clone()).collect();
        objects.push((Key::Rules(family, L::chain(&first.chain)), Value::LiveRules(expressions)));
    }
}

fn read_set<L: Layout>(family: Family, name: L::Set, live: &Set) -> Value<L> {
    let counts = !live.exprs.is_empty();
    if same(live, wire_set::<L>(family, name, live.size, counts)) {
        Value::Set { size: live.size, counts }
    } else {
        Value::Strange
    }
}

/// User data is for listings, and names are judged before; all else decides what packets meet.
fn same(live: &Set, ours: Set) -> bool {
    *live == Set { userdata: live.userdata.clone(), name: live.name.clone(), ..ours }
}

fn read_elements<L: Layout>(
    connection: &mut Connection,
    family: Family,
    name: L::Set,
    live_name: &str,
    objects: &mut Observed<L>,
) -> Result<(), DumpError> {
    let kind = L::shape(name).data;
    let number = protocol_family(family);
    let mut elements: Vec<_> = connection.elements(number, L::TABLE, live_name, |elements: &mut Vec<_>, element| {
        let key = Key::Element(family, name, ElementKey::found(element.key));
        elements.push((key, read_element(family, kind, element)));
        Ok(())
    })?;
    objects.append(&mut elements);
    Ok(())
}

fn read_element<L: Layout>(family: Family, kind: DataKind, element: &ListedElement<'_>) -> Value<L> {
    let data = match (kind, element.data) {
        (DataKind::None, wire::Data::None) => Some(Data::None),
        (DataKind::Endpoint, wire::Data::Value(bytes)) => {
            read_endpoint(family, bytes).map(|(addr, port)| Data::Endpoint(addr, port))
        }
        (DataKind::Verdict, wire::Data::Verdict(Verdict::Jump(chain))) => Some(Data::Jump(L::chain(chain))),
        (DataKind::Verdict, wire::Data::Verdict(Verdict::Goto(chain))) => Some(Data::Goto(L::chain(chain))),
        _ => None,
    };
    let comment = element.comment().map(Comment::found);
    data.filter(|_| element.is_plain()).map_or(Value::Strange, |data| Value::Element(data, comment))
}
