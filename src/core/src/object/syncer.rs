//! The sync engine: keeps a [`Tracker`] and brings a [`Backend`] to what is wanted.
//!
//! ```text
//!            update(port) ... sync()
//!                               |
//!          +----- observe? -----+<-----------------------------+
//!          |                    v                              |
//!          |                  plan ---- empty ----> done       |
//!          |                    | batch after batch            |
//!          |                    v                              |
//!          |                  apply                            |
//!          |      +-------------+-----------+---------------+  |
//!          |   applied       outcome      refused:          |  |
//!          |  (tracker)      unknown,     first look again, |  |
//!          |                 moved        then quarantine --+->|
//!          +--------------------+---------------------------+--+
//! ```
//!
//! Nothing is assumed about an unknown outcome: the kernel is observed and the plan made anew. While others keep changing
//! our objects ([`Syncer::set_contested`]), a change is first written beside what they did, without a look. A ServicePort whose
//! objects the kernel refuses is put back to what was last good for it and set aside, so that the others go through. A sync
//! that takes long gives way between two batches ([`Syncer::give_way_after`]), and the next goes on where it was.

mod refused;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    ApplyError, Backend, BackendError, Batch, Cause, Claimant, Dialect, Drift, Editor, Limits, Moment, Moved, Op, Plan,
    Refusal, Stats, SyncError, SyncReport, Tracker, roster::Roster, turn::Turns,
};
use crate::desired::{DesiredPort, NodePolicy, PortChange, PortId};

type Objects<B> = Vec<super::Object<B>>;

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

/// How often the kernel is asked whether what drains is empty.
const DRAIN_PERIOD: Duration = Duration::from_secs(2);

/// So many changes of others are told one by one at most.
const DRIFTS: usize = 100_000;

/// How many rounds a sync takes the kernel's word for which ServicePorts it refuses; then each is tried by itself.
const REFUSALS: u32 = 3;

/// How far a sync has come that is not done; kept while it gives way.
struct Course<D: Dialect> {
    rest: Option<Rest<D>>,
    rounds: u32,
    looks: u32,
    moves: u32,
    refusals: u32,
    /// Whether each ServicePort gets a batch of its own.
    isolate: bool,
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

/// Brings the kernel to what is wanted and keeps it there, whatever goes wrong on the way.
pub struct Syncer<B: Backend> {
    backend: B,
    tracker: Tracker<B::Dialect>,
    policy: NodePolicy,
    observed: bool,
    additions_only: bool,
    contested: bool,
    roster: Roster,
    /// What the ServicePorts that changed since the last complete sync wanted before.
    last_good: BTreeMap<Claimant, Objects<B>>,
    /// The ServicePorts that changed and of which nothing was written since: they go first.
    new: BTreeSet<Claimant>,
    /// What ServicePorts want that the kernel has refused.
    quarantine: BTreeMap<Claimant, Objects<B>>,
    /// Of the sync that is going on, or of one that failed: told with the next that succeeds.
    report: SyncReport,
    stats: Stats,
    /// When what drains is asked about next.
    next_drained: Moment,
    turns: Turns,
    course: Option<Course<B::Dialect>>,
}

impl<B: Backend> Syncer<B> {
    /// A syncer that knows nothing of the kernel yet: its first sync observes, and adopts what it finds.
    pub fn new(backend: B) -> Self {
        let mut syncer = Self {
            backend,
            tracker: Tracker::default(),
            policy: NodePolicy::default(),
            observed: false,
            additions_only: false,
            contested: false,
            roster: Roster::default(),
            last_good: BTreeMap::new(),
            new: BTreeSet::new(),
            quarantine: BTreeMap::new(),
            report: SyncReport::default(),
            stats: Stats::default(),
            next_drained: Moment::default(),
            turns: Turns::default(),
            course: None,
        };
        syncer.claim_base();
        syncer
    }

    /// The backend.
    pub const fn backend(&self) -> &B {
        &self.backend
    }

    /// The backend, to be asked things that need it mutable.
    pub const fn backend_mut(&mut self) -> &mut B {
        &mut self.backend
    }

    /// Counts since the start.
    pub const fn stats(&self) -> Stats {
        self.stats
    }

    /// What is wanted and what the kernel is known to hold.
    pub const fn tracker(&self) -> &Tracker<B::Dialect> {
        &self.tracker
    }

    /// Who is heard of in a sync that failed, as the report of one that succeeds has it.
    pub const fn editor(&self) -> Option<&Editor> {
        self.report.editor.as_ref()
    }

    /// The ServicePorts that are set aside, because the kernel refuses them.
    pub fn quarantined(&self) -> BTreeSet<&PortId> {
        self.quarantine.keys().filter_map(|who| self.roster.name(*who)).collect()
    }

