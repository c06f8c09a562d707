//! From differences to batches, in an order in which no packet meets a half-made Service.
//!
//! ```text
//!   1. rebuilds    a root that cannot be mended in place: removed and made anew in one batch, or in as many as it takes
//!      growth      a container that has no room: what it holds in a larger one, with the rules that read it, in one batch
//!   2. additions   what is missing or changed, by rank; all of one ServicePort in the same batch, but for paths that
//!                  are new: those come a batch earlier
//!   3. removals    gates, then policies, then endpoints, then containers: a batch of its own for each step (`removal.rs`)
//! ```
//!
//! The lookups that one packet makes may straddle a commit: it can find the gate in the old state and look for the
//! endpoint in the new one. So what a packet may still be on its way to is removed only by a later commit than the one
//! that removed what leads there, and what replaces it has been added before (measured: docs/design/nftables.md).

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Claimant, Dialect, Difference, Rank, Tracker,
    removal::removals,
    tracker::{Pending, containers_of},
};

/// Bytes of a removal, which names a key: no dialect writes one in more.
const KEY_WEIGHT: usize = 256;

/// One change to one object.
#[derive(Debug, Clone, PartialEq)]
pub enum Op<D: Dialect> {
    /// Create an object that is not there.
    Add(D::Key, D::Value),
    /// Give an object that is there this value. The last value is what it has, for backends that can only name an object by all
    /// of it. Apart, since few operations have it.
    Replace(D::Key, D::Value, Box<D::Value>),
    /// Remove an object and all that it holds. The value is what it has.
    Remove(D::Key, D::Value),
    /// Remove a container and all it holds, to be made anew by the operations that follow in the same batch: a root whole,
    /// any other together with the rules that read it.
    Rebuild(D::Key),
}

impl<D: Dialect> Op<D> {
    /// The object that is changed.
    pub const fn key(&self) -> &D::Key {
        match self {
            Self::Add(key, _) | Self::Replace(key, ..) | Self::Remove(key, _) | Self::Rebuild(key) => key,
        }
    }
}

/// Operations that are applied together or not at all.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch<D: Dialect> {
    /// In the order in which they have to be carried out.
    pub ops: Vec<Op<D>>,
}

impl<D: Dialect> Batch<D> {
    /// Whether it makes a container anew.
    #[must_use]
    pub fn is_rebuild(&self) -> bool {
        matches!(self.ops.first(), Some(Op::Rebuild(_)))
    }
}

/// All that has to be done, batch after batch. Empty when the kernel holds what is wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan<D: Dialect> {
    /// Each is safe alone: stopping after any of them leaves every Service whole.
    pub batches: Vec<Batch<D>>,
    /// How many of them come before those that remove, which need all of these.
    pub additions: usize,
}

/// What a plan has to keep to.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes that a batch may have. One ServicePort is never split, and a rebuild is one batch unless it is
    /// [in parts](Self::rebuilds_in_parts).
    pub bytes: usize,
    /// Whether a root that is made anew fits into no batch: then it is there at once, but what it holds comes after it, and
    /// packets miss that for so long.
    pub rebuilds_in_parts: bool,
    /// Whether each ServicePort gets a batch of its own, to find the one that the kernel refuses.
    pub isolate: bool,
    /// Whether objects may be changed or removed; if not, only what is missing is added; a container that is full is replaced for it.
    pub additions_only: bool,
}

impl<D: Dialect> Plan<D> {
    /// What has to be done to make the kernel hold what is wanted.
    #[must_use]
    pub fn new(tracker: &Tracker<D>, limits: Limits) -> Self {
        let mut batches = Vec::new();
        let pending: Vec<_> = tracker.pending().collect();
        let (mut growth, mut full) = (Vec::new(), BTreeSet::new());
        for (container, need) in overflowing(tracker, &pending) {
            match grow(tracker, &container, need) {
                Some(batch) => growth.push((root_of::<D>(&container), batch)),
                None => drop(full.insert(container)),
            }
        }
        let rebuilt = if limits.additions_only { BTreeSet::new() } else { roots_to_rebuild(&pending, &full) };
        for root in &rebuilt {
            batches.append(&mut rebuild(tracker, root, limits));
        }
        batches.extend(growth.into_iter().filter(|(root, _)| !rebuilt.contains(root)).map(|(_, batch)| batch));
        let inside_rebuilt = |key: &D::Key| !rebuilt.is_empty() && rebuilt.contains(&root_of::<D>(key));

        let mut additions = Vec::new();
        let mut unwanted = Vec::new();
        for Pending { key, difference, wanted } in pending.into_iter().filter(|pending| !inside_rebuilt(pending.key)) {
            match (difference, wanted) {
                (Difference::Missing, Some((who, value))) => {
                    additions.push(Addition { who, rank: D::rank(key), key, value, replaces: None });
                }
                (Difference::Changed, Some((who, value))) if !limits.additions_only => {
                    let replaces = tracker.present(key);
                    additions.push(Addition { who, rank: D::rank(key), key, value, replaces });
                }
                (Difference::Unwanted, _) if !limits.additions_only => unwanted.push(key),
                _ => {}
            }
        }
        if limits.additions_only && !full.is_empty() {
            leave_out_what_does_not_fit(&mut additions, &full);
        }
        let at_once = !limits.isolate && additions.iter().map(Addition::weight).sum::<usize>() <= limits.bytes;
        let (paths, additions): (Vec<_>, Vec<_>) =
            additions.into_iter().partition(|addition| is_led_to(tracker, addition, at_once));
        let (entries, additions) = additions.into_iter().partition(|addition| addition.rank == Rank::Entry);
        for additions in [paths, additions, entries] {
            add_in_batches(additions, limits, &mut batches);
        }
        let mut additions = batches.len();
        batches.append(&mut removals(tracker, &unwanted, limits));
        if D::SEEN_WHOLE && !limits.isolate {
            additions = join(&mut batches, additions, limits);
        }
        Self { batches, additions }
    }

