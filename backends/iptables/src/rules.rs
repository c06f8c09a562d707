//! Which rules a chain has, among objects.

use std::net::{IpAddr, Ipv4Addr};

use portolan_core::{addr::Protocol, desired::Vip, inspect};

use crate::{
    dialect::Iptables,
    key::{Key, Match},
    names::{BuiltIn, ChainName, Table},
    rule::Rule,
    value::Value,
};
use portolan_core::addr::Family;

pub(crate) type Objects<'a> = inspect::Objects<'a, Iptables>;

/// The rules of a chain, in an order in which they may stand there, each with what it matches where it is an object.
pub(crate) fn of_chain<'a>(
    objects: &Objects<'a>,
    family: Family,
    table: Table,
    chain: ChainName,
) -> Vec<(Option<&'a Match>, Rule)> {
    if let Some(Value::Rules(rules)) = objects.get(&Key::Chain(family, table, chain)) {
        return rules.iter().map(|rule| (None, rule.clone())).collect();
    }
    let (last, mut rules): (Vec<_>, Vec<_>) = dispatched(objects, family, table, chain)
        .flat_map(|(of, value)| as_rules(of, value).into_iter().map(move |rule| (Some(of), rule)))
        .partition(|(of, _)| of.is_some_and(Match::is_last));
    rules.extend(last);
    rules
}

/// The rules of a dispatching chain, as objects.
fn dispatched<'a>(
    objects: &Objects<'a>,
    family: Family,
    table: Table,
    chain: ChainName,
) -> impl Iterator<Item = (&'a Match, &'a Value)> {
    let first = Vip { addr: IpAddr::V4(Ipv4Addr::UNSPECIFIED), protocol: Protocol::Tcp, port: 0 };
    let first = Key::Rule(family, table, chain, Match::Vip(first));
    let all: Vec<_> = objects
        .range::<Key, _>(&first..)
        .map_while(|(key, value)| match key {
            Key::Rule(of, at, name, matched) if (*of, *at, *name) == (family, table, chain) => Some((matched, *value)),
            _ => None,
        })
        .collect();
    all.into_iter()
}

/// The rules in a built-in chain that jump to ours.
pub(crate) fn of_built_in(objects: &Objects<'_>, family: Family, table: Table, chain: BuiltIn) -> Vec<Rule> {
    match objects.get(&Key::Jumps(family, table, chain)) {
        Some(Value::Rules(rules)) => rules.to_vec(),
        _ => Vec::new(),
    }
}

fn as_rules(of: &Match, value: &Value) -> Vec<Rule> {
    match value {
        Value::Dispatch => Vec::new(),
        Value::Rule(comment, target) => vec![of.rule(comment.as_ref(), target)],
        Value::Rules(rules) | Value::Misplaced(rules) => rules.to_vec(),
    }
}

/// The ServicePort that the comment of a dispatching rule names.
pub(crate) fn service(comment: &str) -> &str {
    let said = [" cluster IP", " external IP", " loadbalancer IP", " has no endpoints", " has no local endpoints"];
    let named = said.into_iter().find_map(|what| comment.strip_suffix(what));
    named.or_else(|| Some(comment.split_once(" traffic not accepted by ")?.0)).unwrap_or(comment)
}
