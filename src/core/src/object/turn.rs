//! How long a sync goes on before it gives way to what has come meanwhile, and how large its batches are.
//!
//! ```text
//!   sync:  look, plan, batch, batch, batch | others | batch, batch, batch | others | batch, done
//!                      '----- a turn ----'          '---- a turn -----'
//! ```
//!
//! A batch is never interrupted, and how long a kernel works on one differs by a factor of a hundred: nf_tables finds a set by
//! its name in a list of all, so the same bytes take it 3 ms in a small table and 800 ms beside 10,000 other sets. So batches
//! begin small, grow while they are quick, and are halved when one takes half a turn; but not below what a backend says is the
//! least that is worth a batch.

use std::time::Duration;

use super::Moment;

/// What a batch has at first, in bytes: nf_tables works on so many elements for 3 ms.
const FIRST: usize = 512 << 10;

/// The turns of a syncer; without a clock there is one, which does not end.
#[derive(Default)]
pub(super) struct Turns(Option<Timed>);

struct Timed {
    clock: Box<dyn Fn() -> Moment + Send>,
    length: Duration,
    called: Moment,
    planning: Moment,
    end: Moment,
    bytes: usize,
}

impl Turns {
    /// Turns of this length.
    pub(super) fn of(length: Duration, clock: Box<dyn Fn() -> Moment + Send>) -> Self {
        let now = clock();
        Self(Some(Timed { clock, length, called: now, planning: now, end: now, bytes: FIRST }))
    }

    /// A sync was called.
    pub(super) fn called(&mut self) {
        if let Some(timed) = &mut self.0 {
            timed.called = (timed.clock)();
        }
    }

    /// It begins to look and to plan.
    pub(super) fn planning(&mut self) {
        if let Some(timed) = &mut self.0 {
            timed.planning = (timed.clock)();
        }
    }

    /// It begins to write, for as long as it took to come to that at least, or it would not come far.
    pub(super) fn writing(&mut self) {
        if let Some(timed) = &mut self.0 {
            let now = (timed.clock)();
            timed.end = now + timed.length.max(between(timed.planning, now));
        }
    }

    /// Whether it has written for long enough.
    pub(super) fn is_over(&self) -> bool {
        self.0.as_ref().is_some_and(|timed| (timed.clock)() >= timed.end)
    }

    /// Whether it has been at it for so long since it was called that it should not begin anew.
    pub(super) fn is_late(&self) -> bool {
        self.0.as_ref().is_some_and(|timed| between(timed.called, (timed.clock)()) >= timed.length)
    }

    /// Bytes of a batch, where the backend allows so many, and less than `least` are not worth one.
    pub(super) fn bytes(&self, allowed: usize, least: usize) -> usize {
        self.0.as_ref().map_or(allowed, |timed| allowed.min(timed.bytes.max(least)))
    }

    /// Does a batch, behind which others follow or not. Whether the next should be smaller, which it is not below `least`.
    pub(super) fn batch<T>(&mut self, is_last: bool, least: usize, work: impl FnOnce() -> T) -> (T, bool) {
        let Some(timed) = &mut self.0 else { return (work(), false) };
        let begun = (timed.clock)();
        let result = work();
        let took = between(begun, (timed.clock)());
        let is_slow = took >= timed.length / 2 && timed.bytes > least;
        if is_slow {
            timed.bytes = (timed.bytes / 2).max(least);
        } else if !is_last && took < timed.length / 8 {
            timed.bytes = timed.bytes.saturating_mul(2);
        }
        (result, is_slow)
    }

    /// Everything is written: the next batch may be of another kind.
    pub(super) fn done(&mut self) {
        if let Some(timed) = &mut self.0 {
            timed.bytes = FIRST;
        }
    }
}

fn between(earlier: Moment, later: Moment) -> Duration {
    later.since_beginning().saturating_sub(earlier.since_beginning())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn slow_batches_are_halved_down_to_the_least_that_is_worth_one() {
        let now = Arc::new(Mutex::new(Duration::ZERO));
        let clock = Arc::clone(&now);
        let mut turns = Turns::of(Duration::from_millis(100), Box::new(move || Moment::after(*clock.lock().unwrap())));
        let slow = || *now.lock().unwrap() += Duration::from_millis(300);
        for least in [16 << 10, FIRST, FIRST << 4] {
            turns.done();
            let mut sizes = vec![turns.bytes(usize::MAX, least)];
            while turns.batch(false, least, slow).1 {
                sizes.push(turns.bytes(usize::MAX, least));
            }
            assert!(sizes.is_sorted_by(|larger, smaller| larger > smaller), "{sizes:?}");
            assert_eq!(sizes.last(), Some(&least), "{sizes:?}");
        }
    }
}
