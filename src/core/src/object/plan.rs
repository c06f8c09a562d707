//! From differences to batches, in an order in which no packet meets a half-made Service.
//!
//! ```text
//!   1. rebuilds    a root that cannot be mended in place: removed and made anew in one batch, or in as many as it takes
//!      growth      a container that has no room: what it holds in a larger one, with the rules that read it, in one batch
//!   2. additions   what is missing or changed, by rank; all of one ServicePort in the same batch, but for paths that
//!                  are new: those come a batch earlier. Small ServicePorts go before large ones
//!   3. removals    gates, then policies, then endpoints, then containers: a batch of its own for each step (`removal.rs`)
//! ```
//!
//! The lookups that one packet makes may straddle a commit: it can find the gate in the old state and look for the
//! endpoint in the new one. So what a packet may still be on its way to is removed only by a later commit than the one
//! that removed what leads there, and what replaces it has been added before (measured: docs/design/nftables.md).

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Batch, Claimant, Dialect, Difference, Op, Rank, Tracker,
    batch::KEY_WEIGHT,
    removal::removals,
    tracker::{Pending, containers_of, place},
};

/// All that has to be done, batch after batch. Empty when the kernel holds what is wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan<D: Dialect> {
    /// Each is safe alone: stopping after any of them leaves every Service whole.
    pub batches: Vec<Batch<D>>,
    /// How many of them come before those that remove, which need all of these.
    pub additions: usize,
    /// After how many of them everything new is in.
    pub(super) new: usize,
}

/// What a plan has to keep to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that a batch may have. One ServicePort is never split, and a rebuild is one batch unless it is
    /// [in parts](Self::rebuilds_in_parts).
    pub bytes: usize,
    /// Whether a root that is made anew fits into no batch: then it is there at once, but what it holds comes after it, and
    /// packets miss that for so long.
    pub rebuilds_in_parts: bool,
    /// ServicePorts that a batch may have, or objects that go: all, or fewer, to find the one that the kernel refuses.
    pub ports: usize,
    /// Whether objects may be changed or removed; if not, only what is missing is added; a container that is full is replaced for it.
    pub additions_only: bool,
}

impl Limits {
    /// Whether one is looked for that the kernel refuses.
    const fn seeks(self) -> bool {
        self.ports < usize::MAX
    }
}

impl<D: Dialect> Plan<D> {
    /// What has to be done to make the kernel hold what is wanted. What `is_new` goes in before what was there once, so that a
    /// change does not wait for the repair of everything else.
    #[must_use]
    pub fn new(tracker: &Tracker<D>, limits: Limits, is_new: impl Fn(Claimant) -> bool) -> Self {
        Self::of(tracker, tracker.pending().collect(), limits, is_new)
    }

    /// The same for a part of what has to be done.
    pub(super) fn of(
        tracker: &Tracker<D>,
        pending: Vec<Pending<'_, D>>,
        limits: Limits,
        is_new: impl Fn(Claimant) -> bool,
    ) -> Self {
        let mut batches = Vec::new();
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
        for Pending { key, difference, wanted, shared } in
            pending.into_iter().filter(|pending| !inside_rebuilt(pending.key))
        {
            match (difference, wanted) {
                (Difference::Missing, Some((who, value))) => {
                    additions.push(Addition { who, rank: D::rank(key), key, value, shared, replaces: None });
                }
                (Difference::Changed, Some((who, value))) if !limits.additions_only => {
                    let replaces = tracker.present(key);
                    additions.push(Addition { who, rank: D::rank(key), key, value, shared, replaces });
                }
                (Difference::Unwanted, _) if !limits.additions_only => unwanted.push(key),
                _ => {}
            }
        }
        if limits.additions_only && !full.is_empty() {
            leave_out_what_does_not_fit(&mut additions, &full);
        }
        let at_once = !limits.seeks() && additions.iter().map(Addition::weight).sum::<usize>() <= limits.bytes;
        let entries: Vec<_> = additions.extract_if(.., |addition| addition.rank == Rank::Entry).collect();
        if at_once {
            additions.sort_by_key(|addition| addition.who);
        } else {
            small_first(&mut additions, &is_new);
        }
        let (mut rest, mut is_first, mut new) = (additions.as_slice(), !limits.seeks(), 0);
        while !rest.is_empty() {
            let (wave, later) = rest.split_at(wave_length(rest, limits));
            let is_path = |addition: &&Addition<'_, D>| is_led_to(tracker, addition, is_first);
            batches.extend(batch_of(wave.iter().filter(is_path)));
            batches.extend(batch_of(wave.iter().filter(|addition| !is_path(addition))));
            if wave.iter().any(|addition| is_new(addition.who)) {
                new = batches.len();
            }
            (rest, is_first) = (later, false);
        }
        batches.extend(batch_of(entries.iter()));
        let additions = batches.len();
        batches.append(&mut removals(tracker, &unwanted, limits));
        let plan = Self { batches, additions, new };
        if D::SEEN_WHOLE && !limits.seeks() { plan.joined(limits) } else { plan }
    }

