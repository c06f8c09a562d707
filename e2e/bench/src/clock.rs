//! Time of the processor, kernel and user, of the calling thread: what a change costs the node, however many others
//! share its processors.

use std::time::{Duration, Instant};

use nix::{
    sys::{
        resource::{UsageWho, getrusage},
        time::TimeVal,
    },
    time::{ClockId, clock_gettime},
};

/// What something took.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spent {
    /// On the clock on the wall.
    pub(crate) wall: Duration,
    /// On the processor, in the kernel and outside of it.
    pub(crate) cpu: Duration,
}

/// Does something and says what it took.
pub(crate) fn spent<T>(work: impl FnOnce() -> T) -> (T, Spent) {
    let (wall, cpu) = (Instant::now(), thread_cpu());
    let result = work();
    let cpu = thread_cpu().saturating_sub(cpu);
    (result, Spent { wall: wall.elapsed(), cpu })
}

/// CPU time of the calling thread so far.
pub(crate) fn thread_cpu() -> Duration {
    // A thread's own clock is always there.
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from).unwrap_or_default()
}

/// The same, user and system apart: less exact, since the kernel divides it by what its ticks met.
pub(crate) fn thread_user_and_system() -> anyhow::Result<(Duration, Duration)> {
    let usage = getrusage(UsageWho::RUSAGE_THREAD)?;
    Ok((duration(usage.user_time()), duration(usage.system_time())))
}

/// A time of `struct rusage`.
pub(crate) fn duration(time: TimeVal) -> Duration {
    let micros = time.tv_sec().saturating_mul(1_000_000).saturating_add(time.tv_usec());
    Duration::from_micros(u64::try_from(micros).unwrap_or_default())
}

/// Many measurements of the same thing.
#[derive(Debug, Default)]
pub(crate) struct Samples(Vec<Spent>);

impl Samples {
    pub(crate) fn add(&mut self, spent: Spent) {
        self.0.push(spent);
    }

    pub(crate) fn wall(&self, percent: usize) -> Duration {
        percentile(self.0.iter().map(|spent| spent.wall).collect(), percent)
    }

    pub(crate) fn cpu(&self, percent: usize) -> Duration {
        percentile(self.0.iter().map(|spent| spent.cpu).collect(), percent)
    }
}

/// The value that so many percent of all values do not exceed; zero where there are none.
pub(crate) fn percentile(mut values: Vec<Duration>, percent: usize) -> Duration {
    values.sort();
    let place = (values.len() * percent / 100).min(values.len().saturating_sub(1));
    values.get(place).copied().unwrap_or_default()
}
