//! A kernel in memory: the objects of any dialect, with the real kernel's rules about them.
//!
//! What exists cannot be added (EEXIST), what does not exist cannot be replaced, removed or referred to (ENOENT), what is
//! referred to cannot be removed (EBUSY), what is full takes no more (ENFILE). What of a batch is done when some of it is
//! refused, and whether others are heard of, is its [`Manner`]. On top of that it can misbehave by seed: forget to say what
//! became of a batch, be edited by others, lose the notification of that edit.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::fd::BorrowedFd,
};

use super::{
    Manner, Seed, Unit,
    laws::{self, Objects},
};
use crate::object::{ApplyError, Backend, BackendError, Batch, CarriedOut, Cause, Dialect, Editor, Moved, Op, Refusal};

/// How often a [`MemoryKernel`] misbehaves: once in so many calls, 0 for never.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// The outcome of a batch is not told, whether it was applied or not.
    pub forget: usize,
    /// Others remove or add something of ours before a batch.
    pub edit: usize,
    /// Such an edit is not notified.
    pub lose_notification: usize,
    /// Something is still on its way to an object that drains.
    pub hold_on: usize,
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
    manner: Manner,
    objects: Objects<D>,
    faults: Faults,
    seed: Seed,
    /// Others changed something, and that was notified.
    moved: bool,
    /// Others changed something.
    edited: bool,
    batch_bytes: usize,
    refuse: BTreeSet<D::Key>,
    lacks: fn(&D::Value) -> bool,
    batches: usize,
    connections: Connections<D::Key>,
}

/// What is on its way to objects that drain.
#[derive(Clone)]
struct Connections<K> {
    /// It has said that to these nothing is.
    ended: BTreeSet<K>,
    /// These were removed before that.
    cut: Vec<K>,
}

impl<D: Dialect + Default> MemoryKernel<D> {
    /// An empty kernel that behaves.
    #[must_use]
    pub fn new() -> Self {
        Self::with_faults(Manner::TRANSACTION, Faults::default(), 0)
    }

