//! What a sync did, in the log: nothing where nothing was to be done.

use std::{
    error::Error,
    fmt,
    time::{Duration, Instant},
};

use portolan_core::{
    model::Cluster,
    object::{SyncError, SyncReport},
};

/// Syncs and logs what came of it.
///
/// # Errors
/// As the sync itself.
pub fn log_sync(sync: impl FnOnce() -> Result<SyncReport, SyncError>) -> Result<SyncReport, SyncError> {
    let start = Instant::now();
    let report = sync()?;
    log(&report, start.elapsed());
    Ok(report)
}

fn log(report: &SyncReport, took: Duration) {
    if let Some(first) = report.drift.first() {
        tracing::warn!(
            objects = report.drift.len(),
            first = %first.object,
            difference = ?first.difference,
            transactions = report.batches,
            ?took,
            "another program changed our objects: repaired"
        );
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