    /// Whether something has changed that was not written yet, not even to be undone by others.
    pub fn has_new(&self) -> bool {
        !self.new.is_empty()
    }

    /// Whether nothing may be changed or removed yet, since not everything that is wanted is known.
    pub const fn set_additions_only(&mut self, additions_only: bool) {
        self.additions_only = additions_only;
    }

    /// Whether others keep changing our objects, so that what they did is put right only when it is looked for
    /// ([`check`](Self::check), [`resync`](Self::resync)) or is in a change's way.
    pub const fn set_contested(&mut self, contested: bool) {
        self.contested = contested;
    }

    /// Has syncs give way after so much time, told by a clock: they return between two batches, with a report that is
    /// [unfinished](SyncReport::unfinished), and the next one goes on. Each applies one batch at least.
    pub fn give_way_after(&mut self, time: Duration, clock: Box<dyn Fn() -> Moment + Send>) {
        self.turns = Turns::of(time, clock);
    }

    /// Sets what holds for every Service on this node. Whether every ServicePort has to be [updated](Self::update) again
    /// before the next sync, since it renders to something else now: nobody here keeps what they were.
    pub fn set_policy(&mut self, policy: &NodePolicy) -> bool {
        if self.policy == *policy {
            return false;
        }
        self.policy = policy.clone();
        self.claim_base();
        B::Dialect::RENDER_READS_POLICY && !self.roster.is_empty()
    }

    /// Takes over what became of one ServicePort.
    pub fn update(&mut self, change: &PortChange) {
        let who = self.roster.number(&change.id);
        let objects = self.render(change.desired.as_ref());
        self.quarantine.remove(&who);
        self.claim(who, objects);
        self.new.insert(who);
    }

