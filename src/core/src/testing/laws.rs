//! What a kernel allows: the laws of objects that exist, hold one another and refer to one another, whatever the dialect.

use std::collections::BTreeMap;

use crate::object::{Cause, Dialect, Op, Rank, Unclaimed};

pub(super) type Objects<D> = BTreeMap<<D as Dialect>::Key, <D as Dialect>::Value>;

/// Why the kernel would refuse an operation.
pub(super) fn check<D: Dialect>(objects: &Objects<D>, op: &Op<D>) -> Result<(), Cause> {
    match op {
        Op::Add(key, value) => {
            // What an element leads to is looked up while it is read (nft_verdict_init), before anything is compared.
            check_references::<D>(objects, key, value)?;
            if objects.contains_key(key) {
                return Err(Cause::Exists);
            }
            if let Some(container) = D::parent(key) {
                let capacity = objects.get(&container).map(D::capacity).ok_or(Cause::Missing)?;
                // Counting is slow, and most containers are larger than all there is.
                let full = |capacity| objects.len() > capacity && members::<D>(objects, &container) >= capacity;
                if capacity.is_some_and(full) {
                    return Err(Cause::Full);
                }
            }
        }
        Op::Replace(key, value, _) => {
            // What names something because it drains can be told so all the same.
            if !matches!(D::unclaimed(key, value), Unclaimed::Draining { .. }) {
                check_references::<D>(objects, key, value)?;
            }
            objects.get(key).ok_or(Cause::Missing)?;
        }
        Op::Remove(key, _) => {
            objects.get(key).ok_or(Cause::Missing)?;
            if D::rank(key) != Rank::Root && is_referred_to::<D>(objects, key) {
                return Err(Cause::Busy);
            }
        }
        Op::Rebuild(key) => {
            objects.get(key).ok_or(Cause::Missing)?;
        }
    }
    Ok(())
}

/// Carries out an operation that is allowed.
pub(super) fn carry_out<D: Dialect>(objects: &mut Objects<D>, op: &Op<D>) {
    match op {
        Op::Add(key, value) | Op::Replace(key, value, _) => drop(objects.insert(key.clone(), value.clone())),
        Op::Remove(key, _) | Op::Rebuild(key) => remove_with_members::<D>(objects, key),
    }
}

/// What drains, or would have to, and is removed by an operation.
pub(super) fn cut_by<'o, D: Dialect>(objects: &'o Objects<D>, op: &'o Op<D>) -> impl Iterator<Item = &'o D::Key> {
    let removed = match op {
        Op::Remove(removed, _) | Op::Rebuild(removed) => Some(removed),
        Op::Add(..) | Op::Replace(..) => None,
    };
    let is_removed = move |key: &D::Key| removed.is_some_and(|gone| key == gone || is_held_by::<D>(key, gone));
    let drains = |(key, live): &(&D::Key, &D::Value)| {
        matches!(D::unclaimed(key, live), Unclaimed::Retire(_) | Unclaimed::Draining { .. })
    };
    objects.iter().filter(drains).map(|(key, _)| key).filter(move |key| is_removed(key))
}

/// Whether an operation has been carried out by somebody else already.
pub(super) fn is_done<D: Dialect>(objects: &Objects<D>, op: &Op<D>) -> bool {
    match op {
        Op::Add(key, value) => objects.get(key) == Some(value),
        Op::Remove(key, _) => !objects.contains_key(key),
        Op::Replace(..) | Op::Rebuild(_) => false,
    }
}

/// Removes an object and all that it holds, whoever refers to it.
pub(super) fn remove_with_members<D: Dialect>(objects: &mut Objects<D>, key: &D::Key) {
    objects.retain(|other, _| other != key && !is_held_by::<D>(other, key));
}

/// The outermost container of an object; the object itself where nothing holds it.
pub(super) fn root_of<D: Dialect>(key: &D::Key) -> D::Key {
    std::iter::successors(Some(key.clone()), D::parent).last().unwrap_or_else(|| key.clone())
}

fn check_references<D: Dialect>(objects: &Objects<D>, key: &D::Key, value: &D::Value) -> Result<(), Cause> {
    let mut missing = false;
    D::references(key, value, &mut |named| missing |= !objects.contains_key(&named));
    if missing { Err(Cause::Missing) } else { Ok(()) }
}

fn is_referred_to<D: Dialect>(objects: &Objects<D>, key: &D::Key) -> bool {
    let mut referred = false;
    for (other, value) in objects {
        if !is_held_by::<D>(other, key) {
            D::references(other, value, &mut |named| referred |= named == *key);
        }
    }
    referred
}

fn members<D: Dialect>(objects: &Objects<D>, container: &D::Key) -> usize {
    objects.keys().filter(|key| D::parent(key).as_ref() == Some(container)).count()
}

fn is_held_by<D: Dialect>(key: &D::Key, container: &D::Key) -> bool {
    std::iter::successors(D::parent(key), D::parent).any(|held_by| held_by == *container)
}