    /// The same with fewer batches: those that fit into one are one.
    pub(super) fn joined(self, limits: Limits) -> Self {
        let (mut batches, mut bytes, mut additions, mut new): (Vec<Batch<D>>, _, _, _) = (Vec::new(), 0, 0, 0);
        for (index, mut batch) in self.batches.into_iter().enumerate() {
            let weight: usize = batch.ops.iter().map(Op::weight).sum();
            match batches.last_mut().filter(|_| bytes + weight <= limits.bytes) {
                Some(last) => {
                    last.ops.append(&mut batch.ops);
                    bytes += weight;
                }
                None => {
                    batches.push(batch);
                    bytes = weight;
                }
            }
            additions = if index < self.additions { batches.len() } else { additions };
            new = if index < self.new { batches.len() } else { new };
        }
        Self { batches, additions, new }
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
        let claims = tracker.claims(key)?;
        let (who, value) = claims.winner()?;
        Some(Addition { who, rank: D::rank(key), key, value, shared: claims.shared(), replaces: None })
    });
    let mut additions: Vec<_> = wanted.collect();
    let mut batches = Vec::new();
    if limits.rebuilds_in_parts {
        let limits = Limits { bytes: limits.bytes.saturating_sub(KEY_WEIGHT), ..limits };
        additions.sort_by_key(|addition| (addition.rank > Rank::Rules, addition.who));
        for part in additions.chunk_by(|a, b| (a.rank > Rank::Rules) == (b.rank > Rank::Rules)) {
            let mut rest = part;
            while !rest.is_empty() {
                let (wave, later) = rest.split_at(wave_length(rest, limits));
                batches.extend(batch_of(wave.iter()));
                rest = later;
            }
        }
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
    /// All who want it, where these are several.
    shared: Option<&'a BTreeMap<Claimant, D::Value>>,
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

/// Whether packets can be led to it before they see what is in it. nf_tables has a chain entered with the rules of the
/// generation that the packet met first, while lookups find elements of the newest (`nft_do_chain`). So a new path is there,
/// with its rules, a commit before anything that leads to it. While a root is new itself, in the first batch, nothing is on
/// its way.
fn is_led_to<D: Dialect>(tracker: &Tracker<D>, addition: &Addition<'_, D>, is_first: bool) -> bool {
    let is_container = addition.rank <= Rank::Rules;
    let is_of_new_root = || tracker.present(&root_of::<D>(addition.key)).is_none();
    is_container && addition.replaces.is_none() && !(is_first && is_of_new_root())
}

/// Puts new ServicePorts before others, and small ones before large ones, so that none waits for one that takes the kernel
/// seconds; those that are about as large are in the order of their numbers. The node's own objects come first of all. What
/// several share goes with the first of them, so it is never in a later batch than the others need it.
fn small_first<D: Dialect>(additions: &mut [Addition<'_, D>], is_new: impl Fn(Claimant) -> bool) {
    // Of each ServicePort, by its number: whether it is new, and its bytes. Asked once, since a sort asks often.
    let mut known = Vec::new();
    for group in additions.chunk_by(|a, b| a.who == b.who) {
        let Some(who) = group.first().map(|addition| addition.who) else { continue };
        if known.len() <= place(who) {
            known.resize(place(who) + 1, None);
        }
        if let Some(known) = known.get_mut(place(who)) {
            let (_, bytes) = known.get_or_insert_with(|| (is_new(who), 0));
            *bytes += group.iter().map(Addition::weight).sum::<usize>();
        }
    }
    let turn = |who: Claimant| {
        let known = known.get(place(who)).copied().flatten();
        let (is_new, bytes) = known.unwrap_or_else(|| (is_new(who), 0_usize));
        (who != Claimant::BASE, !is_new, bytes.checked_ilog2(), who)
    };
    for addition in additions.iter_mut() {
        let first = addition.shared.and_then(|claims| claims.keys().copied().min_by_key(|who| turn(*who)));
        addition.who = first.unwrap_or(addition.who);
    }
    additions.sort_by_key(|addition| turn(addition.who));
}

/// How many of the additions go in next: all of as many claimants as fit, and of one at least.
fn wave_length<D: Dialect>(additions: &[Addition<'_, D>], limits: Limits) -> usize {
    let (mut length, mut bytes) = (0, 0);
    for (number, group) in additions.chunk_by(|a, b| a.who == b.who).enumerate() {
        bytes += group.iter().map(Addition::weight).sum::<usize>();
        if number > 0 && (number >= limits.ports || bytes > limits.bytes) {
            break;
        }
        length += group.len();
    }
    length
}

/// Puts together what belongs together in the kernel: by rank, then by container. Containers and rules are in the order of
/// their keys, in which the kernel lists them; of what is in containers there is a hundred times more, and no order.
fn batch_of<'a, D: Dialect>(additions: impl Iterator<Item = &'a Addition<'a, D>>) -> Option<Batch<D>> {
    let mut groups: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for addition in additions {
        let group = (addition.rank, D::parent(addition.key), addition.replaces.is_some());
        groups.entry(group).or_default().push(addition);
    }
    for ((rank, ..), group) in &mut groups {
        if *rank <= Rank::Rules {
            group.sort_by_key(|addition| addition.key);
        }
    }
    let mut ops = Vec::with_capacity(groups.values().map(Vec::len).sum());
    ops.extend(groups.into_values().flatten().map(Addition::op));
    (!ops.is_empty()).then_some(Batch { ops })
}
