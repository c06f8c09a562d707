//! When what is due.

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
    pace.ended(start + SECOND, Duration::ZERO, Outcome::Done);
    assert_eq!(pace.due(start + 2 * SECOND), Due::Nothing);
    assert_eq!(pace.next(), Some(start + 3 * SECOND));
    assert_eq!(pace.due(start + 3 * SECOND), Due::Sync);
    pace.begun();
    pace.ended(start + 3 * SECOND, Duration::ZERO, Outcome::Done);
    assert_eq!(pace.next(), Some(start + 31 * SECOND));
    assert_eq!(pace.due(start + 31 * SECOND), Due::Resync);
}

#[test]
fn looks_at_the_kernel_do_not_make_changes_wait() {
    let start = Instant::now();
    let mut pace = Pace::new(start, 30 * SECOND, 2 * SECOND);
    let _ = pace.changed();
    pace.begun();
    pace.ended(start, Duration::ZERO, Outcome::Done);
    let _ = pace.changed();
    pace.ended(start + SECOND, Duration::ZERO, Outcome::Done);
    assert_eq!(pace.next(), Some(start + 2 * SECOND));
    assert_eq!(pace.due(start + 2 * SECOND), Due::Sync);
    pace.ended(start + 2 * SECOND, Duration::ZERO, Outcome::Failed);
    assert_eq!(pace.due(start + 2 * SECOND), Due::Ahead, "after a failure their sync does");
}

#[test]
fn other_periods_hold_at_once() {
    let start = Instant::now();
    let mut pace = Pace::new(start, 3600 * SECOND, 10 * SECOND);
    let _ = pace.changed();
    pace.begun();
    pace.ended(start, Duration::ZERO, Outcome::Done);
    let _ = pace.changed();
    pace.set_periods(start, 30 * SECOND, SECOND);
    assert_eq!(pace.due(start + SECOND), Due::Sync);
    pace.begun();
    pace.ended(start + SECOND, Duration::ZERO, Outcome::Done);
    assert_eq!(pace.next(), Some(start + 30 * SECOND));
}

#[test]
fn without_a_minimum_a_change_is_never_waited_for() {
    let start = Instant::now();
    let mut pace = Pace::new(start, 30 * SECOND, Duration::ZERO);
    let _ = pace.changed();
    pace.begun();
    pace.ended(start, Duration::ZERO, Outcome::Done);
    let _ = pace.changed();
    assert_eq!(pace.due(start), Due::Sync);
}

#[test]
fn a_sync_that_gave_way_goes_on_at_once() {
    let start = Instant::now();
    let mut pace = Pace::new(start, 30 * SECOND, SECOND);
    let _ = pace.changed();
    pace.begun();
    pace.ended(start, SECOND, Outcome::Unfinished);
    assert_eq!((pace.due(start), pace.next(), pace.is_behind()), (Due::Sync, Some(start), true));
    pace.begun();
    pace.ended(start, SECOND, Outcome::Done);
    assert_eq!((pace.due(start), pace.is_behind()), (Due::Nothing, false));
    let _ = pace.changed();
    assert_eq!(pace.due(start), Due::Nothing, "the least period begins at the end");
    assert_eq!(pace.due(start + SECOND), Due::Sync);
}

#[test]
fn failures_are_tried_again_later_each_time_and_changes_soon() {
    let start = Instant::now();
    let mut pace = Pace::new(start, SECOND, Duration::ZERO);
    let mut waits = Vec::new();
    for _ in 0..6 {
        pace.begun();
        pace.ended(start, Duration::ZERO, Outcome::Failed);
        waits.push(pace.next().unwrap() - start);
    }
    assert_eq!(waits, [100, 200, 400, 800, 1000, 1000].map(Duration::from_millis));
    assert!(pace.is_failing() && pace.is_held());
    let _ = pace.changed();
    assert_eq!(pace.due(start + SECOND / 4), Due::Ahead);
    assert_eq!(pace.due(start + SECOND / 2), Due::Sync);
    pace.begun();
    pace.ended(start, Duration::ZERO, Outcome::Done);
    assert!(!pace.is_failing() && !pace.is_held());
    assert_eq!(pace.next(), Some(start + SECOND));
}

