//! The layout of Services as a [`Dialect`]: the order of creation, what lingers; and its names as a [`Layout`] of tables.

use portolan_core::{
    desired::{DesiredPort, NodePolicy},
    object::{Dialect, Rank, Unclaimed},
};

use super::{
    Key, Value, layout,
    names::{ChainName, PortName, SetName},
    places, render,
    sender::Sender,
    sets,
};
use crate::table::{layout::Layout, shape::Shape};

/// The vocabulary of this backend.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nft;

impl Dialect for Nft {
    type Key = Key;
    type Value = Value;

    /// Whom a policy concerns is in the base; what ServicePorts render to refers to its chains.
    const RENDER_READS_POLICY: bool = false;

    /// The lookups of one packet can straddle a commit.
    const SEEN_WHOLE: bool = false;
    const ADDS_OVER: bool = true;

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
                | SetName::Scheduled
                | SetName::Links => Rank::Endpoint,
            },
        }
    }

    fn parent(key: &Key) -> Option<Key> {
        key.parent()
    }

    fn capacity(value: &Value) -> Option<usize> {
        value.capacity()
    }

    fn references(key: &Key, value: &Value, visit: &mut dyn FnMut(Key)) {
        value.references(key, visit);
    }

    fn grown(value: &Value, need: usize) -> Option<Value> {
        value.grown(need)
    }

    fn writable(key: &Key, value: &Value) -> bool {
        value.is_writable(key)
    }

    fn serves(key: &Key, live: &Value, wanted: &Value) -> bool {
        live.serves(key, wanted)
    }

    fn replaceable(key: &Key) -> bool {
        key.is_replaceable()
    }

    fn unclaimed(key: &Key, _live: &Value) -> Unclaimed<Value> {
        use ChainName::{Pick, PickLocal};
        match key {
            Key::Chain(_, Pick(..) | PickLocal(..)) | Key::Rules(_, Pick(..) | PickLocal(..)) => {
                Unclaimed::UntilNextLook
            }
            _ => Unclaimed::Remove,
        }
    }

    fn weight(_key: &Key, value: &Value) -> usize {
        value.weight()
    }

    fn base(&self, policy: &NodePolicy, need: &dyn Fn(&Key) -> usize) -> Vec<(Key, Value)> {
        layout::objects(policy, Sender::Rules, need)
    }

    fn render(&self, _policy: &NodePolicy, port: &DesiredPort, objects: &mut Vec<(Key, Value)>) {
        render::render(port, Sender::Rules, objects);
    }

    fn keep_places<'kernel>(objects: &mut [(Key, Value)], present: &dyn Fn(usize) -> Option<&'kernel Value>) {
        places::keep(objects, present);
    }
}

impl Layout for Nft {
    const TABLE: &str = super::names::TABLE;
    const SETS: &[SetName] = &SetName::ALL;

    type Set = SetName;
    type Chain = ChainName;
    type Clients = PortName;

    fn shape(set: SetName) -> Shape {
        sets::shape(set)
    }

    fn chain(name: &str) -> ChainName {
        ChainName::parse(name)
    }

    fn is_foreign(chain: &ChainName) -> bool {
        matches!(chain, ChainName::Foreign(_))
    }

    fn clients(name: &str) -> Option<PortName> {
        PortName::parse(name)
    }

    fn set(name: &str) -> Option<SetName> {
        SetName::parse(name)
    }

    fn set_name(set: SetName) -> &'static str {
        set.as_str()
    }
}
