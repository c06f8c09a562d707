//! When to try again: the longer a trouble lasts, the later, and never all nodes at the same moment.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    time::Duration,
};

use tokio::time::Instant;

/// How long to wait where something has to be tried again. The defaults are client-go's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// After the first failure; doubled with each that follows.
    pub first: Duration,
    /// The most.
    pub longest: Duration,
    /// What failed longer ago than this is forgotten: the next failure is a first one.
    pub calm: Duration,
    /// The most where the API server does not know a kind, or keeps it from us, that we can do without.
    pub absent: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(800),
            longest: Duration::from_secs(30),
            calm: Duration::from_secs(120),
            absent: Duration::from_secs(600),
        }
    }
}

/// The waits of one thing that is tried again and again.
pub(crate) struct Backoff {
    pace: Pace,
    next: Duration,
    last: Option<Instant>,
    renewed: Option<Instant>,
}

impl Backoff {
    pub(crate) const fn new(pace: Pace) -> Self {
        Self { pace, next: pace.first, last: None, renewed: None }
    }

    /// There is a reason to believe that it works again. It counts now and then only: a server that is overloaded gives
    /// such reasons all the time.
    pub(crate) fn renew(&mut self) {
        let now = Instant::now();
        if self.renewed.is_none_or(|renewed| now - renewed > self.pace.calm) {
            self.renewed = Some(now);
            self.next = self.pace.first;
        }
    }

    /// It failed: how long to wait now.
    pub(crate) fn failed(&mut self) -> Duration {
        let now = Instant::now();
        if self.last.is_some_and(|last| now - last > self.pace.calm) {
            self.next = self.pace.first;
        }
        let wait = jittered(self.next);
        self.next = (self.next * 2).min(self.pace.longest);
        self.last = Some(now + wait);
        wait
    }
}

/// A time between once and twice this one.
pub(crate) fn jittered(time: Duration) -> Duration {
    time + part_of(time)
}

/// A time between none and this one.
pub(crate) fn part_of(time: Duration) -> Duration {
    // Each RandomState has keys of its own, and 32 random bits are plenty here.
    let random = RandomState::new().build_hasher().finish() >> 32;
    time.mul_f64(random as f64 / 2_f64.powi(32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waits_double_up_to_the_longest_and_begin_anew_after_a_calm() {
        let mut backoff = Backoff::new(Pace::default());
        for expected in [0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0] {
            let wait = backoff.failed().as_secs_f64();
            assert!((expected..=2.0 * expected).contains(&wait), "{wait} after {expected}");
            tokio::time::advance(Duration::from_secs_f64(wait)).await;
        }
        tokio::time::advance(Duration::from_secs(121)).await;
        assert!(backoff.failed() < Duration::from_secs(2));
    }
}
