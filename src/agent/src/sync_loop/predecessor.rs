//! The service proxy that was here before, kube-proxy or a Portolan in another mode: what it left is removed once, after our own
//! rules are complete, since who translates a connection first has it. Should its rules come back, it runs still: then it is left
//! alone and told about, for two proxies that remove each other's rules would serve nobody.
//!
//! On a thread of its own: programs of iptables may wait for their lock for seconds, and Services do not.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use portolan_config::Mode;
use portolan_core::{
    inspect::{self, Removal},
    object::BackendError,
};
use portolan_kube::NoticeType;

use super::{ErrorChain, Told};
use crate::{
    backends,
    events::Reporter,
    metrics::{Metrics, Rival},
    telemetry::Telemetry,
};

/// How often its removal is tried: a kube-proxy that ends may be at work for a while yet.
const TRIES: usize = 5;

/// How long after a removal that failed.
const RETRY: Duration = Duration::from_secs(30);

/// How long after a look at what stays until its connections have ended.
const DRAIN: Duration = Duration::from_secs(2);

/// Whether somebody looks after it.
#[derive(Debug)]
pub(super) struct Predecessor {
    running: Mode,
    is_watched: bool,
}

impl Predecessor {
    /// Of the one that runs in this mode now.
    pub(super) const fn of(running: Mode) -> Self {
        Self { running, is_watched: false }
    }

    /// To be called when everything that is wanted is in the kernel. From then on its rules are looked for in each
    /// period, the one of that moment.
    pub(super) fn replace(&mut self, telemetry: &Telemetry, period: Duration) {
        if std::mem::replace(&mut self.is_watched, true) {
            return;
        }
        let (metrics, reporter) = (Arc::clone(&telemetry.metrics), telemetry.reporter.clone());
        let running = self.running;
        let started = thread::Builder::new()
            .name("predecessor".into())
            .spawn(move || Watch { left: left(running), metrics, reporter }.run(period));
        if let Err(error) = started {
            tracing::warn!(%error, "what another service proxy may have left in the kernel is not looked for");
        }
    }
}

/// In the network namespace of this thread.
fn left(running: Mode) -> Vec<Box<dyn inspect::Predecessor>> {
    let mut all = Vec::new();
    for left in backends::predecessors(Some(running)) {
        match left {
            Ok(left) => all.push(left),
            Err(error) => {
                let why = ErrorChain(&error);
                tracing::warn!(
                    "a part of what another service proxy may have left in the kernel cannot be looked for: {why}"
                );
            }
        }
    }
    all
}

struct Watch {
    left: Vec<Box<dyn inspect::Predecessor>>,
    metrics: Arc<Metrics>,
    reporter: Reporter,
}

impl Watch {
    /// For as long as the process lives.
    fn run(mut self, period: Duration) {
        // What could not be removed, or is kept for others, is no sign of life.
        let mut was_absent = self.remove();
        let removed = Instant::now();
        let mut is_back = false;
        let mut look = Instant::now();
        loop {
            let drains = self.drain(removed.elapsed());
            if Instant::now() >= look {
                match self.is_present() {
                    Ok(is_there) => {
                        was_absent |= !is_there;
                        let was_back = std::mem::replace(&mut is_back, is_there && was_absent);
                        self.tell(was_back, is_back);
                    }
                    Err(error) => tracing::debug!("kube-proxy's rules cannot be looked for: {}", ErrorChain(&error)),
                }
                look = Instant::now() + period;
            }
            thread::sleep(if drains { period.min(DRAIN) } else { period });
        }
    }

    /// Removes more of what stays until its connections have ended; whether something is left of it.
    fn drain(&mut self, removed_before: Duration) -> bool {
        let mut report = Removal::default();
        self.left.iter_mut().for_each(|left| report.append(left.drain(removed_before)));
        tell(&report);
        !report.draining.is_empty()
    }

    fn is_present(&mut self) -> Result<bool, BackendError> {
        for left in &mut self.left {
            if left.is_present()? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn tell(&self, was_back: bool, is_back: bool) {
        self.metrics.conflicting_proxy(Rival::KubeProxy, is_back);
        if is_back && !was_back {
            let note = "kube-proxy's rules are back in the kernel of this node: a kube-proxy seems to run beside \
                        Portolan. They are left alone from now on, and come first where both serve a Service; remove \
                        kube-proxy from this node, then restart Portolan, which removes its rules";
            tracing::warn!("{note}");
            self.reporter.node(NoticeType::Warning, "ConflictingProxy", "SyncRules", note);
        } else if was_back && !is_back {
            tracing::info!("kube-proxy's rules are gone again");
        }
    }

    /// Removes what is there, and tries again what fails; whether nothing is left.
    fn remove(&mut self) -> bool {
        for attempt in 1..=TRIES {
            let mut report = Removal::default();
            self.left.iter_mut().for_each(|left| report.append(left.remove(false)));
            tell(&report);
            for item in &report.draining {
                tracing::info!("{item}, was left behind; it goes when its connections have ended");
            }
            if report.trouble.is_empty() {
                return report.kept.is_empty();
            }
            if attempt < TRIES {
                thread::sleep(RETRY);
            }
        }
        false
    }
}

fn tell(report: &Removal) {
    for item in &report.removed {
        tracing::info!("removed {item}, which was left behind");
    }
    for kept in &report.kept {
        tracing::info!("{kept}");
    }
    for trouble in &report.trouble {
        tracing::warn!("{}", Told(trouble));
    }
}
