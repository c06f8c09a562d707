//! Runs a flow as packets and judges what came of it.

use std::{collections::BTreeMap, fmt, net::IpAddr, time::Duration};

use portolan_core::addr::Family;

use crate::{
    Error, Lab,
    probe::Outcome,
    scenario::{Expected, Flow},
};

/// What comes within this time comes at once, and what does not come within it is silence. Longer than a machine under load
/// needs, and well below one second, when TCP sends its first SYN again: a client that learns of a
/// refusal only then has not been refused at once.
const AT_ONCE: Duration = Duration::from_millis(500);

/// How long a client waits for an endpoint that must answer; only reached when something is wrong.
const PATIENCE: Duration = Duration::from_secs(3);

/// Refusals must not run out: the kernel sends six ICMP errors to one host and then one a second, unless told otherwise.
const REFUSALS: u32 = 8;

/// The chance that a flow is misjudged.
const CHANCE: f64 = 1e-9;

/// How many connections of each kind a flow saw.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Seen {
    /// By endpoint and the source that it saw.
    pub answers: BTreeMap<(String, IpAddr), u32>,
    /// By the text of any other outcome.
    pub others: BTreeMap<String, u32>,
    /// All together.
    pub connections: u32,
}

/// Connects as often as the flow's expectation needs.
///
/// # Errors
/// When the lab does not work. What the packets met is in [`Seen`].
pub fn run(lab: &Lab, flow: &Flow) -> Result<Seen, Error> {
    let (timeout, count) = match &flow.expected {
        Expected::Endpoints(endpoints) => (PATIENCE, connections_for(endpoints.len())),
        Expected::Rejected => (AT_ONCE, REFUSALS),
        Expected::Dropped | Expected::Unreachable => (AT_ONCE, 1),
    };
    let host = lab.host(flow.from.name)?;
    let mut seen = Seen::default();
    for _ in 0..count {
        // One at a time, so that silence where there should be answers is waited for only once.
        let outcomes = host.connections(flow.protocol, flow.to, timeout, 1)?;
        let silent = outcomes.contains(&Outcome::Silent);
        outcomes.into_iter().for_each(|outcome| seen.add(outcome));
        if silent {
            break;
        }
    }
    Ok(seen)
}

/// So many that every one of `endpoints` is seen, and one more were there one more: with n equal endpoints the chance to
/// miss one of them in N connections is below n * (1 - 1/n)^N.
#[must_use]
pub fn connections_for(endpoints: usize) -> u32 {
    let n = u32::try_from(endpoints).map_or(f64::from(u32::MAX), f64::from) + 1.0;
    let mut chance = n;
    let mut connections = 0;
    while chance >= CHANCE {
        chance *= 1.0 - 1.0 / n;
        connections += 1;
    }
    connections
}

/// What is wrong, if the packets did not do what the flow says.
#[must_use]
pub fn mismatch(flow: &Flow, seen: &Seen) -> Option<Mismatch> {
    let holds = match &flow.expected {
        Expected::Endpoints(_) => seen.others.is_empty() && expected_answers(flow).eq(seen.answers.keys().cloned()),
        Expected::Rejected => seen.only(&Outcome::Refused),
        Expected::Dropped => seen.only(&Outcome::Silent),
        Expected::Unreachable => seen.only(&Outcome::Unreachable),
    };
    (!holds).then(|| Mismatch { flow: flow.clone(), seen: seen.clone() })
}

/// Pairs of endpoint and source, in the order of [`Seen::answers`].
fn expected_answers(flow: &Flow) -> impl Iterator<Item = (String, IpAddr)> {
    let family = Family::of(flow.to.ip());
    let mut answers: Vec<_> = match &flow.expected {
        Expected::Endpoints(endpoints) => {
            endpoints.iter().map(|(target, source)| (target.to_string(), source.address(family))).collect()
        }
        _ => Vec::new(),
    };
    answers.sort();
    answers.into_iter()
}

impl Seen {
    fn add(&mut self, outcome: Outcome) {
        self.connections += 1;
        let count = match outcome {
            Outcome::Answered(answer) => self.answers.entry((answer.server, answer.source.ip())).or_default(),
            other => self.others.entry(word(&other)).or_default(),
        };
        *count += 1;
    }

    fn only(&self, outcome: &Outcome) -> bool {
        self.answers.is_empty() && self.others.keys().eq([&word(outcome)])
    }
}

fn word(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Answered(answer) => answer.server.clone(),
        Outcome::Refused => "refused at once".to_owned(),
        Outcome::Unreachable => "no route".to_owned(),
        Outcome::Silent => "silence".to_owned(),
        Outcome::Strange(what) => format!("something strange: {what}"),
    }
}

/// As flows.yaml writes it: `pod-a1 -> 10.96.0.10:80/tcp`.
impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}/{}", self.from.name, self.to, self.protocol)
    }
}

/// A flow that does not hold.
#[derive(Debug, Clone)]
pub struct Mismatch {
    flow: Flow,
    seen: Seen,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.flow)?;
        writeln!(f, "    expected:")?;
        match &self.flow.expected {
            Expected::Endpoints(_) => {
                for (endpoint, source) in expected_answers(&self.flow) {
                    writeln!(f, "      {endpoint} sees {}", with_name(source))?;
                }
            }
            Expected::Rejected => writeln!(f, "      {}", word(&Outcome::Refused))?,
            Expected::Dropped => writeln!(f, "      {}", word(&Outcome::Silent))?,
            Expected::Unreachable => writeln!(f, "      {}", word(&Outcome::Unreachable))?,
        }
        writeln!(f, "    seen in {} connections:", self.seen.connections)?;
        for ((endpoint, source), count) in &self.seen.answers {
            writeln!(f, "      {endpoint} sees {}: {count} times", with_name(*source))?;
        }
        for (other, count) in &self.seen.others {
            writeln!(f, "      {other}: {count} times")?;
        }
        Ok(())
    }
}

fn with_name(address: IpAddr) -> String {
    crate::cast::with_address(address)
        .map_or_else(|| format!("{address} (nobody's first address)"), |member| format!("{} ({address})", member.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enough_connections() {
        let miss = |n: f64, connections: u32| n * (1.0 - 1.0 / n).powf(f64::from(connections));
        assert_eq!(connections_for(1), 31);
        for endpoints in 1..20_u32 {
            let connections = connections_for(endpoints as usize);
            assert!(miss(f64::from(endpoints), connections) < CHANCE);
            assert!(miss(f64::from(endpoints) + 1.0, connections) < CHANCE, "an endpoint too many would be missed");
        }
    }
}
