//! iptables as a [`Dialect`]: the order of creation, who holds whom, what refers to what.

use portolan_core::{
    addr::{Family, PerFamily},
    desired::{DesiredPort, NodePolicy},
    object::{Dialect, Rank, Unclaimed},
};

use crate::{
    key::{Key, Match},
    layout,
    names::{ChainName, Table},
    render,
    rule::{Condition, Rule, Target},
    value::Value,
};

/// The vocabulary of this backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Iptables {
    /// Which families this node can program. Nothing is rendered in another one.
    pub(crate) families: PerFamily<bool>,
}

/// Both families.
impl Default for Iptables {
    fn default() -> Self {
        Self { families: PerFamily { v4: true, v6: true } }
    }
}

impl Dialect for Iptables {
    type Key = Key;
    type Value = Value;

    /// Detector, ServiceCIDRs and the size of the cluster are in the rules of each ServicePort.
    const RENDER_READS_POLICY: bool = true;

    /// A commit of a table is, and those of two tables have an order in which it does not matter
    /// (`restore.rs`).
    const SEEN_WHOLE: bool = true;
    const ADDS_OVER: bool = false;

    /// The order matters between batches alone.
    fn rank(key: &Key) -> Rank {
        match key {
            Key::Chain(..) => Rank::Endpoint,
            Key::Rule(_, _, _, Match::Net(_)) | Key::Rule(_, Table::Filter, ..) => Rank::Policy,
            Key::Rule(_, Table::Nat, ..) => Rank::Gate,
            Key::Jumps(..) => Rank::Entry,
        }
    }

    fn parent(key: &Key) -> Option<Key> {
        match key {
            Key::Rule(family, table, chain, _) => Some(Key::Chain(*family, *table, *chain)),
            Key::Chain(..) | Key::Jumps(..) => None,
        }
    }

    fn capacity(_: &Value) -> Option<usize> {
        None
    }

    fn grown(_: &Value, _: usize) -> Option<Value> {
        None
    }

    fn writable(_: &Key, value: &Value) -> bool {
        let understood = |rule: &Rule| !matches!(rule.target, Target::Strange(_));
        match value {
            Value::Dispatch => true,
            Value::Rules(rules) => rules.iter().all(understood),
            Value::Rule(_, target) => !matches!(target, Target::Strange(_)),
            Value::Misplaced(_) => false,
        }
    }

    fn references(key: &Key, value: &Value, visit: &mut dyn FnMut(Key)) {
        let mut name = |chain| visit(Key::Chain(key.family(), key.table(), chain));
        match value {
            Value::Dispatch => {}
            Value::Rules(rules) | Value::Misplaced(rules) => rules.iter().filter_map(Rule::chain).for_each(name),
            Value::Rule(_, Target::Jump(chain)) => name(*chain),
            Value::Rule(..) => {}
        }
    }

    /// Comments within the chains of a Service are for people alone. Those of the rules that lead there name it.
    fn serves(key: &Key, live: &Value, wanted: &Value) -> bool {
        match (key, live, wanted) {
            (Key::Chain(..), Value::Rules(live), Value::Rules(wanted)) => {
                live.len() == wanted.len()
                    && live.iter().zip(&**wanted).all(|(live, wanted)| does_the_same(live, wanted))
            }
            (Key::Jumps(..), Value::Rules(live), Value::Rules(wanted)) => {
                // kubelet makes the same jump, wherever it happens to.
                let guards = |rules: &[Rule]| rules.iter().filter(|rule| is_guard(rule)).count();
                guards(live).min(1) == guards(wanted) && jumps(live).eq(jumps(wanted))
            }
            _ => live == wanted,
        }
    }

    fn replaceable(_: &Key) -> bool {
        true
    }

    fn unclaimed(_: &Key, _: &Value) -> Unclaimed<Value> {
        Unclaimed::Remove
    }

    fn weight(_: &Key, value: &Value) -> usize {
        // A line with the names of two chains and two addresses, and the comments.
        let line = |rule: &Rule| 192 + rule.comment().map_or(0, |comment| comment.len());
        match value {
            Value::Dispatch => 64,
            Value::Rules(rules) | Value::Misplaced(rules) => 64 + rules.iter().map(line).sum::<usize>(),
            Value::Rule(comment, _) => 192 + comment.as_ref().map_or(0, |comment| comment.len()),
        }
    }

    fn base(&self, policy: &NodePolicy, _: &dyn Fn(&Key) -> usize) -> Vec<(Key, Value)> {
        let families = Family::ALL.into_iter().filter(|family| *self.families.get(*family));
        families.flat_map(|family| layout::objects(policy, family)).collect()
    }

    fn render(&self, policy: &NodePolicy, port: &DesiredPort, objects: &mut Vec<(Key, Value)>) {
        if *self.families.get(port.family) {
            render::render(policy, port, objects);
        }
    }

    fn keep_places<'kernel>(_: &mut [(Key, Value)], _: &dyn Fn(usize) -> Option<&'kernel Value>) {}
}

fn does_the_same(live: &Rule, wanted: &Rule) -> bool {
    let conditions = |rule: &'_ Rule| -> Vec<Condition> {
        rule.conditions.iter().filter(|condition| !matches!(condition, Condition::Comment(_))).cloned().collect()
    };
    live == wanted || live.target == wanted.target && conditions(live) == conditions(wanted)
}

fn is_guard(rule: &Rule) -> bool {
    rule.chain() == Some(ChainName::Firewall)
}

fn jumps(rules: &[Rule]) -> impl Iterator<Item = &Rule> {
    rules.iter().filter(|rule| !is_guard(rule))
}
