//! The kube-proxy that was here before: what it left is removed once, after our own rules are complete, since who
//! translates a connection first has it. Should its rules come back, it runs still: then it is left alone and told about,
//! for two proxies that remove each other's rules would serve nobody.
//!
//! On a thread of its own: programs of iptables may wait for their lock for seconds, and Services do not.

use std::{sync::Arc, thread, time::Duration};

use portolan_kube::NoticeType;

use super::ErrorChain;
use crate::{
    events::Reporter,
    leftovers::Leftovers,
    metrics::{Metrics, Rival},
    telemetry::Telemetry,
};

/// How often its removal is tried: a kube-proxy that ends may be at work for a while yet.
const TRIES: usize = 5;

/// How long after a removal that failed.
const RETRY: Duration = Duration::from_secs(30);

/// Whether somebody looks after it.
#[derive(Debug, Default)]
pub(super) struct Predecessor {
    is_watched: bool,
}

impl Predecessor {
    /// To be called when everything that is wanted is in the kernel. From then on its rules are looked for in each
    /// period, the one of that moment.
    pub(super) fn replace(&mut self, telemetry: &Telemetry, period: Duration) {
        if std::mem::replace(&mut self.is_watched, true) {
            return;
        }
        let (metrics, reporter) = (Arc::clone(&telemetry.metrics), telemetry.reporter.clone());
        let started = thread::Builder::new().name("predecessor".into()).spawn(move || match Leftovers::open() {
            Ok(leftovers) => Watch { leftovers, metrics, reporter }.run(period),
            Err(error) => {
                let why = ErrorChain(&error);
                tracing::warn!("what a kube-proxy may have left in the kernel cannot be looked for: {why}");
            }
        });
        if let Err(error) = started {
            tracing::warn!(%error, "what a kube-proxy may have left in the kernel is not looked for");
        }
    }
}

struct Watch {
    leftovers: Leftovers,
    metrics: Arc<Metrics>,
    reporter: Reporter,
}

impl Watch {
    /// For as long as the process lives.
    fn run(mut self, period: Duration) {
        // What could not be removed, or is kept for others, is no sign of life.
        let mut was_absent = self.remove();
        let mut is_back = false;
        loop {
            match self.leftovers.present() {
                Ok(is_there) => {
                    was_absent |= !is_there;
                    let was_back = std::mem::replace(&mut is_back, is_there && was_absent);
                    self.tell(was_back, is_back);
                }
                Err(trouble) => tracing::debug!("{trouble}"),
            }
            thread::sleep(period);
        }
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
            let found = self.leftovers.find().sparing_virtual_servers();
            let report = self.leftovers.remove(&found);
            for item in &report.removed {
                tracing::info!("removed {item}, which was left behind");
            }
            for kept in &report.kept {
                tracing::info!("{kept}");
            }
            for trouble in &report.trouble {
                tracing::warn!(attempt, "{trouble}");
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
