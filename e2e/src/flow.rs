//! Runs a flow as packets and judges what came of it.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use crate::{
    Error, Lab, cast, daemon,
    probe::{self, Outcome},
    scenario::{Expected, Flow, ServiceProxy},
};

/// What comes within this time comes at once, and what does not come within it is silence. Longer than a machine under load
/// needs, and well below one second, when TCP sends its first SYN again: a client that learns of a
/// refusal only then has not been refused at once.
const AT_ONCE: Duration = Duration::from_millis(500);

/// How long a client waits for an endpoint that must answer; only reached when something is wrong.
const PATIENCE: Duration = Duration::from_secs(3);

/// Refusals must not run out: the kernel sends six ICMP errors to one host and then one a second, unless told otherwise.
const REFUSALS: u32 = 8;

/// Where nothing is chosen a few connections show as much as many.
const UNTOUCHED: u32 = 3;

/// The chance that a flow is misjudged.
const CHANCE: f64 = 1e-9;

/// How many connections of each kind a flow saw.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Seen {
    /// By the place of the server and the source that it saw.
    pub answers: BTreeMap<(SocketAddr, IpAddr), u32>,
    /// By the text of any other outcome.
    pub others: BTreeMap<String, u32>,
    /// All together.
    pub connections: u32,
}

/// Asks as often as what is expected of this proxy needs; from `socket`, if there is one.
///
/// # Errors
/// When the lab does not work. What the packets met is in [`Seen`].
pub fn run(lab: &Lab, flow: &Flow, proxy: ServiceProxy, socket: Option<&UdpSocket>) -> Result<Seen, Error> {
    let (timeout, count) = match flow.expected_of(proxy) {
        Expected::Endpoints { sources, .. } => (PATIENCE, connections_for(sources.len())),
        Expected::Untouched => (PATIENCE, UNTOUCHED),
        Expected::Rejected { .. } => (AT_ONCE, REFUSALS),
        Expected::Dropped { .. } | Expected::Unreachable => (AT_ONCE, 1),
    };
    let host = lab.host(flow.from.name)?;
    let ask = || match (socket, flow.to.socket()) {
        (Some(socket), Some(to)) => Ok(probe::ask_from(socket, to, timeout)),
        _ => host.ask(flow.source, flow.to, timeout),
    };
    if socket.is_some() {
        settle(flow, proxy, ask)?;
    }
    let mut seen = Seen::default();
    for _ in 0..count {
        let outcome = ask()?;
        let silent = outcome.is_silence();
        seen.add(outcome);
        // Silence where there should be answers is waited for only once.
        if silent {
            break;
        }
    }
    Ok(seen)
}

/// A socket that stays goes on as before until its entry is removed from conntrack, which comes after the rules: asks until
/// it meets what is expected, or for so long that it never will.
fn settle(flow: &Flow, proxy: ServiceProxy, ask: impl Fn() -> Result<Outcome, Error>) -> Result<(), Error> {
    let deadline = Instant::now() + daemon::PATIENCE;
    while Instant::now() < deadline {
        let mut seen = Seen::default();
        seen.add(ask()?);
        if mismatch(flow, proxy, &seen).is_none() {
            break;
        }
    }
    Ok(())
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

/// What is wrong, if the packets did not do what the flow says of this proxy.
#[must_use]
pub fn mismatch(flow: &Flow, proxy: ServiceProxy, seen: &Seen) -> Option<Mismatch> {
    let expected = flow.expected_of(proxy);
    let answers = || seen.answers.keys().copied();
    let answered = !seen.answers.is_empty() && seen.others.is_empty();
    let holds = match expected {
        Expected::Endpoints { sources, sticky } => {
            let mut pairs = sources.iter().map(|(at, source)| (*at, *source));
            let right = if *sticky {
                answers().count() == 1 && answers().all(|pair| pairs.any(|other| other == pair))
            } else {
                pairs.eq(answers())
            };
            answered && right
        }
        Expected::Untouched => seen.only(&Outcome::Echoed) || answered && answers().all(|pair| untouched(flow, pair)),
        Expected::Rejected { sent } => seen.only(&meets(*sent, Outcome::Refused)),
        Expected::Dropped { sent } => seen.only(&meets(*sent, Outcome::Silent)),
        Expected::Unreachable => seen.only(&Outcome::Unreachable),
    };
    (!holds).then(|| Mismatch { flow: flow.clone(), expected: expected.clone(), seen: seen.clone() })
}

/// What a client hears whose send(2) succeeds or not.
fn meets(sent: bool, heard: Outcome) -> Outcome {
    if sent { heard } else { Outcome::NotPermitted(Box::new(heard)) }
}

/// Whether the very destination answered, and saw an address of the client.
fn untouched(flow: &Flow, (at, source): (SocketAddr, IpAddr)) -> bool {
    let clients = match flow.source {
        Some(bound) => source == bound,
        None => flow.from.addresses().any(|own| own == source),
    };
    flow.to.socket() == Some(at) && clients
}

impl Seen {
    fn add(&mut self, outcome: Outcome) {
        self.connections += 1;
        let count = match outcome {
            Outcome::Answered(answer) => self.answers.entry((answer.at, answer.source.ip())).or_default(),
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
        Outcome::Echoed => "an echo".to_owned(),
        Outcome::Refused => "refused at once".to_owned(),
        Outcome::Unreachable => "no route".to_owned(),
        Outcome::Silent => "silence".to_owned(),
        Outcome::NotPermitted(heard) => format!("EPERM, then {}", word(heard)),
        Outcome::Strange(what) => format!("something strange: {what}"),
    }
}

/// A flow that does not hold.
#[derive(Debug, Clone)]
pub struct Mismatch {
    flow: Flow,
    expected: Expected,
    seen: Seen,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.flow)?;
        writeln!(f, "    expected:")?;
        match &self.expected {
            Expected::Endpoints { sources, sticky } => {
                if *sticky {
                    writeln!(f, "      always the same of these")?;
                }
                for (endpoint, source) in sources {
                    writeln!(f, "      {} sees {}", place(*endpoint), named(*source))?;
                }
            }
            Expected::Untouched => writeln!(f, "      the destination itself, and it sees {}", self.flow.from.name)?,
            Expected::Rejected { sent } => writeln!(f, "      {}", word(&meets(*sent, Outcome::Refused)))?,
            Expected::Dropped { sent } => writeln!(f, "      {}", word(&meets(*sent, Outcome::Silent)))?,
            Expected::Unreachable => writeln!(f, "      {}", word(&Outcome::Unreachable))?,
        }
        writeln!(f, "    seen in {} connections:", self.seen.connections)?;
        for ((endpoint, source), count) in &self.seen.answers {
            writeln!(f, "      {} sees {}: {count} times", place(*endpoint), named(*source))?;
        }
        for (other, count) in &self.seen.others {
            writeln!(f, "      {other}: {count} times")?;
        }
        Ok(())
    }
}