#[test]
fn repairs_that_do_not_last_wait_longer_each_time_and_changes_do_not() {
    let start = Instant::now();
    let mut pace = Pace::new(start, SECOND, Duration::ZERO);
    let mut waits = Vec::new();
    for _ in 0..6 {
        pace.ended(start, Duration::ZERO, Outcome::Contested);
        waits.push(pace.next().unwrap() - start);
        assert!(pace.is_held() && !pace.is_failing());
        let _ = pace.changed();
        assert_eq!(pace.due(start), Due::Sync);
        pace.begun();
        pace.ended(start, Duration::ZERO, Outcome::Beside);
    }
    assert_eq!(waits, [100, 200, 400, 800, 1000, 1000].map(Duration::from_millis));
    assert_eq!(pace.next(), Some(start + SECOND), "a change that was written beside them is no repair");
    // One that had to repair first is, and the next must not do so at once again.
    let _ = pace.changed();
    pace.begun();
    pace.ended(start, Duration::ZERO, Outcome::Contested);
    let _ = pace.changed();
    assert_eq!((pace.due(start), pace.due(start + SECOND)), (Due::Ahead, Due::Sync));
}

#[test]
fn what_changes_goes_ahead_of_a_sync_that_waits_but_not_all_the_time() {
    let start = Instant::now();
    let mut pace = Pace::new(start, 30 * SECOND, Duration::ZERO);
    let _ = pace.changed();
    pace.begun();
    pace.ended(start, SECOND, Outcome::Contested);
    assert_eq!(pace.due(start), Due::Nothing);
    for at in [start, start + RETRY] {
        let _ = pace.changed();
        assert_eq!((pace.due(at), pace.next()), (Due::Ahead, Some(at)));
        pace.went_ahead(at);
        assert_eq!((pace.due(at), pace.next()), (Due::Nothing, Some(start + SOON)));
    }
    let _ = pace.changed();
    assert_eq!((pace.due(start + RETRY), pace.next()), (Due::Nothing, Some(start + 2 * RETRY)));
    assert_eq!(pace.due(start + SOON), Due::Sync, "and they have a sync of their own all the same");
}

#[test]
fn what_changes_goes_ahead_no_earlier_than_the_minimum_allows() {
    let start = Instant::now();
    let mut pace = Pace::new(start, 30 * SECOND, 2 * SECOND);
    let _ = pace.changed();
    pace.begun();
    pace.ended(start, Duration::ZERO, Outcome::Failed);
    let _ = pace.changed();
    assert_eq!((pace.due(start + SECOND), pace.due(start + 2 * SECOND)), (Due::Resync, Due::Sync));
}

#[test]
fn a_calm_moment_ends_the_wait_but_the_next_is_as_long() {
    let start = Instant::now();
    let mut pace = Pace::new(start, 30 * SECOND, Duration::ZERO);
    for _ in 0..3 {
        pace.ended(start, Duration::ZERO, Outcome::Contested);
    }
    pace.ended(start + SECOND, Duration::ZERO, Outcome::Calm);
    assert!(!pace.is_held());
    pace.ended(start + SECOND, Duration::ZERO, Outcome::Contested);
    assert_eq!(pace.next(), Some(start + SECOND + 8 * RETRY));
    pace.ended(start + 2 * SECOND, Duration::ZERO, Outcome::Done);
    pace.ended(start + 2 * SECOND, Duration::ZERO, Outcome::Contested);
    assert_eq!(pace.next(), Some(start + 2 * SECOND + RETRY));
}

#[test]
fn what_takes_long_is_followed_by_a_long_rest() {
    let start = Instant::now();
    let mut pace = Pace::new(start, 30 * SECOND, Duration::ZERO);
    pace.ended(start, 2 * SECOND, Outcome::Contested);
    assert_eq!(pace.next(), Some(start + 8 * SECOND));
    pace.ended(start, 10 * SECOND, Outcome::Failed);
    assert_eq!(pace.next(), Some(start + 30 * SECOND), "but no longer than the period");
}
