//! Whether repairs last: what others change is put right at once, and where it does not last, less and less often.
//!
//! ```text
//!                     16 repairs in a row, or a sync that met changes again and again
//!   at once --------------------------------------------------------------------------> contested
//!      ^                                                                               |         ^
//!      |       a look that finds nothing, a sync period after the last change          |         | after each repair
//!      +-------------------------------------------------------------------------------+         | twice the wait
//!                                                                                      +---------+
//! ```
//!
//! Repairs are in a row that are less than a sync period apart. How long is waited is the [`Pace`](super::pace)'s; this says
//! when, and what there is to tell about it. It is told the time, and asks nobody.
//!
//! Another Portolan is known by the name of the thread that commits, which the kernel tells with each commit. That needs
//! nothing that two containers would have to share: no pid namespace, in which one could look up the other's program, and
//! no folder for a lock. And it says who did it, not only who is there.

use std::time::{Duration, Instant};

use portolan_core::object::{Editor, SyncError, SyncReport};

/// The thread that programs the kernel, in every Portolan. A name of more than 15 bytes would be cut off by the kernel.
pub const SYNC_THREAD: &str = "portolan-sync";

/// So many repairs in a row are made at once: more than a firewall's start needs, which flushes and loads some times.
const AT_ONCE: u32 = 16;

/// What a sync says about others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Met {
    /// It did not look, or could not.
    NotLooked,
    /// Nothing of ours was changed.
    Nothing,
    /// What others had changed is put right.
    Repaired,
    /// Others changed more while it wrote, again and again.
    Unsettled,
}

impl Met {
    /// `looked` says whether the kernel was asked.
    pub(super) fn of(result: &Result<SyncReport, SyncError>, looked: bool) -> Self {
        match result {
            Ok(report) if !report.drift.is_empty() => Self::Repaired,
            Ok(_) if looked => Self::Nothing,
            Err(SyncError::Unsettled(_)) => Self::Unsettled,
            Ok(_) | Err(_) => Self::NotLooked,
        }
    }
}

/// What is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum News {
    /// From now on repairs wait; whoever was heard of last.
    Contested(Option<Editor>),
    /// They are made at once again.
    Settled,
    /// Another Portolan changes our objects.
    SecondPortolan(Editor),
    /// It does so no more.
    SecondPortolanGone,
}

/// The repairs of one sync loop.
#[derive(Debug, Default)]
pub(super) struct Repairs {
    in_a_row: u32,
    /// When the last of them was, or a try of one.
    last: Option<Instant>,
    editor: Option<Editor>,
    contested: bool,
    /// When another Portolan was heard of last.
    second_portolan: Option<Instant>,
}

impl Repairs {
    /// Whether repairs wait.
    pub(super) const fn are_contested(&self) -> bool {
        self.contested
    }

