//! What a backend's objects are: their keys, their values, how they depend on one another, and how Services become
//! such objects. All of it pure.

use std::{fmt, hash::Hash, time::Duration};

use crate::desired::{DesiredPort, NodePolicy};

/// The order in which objects are created, so that no packet meets a half-made Service: whatever leads somewhere is
/// created after the place it leads to. Removal is the reverse.
///
/// A dialect uses those that it has: nftables has tables (`Root`), sets (`Container`), chains (`Path`) and their rules, and
/// elements of sets, which are `Endpoint`, `Policy` or `Gate` by what packets are told there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rank {
    /// What holds everything else.
    Root,
    /// What holds objects of the ranks below, without them. Nothing else leads to what it holds, so that goes with it.
    Container,
    /// A path that packets can be sent along, without what happens to them there.
    Path,
    /// What happens to packets on a path: looked up once by each packet, which then meets all of it as it was at that moment.
    Rules,
    /// Where a connection can be sent to, and what packets that are already on their way are asked about.
    Endpoint,
    /// What is done with a connection before it is sent on.
    Policy,
    /// That this address belongs to a Service at all: read first by packets, so written last and removed first.
    Gate,
    /// The ways in for all packets: made when everything else is there. Until then the kernel has nothing to check from where
    /// packets start, which with each commit it would do anew (`nft_table_validate`).
    Entry,
}

/// What becomes of an object that nobody claims any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unclaimed<V> {
    /// It is removed.
    Remove,
    /// It may stay until the kernel is looked at again, and is no drift till then.
    UntilNextLook,
    /// It is given this value, with which nothing new comes to it and it [drains](Self::Draining).
    Retire(V),
    /// What is on its way to it goes on. It is removed once nothing is, and after this time whatever is.
    Draining {
        /// After which it is removed.
        at_most: Duration,
    },
}

/// The vocabulary of one backend. A value, since what is rendered may depend on what a backend has found out about its
/// kernel; what the keys and values are among each other does not.
pub trait Dialect: Clone + PartialEq + fmt::Debug + 'static {
    /// Names an object. Its `Display` is read by users, in logs and in `portolan diff`.
    type Key: Clone + Ord + Hash + fmt::Debug + fmt::Display;
    /// Everything else there is to an object.
    type Value: Clone + PartialEq + fmt::Debug;

    /// Whether what ServicePorts render to depends on the policy, so that another policy has all of them rendered again.
    const RENDER_READS_POLICY: bool;

    /// Whether no packet meets a part of a batch alone, so that what leads to an object may go together with the object. Then a
    /// change is one batch.
    const SEEN_WHOLE: bool;

    /// Whether an object that may be there already can be added beside it ([`Backend::apply_beside`](super::Backend::apply_beside))
    /// with all that is to be in it, and nothing of any other object is lost by that.
    const ADDS_OVER: bool;

    /// When an object is created and removed.
    fn rank(key: &Self::Key) -> Rank;

    /// The object that holds this one: it must exist first, takes this one with it when it is removed, and this one
    /// counts against its [capacity](Self::capacity).
    fn parent(key: &Self::Key) -> Option<Self::Key>;

    /// How many objects fit into this one; `None` for no limit.
    fn capacity(value: &Self::Value) -> Option<usize>;

    /// The same container with room for so many objects, if one that is full can be replaced by a larger one together with
    /// the rules that read it ([`Op::Rebuild`](super::Op::Rebuild)); `None` where only its root can be made anew.
    fn grown(value: &Self::Value, need: usize) -> Option<Self::Value>;

    /// Whether what the kernel holds under a key could be written as it is.
    fn writable(key: &Self::Key, value: &Self::Value) -> bool;

    /// Calls `visit` with every object that this one names and that must exist as long as it does. One that drains may name
    /// what it did not name before: the address that its connections have to be delivered to.
    fn references(key: &Self::Key, value: &Self::Value, visit: &mut dyn FnMut(Self::Key));

    /// Whether what the kernel holds does what is wanted. More than equality where the kernel holds the same in
    /// another form, or where a difference does not matter (a set that is larger than it need be).
    fn serves(key: &Self::Key, live: &Self::Value, wanted: &Self::Value) -> bool;

    /// Whether the value of a live object can be changed. Where not, whatever holds it is rebuilt.
    fn replaceable(key: &Self::Key) -> bool;

    /// What becomes of an object that the kernel holds and nobody claims any more.
    fn unclaimed(key: &Self::Key, live: &Self::Value) -> Unclaimed<Self::Value>;

    /// Bytes that writing this object takes in a batch, at most.
    fn weight(key: &Self::Key, value: &Self::Value) -> usize;

    /// The objects that this node needs whatever its Services. `need` says how many objects a container is going to
    /// hold, so that it can be made large enough.
    fn base(&self, policy: &NodePolicy, need: &dyn Fn(&Self::Key) -> usize) -> Vec<(Self::Key, Self::Value)>;

    /// The objects of one ServicePort in one family, appended to `objects`; no key twice.
    fn render(&self, policy: &NodePolicy, port: &DesiredPort, objects: &mut Vec<(Self::Key, Self::Value)>);

    /// Where it does not matter which of a ServicePort's objects has which value, exchanges values so that as many as
    /// possible stay where the kernel holds them: an order is a thing of the kernel's, and no wish of anybody's.
    /// `objects` are as rendered, and `present` says what the kernel holds under the key of the object with this number.
    fn keep_places<'kernel>(
        objects: &mut [(Self::Key, Self::Value)],
        present: &dyn Fn(usize) -> Option<&'kernel Self::Value>,
    );
}