    /// An empty kernel that misbehaves, in the same way for the same seed.
    #[must_use]
    pub fn with_faults(manner: Manner, faults: Faults, seed: u64) -> Self {
        Self {
            dialect: D::default(),
            manner,
            objects: BTreeMap::new(),
            faults,
            seed: Seed::new(seed),
            moved: false,
            edited: false,
            batch_bytes: 1 << 20,
            refuse: BTreeSet::new(),
            lacks: |_| false,
            batches: 0,
            connections: Connections { ended: BTreeSet::new(), cut: Vec::new() },
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

    /// Refuses to give an object such a value from now on, as a kernel does that was built without what it needs.
    pub fn lack(&mut self, lacks: fn(&D::Value) -> bool) {
        self.lacks = lacks;
    }

    /// Accepts everything again.
    pub fn accept_all(&mut self) {
        self.refuse.clear();
        self.lacks = |_| false;
    }

    /// What it holds.
    pub const fn objects(&self) -> &BTreeMap<D::Key, D::Value> {
        &self.objects
    }

    /// How many batches it was given, whatever became of them.
    pub const fn batches(&self) -> usize {
        self.batches
    }

    /// What we have removed, or had removed with what holds it, although it had not drained.
    pub fn cut(&self) -> &[D::Key] {
        &self.connections.cut
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
    /// The first refusal.
    pub fn commit(&mut self, ops: &[Op<D>]) -> Result<(), Refusal> {
        let (refusals, _) = self.carry_out(ops, usize::MAX, |_, _| false);
        refusals.into_iter().next().map_or(Ok(()), Err)
    }

    /// Carries out operations, but for those that are done, up to the unit with this number; which were refused, and which
    /// were carried out.
    fn carry_out(
        &mut self,
        ops: &[Op<D>],
        units: usize,
        is_done: impl Fn(&Objects<D>, &Op<D>) -> bool,
    ) -> (Vec<Refusal>, Vec<usize>) {
        let (mut refusals, mut done) = (Vec::new(), Vec::new());
        for unit in self.units(ops).into_iter().take(units) {
            // One operation needs no way back.
            let before = (unit.len() > 1).then(|| (self.objects.clone(), self.connections.clone()));
            let refused = unit.iter().find_map(|number| {
                let op = ops.get(*number)?;
                if is_done(&self.objects, op) {
                    return None;
                }
                let allowed = laws::check(&self.objects, op).and_then(|()| self.accept(op));
                if allowed.is_ok() {
                    let Connections { ended, cut } = &mut self.connections;
                    cut.extend(laws::cut_by(&self.objects, op).filter(|key| !ended.contains(*key)).cloned());
                    ended.remove(op.key());
                    laws::carry_out(&mut self.objects, op);
                }
                let cause = allowed.err()?;
                Some(Refusal { op: (self.manner.names || cause.is_stale_view()).then_some(*number), cause })
            });
            match refused {
                None => done.extend(unit),
                Some(refusal) => {
                    refusals.push(refusal);
                    if let Some((objects, connections)) = before {
                        (self.objects, self.connections) = (objects, connections);
                    }
                    if self.manner.unit != Unit::Operation {
                        break;
                    }
                }
            }
        }
        (refusals, done)
    }

    fn apply_unless(&mut self, ops: &[Op<D>], is_done: impl Fn(&Objects<D>, &Op<D>) -> bool) -> Result<(), ApplyError> {
        let (refusals, done) = self.carry_out(ops, usize::MAX, is_done);
        let carried_out = match self.manner.unit {
            Unit::Batch => CarriedOut::Nothing,
            Unit::Root => CarriedOut::These(done),
            Unit::Operation => CarriedOut::Others,
        };
        if refusals.is_empty() { Ok(()) } else { Err(ApplyError::Refused { refusals, carried_out }) }
    }

    /// Which operations stand and fall together.
    fn units(&self, ops: &[Op<D>]) -> Vec<Vec<usize>> {
        match self.manner.unit {
            Unit::Batch => vec![(0..ops.len()).collect()],
            Unit::Root => {
                let mut of_root: BTreeMap<D::Key, Vec<usize>> = BTreeMap::new();
                for (number, op) in ops.iter().enumerate() {
                    of_root.entry(laws::root_of::<D>(op.key())).or_default().push(number);
                }
                of_root.into_values().collect()
            }
            Unit::Operation => (0..ops.len()).map(|number| vec![number]).collect(),
        }
    }

    fn accept(&self, op: &Op<D>) -> Result<(), Cause> {
        let is_refused = matches!(op, Op::Add(key, _) | Op::Remove(key, _) if self.refuse.contains(key));
        let is_lacking = matches!(op, Op::Add(_, value) | Op::Replace(_, value, _) if (self.lacks)(value));
        if is_refused || is_lacking { Err(Cause::Other("refused by the test".into())) } else { Ok(()) }
    }

    fn edit_at_random(&mut self) {
        let keys: Vec<_> = self.objects.keys().cloned().collect();
        let Some(key) = self.seed.pick(&keys).cloned() else { return };
        self.edit(|objects| laws::remove_with_members::<D>(objects, &key));
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
        self.batches += 1;
        if self.seed.one_in(self.faults.edit) {
            self.edit_at_random();
        }
        if self.moved && self.manner.tells {
            return Err(ApplyError::Moved);
        }
        let bytes = batch.ops.iter().map(op_bytes).sum();
        // A container is made anew by as many transactions as it takes, which is the backend's affair.
        let grows = batch.ops.iter().any(|op| matches!(op, Op::Rebuild(key) if D::parent(key).is_some()));
        if bytes > self.batch_bytes && !grows {
            return Err(ApplyError::TooLarge(BackendError::new(TooLarge(bytes))));
        }
        if self.seed.one_in(self.faults.forget) {
            // Of some of it, or all, nothing is heard any more.
            let units = self.seed.below(self.units(&batch.ops).len() + 1);
            self.carry_out(&batch.ops, units, |_, _| false);
            return Err(ApplyError::Unknown(BackendError::new(Forgotten)));
        }
        self.apply_unless(&batch.ops, |_, _| false)
    }

    fn apply_beside(&mut self, batch: &Batch<D>) -> Result<(), ApplyError> {
        self.edited = true;
        self.apply_unless(&batch.ops, laws::is_done)
    }

    fn moved(&mut self) -> Result<Moved, BackendError> {
        // Whoever asks compares generations, which an edit always raises, notified or not.
        Ok(match (self.manner.tells, self.edited) {
            (false, _) => Moved::Unheard,
            (true, true) => Moved::Yes,
            (true, false) => Moved::No,
        })
    }

    fn drained(&mut self, draining: &[D::Key]) -> Result<Vec<D::Key>, BackendError> {
        let drained: Vec<_> = draining.iter().filter(|_| !self.seed.one_in(self.faults.hold_on)).cloned().collect();
        self.connections.ended.extend(drained.iter().cloned());
        Ok(drained)
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

fn op_bytes<D: Dialect>(op: &Op<D>) -> usize {
    match op {
        Op::Add(key, value) | Op::Replace(key, value, _) => D::weight(key, value),
        Op::Remove(..) | Op::Rebuild(_) => 0,
    }
}