    /// A sync has ended. `editor` is whom it was told of; a change that comes `lasting` after the one before is no sequel
    /// of it.
    pub(super) fn met(&mut self, met: Met, editor: Option<&Editor>, now: Instant, lasting: Duration) -> Vec<News> {
        let mut news = Vec::new();
        let is_over =
            |since: Option<Instant>| since.is_none_or(|since| now.saturating_duration_since(since) >= lasting);
        if let Some(other) = editor.filter(|editor| editor.program == SYNC_THREAD)
            && self.second_portolan.replace(now).is_none()
        {
            news.push(News::SecondPortolan(other.clone()));
        }
        match met {
            Met::NotLooked => {}
            Met::Nothing => {
                if self.second_portolan.is_some() && is_over(self.second_portolan) {
                    self.second_portolan = None;
                    news.push(News::SecondPortolanGone);
                }
                if self.contested && is_over(self.last) {
                    *self = Self { second_portolan: self.second_portolan, ..Self::default() };
                    news.push(News::Settled);
                }
            }
            Met::Repaired | Met::Unsettled => {
                if !self.contested && is_over(self.last) {
                    (self.in_a_row, self.editor) = (0, None);
                }
                self.in_a_row = self.in_a_row.saturating_add(1);
                self.last = Some(now);
                self.editor = editor.cloned().or(self.editor.take());
                let is_too_much = self.in_a_row >= AT_ONCE || met == Met::Unsettled;
                if is_too_much && !std::mem::replace(&mut self.contested, true) {
                    news.push(News::Contested(self.editor.clone()));
                }
            }
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_secs(30);
    const SECOND: Duration = Duration::from_secs(1);

    fn by(program: &str) -> Editor {
        Editor { program: program.to_owned(), process: 4711 }
    }

    /// Repairs made every so often, up to the first news.
    fn repair(repairs: &mut Repairs, start: Instant, every: Duration) -> Option<(u32, Vec<News>)> {
        (1..1000).find_map(|number| {
            let news = repairs.met(Met::Repaired, Some(&by("nft")), start + every * number, PERIOD);
            (!news.is_empty()).then_some((number, news))
        })
    }

    #[test]
    fn the_first_repairs_in_a_row_are_made_at_once_and_then_it_is_told_once() {
        let (mut repairs, start) = (Repairs::default(), Instant::now());
        let contested = vec![News::Contested(Some(by("nft")))];
        assert_eq!(repair(&mut repairs, start, SECOND), Some((AT_ONCE, contested)));
        assert!(repairs.are_contested());
        assert_eq!(repair(&mut repairs, start + PERIOD, SECOND), None);
    }

    #[test]
    fn repairs_that_last_are_made_at_once_however_many_they_are() {
        let (mut repairs, start) = (Repairs::default(), Instant::now());
        assert_eq!(repair(&mut repairs, start, PERIOD), None);
        assert!(!repairs.are_contested());
    }

    #[test]
    fn a_sync_that_meets_changes_again_and_again_is_enough() {
        let (mut repairs, now) = (Repairs::default(), Instant::now());
        assert_eq!(repairs.met(Met::Unsettled, None, now, PERIOD), [News::Contested(None)]);
        assert_eq!(repairs.met(Met::Unsettled, None, now, PERIOD), []);
    }

    #[test]
    fn it_is_over_when_nothing_is_found_a_period_after_the_last_change() {
        let (mut repairs, start) = (Repairs::default(), Instant::now());
        let _ = repairs.met(Met::Unsettled, None, start, PERIOD);
        assert_eq!(repairs.met(Met::Nothing, None, start + PERIOD / 2, PERIOD), []);
        assert_eq!(repairs.met(Met::NotLooked, None, start + PERIOD, PERIOD), [], "a change says nothing about others");
        assert_eq!(repairs.met(Met::Repaired, None, start + PERIOD, PERIOD), [], "once in a period is not enough");
        assert_eq!(repairs.met(Met::Nothing, None, start + 2 * PERIOD, PERIOD), [News::Settled]);
        assert!(!repairs.are_contested());
        let again = repair(&mut repairs, start + 3 * PERIOD, SECOND);
        assert_eq!(again.map(|(number, _)| number), Some(AT_ONCE), "and begins anew");
    }

    #[test]
    fn another_portolan_is_told_when_it_comes_and_when_it_is_gone() {
        let (mut repairs, start) = (Repairs::default(), Instant::now());
        let other = by(SYNC_THREAD);
        assert_eq!(repairs.met(Met::Nothing, Some(&by("sync")), start, PERIOD), []);
        let comes = [News::SecondPortolan(other.clone())];
        assert_eq!(repairs.met(Met::Repaired, Some(&other), start, PERIOD), comes);
        assert_eq!(repairs.met(Met::Repaired, Some(&other), start + PERIOD, PERIOD), []);
        assert_eq!(repairs.met(Met::Nothing, None, start + PERIOD, PERIOD), []);
        assert_eq!(repairs.met(Met::Nothing, None, start + 2 * PERIOD, PERIOD), [News::SecondPortolanGone]);
    }
}
