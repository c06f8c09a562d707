//! The sync engine of any backend, as the agent holds it: without a type of the backend in it.

use std::{collections::BTreeSet, os::fd::BorrowedFd, time::Duration};

use super::{
    Backend, BackendError, Difference, Drift, Editor, Figure, Moment, Op, Stats, SyncError, SyncReport, Syncer,
};
use crate::desired::{NodePolicy, PortChange, PortId};

/// A [`Syncer`] and its backend.
pub trait Dataplane: Send {
    /// [`Syncer::set_policy`]
    fn set_policy(&mut self, policy: &NodePolicy) -> bool;

    /// [`Syncer::update`]
    fn update(&mut self, change: &PortChange);

    /// [`Syncer::set_additions_only`]
    fn set_additions_only(&mut self, additions_only: bool);

    /// [`Syncer::set_contested`]
    fn set_contested(&mut self, contested: bool);

    /// [`Syncer::give_way_after`]
    fn give_way_after(&mut self, time: Duration, clock: Box<dyn Fn() -> Moment + Send>);

    /// [`Syncer::has_new`]
    fn has_new(&self) -> bool;

    /// [`Syncer::go_ahead`]
    fn go_ahead(&mut self);

    /// [`Syncer::due`]
    fn due(&self) -> Option<Moment>;

    /// [`Syncer::drain`]
    ///
    /// # Errors
    /// As there.
    fn drain(&mut self, now: Moment) -> Result<SyncReport, SyncError>;

    /// [`Syncer::sync`]
    ///
    /// # Errors
    /// As there.
    fn sync(&mut self) -> Result<SyncReport, SyncError>;

    /// [`Syncer::check`]
    ///
    /// # Errors
    /// As there.
    fn check(&mut self) -> Result<SyncReport, SyncError>;

    /// [`Syncer::resync`]
    ///
    /// # Errors
    /// As there.
    fn resync(&mut self) -> Result<SyncReport, SyncError>;

    /// [`Syncer::look_again`]
    fn look_again(&mut self);

    /// What the kernel holds otherwise than it is wanted, in the order in which a sync would put it right. Writes nothing.
    ///
    /// # Errors
    /// When the kernel cannot be observed.
    fn drift(&mut self) -> Result<Vec<Drift>, BackendError>;

    /// [`Backend::wakers`]
    fn wakers(&self) -> Vec<BorrowedFd<'_>>;

    /// [`Syncer::stats`]
    fn stats(&self) -> Stats;

    /// [`Backend::figures`]
    fn figures(&self) -> Vec<Figure>;

    /// [`Syncer::quarantined`]
    fn quarantined(&self) -> BTreeSet<&PortId>;

    /// [`Syncer::editor`]
    fn editor(&self) -> Option<&Editor>;
}

impl<B: Backend> Dataplane for Syncer<B>
where
    Self: Send,
{
    fn set_policy(&mut self, policy: &NodePolicy) -> bool {
        self.set_policy(policy)
    }

    fn update(&mut self, change: &PortChange) {
        self.update(change);
    }

    fn set_additions_only(&mut self, additions_only: bool) {
        self.set_additions_only(additions_only);
    }

    fn set_contested(&mut self, contested: bool) {
        self.set_contested(contested);
    }

    fn give_way_after(&mut self, time: Duration, clock: Box<dyn Fn() -> Moment + Send>) {
        self.give_way_after(time, clock);
    }

    fn has_new(&self) -> bool {
        self.has_new()
    }

    fn go_ahead(&mut self) {
        self.go_ahead();
    }

    fn due(&self) -> Option<Moment> {
        self.due()
    }

    fn drain(&mut self, now: Moment) -> Result<SyncReport, SyncError> {
        let outcome = self.drain(now);
        self.count(&outcome);
        outcome
    }

    fn sync(&mut self) -> Result<SyncReport, SyncError> {
        let outcome = self.sync();
        self.count(&outcome);
        outcome
    }

    fn check(&mut self) -> Result<SyncReport, SyncError> {
        let outcome = self.check();
        self.count(&outcome);
        outcome
    }

    fn resync(&mut self) -> Result<SyncReport, SyncError> {
        let outcome = self.resync();
        self.count(&outcome);
        outcome
    }

    fn look_again(&mut self) {
        self.look_again();
    }

    fn drift(&mut self) -> Result<Vec<Drift>, BackendError> {
        let plan = self.diff()?;
        let drift = |op: &Op<B::Dialect>| {
            let difference = match op {
                Op::Add(..) => Difference::Missing,
                Op::Replace(..) | Op::Rebuild(_) => Difference::Changed,
                Op::Remove(..) => Difference::Unwanted,
            };
            Drift { object: op.key().to_string(), difference }
        };
        Ok(plan.ops().map(drift).collect())
    }

    fn wakers(&self) -> Vec<BorrowedFd<'_>> {
        self.backend().wakers()
    }

    fn stats(&self) -> Stats {
        self.stats()
    }

    fn figures(&self) -> Vec<Figure> {
        self.backend().figures(&self.stats())
    }

    fn quarantined(&self) -> BTreeSet<&PortId> {
        self.quarantined()
    }

    fn editor(&self) -> Option<&Editor> {
        self.editor()
    }
}
