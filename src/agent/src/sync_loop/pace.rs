//! When to sync: at once when something changed, but not more often than `minSyncPeriod` allows; again after a failure,
//! later each time; and every `syncPeriod`, should a notification have been lost.

use std::time::{Duration, Instant};

/// The first wait after a sync that failed; doubled after each further one, up to the sync period.
const RETRY: Duration = Duration::from_millis(100);

/// After a failure changes wait at most so long.
const SOON: Duration = Duration::from_secs(1);

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing.
    Nothing,
    /// Bring the kernel to what changed.
    Sync,
    /// Look what the kernel holds, and try again what was refused.
    Resync,
}

/// The times of one sync loop. Never asks a clock: it is told what time it is.
#[derive(Debug)]
pub(super) struct Pace {
    sync_period: Duration,
    min_sync_period: Duration,
    /// Whether something changed since the last sync began.
    changed: bool,
    /// Whether the sync that is going on takes over changes, and is not only a look at the kernel.
    syncing: bool,
    /// Before this moment changes wait.
    earliest: Instant,
    /// When to look again although nothing was heard; `None` before the first sync.
    next: Option<Instant>,
    retry: Duration,
}

impl Pace {
    pub(super) const fn new(now: Instant, sync_period: Duration, min_sync_period: Duration) -> Self {
        Self { sync_period, min_sync_period, changed: false, syncing: false, earliest: now, next: None, retry: RETRY }
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
        !std::mem::replace(&mut self.changed, true)
    }

    /// Whether a failed sync waits to be tried again.
    pub(super) fn is_backing_off(&self) -> bool {
        self.retry > RETRY
    }

    /// The wait that follows should the next sync fail.
    pub(super) const fn retry(&self) -> Duration {
        self.retry
    }

    pub(super) fn due(&self, now: Instant) -> Due {
        if self.changed && now >= self.earliest {
            Due::Sync
        } else if self.next.is_some_and(|next| now >= next) {
            Due::Resync
        } else {
            Due::Nothing
        }
    }

    /// When something becomes due by itself.
    pub(super) fn next(&self) -> Option<Instant> {
        let sync = self.changed.then_some(self.earliest);
        sync.into_iter().chain(self.next).min()
    }

    /// A sync begins: what changes from now on is for the next.
    pub(super) const fn begun(&mut self) {
        self.changed = false;
        self.syncing = true;
    }

    /// It has come to its end, or a look at the kernel has. However often others give reason to look, changes do not wait for
    /// that.
    pub(super) fn ended(&mut self, now: Instant, succeeded: bool) {
        if std::mem::take(&mut self.syncing) {
            self.earliest = now + self.min_sync_period;
        }
        if succeeded {
            self.retry = RETRY;
            // A sync of changes is no look at the kernel: that stays due when it was.
            self.next = Some(self.next.filter(|next| *next > now).unwrap_or(now + self.sync_period));
        } else {
            self.next = Some(now + self.retry);
            // Changes may be what mends it, so they need not wait for all of it; but many of them are no reason to try all the
            // time.
            self.earliest = self.earliest.max(now + self.retry.min(SOON));
            self.retry = (self.retry * 2).min(self.sync_period.max(RETRY));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn changes_wait_for_the_minimum_and_are_taken_together() {
        let start = Instant::now();
        let mut pace = Pace::new(start, 30 * SECOND, 2 * SECOND);
        assert_eq!((pace.due(start), pace.next()), (Due::Nothing, None));
        assert!(pace.changed());
        assert_eq!(pace.due(start), Due::Sync);
        pace.begun();
        assert!(pace.changed() && !pace.changed());
        pace.ended(start + SECOND, true);
        assert_eq!(pace.due(start + 2 * SECOND), Due::Nothing);
        assert_eq!(pace.next(), Some(start + 3 * SECOND));
        assert_eq!(pace.due(start + 3 * SECOND), Due::Sync);
        pace.begun();
        pace.ended(start + 3 * SECOND, true);
        assert_eq!(pace.next(), Some(start + 31 * SECOND));
        assert_eq!(pace.due(start + 31 * SECOND), Due::Resync);
    }

    #[test]
    fn looks_at_the_kernel_do_not_make_changes_wait() {
        let start = Instant::now();
        let mut pace = Pace::new(start, 30 * SECOND, 2 * SECOND);
        let _ = pace.changed();
        pace.begun();
        pace.ended(start, true);
        let _ = pace.changed();
        pace.ended(start + SECOND, true);
        assert_eq!(pace.next(), Some(start + 2 * SECOND));
        assert_eq!(pace.due(start + 2 * SECOND), Due::Sync);
        pace.ended(start + 2 * SECOND, false);
        assert_eq!(pace.due(start + 2 * SECOND), Due::Nothing, "after a failure they do");
    }

    #[test]
    fn other_periods_hold_at_once() {
        let start = Instant::now();
        let mut pace = Pace::new(start, 3600 * SECOND, 10 * SECOND);
        let _ = pace.changed();
        pace.begun();
        pace.ended(start, true);
        let _ = pace.changed();
        pace.set_periods(start, 30 * SECOND, SECOND);
        assert_eq!(pace.due(start + SECOND), Due::Sync);
        pace.begun();
        pace.ended(start + SECOND, true);
        assert_eq!(pace.next(), Some(start + 30 * SECOND));
    }

    #[test]
    fn without_a_minimum_a_change_is_never_waited_for() {
        let start = Instant::now();
        let mut pace = Pace::new(start, 30 * SECOND, Duration::ZERO);
        let _ = pace.changed();
        pace.begun();
        pace.ended(start, true);
        let _ = pace.changed();
        assert_eq!(pace.due(start), Due::Sync);
    }

    #[test]
    fn failures_are_tried_again_later_each_time_and_changes_soon() {
        let start = Instant::now();
        let mut pace = Pace::new(start, SECOND, Duration::ZERO);
        let mut waits = Vec::new();
        for _ in 0..6 {
            pace.begun();
            pace.ended(start, false);
            waits.push(pace.next().unwrap() - start);
        }
        assert_eq!(waits, [100, 200, 400, 800, 1000, 1000].map(Duration::from_millis));
        assert!(pace.is_backing_off());
        let _ = pace.changed();
        assert_eq!(pace.due(start + SECOND / 2), Due::Nothing);
        assert_eq!(pace.due(start + SECOND), Due::Sync);
        pace.begun();
        pace.ended(start, true);
        assert!(!pace.is_backing_off());
        assert_eq!(pace.next(), Some(start + SECOND));
    }
}