/// Endpoints as flows.yaml writes them, and the address.
fn place(at: SocketAddr) -> String {
    cast::with_address(at.ip()).map_or_else(|| at.to_string(), |member| format!("{}:{} ({at})", member.name, at.port()))
}

fn named(address: IpAddr) -> String {
    cast::with_address(address).map_or_else(|| address.to_string(), |member| format!("{} ({address})", member.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mode;

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
    fn holds(yaml: &str, answers: &[(&str, &str)], others: &[&str]) -> bool {
        let flow = Flow::from_yaml(yaml).unwrap();
        let answers = answers.iter().map(|(at, source)| ((at.parse().unwrap(), source.parse().unwrap()), 1));
        let others = others.iter().map(|other| ((*other).to_owned(), 1));
        let seen = Seen { answers: answers.collect(), others: others.collect(), connections: 1 };
        mismatch(&flow, ServiceProxy::Portolan(Mode::Nftables), &seen).is_none()
    }

    #[test]
    fn every_endpoint_answers_or_where_they_are_sticky_any_one() {
        let flow = "from: pod-a1, to: 10.96.0.10:80/tcp, endpoints: [pod-a2:8080, pod-b1:8080]";
        let (every, sticky) = (format!("{{{flow}}}"), format!("{{{flow}, sticky: true}}"));
        let (a2, b1) = (("10.244.1.12:8080", "10.244.1.11"), ("10.244.2.11:8080", "10.244.1.11"));
        assert!(holds(&every, &[a2, b1], &[]));
        assert!(!holds(&every, &[a2], &[]) && !holds(&every, &[a2, b1], &["silence"]));
        assert!(holds(&sticky, &[a2], &[]) && holds(&sticky, &[b1], &[]));
        assert!(!holds(&sticky, &[a2, b1], &[]) && !holds(&sticky, &[a2], &["silence"]));
        let (masqueraded, stranger) = (("10.244.1.12:8080", "192.168.100.11"), ("10.244.1.12:8081", "10.244.1.11"));
        assert!(!holds(&sticky, &[masqueraded], &[]) && !holds(&sticky, &[stranger], &[]) && !holds(&sticky, &[], &[]));
    }

    #[test]
    fn an_errno_is_expected_or_must_not_be() {
        let rejected = "from: node-a, to: 10.96.0.10:53/udp, verdict: rejected";
        let (sent, not_sent) = (&["refused at once"][..], &["EPERM, then refused at once"][..]);
        for (errno, right, wrong) in
            [("", sent, not_sent), (", errno: ECONNREFUSED", sent, not_sent), (", errno: EPERM", not_sent, sent)]
        {
            let flow = format!("{{{rejected}{errno}}}");
            assert!(holds(&flow, &[], right) && !holds(&flow, &[], wrong), "{flow}");
        }
        let dropped = "{from: node-a, to: 10.96.0.10:53/udp, verdict: dropped, errno: EPERM}";
        assert!(holds(dropped, &[], &["EPERM, then silence"]) && !holds(dropped, &[], &["silence"]));
    }

    #[test]
    fn untouched_is_the_very_destination_and_the_very_client() {
        let flow = "{from: outside, to: 192.168.101.11:30080/tcp, verdict: untouched}";
        assert!(holds(flow, &[("192.168.101.11:30080", "192.168.101.1")], &[]));
        assert!(!holds(flow, &[("192.168.100.11:30080", "192.168.101.1")], &[]));
        assert!(!holds(flow, &[("192.168.101.11:30080", "192.168.100.11")], &[]));
        assert!(!holds(flow, &[], &["refused at once"]) && !holds(flow, &[], &[]));
        let bound = "{from: outside, source: 192.168.100.1, to: 192.168.101.11:30080/tcp, verdict: untouched}";
        assert!(!holds(bound, &[("192.168.101.11:30080", "192.168.101.1")], &[]));
        assert!(holds("{from: outside, to: 192.168.101.11/icmp, verdict: untouched}", &[], &["an echo"]));
    }
}