    /// All operations, in order.
    pub fn ops(&self) -> impl Iterator<Item = &Op<D>> {
        self.batches.iter().flat_map(|batch| &batch.ops)
    }
}

/// Containers without room for what is missing in them, and how many objects they will hold with it.
fn overflowing<D: Dialect>(tracker: &Tracker<D>, pending: &[Pending<'_, D>]) -> BTreeMap<D::Key, usize> {
    let mut incoming: BTreeMap<D::Key, usize> = BTreeMap::new();
    for pending in pending.iter().filter(|pending| pending.difference == Difference::Missing) {
        if let Some(container) = D::parent(pending.key) {
            *incoming.entry(container).or_default() += 1;
        }
    }
    let overflows = |(container, incoming): (D::Key, usize)| {
        let capacity = tracker.present(&container).and_then(D::capacity)?;
        let need = tracker.present_members(&container) + incoming;
        (need > capacity).then_some((container, need))
    };
    incoming.into_iter().filter_map(overflows).collect()
}

/// Roots that hold something which cannot be changed in place, or a container that overflows.
fn roots_to_rebuild<D: Dialect>(pending: &[Pending<'_, D>], full: &BTreeSet<D::Key>) -> BTreeSet<D::Key> {
    let changed = |pending: &&Pending<'_, D>| pending.difference == Difference::Changed && !D::replaceable(pending.key);
    let unchangeable = pending.iter().filter(changed).map(|pending| pending.key);
    unchangeable.chain(full).map(root_of::<D>).collect()
}

/// Where nothing may be rebuilt, ServicePorts that need room in a full container wait, whole.
fn leave_out_what_does_not_fit<D: Dialect>(additions: &mut Vec<Addition<'_, D>>, full: &BTreeSet<D::Key>) {
    let needs_room =
        |addition: &&Addition<'_, D>| D::parent(addition.key).is_some_and(|held_by| full.contains(&held_by));
    let waiting: BTreeSet<_> = additions.iter().filter(needs_room).map(|addition| addition.who).collect();
    additions.retain(|addition| !waiting.contains(&addition.who));
}

/// The outermost container of an object; the object itself where nothing holds it.
fn root_of<D: Dialect>(key: &D::Key) -> D::Key {
    containers_of::<D>(key).last().unwrap_or_else(|| key.clone())
}

/// A root with all that is wanted in it, in place of what is there: in one batch, or paths first where it is in parts.
fn rebuild<D: Dialect>(tracker: &Tracker<D>, root: &D::Key, limits: Limits) -> Vec<Batch<D>> {
    let wanted = std::iter::once(root).chain(tracker.wanted_in(root).map(|(key, _)| key)).filter_map(|key| {
        let (who, value) = tracker.wanted(key)?;
        Some(Addition { who, rank: D::rank(key), key, value, replaces: None })
    });
    let mut additions: Vec<_> = wanted.collect();
    let mut batches = Vec::new();
    if limits.rebuilds_in_parts {
        let limits = Limits { bytes: limits.bytes.saturating_sub(KEY_WEIGHT), ..limits };
        let (paths, others) = additions.into_iter().partition(|addition| addition.rank <= Rank::Rules);
        add_in_batches(paths, limits, &mut batches);
        add_in_batches(others, limits, &mut batches);
    } else {
        additions.sort_by_key(|addition| addition.rank);
        batches.push(Batch { ops: additions.iter().map(Addition::op).collect() });
    }
    if let Some(first) = batches.first_mut() {
        first.ops.insert(0, Op::Rebuild(root.clone()));
    }
    batches
}

/// The same container with more room: it holds what it held, and all else is as it was; `None` where that cannot be. What is
/// missing in it comes afterwards, in its order. Rules that are as they are wanted are written as they are wanted.
fn grow<D: Dialect>(tracker: &Tracker<D>, container: &D::Key, need: usize) -> Option<Batch<D>> {
    let larger = D::grown(tracker.present(container)?, need)?;
    let mut ops = vec![Op::Rebuild(container.clone()), Op::Add(container.clone(), larger)];
    let members = tracker.present_in(container).filter(|(key, value)| D::writable(key, value));
    ops.extend(members.map(|(key, value)| Op::Add(key.clone(), value.clone())));
    for (key, present) in tracker.present_rules() {
        let mut reads = false;
        D::references(key, present, &mut |named| reads |= named == *container);
        if !reads {
            continue;
        }
        let wanted = tracker.wanted(key).map(|(_, wanted)| wanted);
        let replacement = |by: &D::Value| Op::Replace(key.clone(), by.clone(), Box::new(present.clone()));
        match wanted.filter(|wanted| D::serves(key, present, wanted)) {
            Some(wanted) => ops.push(replacement(wanted)),
            None if D::writable(key, present) => ops.push(replacement(present)),
            None if wanted.is_some() => return None,
            None => {}
        }
    }
    Some(Batch { ops })
}

/// An object that is to be written. Borrowed, since a first sync sorts hundreds of thousands of them.
struct Addition<'a, D: Dialect> {
    who: Claimant,
    rank: Rank,
    key: &'a D::Key,
    value: &'a D::Value,
    /// What is there.
    replaces: Option<&'a D::Value>,
}

impl<D: Dialect> Addition<'_, D> {
    fn op(&self) -> Op<D> {
        let (key, value) = (self.key.clone(), self.value.clone());
        match self.replaces {
            Some(present) => Op::Replace(key, value, Box::new(present.clone())),
            None => Op::Add(key, value),
        }
    }

    fn weight(&self) -> usize {
        D::weight(self.key, self.value) + if self.replaces.is_some() { KEY_WEIGHT } else { 0 }
    }
}

