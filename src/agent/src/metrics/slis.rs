//! `/metrics/slis`: how often `/healthz` of the metrics server was asked for, and with what outcome.

use std::sync::{Mutex, PoisonError};

use super::{
    Metrics,
    family::{Kind, family},
    process,
    text::{self, float},
};

/// Kept apart from all others, since it can be reset.
#[derive(Default)]
pub(super) struct Slis(Mutex<State>);

#[derive(Default, Clone, Copy)]
struct State {
    pings: u64,
    was_reset: bool,
}

impl Metrics {
    /// `/healthz` of the metrics server was answered, and its one check, `ping`, passed.
    pub fn pinged(&self) {
        self.slis.0.lock().unwrap_or_else(PoisonError::into_inner).pings += 1;
    }

    /// The answer to `DELETE /metrics/slis`: all is forgotten; as with Kubernetes' components, the start time does not
    /// come back.
    pub fn reset_slis(&self) {
        *self.slis.0.lock().unwrap_or_else(PoisonError::into_inner) = State { pings: 0, was_reset: true };
    }

    /// The answer to `GET /metrics/slis`.
    #[must_use]
    pub fn slis_text(&self) -> String {
        let State { pings, was_reset } = *self.slis.0.lock().unwrap_or_else(PoisonError::into_inner);
        let check = [("name", "ping".to_owned()), ("type", "healthz".to_owned())];
        let status = [("status", "success".to_owned())];
        let of_pings = |value: f64| if pings == 0 { Vec::new() } else { vec![value] };
        let started = process::started().filter(|_| !was_reset);
        text::write(&[
            family(
                "kubernetes_healthcheck",
                "[STABLE] This metric records the result of a single healthcheck.",
                Kind::Gauge,
                of_pings(1.0).into_iter().map(|value| (check.clone().into(), value)).collect(),
            ),
            family(
                "kubernetes_healthchecks_total",
                "[STABLE] This metric records the results of all healthcheck.",
                Kind::Counter,
                of_pings(float(pings))
                    .into_iter()
                    .map(|value| (check.iter().chain(&status).cloned().collect(), value))
                    .collect(),
            ),
            family(
                "process_start_time_seconds",
                "[ALPHA] Start time of the process since unix epoch in seconds.",
                Kind::Gauge,
                started.map(|started| (Vec::new(), started)).into_iter().collect(),
            ),
        ])
    }
}