    /// Brings the kernel to what is wanted. Writes nothing when it is there already.
    ///
    /// # Errors
    /// [`SyncError`]; what had been applied stays, and the next sync goes on from there.
    pub fn sync(&mut self) -> Result<SyncReport, SyncError> {
        let beside = self.contested && self.observed;
        let new =
            Course { rest: None, rounds: 0, looks: 0, moves: 0, refusals: 0, isolate: false, in_parts: false, beside };
        let mut course = self.course.take().unwrap_or(new);
        course.beside &= self.observed;
        let [patience, patience_if_contested] = MOVES;
        let patience = if self.contested { patience_if_contested } else { patience };
        self.turns.called();
        while course.rounds < ROUNDS && course.moves < patience {
            self.turns.planning();
            if !self.observed {
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
                    return Ok(std::mem::take(&mut self.report));
                }
                self.observed = false;
                course.moves += 1;
            }
            self.learn(&mut course, failures)?;
            if self.turns.is_late() {
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
            isolate: course.isolate,
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
        let is_stale = std::mem::take(&mut course.beside);
        for (batch, error) in failures {
            match error {
                _ if is_stale => self.observed = false,
                ApplyError::Moved => {
                    self.observed = false;
                    course.moves += 1;
                }
                ApplyError::Unknown(_) => self.observed = false,
                ApplyError::Refused { refusals: refused, .. } => {
                    course.refusals += 1;
                    if course.looks == 0 && refused.iter().all(|refusal| refusal.cause.is_stale_view()) {
                        self.observed = false;
                    } else if !course.isolate && refused.iter().all(|refusal| refusal.op.is_none()) {
                        course.isolate = true;
                    } else {
                        self.set_aside(batch, &refused)?;
                    }
                }
                ApplyError::TooLarge(_) if batch.is_rebuild() && !course.in_parts => course.in_parts = true,
                ApplyError::TooLarge(_) if batch.is_rebuild() => return Err(SyncError::Apply(error)),
                ApplyError::TooLarge(_) if !course.isolate => course.isolate = true,
                ApplyError::TooLarge(_) => {
                    let refusal = Refusal { op: None, cause: Cause::Other(error.to_string()) };
                    self.set_aside(batch, &[refusal])?;
                }
                ApplyError::Failed(error) => return Err(error.into()),
            }
        }
        course.isolate |= course.refusals > REFUSALS;
        Ok(())
    }

    /// Has the next sync read the kernel whole, whatever is thought to be in it.
    pub const fn look_again(&mut self) {
        self.observed = false;
    }

    /// Looks whether others have changed our objects, and puts right what they did. Reads and writes nothing when they
    /// have not, or when the kernel does not tell.
    ///
    /// # Errors
    /// As [`sync`](Self::sync).
    pub fn check(&mut self) -> Result<SyncReport, SyncError> {
        self.observed &= self.backend.moved()? != Moved::Yes;
        self.sync()
    }

    /// A [`check`](Self::check) that also gives ServicePorts in quarantine another try, and looks where the kernel does not
    /// tell.
    ///
    /// # Errors
    /// As [`sync`](Self::sync).
    pub fn resync(&mut self) -> Result<SyncReport, SyncError> {
        for (who, objects) in std::mem::take(&mut self.quarantine) {
            self.claim(who, objects);
        }
        self.tracker.retry();
        self.observed &= self.backend.moved()? == Moved::No;
        self.sync()
    }

    /// When [`drain`](Self::drain) is worth a call; `None` where nothing drains.
    pub fn due(&self) -> Option<Moment> {
        self.tracker.next_to_go().map(|to_go| to_go.min(self.next_drained))
    }

    /// Removes what nothing is on its way to any more, or what has drained for long enough, at this moment.
    ///
    /// # Errors
    /// As [`sync`](Self::sync).
    pub fn drain(&mut self, now: Moment) -> Result<SyncReport, SyncError> {
        let draining: Vec<_> = self.tracker.draining().cloned().collect();
        let drained = self.backend.drained(&draining)?;
        self.tracker.pass(now, &drained.into_iter().collect());
        self.next_drained = now + DRAIN_PERIOD;
        self.sync()
    }

    /// Observes the kernel and says what would be done. Writes nothing.
    ///
    /// # Errors
    /// When the kernel cannot be observed.
    pub fn diff(&mut self) -> Result<Plan<B::Dialect>, BackendError> {
        self.observe()?;
        self.resize();
        let additions_only = self.additions_only;
        let limits = Limits { bytes: usize::MAX, rebuilds_in_parts: false, isolate: false, additions_only };
        Ok(Plan::new(&self.tracker, limits, |_| true))
    }

    fn render(&mut self, desired: Option<&DesiredPort>) -> Objects<B> {
        let mut objects = Vec::new();
        if let Some(desired) = desired {
            self.stats.rendered += 1;
            self.backend.dialect().render(&self.policy, desired, &mut objects);
        }
        objects
    }

    fn claim(&mut self, who: Claimant, objects: Objects<B>) {
        let before = self.tracker.claim(who, objects);
        self.last_good.entry(who).or_insert(before);
    }

    fn claim_base(&mut self) {
        let need = |container: &_| self.tracker.wanted_members(container);
        let base = self.backend.dialect().base(&self.policy, &need);
        self.tracker.claim(Claimant::BASE, base);
    }

    /// Sizes containers anew when there is less than a quarter more room than is needed. That changes nothing in the kernel by
    /// itself, where a container cannot be resized: only one that is made from now on gets the new size.
    fn resize(&mut self) {
        let outgrown = self.tracker.containers().any(|container| {
            let need = self.tracker.wanted_members(container);
            let capacity = self.tracker.wanted(container).and_then(|(_, value)| B::Dialect::capacity(value));
            capacity.is_some_and(|capacity| capacity < need + need / 4)
        });
        if outgrown {
            self.claim_base();
        }
    }

    fn observe(&mut self) -> Result<Vec<Drift>, BackendError> {
        let live = self.backend.observe()?;
        let drift = self.tracker.observed(live);
        if self.stats.observations == 0 {
            // What a former process has put there is what it is now.
            self.tracker.adopt_places();
        }
        self.stats.observations += 1;
        self.observed = true;
        Ok(drift.into_iter().map(|(key, difference)| Drift { object: key.to_string(), difference }).collect())
    }

    /// Observes in a sync. What is found at the first look is nobody's doing: it is what was there.
    fn look(&mut self) -> Result<(), BackendError> {
        let is_first = self.stats.observations == 0;
        let mut drift = self.observe()?;
        if !is_first {
            // While a sync fails again and again, its report waits.
            drift.truncate(DRIFTS.saturating_sub(self.report.drift.len()));
            self.report.drift.append(&mut drift);
            self.report.editor = self.backend.editor().or(self.report.editor.take());
        }
        self.tracker.sweep();
        Ok(())
    }

    /// Applies batch after batch from one of them on, up to the first that fails, which it gives back, or until the turn is
    /// over; how many of the plan are behind it then. Where every ServicePort has a batch of its own, those after one that
    /// fails are tried too; but nothing is removed before everything was added.
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
                    let go_on = course.isolate && matches!(error, ApplyError::Refused { .. } | ApplyError::TooLarge(_));
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
    fn applied<'o>(&mut self, ops: impl IntoIterator<Item = &'o Op<B::Dialect>>) {
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
        for (who, _) in std::mem::take(&mut self.last_good) {
            if !self.tracker.claims_anything(who) && !self.quarantine.contains_key(&who) {
                self.roster.forget(who);
            }
        }
    }
}
