//! A kernel in memory: the objects of any dialect, with the real kernel's rules about them.
//!
//! A batch is applied whole or not at all. What exists cannot be added (EEXIST), what does not exist cannot be
//! replaced, removed or referred to (ENOENT), what is referred to cannot be removed (EBUSY), what is full takes no more
//! (ENFILE). On top of that it can misbehave by seed: forget to say what became of a batch, be edited by others, lose
//! the notification of that edit.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::fd::BorrowedFd,
};

use super::Seed;
use crate::object::{
    ApplyError, Backend, BackendError, Batch, CarriedOut, Cause, Dialect, Editor, Moved, Op, Rank, Refusal,
};

/// How often a [`MemoryKernel`] misbehaves: once in so many calls, 0 for never.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// The outcome of a batch is not told, whether it was applied or not.
    pub forget: usize,
    /// Others remove or add something of ours before a batch.
    pub edit: usize,
    /// Such an edit is not notified.
    pub lose_notification: usize,
}

/// The outcome of a batch was forgotten.
#[derive(Debug, thiserror::Error)]
#[error("the answer was lost")]
struct Forgotten;

/// A batch has so many bytes.
#[derive(Debug, thiserror::Error)]
#[error("{0} bytes are too many")]
struct TooLarge(usize);

/// A kernel in memory.
pub struct MemoryKernel<D: Dialect> {
    dialect: D,
    objects: BTreeMap<D::Key, D::Value>,
    faults: Faults,
    seed: Seed,
    /// Others changed something, and that was notified.
    moved: bool,
    /// Others changed something.
    edited: bool,
    batch_bytes: usize,
    refuse: BTreeSet<D::Key>,
}

impl<D: Dialect + Default> MemoryKernel<D> {
    /// An empty kernel that behaves.
    #[must_use]
    pub fn new() -> Self {
        Self::with_faults(Faults::default(), 0)
    }

    /// An empty kernel that misbehaves, in the same way for the same seed.
    #[must_use]
    pub fn with_faults(faults: Faults, seed: u64) -> Self {
        Self {
            dialect: D::default(),
            objects: BTreeMap::new(),
            faults,
            seed: Seed::new(seed),
            moved: false,
            edited: false,
            batch_bytes: 1 << 20,
            refuse: BTreeSet::new(),
        }
    }

    /// Stops misbehaving.
    pub fn behave(&mut self) {
        self.faults = Faults::default();
    }

    /// Bytes that it takes in one batch.
    pub fn set_batch_bytes(&mut self, bytes: usize) {
        self.batch_bytes = bytes;
    }

    /// Refuses to add or remove this object from now on, for a reason of its own.
    pub fn refuse(&mut self, key: D::Key) {
        self.refuse.insert(key);
    }

    /// Accepts everything again.
    pub fn accept_all(&mut self) {
        self.refuse.clear();
    }

    /// What it holds.
    pub const fn objects(&self) -> &BTreeMap<D::Key, D::Value> {
        &self.objects
    }

    /// Changes it as another program would: noticed unless notifications are lost.
    pub fn edit(&mut self, change: impl FnOnce(&mut BTreeMap<D::Key, D::Value>)) {
        change(&mut self.objects);
        self.edited = true;
        self.moved |= !self.seed.one_in(self.faults.lose_notification);
    }

    /// Carries out operations as another program would, by the kernel's rules.
    ///
    /// # Errors
    /// The refusal, as for any batch.
    pub fn commit(&mut self, ops: &[Op<D>]) -> Result<(), Refusal> {
        let mut next = self.objects.clone();
        for (index, op) in ops.iter().enumerate() {
            let refused = |cause| Refusal { op: Some(index), cause };
            carry_out(&mut next, op).map_err(refused)?;
            if matches!(op, Op::Add(key, _) | Op::Remove(key) if self.refuse.contains(key)) {
                return Err(refused(Cause::Other("refused by the test".into())));
            }
        }
        self.objects = next;
        Ok(())
    }

    fn edit_at_random(&mut self) {
        let keys: Vec<_> = self.objects.keys().cloned().collect();
        let Some(key) = self.seed.pick(&keys).cloned() else { return };
        self.edit(|objects| remove_with_members::<D>(objects, &key));
    }
}

impl<D: Dialect + Default> Default for MemoryKernel<D> {
    fn default() -> Self {
        Self::new()
    }
}

impl<D: Dialect + Default> Backend for MemoryKernel<D> {
    type Dialect = D;

    fn dialect(&self) -> &D {
        &self.dialect
    }

