//! The same for programs.

use std::{
    io::{self, Write},
    net::{IpAddr, SocketAddr},
};

use portolan_core::{
    desired::Scheduling,
    trace::{ChosenBy, Outcome, RefusedBy, Sticky, Verdict},
};
use serde::Serialize;

use super::{Traced, address_kind, frontend, masquerade, origin, policy, reason};
use crate::output::json;

/// A JSON object: `from`, `origin` (`pod`, `node`, `outside`), `assumed` (why that, where nobody said so), `to`, `service`,
/// `frontend` (`clusterIP`, `external`, `nodePort`), `outcomes`, `doubts`, `otherTables` (whose rules were not asked).
///
/// An outcome has a `verdict` (`endpoint`, `rejected`, `dropped`, `untouched`); a `chance`, such as `1/3`, or `null` where a virtual
/// server chooses by what is not known here; and a `virtualServer`: `null` where rules chose, or its `address`
/// (address:port/protocol), `scheduler` (`null` for one that is not known) and `flags`. An endpoint has `endpoint` (address:port),
/// `masqueraded` (why, or `null`) and `sessionAffinity` (`null`, or `seconds` and for how many the client is remembered, `left`); a
/// refusal `reason`, `chain` and `rule` (`null` where a virtual server refuses it) and `text`; all of them the `policies` that they
/// met (`sourceRanges`, `localEndpoints`, `shortCut`) and the `chains` that the packet went through.
///
/// # Errors
/// When `out` cannot be written to.
pub fn trace_json(out: &mut dyn Write, traced: &Traced) -> io::Result<()> {
    let Traced { packet, assumed, trace, other_tables, .. } = traced;
    let frontend = frontend(trace);
    json(
        out,
        &Json {
            from: packet.source,
            origin: origin(packet.origin).0,
            assumed: assumed.as_deref(),
            to: packet.to_string(),
            service: frontend.and_then(|frontend| frontend.service.as_deref()),
            frontend: frontend.map(|frontend| address_kind(frontend.address).0),
            outcomes: trace.outcomes.iter().map(JsonOutcome::from).collect(),
            doubts: &trace.doubts,
            other_tables,
        },
    )
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Json<'a> {
    from: IpAddr,
    origin: &'static str,
    assumed: Option<&'a str>,
    to: String,
    service: Option<&'a str>,
    frontend: Option<&'static str>,
    outcomes: Vec<JsonOutcome<'a>>,
    doubts: &'a [String],
    other_tables: &'a [String],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonOutcome<'a> {
    chance: Option<String>,
    virtual_server: Option<JsonServer>,
    #[serde(flatten)]
    verdict: JsonVerdict<'a>,
    policies: Vec<&'static str>,
    chains: &'a [String],
}

#[derive(Serialize)]
#[serde(tag = "verdict", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum JsonVerdict<'a> {
    Endpoint { endpoint: SocketAddr, masqueraded: Option<&'static str>, session_affinity: Option<JsonAffinity> },
    Rejected(JsonRefusal<'a>),
    Dropped(JsonRefusal<'a>),
    Untouched,
}

#[derive(Serialize)]
struct JsonAffinity {
    seconds: u32,
    left: Option<u64>,
}

#[derive(Serialize)]
struct JsonServer {
    address: String,
    scheduler: Option<&'static str>,
    flags: Vec<&'static str>,
}

#[derive(Serialize)]
struct JsonRefusal<'a> {
    reason: &'static str,
    chain: Option<&'a str>,
    rule: Option<usize>,
    text: &'a str,
}

impl<'a> From<&'a Outcome> for JsonOutcome<'a> {
    fn from(outcome: &'a Outcome) -> Self {
        let refusal = |by: &'a RefusedBy| JsonRefusal {
            reason: reason(by.reason),
            chain: by.rule.as_ref().map(|place| &*place.step),
            rule: by.rule.as_ref().map(|place| place.number),
            text: &by.text,
        };
        let affinity = |Sticky { timeout, left, .. }: &Sticky| JsonAffinity {
            seconds: *timeout,
            left: left.map(|left| left.as_secs()),
        };
        let verdict = match &outcome.verdict {
            Verdict::Endpoint { to, masqueraded, sticky } => JsonVerdict::Endpoint {
                endpoint: *to,
                masqueraded: masqueraded.map(|why| masquerade(why).0),
                session_affinity: sticky.as_ref().map(affinity),
            },
            Verdict::Rejected(by) => JsonVerdict::Rejected(refusal(by)),
            Verdict::Dropped(by) => JsonVerdict::Dropped(refusal(by)),
            Verdict::Untouched => JsonVerdict::Untouched,
        };
        let policies = outcome.policies.iter().map(|met| policy(*met).0).collect();
        let server = |ChosenBy { server, scheduling }: ChosenBy| JsonServer {
            address: server.to_string(),
            scheduler: scheduling.map(|scheduling| scheduling.scheduler().as_str()),
            flags: scheduling.into_iter().flat_map(Scheduling::flag_names).collect(),
        };
        Self {
            chance: outcome.chance.map(|chance| chance.to_string()),
            virtual_server: outcome.chosen_by.map(server),
            verdict,
            policies,
            chains: &outcome.steps,
        }
    }
}