/// Bytes of an operation, at most.
pub(super) fn op_weight<D: Dialect>(op: &Op<D>) -> usize {
    match op {
        Op::Add(key, value) => D::weight(key, value),
        Op::Replace(key, value, _) => D::weight(key, value) + KEY_WEIGHT,
        Op::Remove(..) | Op::Rebuild(_) => KEY_WEIGHT,
    }
}

/// Whether packets can be led to it before they see what is in it. nf_tables has a chain entered with the rules of the
/// generation that the packet met first, while lookups find elements of the newest (`nft_do_chain`). So a new path is there,
/// with its rules, a commit before anything that leads to it. In a root that is new itself, and whole after one commit,
/// nothing is on its way.
fn is_led_to<D: Dialect>(tracker: &Tracker<D>, addition: &Addition<'_, D>, at_once: bool) -> bool {
    let is_container = addition.rank <= Rank::Rules;
    let is_of_new_root = || tracker.present(&root_of::<D>(addition.key)).is_none();
    is_container && addition.replaces.is_none() && !(at_once && is_of_new_root())
}

/// Packs whole claimants into batches, and in each puts together what belongs together in the kernel: by rank, then by
/// container. Containers and rules are in the order of their keys, in which the kernel lists them; of what is in containers
/// there is a hundred times more, and no order. What several ServicePorts share is claimed by the first of them in order, so
/// it is never in a later batch than the others need it.
fn add_in_batches<D: Dialect>(mut additions: Vec<Addition<'_, D>>, limits: Limits, batches: &mut Vec<Batch<D>>) {
    additions.sort_by_key(|addition| addition.who);
    let mut rest = additions.as_slice();
    while !rest.is_empty() {
        let (batch, later) = rest.split_at(batch_length(rest, limits));
        let mut groups: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for addition in batch {
            let group = (addition.rank, D::parent(addition.key), addition.replaces.is_some());
            groups.entry(group).or_default().push(addition);
        }
        for ((rank, ..), group) in &mut groups {
            if *rank <= Rank::Rules {
                group.sort_by_key(|addition| addition.key);
            }
        }
        let mut ops = Vec::with_capacity(batch.len());
        ops.extend(groups.into_values().flatten().map(Addition::op));
        batches.push(Batch { ops });
        rest = later;
    }
}

/// Makes one of batches that fit into one, and says how many have the additions, which these were before.
fn join<D: Dialect>(batches: &mut Vec<Batch<D>>, additions: usize, limits: Limits) -> usize {
    let (mut joined, mut bytes, mut with_additions): (Vec<Batch<D>>, _, _) = (Vec::new(), 0, 0);
    for (index, mut batch) in batches.drain(..).enumerate() {
        let weight: usize = batch.ops.iter().map(op_weight).sum();
        match joined.last_mut().filter(|_| bytes + weight <= limits.bytes) {
            Some(last) => {
                last.ops.append(&mut batch.ops);
                bytes += weight;
            }
            None => {
                joined.push(batch);
                bytes = weight;
            }
        }
        if index < additions {
            with_additions = joined.len();
        }
    }
    *batches = joined;
    with_additions
}

/// How many of the additions go into the next batch: all of as many claimants as fit, and of one at least.
fn batch_length<D: Dialect>(additions: &[Addition<'_, D>], limits: Limits) -> usize {
    let (mut length, mut bytes) = (0, 0);
    for group in additions.chunk_by(|a, b| a.who == b.who) {
        bytes += group.iter().map(Addition::weight).sum::<usize>();
        if length > 0 && (limits.isolate || bytes > limits.bytes) {
            break;
        }
        length += group.len();
    }
    length
}
