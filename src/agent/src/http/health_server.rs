//! The health server, port 10256: /healthz for load balancers, /livez for the kubelet, and Portolan's own /readyz.

use std::{collections::BTreeMap, sync::Arc};

use hyper::StatusCode;
use jiff::Timestamp;
use serde::Serialize;

use super::{
    answer::{Answer, json, not_found, plain},
    health::{Health, Now, Snapshot},
    serve::{Asked, Site},
};
use crate::metrics::Metrics;

/// Go's time 0: what kube-proxy shows where there was no sync.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// What it answers from.
pub(super) struct HealthSite {
    pub(super) health: Arc<Health>,
    pub(super) metrics: Arc<Metrics>,
}

impl Site for HealthSite {
    fn answer(&self, asked: &Asked) -> Answer {
        let now = self.health.at(Now::read());
        match asked.path() {
            "/healthz" => {
                let answer = answer(&now, Some(now.node_eligible));
                self.metrics.healthz_answered(answer.status().as_u16());
                answer
            }
            "/livez" => {
                let answer = answer(&now, None);
                self.metrics.livez_answered(answer.status().as_u16());
                answer
            }
            "/readyz" => match self.health.ready() {
                Ok(()) => plain(StatusCode::OK, "ok"),
                Err(why) => plain(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
            },
            _ => not_found(),
        }
    }
}

/// kube-proxy's answer, in the order of its fields.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    last_updated: String,
    current_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_eligible: Option<bool>,
    healthy: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    status: BTreeMap<String, FamilyBody>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FamilyBody {
    last_updated: String,
    healthy: bool,
}

fn answer(now: &Snapshot, node_eligible: Option<bool>) -> Answer {
    let good = now.healthy && node_eligible != Some(false);
    let newest = now.families.values().map(|(updated, _)| *updated).max();
    // Once the time of the last sync, even of one that had nothing to do: clients still expect it to be recent.
    let last_updated = if good { Some(now.at) } else { newest };
    let status = now.families.iter().map(|(family, (updated, healthy))| {
        (family.to_string(), FamilyBody { last_updated: updated.to_string(), healthy: *healthy })
    });
    let body = Body {
        last_updated: last_updated.as_ref().map_or_else(|| NEVER.to_owned(), Timestamp::to_string),
        current_time: now.at.to_string(),
        node_eligible,
        healthy: now.healthy,
        status: status.collect(),
    };
    json(if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &body)
}
