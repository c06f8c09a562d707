//! The sync engine: keeps a [`Tracker`] and brings a [`Backend`] to what is wanted.
//!
//! ```text
//!   update(port), set_policy ----> claims ----> sync, check, resync, drain     what each does is its course (`course.rs`)
//!                                    ^                    |
//!                                    |                 refused: the ServicePort goes back to what was last good for it, and
//!                                    +--- quarantine <----+    is set aside, so that the others go through (`refused.rs`)
//! ```
//!
//! While others keep changing our objects ([`Syncer::set_contested`]), a change is first written beside what they did, without
//! a look; where that is in the way of it, it is written together with what all Services need, ahead of the look
//! (`ahead.rs`). A sync that takes long gives way ([`Syncer::give_way_after`]).

mod ahead;
mod course;
mod refused;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use self::course::Course;
use super::{
    Backend, BackendError, Claimant, Dialect, Difference, Drift, Editor, Limits, Moment, Moved, Plan, Stats, SyncError,
    SyncReport, Tracker, roster::Roster, turn::Turns,
};
use crate::desired::{DesiredPort, NodePolicy, PortChange, PortId};

type Objects<B> = Vec<super::Object<B>>;

/// How often the kernel is asked whether what drains is empty.
const DRAIN_PERIOD: Duration = Duration::from_secs(2);

/// So many changes of others are told one by one at most.
const DRIFTS: usize = 100_000;

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
    /// Whether others are known to have changed something since the kernel was last looked at.
    displaced: bool,
    /// What was written ahead of the next look, by the name of what holds it.
    ahead: Option<String>,
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
            displaced: false,
            ahead: None,
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

    /// Counts what a sync came to.
    pub(super) fn count(&mut self, outcome: &Result<SyncReport, SyncError>) {
        match outcome {
            Ok(report) => self.stats.stuck += u64::try_from(report.stuck.len()).unwrap_or(u64::MAX),
            Err(_) => self.stats.failures += 1,
        }
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
        if self.backend.moved()? == Moved::Yes {
            self.others_came();
        }
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
        self.observed = self.observed && self.backend.glance(self.tracker.all_known())? == Moved::No;
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
        let limits = Limits { bytes: usize::MAX, rebuilds_in_parts: false, ports: usize::MAX, additions_only };
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
        let grown = self.tracker.take_grown();
        let is_outgrown = |container: &_| {
            let need = self.tracker.wanted_members(container);
            let capacity = self.tracker.wanted(container).and_then(|(_, value)| B::Dialect::capacity(value));
            capacity.is_some_and(|capacity| capacity < need + need / 4)
        };
        if grown.iter().any(is_outgrown) {
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

    /// Others have changed something of ours.
    const fn others_came(&mut self) {
        (self.observed, self.displaced) = (false, true);
    }

    /// Observes in a sync. What is found at the first look is nobody's doing: it is what was there.
    fn look(&mut self) -> Result<(), BackendError> {
        let is_first = self.stats.observations == 0;
        let mut drift = self.observe()?;
        if !is_first {
            if let Some(object) = self.ahead.take().filter(|_| drift.is_empty()) {
                // All that they did has been put right already, unseen.
                drift.push(Drift { object, difference: Difference::Changed });
            }
            // While a sync fails again and again, its report waits.
            drift.truncate(DRIFTS.saturating_sub(self.report.drift.len()));
            self.report.drift.append(&mut drift);
            self.report.editor = self.backend.editor().or(self.report.editor.take());
        }
        self.displaced = false;
        self.tracker.sweep();
        Ok(())
    }
}
