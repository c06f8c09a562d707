//! nftables as a [`Dialect`]: the order of creation, who holds whom, what refers to what.

use portolan_core::{
    desired::{DesiredPort, NodePolicy},
    object::{Dialect, Rank},
};

use portolan_netlink::wire::Expr;

use super::{
    layout,
    names::{ChainName, PortName, SetName},
    places, render,
};
use crate::table::{
    key::Key,
    lower,
    value::{Data, Value},
};

/// The vocabulary of this backend.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Nft;

impl Dialect for Nft {
    type Key = Key;
    type Value = Value;

    /// Whom a policy concerns is in the base; what ServicePorts render to refers to its chains.
    const RENDER_READS_POLICY: bool = false;

    fn rank(key: &Key) -> Rank {
        match key {
            Key::Table(_) => Rank::Root,
            Key::Set(..) | Key::Clients(..) | Key::ForeignSet(..) => Rank::Container,
            Key::Chain(..) => Rank::Path,
            Key::Rules(..) => Rank::Rules,
            Key::Element(_, set, _) => match set {
                SetName::Services(_) => Rank::Gate,
                SetName::Policies(_)
                | SetName::Large(_)
                | SetName::LocalServices(_)
                | SetName::Affinities(_)
                | SetName::LocalAffinities(_)
                | SetName::RestrictedPolicies
                | SetName::NoEndpoints(_) => Rank::Policy,
                SetName::Direct(_)
                | SetName::Endpoints(_)
                | SetName::LocalEndpoints(_)
                | SetName::NoLocalEndpoints(_)
                | SetName::Restricted
                | SetName::ClusterIps
                | SetName::Hairpin
                | SetName::Links => Rank::Endpoint,
            },
        }
    }

    fn parent(key: &Key) -> Option<Key> {
        match key {
            Key::Table(_) => None,
            Key::Set(family, _) | Key::Clients(family, _) | Key::ForeignSet(family, _) | Key::Chain(family, _) => {
                Some(Key::Table(*family))
            }
            Key::Rules(family, chain) => Some(Key::Chain(*family, chain.clone())),
            Key::Element(family, set, _) => Some(Key::Set(*family, *set)),
        }
    }

    fn capacity(value: &Value) -> Option<usize> {
        match value {
            Value::Set { size: Some(size), .. } => usize::try_from(*size).ok(),
            _ => None,
        }
    }

    fn references(key: &Key, value: &Value, visit: &mut dyn FnMut(Key)) {
        let family = key.family();
        match value {
            Value::Element(Data::Jump(chain) | Data::Goto(chain), _) => visit(Key::Chain(family, chain.clone())),
            Value::Rules(rules) => {
                for statement in rules.iter().flat_map(|rule| &rule.statements) {
                    statement.set(family).into_iter().for_each(&mut *visit);
                    statement.chain().into_iter().for_each(|chain| visit(Key::Chain(family, chain.clone())));
                }
            }
            Value::LiveRules(rules) => {
                for set in rules.iter().flatten().filter_map(|expr| match expr {
                    Expr::Lookup { set, .. } => SetName::parse(set),
                    _ => None,
                }) {
                    visit(Key::Set(family, set));
                }
            }
            _ => {}
        }
    }

    fn grown(value: &Value, need: usize) -> Option<Value> {
        match value {
            Value::Set { size: Some(_), counts } => {
                Some(Value::Set { size: Some(layout::size_for(need)), counts: *counts })
            }
            _ => None,
        }
    }

    fn writable(key: &Key, value: &Value) -> bool {
        match (key, value) {
            (Key::Rules(_, ChainName::Foreign(_)), _) | (_, Value::Strange) => false,
            // What others have added may belong to this one rule, as an anonymous set does.
            (_, Value::LiveRules(rules)) => rules.iter().flatten().all(|instruction| match instruction {
                Expr::Other { .. } => false,
                Expr::Lookup { set, .. } => SetName::parse(set).is_some() || PortName::parse(set).is_some(),
                _ => true,
            }),
            _ => true,
        }
    }

    fn serves(key: &Key, live: &Value, wanted: &Value) -> bool {
        match (live, wanted) {
            // Whether there is room is counted apart: a set that is larger or smaller than we would make it now is fine.
            (Value::Set { size: live, counts: live_counts }, Value::Set { size, counts }) => {
                live.is_some() == size.is_some() && live_counts == counts
            }
            (Value::LiveRules(live), Value::Rules(wanted)) => lower::is_same(key.family(), live, wanted),
            (Value::Strange, _) => false,
            (live, wanted) => live == wanted,
        }
    }

    fn replaceable(key: &Key) -> bool {
        matches!(key, Key::Rules(..) | Key::Element(..))
    }

    fn lingers(key: &Key) -> bool {
        use ChainName::{Pick, PickLocal};
        matches!(key, Key::Chain(_, Pick(..) | PickLocal(..)) | Key::Rules(_, Pick(..) | PickLocal(..)))
    }

    fn weight(key: &Key, value: &Value) -> usize {
        match (key, value) {
            // Header, key and data at their largest, and the comment.
            (_, Value::Element(_, comment)) => 160 + comment.as_ref().map_or(0, |comment| comment.as_str().len()),
            // Five expressions at most for each, and a name.
            (_, Value::Rules(rules)) => rules.iter().map(|rule| 256 + 512 * rule.statements.len()).sum(),
            _ => 1024,
        }
    }

    fn base(&self, policy: &NodePolicy, need: &dyn Fn(&Key) -> usize) -> Vec<(Key, Value)> {
        layout::objects(policy, need)
    }

    fn render(&self, _policy: &NodePolicy, port: &DesiredPort, objects: &mut Vec<(Key, Value)>) {
        render::render(port, objects);
    }

    fn keep_places<'kernel>(objects: &mut [(Key, Value)], present: &dyn Fn(usize) -> Option<&'kernel Value>) {
        places::keep(objects, present);
    }
}
