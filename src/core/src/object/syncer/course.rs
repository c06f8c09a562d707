//! The course of one sync: look, plan, apply, learn from what failed, and begin anew, until nothing differs.
//!
//! ```text
//!          +----- observe? ----------------------------+
//!          v                                           |
//!        plan ---- empty ----> done                    |
//!          | batch after batch                         |
//!          v                                           |
//!        apply ---- the turn is over ----> gives way   |
//!          |                                           |
//!      +---+--------+---------------+                  |
//!   applied      outcome      refused:                 |
//!  (tracker)     unknown,     first look again,        |
//!                moved        then quarantine          |
//!      +------------+---------------+------------------+
//! ```
//!
//! Nothing is assumed about an unknown outcome: the kernel is observed and the plan made anew. A sync that takes long gives way
//! between two batches, and the next goes on where it was.

use std::{collections::BTreeSet, mem};

use super::{Syncer, refused};
use crate::object::{
    ApplyError, Backend, Batch, Cause, Dialect, Limits, Moved, Op, Plan, Refusal, SyncError, SyncReport,
};

/// A batch that was not applied, or not all of it.
type Failure<'p, D> = (&'p Batch<D>, ApplyError);

/// How often in a row the kernel may be looked at without anything being written. Others would have to change our
/// objects this often within milliseconds.
const LOOKS: u32 = 8;

/// How often in one sync others may change our objects while it writes; and how often while it is known that they keep
/// doing so.
const MOVES: [u32; 2] = [8, 2];

/// How often one sync plans anew. Each round writes something, or sets a ServicePort aside, or looks.
const ROUNDS: u32 = 64;

/// How many rounds a sync takes the kernel's word for which ServicePorts it refuses; then each is tried by itself. Where the
/// kernel does not say which, batches are halved until it is found.
const REFUSALS: u32 = 3;

/// How far a sync has come that is not done; kept while it gives way.
pub(super) struct Course<D: Dialect> {
    rest: Option<Rest<D>>,
    rounds: u32,
    looks: u32,
    moves: u32,
    refusals: u32,
    /// ServicePorts that a batch may have, or objects that go.
    ports: usize,
    /// Whether roots are made anew in as many batches as it takes.
    in_parts: bool,
    /// Whether changes are written beside what others did.
    beside: bool,
}

/// A plan that is applied in part.
struct Rest<D: Dialect> {
    plan: Plan<D>,
    limits: Limits,
    /// How many of its batches are applied.
    applied: usize,
    /// Of the tracker, after that: while it is the same the plan holds.
    revision: u64,
}

impl<B: Backend> Syncer<B> {
    /// Brings the kernel to what is wanted. Writes nothing when it is there already.
    ///
    /// # Errors
    /// [`SyncError`]; what had been applied stays, and the next sync goes on from there.
    pub fn sync(&mut self) -> Result<SyncReport, SyncError> {
        let beside = self.contested && self.observed;
        let new = Course {
            rest: None,
            rounds: 0,
            looks: 0,
            moves: 0,
            refusals: 0,
            ports: usize::MAX,
            in_parts: false,
            beside,
        };
        if self.course.is_none() {
            self.backend.begin();
        }
        let mut course = self.course.take().unwrap_or(new);
        course.beside &= self.observed;
        let [patience, patience_if_contested] = MOVES;
        let patience = if self.contested { patience_if_contested } else { patience };
        self.turns.called();
        while course.rounds < ROUNDS && course.moves < patience {
            self.turns.planning();
            if !self.observed {
                self.go_ahead();
                course.looks += 1;
                if course.looks > LOOKS {
                    break;
                }
                self.look()?;
            }
            let Rest { plan, limits, applied, .. } = self.plan(&mut course);
            let applied_before = self.stats.batches;
            self.turns.writing();
            let (applied, failures) = self.apply_all(&plan, applied, &course);
            self.tracker.settle();
            if self.stats.batches > applied_before {
                course.looks = 0;
            }
            if failures.is_empty() {
                if applied < plan.batches.len() {
                    course.rest = Some(Rest { plan, limits, applied, revision: self.tracker.revision() });
                    return Ok(self.give_way(course));
                }
                // Somebody may have been waiting for us to finish, and nobody is told of what happened meanwhile.
                if course.beside || plan.batches.is_empty() || self.backend.moved()? != Moved::Yes {
                    self.turns.done();
                    return Ok(mem::take(&mut self.report));
                }
                self.others_came();
                course.moves += 1;
            }
            self.learn(&mut course, failures)?;
            if self.turns.is_late() && course.rounds < ROUNDS && course.moves < patience {
                return Ok(self.give_way(course));
            }
        }
        Err(SyncError::Unsettled(course.moves.max(course.looks)))
    }

    /// The plan to go on with: what is left of the one before, if nothing has changed since.
    fn plan(&mut self, course: &mut Course<B::Dialect>) -> Rest<B::Dialect> {
        let bytes = self.turns.bytes(self.backend.batch_bytes(), self.backend.least_batch_bytes());
        let limits = Limits {
            bytes,
            rebuilds_in_parts: course.in_parts,
            ports: course.ports,
            additions_only: self.additions_only,
        };
        let holds = |rest: &Rest<_>| {
            rest.revision == self.tracker.revision()
                && rest.limits.bytes <= bytes
                && Limits { bytes, ..rest.limits } == limits
        };
        if let Some(rest) = course.rest.take().filter(holds) {
            return rest;
        }
        self.resize();
        let plan = Plan::new(&self.tracker, limits, |who| self.new.contains(&who));
        Rest { plan, limits, applied: 0, revision: self.tracker.revision() }
    }

