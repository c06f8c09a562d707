//! Whether the proxy is healthy: changes reach the kernel in time.
//!
//! ```text
//!   queued ---- a change waits ------------+---- synced ----> healthy
//!   behind ---- something else is there ---+
//!                                          +-- longer than 2 x syncPeriod --> unhealthy, until the next synced
//! ```
//!
//! While others keep undoing what is programmed, changes are written beside what they did. Then the changes wait no longer
//! (`written`), but what else is wanted may still not be there.
//!
//! As kube-proxy has it, a family that has never been synced is healthy: /healthz says nothing about readiness. That is
//! what [`Health::ready`] is for.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use portolan_core::addr::{Family, PerFamily};

/// One moment on both clocks: the wall's is shown, the other decides, since nobody sets it.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// The time of day.
    pub wall: Timestamp,
    /// Never goes back.
    pub monotonic: Instant,
}

impl Now {
    /// This moment.
    #[must_use]
    pub fn read() -> Self {
        Self { wall: Timestamp::now(), monotonic: Instant::now() }
    }
}

/// Shared by the sync loop, which tells it what happens, and the servers, which ask.
#[derive(Debug)]
pub struct Health(Mutex<State>);

#[derive(Debug)]
struct State {
    timeout: Duration,
    node_eligible: bool,
    contested: bool,
    expected: Vec<Family>,
    families: PerFamily<FamilyState>,
}

/// What is known of one IP family.
#[derive(Debug, Clone, Copy, Default)]
struct FamilyState {
    /// When it was last synced with success.
    updated: Option<Timestamp>,
    /// Since when a change waits.
    pending_since: Option<Instant>,
    /// Since when the kernel is known to hold something else than what is wanted.
    broken_since: Option<Instant>,
}

/// How the proxy is at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The moment.
    pub at: Timestamp,
    /// Whether all families are.
    pub healthy: bool,
    /// Whether load balancers should send anything to this node.
    pub node_eligible: bool,
    /// The families that were ever synced: when last, and whether they are healthy.
    pub families: BTreeMap<Family, (Timestamp, bool)>,
}

impl Health {
    /// Nothing was synced yet, and no Node object was seen.
    #[must_use]
    pub fn new(families: &[Family], sync_period: Duration) -> Self {
        Self(Mutex::new(State {
            timeout: timeout(sync_period),
            node_eligible: false,
            contested: false,
            expected: families.to_vec(),
            families: PerFamily::default(),
        }))
    }

    /// A change of this family waits for a sync.
    pub fn queued(&self, family: Family, now: Now) {
        self.state().families.get_mut(family).pending_since.get_or_insert(now.monotonic);
    }

    /// A sync of this family failed, or gave way: the kernel holds something else than what is wanted.
    pub fn behind(&self, family: Family, now: Now) {
        self.state().families.get_mut(family).broken_since.get_or_insert(now.monotonic);
    }

    /// The changes of this family are in the kernel; what else is wanted may not be.
    pub fn written(&self, family: Family, now: Now) {
        let mut state = self.state();
        let of_family = state.families.get_mut(family);
        (of_family.updated, of_family.pending_since) = (Some(now.wall), None);
    }

    /// Whether others keep undoing what is programmed, so that what the kernel holds may at any time be something else.
    pub fn contested(&self, contested: bool) {
        self.state().contested = contested;
    }

    /// This family was synced with success.
    pub fn synced(&self, family: Family, now: Now) {
        *self.state().families.get_mut(family) =
            FamilyState { updated: Some(now.wall), pending_since: None, broken_since: None };
    }

    /// Whether this node's Node object is there, is not being deleted and has no taint
    /// `ToBeDeletedByClusterAutoscaler`.
    pub fn node_eligible(&self, eligible: bool) {
        self.state().node_eligible = eligible;
    }

    /// syncPeriod was changed.
    pub fn sync_period(&self, sync_period: Duration) {
        self.state().timeout = timeout(sync_period);
    }

