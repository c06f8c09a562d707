//! What nobody claims goes: in steps, the gates first, and nothing that something which drains still needs.
//!
//! ```text
//!   gates -> policies -> endpoints -> containers -> what drained objects named
//!                           |
//!                           +-- retired: what is on its way to them goes on, so what holds them stays, and what they name
//! ```

use std::collections::{BTreeMap, BTreeSet};

use super::{Batch, Dialect, Limits, Op, Rank, Tracker, Unclaimed, tracker::containers_of};

/// The batches that remove what is unwanted, a step of its own in each.
pub(super) fn removals<D: Dialect>(tracker: &Tracker<D>, unwanted: &[&D::Key], limits: Limits) -> Vec<Batch<D>> {
    let (mut gone, mut drained, mut retired) = (Vec::new(), Vec::new(), BTreeMap::new());
    for &key in unwanted {
        let Some(live) = tracker.present(key) else { continue };
        match D::unclaimed(key, live) {
            Unclaimed::Remove | Unclaimed::UntilNextLook => gone.push((key, live)),
            Unclaimed::Draining { .. } => {
                gone.push((key, live));
                drained.push((key, live));
            }
            Unclaimed::Retire(value) => drop(retired.insert(key, (value, live))),
        }
    }
    let draining = tracker.draining().filter_map(|key| Some((key, tracker.present(key)?)));
    let kept = needed(tracker, draining.chain(retired.iter().map(|(key, (value, _))| (*key, value))));
    let needed_by_drained = needed(tracker, drained.into_iter());

    let mut steps: BTreeMap<Step, Vec<(Rank, Op<D>)>> = BTreeMap::new();
    for (key, live) in gone {
        let rank = D::rank(key);
        if !kept.contains(key) && !goes_with_its_container(tracker, key, &kept) {
            let is_named = rank > Rank::Rules && needed_by_drained.contains(key);
            let step = if is_named { Step::Named } else { step(rank) };
            steps.entry(step).or_default().push((rank, Op::Remove(key.clone(), live.clone())));
        }
    }
    for (key, (value, live)) in retired {
        let rank = D::rank(key);
        steps.entry(step(rank)).or_default().push((rank, Op::Replace(key.clone(), value, Box::new(live.clone()))));
    }
    let mut batches = Vec::new();
    for mut step in steps.into_values() {
        step.sort_by(|(rank, op), (other, than)| (order(*rank), op.key()).cmp(&(order(*other), than.key())));
        in_batches(step.into_iter().map(|(_, op)| op), limits, &mut batches);
    }
    batches
}

/// Which removals may share a batch: none that a packet could look up one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Gates,
    Policies,
    Endpoints,
    Containers,
    /// What drained objects name, which may be a gate: they may have gone with their container.
    Named,
}

const fn step(rank: Rank) -> Step {
    match rank {
        Rank::Entry | Rank::Gate => Step::Gates,
        Rank::Policy => Step::Policies,
        Rank::Endpoint => Step::Endpoints,
        Rank::Rules | Rank::Path | Rank::Container | Rank::Root => Step::Containers,
    }
}

/// Whoever may name another goes first: rules name containers and paths, and a container of somebody else, which is removed
/// with what it holds, may name paths by that.
const fn order(rank: Rank) -> u8 {
    match rank {
        Rank::Entry => 0,
        Rank::Gate => 1,
        Rank::Policy => 2,
        Rank::Endpoint => 3,
        Rank::Rules => 4,
        Rank::Container => 5,
        Rank::Path => 6,
        Rank::Root => 7,
    }
}

/// What holds these objects or is named by them, and so on.
fn needed<'a, D: Dialect>(
    tracker: &Tracker<D>,
    objects: impl Iterator<Item = (&'a D::Key, &'a D::Value)>,
) -> BTreeSet<D::Key> {
    let (mut needed, mut open) = (BTreeSet::new(), Vec::new());
    let visit = |key: &D::Key, value: &D::Value, open: &mut Vec<D::Key>| {
        open.extend(D::parent(key));
        D::references(key, value, &mut |named| open.push(named));
    };
    objects.for_each(|(key, value)| visit(key, value, &mut open));
    while let Some(key) = open.pop() {
        if let Some(value) = tracker.present(&key).filter(|_| !needed.contains(&key)) {
            visit(&key, value, &mut open);
            needed.insert(key);
        }
    }
    needed
}

/// Whether the object is removed together with a root or container that goes too. Rules are not left to their path: two
/// unwanted paths may name each other.
fn goes_with_its_container<D: Dialect>(tracker: &Tracker<D>, key: &D::Key, kept: &BTreeSet<D::Key>) -> bool {
    containers_of::<D>(key).any(|container| {
        let takes_it_along = matches!(D::rank(&container), Rank::Root | Rank::Container);
        takes_it_along && tracker.wanted(&container).is_none() && !kept.contains(&container)
    })
}

fn in_batches<D: Dialect>(ops: impl Iterator<Item = Op<D>>, limits: Limits, batches: &mut Vec<Batch<D>>) {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    for op in ops {
        let weight = op.weight();
        if !batch.is_empty() && (batch.len() >= limits.ports || bytes + weight > limits.bytes) {
            batches.push(Batch { ops: std::mem::take(&mut batch) });
            bytes = 0;
        }
        bytes += weight;
        batch.push(op);
    }
    batches.extend((!batch.is_empty()).then_some(Batch { ops: batch }));
}
