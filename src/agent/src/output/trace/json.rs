//! The same for programs.

use std::{
    io::{self, Write},
    net::{IpAddr, SocketAddr},
};

use portolan_nftables::trace::{Outcome, Refusal, Sticky, Verdict};
use serde::Serialize;

use super::{Traced, frontend, kind, masquerade, origin, reason};
use crate::output::json;

/// A JSON object: `from`, `origin` (`pod`, `node`, `outside`), `assumed` (why that, where nobody said so), `to`, `service`,
/// `frontend` (`clusterIP`, `external`, `nodePort`), `outcomes`, `doubts`, `otherTables` (whose rules were not asked). An outcome has a `verdict` (`endpoint`,
/// `rejected`, `dropped`, `untouched`) and a `chance`, such as `1/3`; an endpoint `endpoint` (address:port), `masqueraded`
/// (why, or `null`) and `sessionAffinity` (`null`, or `seconds` and for how many the client is remembered, `left`); a
/// refusal `reason`, `chain`, `rule` and `text`; all of them the `chains` that the packet went through.
///
/// # Errors
/// When `out` cannot be written to.
pub fn trace_json(out: &mut dyn Write, traced: &Traced<'_>) -> io::Result<()> {
    let Traced { packet, assumed, trace, other_tables, .. } = traced;
    let frontend = frontend(trace);
    json(
        out,
        &Json {
            from: packet.source,
            origin: origin(packet.origin).0,
            assumed: assumed.as_deref(),
            to: packet.to_string(),
            service: frontend.and_then(|frontend| frontend.service.as_ref()).map(|service| service.as_str()),
            frontend: frontend.map(|frontend| kind(frontend.kind).0),
            outcomes: trace.outcomes.iter().map(JsonOutcome::from).collect(),
            doubts: trace.doubts.iter().map(ToString::to_string).collect(),
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
    doubts: Vec<String>,
    other_tables: &'a [String],
}

#[derive(Serialize)]
struct JsonOutcome<'a> {
    chance: String,
    #[serde(flatten)]
    verdict: JsonVerdict<'a>,
    chains: Vec<String>,
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
struct JsonRefusal<'a> {
    reason: &'static str,
    chain: String,
    rule: usize,
    text: &'a str,
}

impl<'a> From<&'a Outcome> for JsonOutcome<'a> {
    fn from(outcome: &'a Outcome) -> Self {
        let refusal = |refusal: &'a Refusal| JsonRefusal {
            reason: reason(refusal.reason),
            chain: refusal.chain.to_string(),
            rule: refusal.rule,
            text: &refusal.text,
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
            Verdict::Rejected(refused) => JsonVerdict::Rejected(refusal(refused)),
            Verdict::Dropped(refused) => JsonVerdict::Dropped(refusal(refused)),
            Verdict::Untouched => JsonVerdict::Untouched,
        };
        let chains = outcome.chains.iter().map(ToString::to_string).collect();
        Self { chance: outcome.chance.to_string(), verdict, chains }
    }
}