    /// Whether every family was synced at least once, and what was programmed lasts.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn ready(&self) -> Result<(), &'static str> {
        let state = self.state();
        if !state.expected.iter().all(|family| state.families.get(*family).updated.is_some()) {
            return Err("not all Services have been programmed since the start");
        }
        if state.contested {
            return Err("another program keeps changing Portolan's objects in the kernel");
        }
        Ok(())
    }

    /// How the proxy is.
    #[must_use]
    pub fn at(&self, now: Now) -> Snapshot {
        let state = self.state();
        let known = state.expected.iter().filter_map(|family| {
            let of_family = state.families.get(*family);
            let since = of_family.pending_since.into_iter().chain(of_family.broken_since).min();
            let late = since.is_some_and(|since| now.monotonic.saturating_duration_since(since) >= state.timeout);
            Some((*family, (of_family.updated?, !late)))
        });
        let families: BTreeMap<_, _> = known.collect();
        Snapshot {
            at: now.wall,
            healthy: families.values().all(|(_, healthy)| *healthy),
            node_eligible: state.node_eligible,
            families,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// kube-proxy's.
fn timeout(sync_period: Duration) -> Duration {
    sync_period.saturating_mul(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_secs(30);

    fn at(start: Now, seconds: u64) -> Now {
        let after = Duration::from_secs(seconds);
        Now { wall: start.wall + after, monotonic: start.monotonic + after }
    }

    fn healthy(health: &Health, now: Now) -> (bool, Vec<bool>) {
        let snapshot = health.at(now);
        (snapshot.healthy, snapshot.families.values().map(|(_, healthy)| *healthy).collect())
    }

    #[test]
    fn a_change_that_waits_for_two_periods_is_too_late_until_it_is_synced() {
        let (health, start) = (Health::new(&Family::ALL, PERIOD), Now::read());
        Family::ALL.into_iter().for_each(|family| health.synced(family, start));
        assert_eq!(healthy(&health, at(start, 9999)), (true, vec![true, true]), "nothing is waited for");
        health.queued(Family::V6, at(start, 100));
        // The oldest change counts.
        health.queued(Family::V6, at(start, 159));
        assert_eq!(healthy(&health, at(start, 159)), (true, vec![true, true]));
        assert_eq!(healthy(&health, at(start, 160)), (false, vec![true, false]));
        health.synced(Family::V4, at(start, 161));
        assert_eq!(healthy(&health, at(start, 161)), (false, vec![true, false]));
        health.synced(Family::V6, at(start, 170));
        assert_eq!(healthy(&health, at(start, 9999)), (true, vec![true, true]));
        assert_eq!(health.at(start).families.get(&Family::V6), Some(&(at(start, 170).wall, true)));
    }

    #[test]
    fn changes_that_are_written_beside_what_others_undo_do_not_make_it_healthy() {
        let (health, start) = (Health::new(&[Family::V4], PERIOD), Now::read());
        health.synced(Family::V4, start);
        health.behind(Family::V4, start);
        for second in 1..60 {
            health.queued(Family::V4, at(start, second));
            health.written(Family::V4, at(start, second));
        }
        assert!(health.at(at(start, 59)).healthy);
        assert!(!health.at(at(start, 60)).healthy);
        health.synced(Family::V4, at(start, 61));
        assert!(health.at(at(start, 9999)).healthy);
    }

    #[test]
    fn the_timeout_follows_a_change_of_the_period() {
        let (health, start) = (Health::new(&[Family::V4], PERIOD), Now::read());
        health.synced(Family::V4, start);
        health.queued(Family::V4, start);
        assert!(health.at(at(start, 59)).healthy);
        health.sync_period(Duration::from_secs(5));
        assert!(!health.at(at(start, 10)).healthy);
        health.sync_period(Duration::MAX);
        assert!(health.at(at(start, 9999)).healthy);
    }

    #[test]
    fn before_the_first_sync_it_is_healthy_but_not_ready() {
        let (health, start) = (Health::new(&Family::ALL, PERIOD), Now::read());
        health.queued(Family::V4, start);
        assert_eq!(healthy(&health, at(start, 9999)), (true, Vec::new()));
        assert!(health.ready().is_err());
        health.synced(Family::V4, start);
        assert!(health.ready().is_err(), "a family is missing");
        health.synced(Family::V6, start);
        assert_eq!(health.ready(), Ok(()));
    }

    #[test]
    fn while_others_undo_what_is_programmed_it_is_not_ready_but_healthy() {
        let (health, start) = (Health::new(&[Family::V4], PERIOD), Now::read());
        health.synced(Family::V4, start);
        health.contested(true);
        assert!(health.ready().is_err());
        assert!(health.at(at(start, 9999)).healthy);
        health.contested(false);
        assert_eq!(health.ready(), Ok(()));
    }

    #[test]
    fn a_clock_that_is_set_back_changes_nothing() {
        let (health, start) = (Health::new(&[Family::V4], PERIOD), Now::read());
        health.synced(Family::V4, start);
        health.queued(Family::V4, start);
        let later = Now { wall: start.wall - Duration::from_secs(86_400), ..at(start, 60) };
        assert!(!health.at(later).healthy);
    }
}
