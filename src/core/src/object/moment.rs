//! Time without a clock: who has one hands moments in.

use std::{ops::Add, time::Duration};

/// A moment on a clock that never goes back, as the time since a beginning that whoever has the clock chooses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(Duration);

impl Moment {
    /// The moment when so much time is over since the beginning.
    #[must_use]
    pub const fn after(beginning: Duration) -> Self {
        Self(beginning)
    }

    /// How much time is over since the beginning.
    #[must_use]
    pub const fn since_beginning(self) -> Duration {
        self.0
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    /// The clock ends before it begins anew.
    fn add(self, later: Duration) -> Self {
        Self(self.0.saturating_add(later))
    }
}
