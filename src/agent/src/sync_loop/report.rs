//! What a sync did, in the log: nothing where nothing was to be done.

use std::{
    error::Error,
    fmt,
    time::{Duration, Instant},
};

use portolan_core::{
    inspect::Trouble,
    model::Cluster,
    object::{Editor, SyncError, SyncReport},
};
use portolan_kube::NoticeType;

use super::repairs::{News, SYNC_THREAD};
use crate::{metrics::Rival, telemetry::Telemetry};

/// Syncs and logs what came of it.
///
/// # Errors
/// As the sync itself.
pub fn log_sync(sync: impl FnOnce() -> Result<SyncReport, SyncError>) -> Result<SyncReport, SyncError> {
    let start = Instant::now();
    let report = sync()?;
    log(&report, start.elapsed(), false);
    Ok(report)
}

/// Logs what a sync did; a repair among many more is no news.
pub(super) fn log(report: &SyncReport, took: Duration, one_of_many: bool) {
    if let Some(first) = report.drift.first() {
        let (objects, transactions) = (report.drift.len(), report.batches);
        let by = report.editor.as_ref().map(tracing::field::display);
        let (first, difference) = (&first.object, first.difference);
        if one_of_many {
            tracing::debug!(objects, %first, ?difference, by, transactions, ?took, "repaired");
        } else {
            let what = "another program changed our objects: repaired";
            tracing::warn!(objects, %first, ?difference, by, transactions, ?took, "{what}");
        }
    } else if report.operations > 0 {
        tracing::info!(changes = report.operations, transactions = report.batches, ?took, "programmed");
    }
    for stuck in &report.stuck {
        tracing::error!(
            "another program's {} is in the way: the kernel does not let it be removed: {}. Services are programmed all \
             the same; remove it by hand",
            stuck.object,
            stuck.cause,
        );
    }
    for quarantined in &report.quarantined {
        tracing::error!(
            "{} ({}): the kernel refuses this ServicePort: {}. What was last good for it stays, all others are \
             programmed; it is tried again when it changes and in every sync period",
            quarantined.port.name,
            quarantined.port.family,
            quarantined.cause,
        );
    }
}

/// Logs why a sync failed. That others keep changing our objects is told once, as [`News::Contested`].
pub(super) fn log_failure(error: &SyncError, retry_in: Option<Duration>) {
    let why = ErrorChain(error).to_string();
    match error {
        SyncError::Unsettled(_) => tracing::debug!(?retry_in, "{why}"),
        _ => tracing::error!(?retry_in, "{why}"),
    }
}

/// Tells everybody what there is to tell about repairs. `longest` is how long one waits at most.
pub(super) fn tell(news: &News, telemetry: &mut Telemetry, longest: Duration) {
    let (type_, reason, note) = match news {
        News::Contested(editor) => {
            telemetry.contested(true);
            let who = editor.as_ref().map_or_else(|| "another program".to_owned(), who);
            let note = format!(
                "{who} keeps changing Portolan's objects in the kernel, and repairs do not last. They are now made less and \
                 less often, down to once in {longest:?}. Changes of Services are still programmed at once, but Services \
                 may not work as they should on this node. Find that program and keep it away from the tables named \
                 portolan"
            );
            (NoticeType::Warning, "RulesContested", note)
        }
        News::Settled => {
            telemetry.contested(false);
            let note =
                "nobody changes Portolan's objects in the kernel any more: the next change is repaired at once again";
            (NoticeType::Normal, "RulesSettled", note.to_owned())
        }
        News::SecondPortolan(editor) => {
            telemetry.metrics.conflicting_proxy(Rival::Portolan, true);
            let note = format!(
                "{} changed Portolan's objects in the kernel: two Portolans run on this node, and where their settings \
                 differ each undoes what the other does. Keep only one of them on this node",
                who(editor)
            );
            (NoticeType::Warning, "ConflictingProxy", note)
        }
        News::SecondPortolanGone => {
            telemetry.metrics.conflicting_proxy(Rival::Portolan, false);
            tracing::info!("the other Portolan on this node changes nothing any more");
            return;
        }
    };
    match type_ {
        NoticeType::Warning => tracing::warn!("{note}"),
        NoticeType::Normal => tracing::info!("{note}"),
    }
    telemetry.reporter.node(type_, reason, "SyncRules", note);
}

fn who(editor: &Editor) -> String {
    if editor.program == SYNC_THREAD {
        format!("another Portolan (thread {SYNC_THREAD}, process {} of the machine)", editor.process)
    } else {
        editor.to_string()
    }
}

/// Says why NodePorts are open at fewer or more addresses than somebody may expect, when that is news.
pub fn warn_of_node(cluster: &mut Cluster) {
    for note in cluster.take_node_notes() {
        tracing::warn!("{note}");
    }
}

/// An error with its sources, on one line.
pub struct ErrorChain<'a>(pub &'a dyn Error);

impl fmt::Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

/// What could not be removed, with why, and what to do about it.
pub struct Told<'a>(pub &'a Trouble);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(trouble) = self;
        write!(f, "{}", ErrorChain(*trouble))?;
        trouble.advice.iter().try_for_each(|advice| write!(f, "; {advice}"))
    }
}