    fn observe(&mut self) -> Result<Vec<(D::Key, D::Value)>, BackendError> {
        (self.moved, self.edited) = (false, false);
        Ok(self.objects.iter().map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    fn apply(&mut self, batch: &Batch<D>) -> Result<(), ApplyError> {
        if self.seed.one_in(self.faults.edit) {
            self.edit_at_random();
        }
        if self.moved {
            return Err(ApplyError::Moved);
        }
        let forget = self.seed.one_in(self.faults.forget);
        if forget && self.seed.one_in(2) {
            return Err(ApplyError::Unknown(BackendError::new(Forgotten)));
        }
        let bytes = batch.ops.iter().map(op_bytes).sum();
        if bytes > self.batch_bytes && batch.ops.iter().all(|op| !matches!(op, Op::Rebuild(_))) {
            return Err(ApplyError::TooLarge(BackendError::new(TooLarge(bytes))));
        }
        self.commit(&batch.ops).map_err(nothing_but)?;
        if forget { Err(ApplyError::Unknown(BackendError::new(Forgotten))) } else { Ok(()) }
    }

    fn apply_beside(&mut self, batch: &Batch<D>) -> Result<(), ApplyError> {
        let mut next = Self { objects: self.objects.clone(), refuse: self.refuse.clone(), ..Self::new() };
        for op in &batch.ops {
            let is_done = match op {
                Op::Add(key, value) => next.objects.get(key) == Some(value),
                Op::Remove(key) => !next.objects.contains_key(key),
                Op::Replace(..) | Op::Rebuild(_) => false,
            };
            if !is_done {
                next.commit(std::slice::from_ref(op)).map_err(nothing_but)?;
            }
        }
        self.objects = next.objects;
        self.edited = true;
        Ok(())
    }

    fn moved(&mut self) -> Result<Moved, BackendError> {
        // Whoever asks compares generations, which an edit always raises, notified or not.
        Ok(if self.edited { Moved::Yes } else { Moved::No })
    }

    fn editor(&mut self) -> Option<Editor> {
        None
    }

    fn batch_bytes(&self) -> usize {
        self.batch_bytes
    }

    fn wakers(&self) -> Vec<BorrowedFd<'_>> {
        Vec::new()
    }
}

/// A refusal for which nothing of the batch was done.
fn nothing_but(refusal: Refusal) -> ApplyError {
    ApplyError::Refused { refusals: vec![refusal], carried_out: CarriedOut::Nothing }
}

fn op_bytes<D: Dialect>(op: &Op<D>) -> usize {
    match op {
        Op::Add(key, value) | Op::Replace(key, value) => D::weight(key, value),
        Op::Remove(_) | Op::Rebuild(_) => 0,
    }
}

fn carry_out<D: Dialect>(objects: &mut BTreeMap<D::Key, D::Value>, op: &Op<D>) -> Result<(), Cause> {
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
            objects.insert(key.clone(), value.clone());
        }
        Op::Replace(key, value) => {
            check_references::<D>(objects, key, value)?;
            *objects.get_mut(key).ok_or(Cause::Missing)? = value.clone();
        }
        Op::Remove(key) => {
            if !objects.contains_key(key) {
                return Err(Cause::Missing);
            }
            if D::rank(key) != Rank::Root && is_referred_to::<D>(objects, key) {
                return Err(Cause::Busy);
            }
            remove_with_members::<D>(objects, key);
        }
        Op::Rebuild(key) => {
            objects.get(key).ok_or(Cause::Missing)?;
            remove_with_members::<D>(objects, key);
        }
    }
    Ok(())
}

fn check_references<D: Dialect>(
    objects: &BTreeMap<D::Key, D::Value>,
    key: &D::Key,
    value: &D::Value,
) -> Result<(), Cause> {
    let mut missing = false;
    D::references(key, value, &mut |named| missing |= !objects.contains_key(&named));
    if missing { Err(Cause::Missing) } else { Ok(()) }
}

fn is_referred_to<D: Dialect>(objects: &BTreeMap<D::Key, D::Value>, key: &D::Key) -> bool {
    let mut referred = false;
    for (other, value) in objects {
        if !is_held_by::<D>(other, key) {
            D::references(other, value, &mut |named| referred |= named == *key);
        }
    }
    referred
}

fn members<D: Dialect>(objects: &BTreeMap<D::Key, D::Value>, container: &D::Key) -> usize {
    objects.keys().filter(|key| D::parent(key).as_ref() == Some(container)).count()
}

fn is_held_by<D: Dialect>(key: &D::Key, container: &D::Key) -> bool {
    std::iter::successors(D::parent(key), D::parent).any(|held_by| held_by == *container)
}

fn remove_with_members<D: Dialect>(objects: &mut BTreeMap<D::Key, D::Value>, key: &D::Key) {
    objects.retain(|other, _| other != key && !is_held_by::<D>(other, key));
}
