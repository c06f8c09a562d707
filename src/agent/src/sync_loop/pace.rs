//! When to sync: at once when something changed, but not more often than `minSyncPeriod` allows; again after a failure, or a
//! repair that is not expected to last, later each time; and every `syncPeriod`, should a notification have been lost.

use std::time::{Duration, Instant};

/// The first wait after a sync that failed or a repair that will not last; doubled after each further one, up to the sync
/// period.
const RETRY: Duration = Duration::from_millis(100);

/// And at least so many times as long as it took: that leaves four fifths of a processor to others, however large the cluster.
const REST: u32 = 4;

/// After a failure, or when a change had to repair first, the sync of changes waits for no more than that: half of the second
/// within which they are to be in the kernel. Meanwhile they may go ahead of it.
const SOON: Duration = Duration::from_millis(500);

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing.
    Nothing,
    /// Write what changed ahead of a sync for which it is too early.
    Ahead,
    /// Bring the kernel to what changed.
    Sync,
    /// Look what the kernel holds, and try again what was refused.
    Resync,
}

/// What came of a sync, or of a look at the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The kernel holds what is wanted.
    Done,
    /// So it does, though others have kept changing it until now.
    Calm,
    /// What others had changed is put right, and they are expected to change it again.
    Contested,
    /// Changes were written beside what others did, which was not looked at.
    Beside,
    /// It gave way before it was done.
    Unfinished,
    /// It failed.
    Failed,
}

/// What is waited for before the next look, whoever notifies us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    None,
    Repairs,
    Failure,
}

/// The times of one sync loop. Never asks a clock: it is told what time it is.
#[derive(Debug)]
pub(super) struct Pace {
    sync_period: Duration,
    min_sync_period: Duration,
    /// Whether something changed since the last sync began.
    changed: bool,
    /// Whether some of it came after the last time that changes went ahead of a sync.
    unseen: bool,
    /// Whether the sync that is going on takes over changes, and is not only a look at the kernel.
    syncing: bool,
    /// Since when a sync that gave way may go on.
    unfinished: Option<Instant>,
    /// Before this moment changes wait.
    earliest: Instant,
    /// Before this moment they wait for a sync that may have to repair, or fails as the last one did.
    soon: Instant,
    /// Before this moment they do not go ahead of it.
    ahead: Instant,
    /// When to look again although nothing was heard; `None` before the first sync.
    next: Option<Instant>,
    retry: Duration,
    hold: Hold,
}

impl Pace {
    pub(super) const fn new(now: Instant, sync_period: Duration, min_sync_period: Duration) -> Self {
        Self {
            sync_period,
            min_sync_period,
            changed: false,
            unseen: false,
            syncing: false,
            unfinished: None,
            earliest: now,
            soon: now,
            ahead: now,
            next: None,
            retry: RETRY,
            hold: Hold::None,
        }
    }

    /// Takes over other periods, at once.
    pub(super) fn set_periods(&mut self, now: Instant, sync_period: Duration, min_sync_period: Duration) {
        self.sync_period = sync_period;
        self.min_sync_period = min_sync_period;
        self.earliest = self.earliest.min(now + min_sync_period);
        self.next = self.next.map(|next| next.min(now + sync_period));
    }

    /// Whether something waits that changed since the last sync began.
    pub(super) const fn waits(&self) -> bool {
        self.changed
    }

    /// How often what nobody told about is looked at.
    pub(super) const fn sync_period(&self) -> Duration {
        self.sync_period
    }

    /// Something changed; whether it is the first since the last sync began.
    pub(super) const fn changed(&mut self) -> bool {
        self.unseen = true;
        !std::mem::replace(&mut self.changed, true)
    }

    /// Whether a sync gave way, or failed, so that the kernel does not hold what is wanted.
    pub(super) fn is_behind(&self) -> bool {
        self.unfinished.is_some() || self.is_failing()
    }

    /// Whether a failed sync waits to be tried again.
    fn is_failing(&self) -> bool {
        self.hold == Hold::Failure
    }

    /// Whether notifications are not listened to: what they tell of is looked at later.
    pub(super) fn is_held(&self) -> bool {
        self.hold != Hold::None
    }

    pub(super) fn due(&self, now: Instant) -> Due {
        let is_over = |moment: Option<Instant>| moment.is_some_and(|moment| now >= moment);
        if self.unfinished.is_some() || is_over(self.next_sync()) {
            Due::Sync
        } else if is_over(self.next) {
            Due::Resync
        } else if is_over(self.next_ahead()) {
            Due::Ahead
        } else {
            Due::Nothing
        }
    }

    /// When something becomes due by itself.
    pub(super) fn next(&self) -> Option<Instant> {
        self.unfinished.into_iter().chain(self.next_sync()).chain(self.next_ahead()).chain(self.next).min()
    }

    fn next_sync(&self) -> Option<Instant> {
        self.changed.then(|| self.earliest.max(self.soon))
    }

    fn next_ahead(&self) -> Option<Instant> {
        (self.changed && self.unseen).then(|| self.earliest.max(self.ahead))
    }

    /// What changed went ahead of its sync, or could not.
    pub(super) fn went_ahead(&mut self, now: Instant) {
        self.unseen = false;
        self.ahead = now + RETRY;
    }

    /// A sync begins: what changes from now on is for the next.
    pub(super) const fn begun(&mut self) {
        (self.changed, self.unseen) = (false, false);
        self.syncing = true;
    }

    /// It has come to its end, or a look at the kernel has. However often others give reason to look, changes do not wait for
    /// that.
    pub(super) fn ended(&mut self, now: Instant, took: Duration, outcome: Outcome) {
        self.unfinished = (outcome == Outcome::Unfinished).then_some(now);
        if self.unfinished.is_some() {
            return;
        }
        let synced_changes = std::mem::take(&mut self.syncing);
        if synced_changes {
            self.earliest = now + self.min_sync_period;
        }
        match outcome {
            Outcome::Done | Outcome::Calm => {
                // A sync of changes is no look at the kernel: that stays due when it was.
                self.next = Some(self.next.filter(|next| *next > now).unwrap_or(now + self.sync_period));
                self.hold = Hold::None;
                if outcome == Outcome::Done {
                    self.retry = RETRY;
                }
            }
            Outcome::Beside => {
                if self.is_failing() {
                    self.hold = Hold::Repairs;
                }
            }
            Outcome::Contested => {
                self.hold = Hold::Repairs;
                self.wait(now, took, synced_changes);
            }
            Outcome::Unfinished => {}
            Outcome::Failed => {
                self.hold = Hold::Failure;
                // Changes may be what mends it, so they need not wait for all of it; but many of them are no reason to try all
                // the time.
                self.wait(now, took, true);
            }
        }
    }

    fn wait(&mut self, now: Instant, took: Duration, changes_wait: bool) {
        let longest = self.sync_period.max(RETRY);
        let rest = took * REST;
        self.next = Some(now + self.retry.max(rest).min(longest));
        if changes_wait {
            self.soon = now + self.retry.max(rest).min(SOON).min(longest);
        }
        self.retry = (self.retry * 2).min(longest);
    }
}

#[cfg(test)]
mod tests;