    fn give_way(&mut self, course: Course<B::Dialect>) -> SyncReport {
        self.course = Some(course);
        SyncReport { unfinished: true, ..SyncReport::default() }
    }

    /// Takes what failed as what it says about the kernel, or about a ServicePort.
    fn learn(
        &mut self,
        course: &mut Course<B::Dialect>,
        failures: Vec<Failure<'_, B::Dialect>>,
    ) -> Result<(), SyncError> {
        course.rounds += 1;
        // What others did is in the way: from here on it is looked at, and put right.
        let is_stale = mem::take(&mut course.beside);
        let refusals = failures.iter().filter_map(|(_, error)| error.refusals());
        let dislikes = refusals.into_iter().any(|refusals| !refused::are_stale(refusals));
        let (mut halved, mut found) = (0, false);
        for (batch, error) in failures {
            match error {
                _ if is_stale => self.others_came(),
                ApplyError::Moved => {
                    self.others_came();
                    course.moves += 1;
                }
                ApplyError::Unknown(_) => self.observed = false,
                // What is missing for others may be what was disliked: they are tried again.
                ApplyError::Refused { refusals: refused, .. } if dislikes && refused::are_stale(&refused) => {}
                ApplyError::Refused { refusals: refused, .. } => {
                    let is_named = refused.iter().any(|refusal| refusal.op.is_some());
                    let ports = if is_named || course.ports == 1 { 1 } else { self.ports_of(batch) };
                    if course.looks == 0 && refused::are_stale(&refused) {
                        self.observed = false;
                    } else if ports > 1 {
                        halved = halved.max(ports);
                    } else {
                        found |= !is_named;
                        course.refusals += u32::from(is_named);
                        self.set_aside(batch, &refused)?;
                    }
                }
                ApplyError::TooLarge(_) if batch.is_rebuild() && !course.in_parts => course.in_parts = true,
                ApplyError::TooLarge(_) if batch.is_rebuild() => return Err(SyncError::Apply(error)),
                ApplyError::TooLarge(_) if course.ports > 1 => course.ports = 1,
                ApplyError::TooLarge(_) => {
                    let refusal = Refusal { op: None, cause: Cause::Other(error.to_string()) };
                    self.set_aside(batch, &[refusal])?;
                }
                ApplyError::Failed(error) => return Err(error.into()),
            }
        }
        if course.refusals > REFUSALS {
            course.ports = 1;
        } else if halved > 0 {
            // Half of them at a time, and of those that are refused again half.
            course.ports = (course.ports - 1).min(halved.div_ceil(2));
        } else if found {
            course.ports = usize::MAX;
        }
        Ok(())
    }

    /// Of how many ServicePorts a batch has something, with the objects in it that nobody wants.
    fn ports_of(&self, batch: &Batch<B::Dialect>) -> usize {
        let claimants = batch.ops.iter().map(|op| self.tracker.wanted(op.key()).map(|(who, _)| who));
        let (wanted, unwanted): (Vec<_>, Vec<_>) = claimants.partition(Option::is_some);
        wanted.into_iter().collect::<BTreeSet<_>>().len() + unwanted.len()
    }

    /// Applies batch after batch from one of them on, up to the first that fails, which it gives back, or until the turn is
    /// over; how many of the plan are behind it then. While a ServicePort is looked for that the kernel refuses, those after one
    /// that fails are tried too; but nothing is removed before everything was added.
    fn apply_all<'p>(
        &mut self,
        plan: &'p Plan<B::Dialect>,
        from: usize,
        course: &Course<B::Dialect>,
    ) -> (usize, Vec<Failure<'p, B::Dialect>>) {
        let mut failures = Vec::new();
        for (index, batch) in plan.batches.iter().enumerate().skip(from) {
            if index == plan.additions {
                if !failures.is_empty() {
                    return (index, failures);
                }
                self.everything_is_added();
            }
            let is_last = index + 1 == plan.batches.len();
            let (least, backend) = (self.backend.least_batch_bytes(), &mut self.backend);
            let apply = || if course.beside { backend.apply_beside(batch) } else { backend.apply(batch) };
            let (result, is_slow) = self.turns.batch(is_last, least, apply);
            match result {
                Ok(()) => self.applied(&batch.ops),
                Err(error) => {
                    if let ApplyError::Refused { refusals, carried_out } = &error {
                        self.applied(refused::carried_out_of(batch, refusals, carried_out));
                    }
                    let go_on = course.ports < usize::MAX
                        && matches!(error, ApplyError::Refused { .. } | ApplyError::TooLarge(_));
                    failures.push((batch, error));
                    if !go_on {
                        return (index, failures);
                    }
                }
            }
            if index + 1 >= plan.new && failures.is_empty() {
                self.new.clear();
            }
            if !is_last && (is_slow || self.turns.is_over()) {
                return (index + 1, failures);
            }
        }
        if failures.is_empty() {
            self.everything_is_added();
            self.new.clear();
        }
        (plan.batches.len(), failures)
    }

    /// Takes note of a batch, or of what was carried out of it.
    pub(super) fn applied<'o>(&mut self, ops: impl IntoIterator<Item = &'o Op<B::Dialect>>) {
        let mut operations = 0;
        for op in ops {
            self.tracker.applied(op);
            operations += 1;
        }
        let batches = operations.min(1);
        self.stats.batches += batches;
        self.stats.operations += operations;
        self.report.batches += batches;
        self.report.operations += operations;
    }

    /// What every ServicePort wants is in the kernel: from now on that is what was last good.
    fn everything_is_added(&mut self) {
        for (who, _) in mem::take(&mut self.last_good) {
            if !self.tracker.claims_anything(who) && !self.quarantine.contains_key(&who) {
                self.roster.forget(who);
            }
        }
    }
}
