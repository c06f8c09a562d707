//! What becomes of a packet, in the order in which it happens to it.

mod json;
mod scheduler;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    io::{self, Write},
    net::{IpAddr, SocketAddr},
};

use portolan_core::{
    desired::Vip,
    inspect::{LiveDestination, LiveServer},
    object::LiveFrontend,
    text::{Seconds, printable},
    trace::{
        AddressKind, Chance, ChosenBy, Masquerade, Origin, Outcome, Packet, Policy, Reason, RefusedBy, RulePlace,
        Sticky, Trace, TracedFrontend, Verdict,
    },
};

pub use self::json::trace_json;

/// A packet, and what becomes of it.
#[derive(Debug)]
pub struct Traced {
    /// The packet.
    pub packet: Packet,
    /// Why it is taken to come from there, where nobody said so.
    pub assumed: Option<String>,
    /// What becomes of it.
    pub trace: Trace,
    /// Tables of other programs, whose rules were not asked.
    pub other_tables: Vec<String>,
    /// All frontends that the kernel holds.
    pub frontends: Vec<LiveFrontend>,
    /// And all virtual servers.
    pub servers: BTreeMap<Vip, LiveServer>,
}

/// Lines under words, the word on the first of its lines only.
///
/// # Errors
/// When `out` cannot be written to.
pub fn trace_text(out: &mut dyn Write, traced: &Traced) -> io::Result<()> {
    let lines = lines(traced);
    for (place, (word, line)) in lines.iter().enumerate() {
        let repeated =
            place.checked_sub(1).and_then(|before| lines.get(before)).is_some_and(|(before, _)| before == word);
        writeln!(out, "{:10}  {}", if repeated { "" } else { word }, printable(line))?;
    }
    Ok(())
}

fn lines(traced: &Traced) -> Vec<(&'static str, String)> {
    let Traced { packet, assumed, trace, other_tables, .. } = traced;
    let assumed = assumed.as_ref().map(|why| format!(" (assumed: {why})")).unwrap_or_default();
    let mut lines =
        vec![("from", format!("{}, {}{assumed}", packet.source, origin(packet.origin).1)), ("to", packet.to_string())];
    if let Some(TracedFrontend { address, .. }) = frontend(trace) {
        lines.push(("frontend", format!("{}, {}", service(trace), address_kind(*address).1)));
    }
    lines.extend(policies(trace).into_iter().map(|met| ("policy", policy(met).1.to_owned())));
    lines.extend(affinity(trace).map(|affinity| ("policy", affinity)));
    lines.extend(chosen_by(trace).map(|by| ("scheduler", scheduler::told(by))));
    let masquerades: BTreeSet<_> = trace.outcomes.iter().filter_map(|outcome| masqueraded(&outcome.verdict)).collect();
    let differ = masquerades.len() > 1;
    for outcome in &trace.outcomes {
        let Outcome { chance, verdict, .. } = outcome;
        match verdict {
            Verdict::Endpoint { to, masqueraded, .. } => {
                let why = masqueraded.filter(|_| differ).map(|why| format!("masqueraded: {}", masquerade(why).1));
                let parts = [Some(to.to_string()), likelihood(outcome, *to, &traced.servers), why];
                lines.push(("endpoints", parts.into_iter().flatten().collect::<Vec<_>>().join("  ")));
            }
            Verdict::Rejected(by) => lines.extend(refused("rejected", *chance, by, traced)),
            Verdict::Dropped(by) => lines.extend(refused("dropped", *chance, by, traced)),
            Verdict::Untouched if packet.destination.is_loopback() => lines.push((
                "untouched",
                "no rule of Portolan's takes it: it is for who listens there, which is `portolan run` itself for TCP NodePorts at \
                 127.0.0.1 and ::1 where nodePortAddresses has `localhost`"
                    .to_owned(),
            )),
            Verdict::Untouched => {
                lines.push(("untouched", "no rule of Portolan's takes it: it goes where the routes say".to_owned()));
            }
        }
    }
    if let (Some(why), false) = (masquerades.first(), differ) {
        let no = || format!("no: the endpoint sees {}", packet.source);
        lines.push(("masquerade", why.map_or_else(no, |why| format!("yes: {}", masquerade(why).1))));
    }
    lines.extend(trace.doubts.iter().map(|doubt| ("but", doubt.clone())));
    lines.extend(other_tables.iter().map(|table| ("not asked", format!("the rules of table {table}"))));
    lines
}

/// How likely an endpoint is, or what its virtual server may choose by.
fn likelihood(outcome: &Outcome, to: SocketAddr, servers: &BTreeMap<Vip, LiveServer>) -> Option<String> {
    if let Some(chance) = outcome.chance {
        return Some(chance.to_string());
    }
    let server = servers.get(&outcome.chosen_by?.server)?;
    let LiveDestination { active, inactive, .. } =
        server.destinations.iter().find(|destination| destination.to == to)?;
    Some(format!("connections: {active} active, {inactive} inactive"))
}

/// The virtual server that chooses, if one does.
fn chosen_by(trace: &Trace) -> Option<&ChosenBy> {
    trace.outcomes.iter().find_map(|outcome| outcome.chosen_by.as_ref())
}

/// All outcomes are for the same frontend, if they are for one.
fn frontend(trace: &Trace) -> Option<&TracedFrontend> {
    trace.outcomes.iter().find_map(|outcome| outcome.frontend.as_ref())
}

fn service(trace: &Trace) -> &str {
    frontend(trace).and_then(|frontend| frontend.service.as_deref()).unwrap_or("a Service without a name")
}

const fn masqueraded(verdict: &Verdict) -> Option<Option<Masquerade>> {
    match verdict {
        Verdict::Endpoint { masqueraded, .. } => Some(*masqueraded),
        _ => None,
    }
}

/// What its frontend asks for, beside an endpoint.
fn policies(trace: &Trace) -> BTreeSet<Policy> {
    trace.outcomes.iter().flat_map(|outcome| &outcome.policies).copied().collect()
}

/// How long the client stays with its endpoint, if it does.
fn affinity(trace: &Trace) -> Option<String> {
    let sticky = trace.outcomes.iter().find_map(|outcome| match &outcome.verdict {
        Verdict::Endpoint { sticky, .. } => sticky.as_ref(),
        _ => None,
    });
    sticky.map(|Sticky { timeout, left, .. }| {
        let rule = format!("session affinity: the client stays with its endpoint for {}", Seconds(u64::from(*timeout)));
        match left {
            Some(left) => format!("{rule}; it is remembered, {} left", Seconds(left.as_secs())),
            None => format!("{rule}; it is not remembered yet"),
        }
    })
}

fn refused(
    word: &'static str,
    chance: Option<Chance>,
    refused_by: &RefusedBy,
    traced: &Traced,
) -> [(&'static str, String); 2] {
    let RefusedBy { reason, rule, text } = refused_by;
    let chance = chance.filter(|chance| *chance != Chance::CERTAIN).map(|chance| format!("{chance}: "));
    let chance = chance.unwrap_or_default();
    let Packet { source, destination, .. } = traced.packet;
    let service = service(&traced.trace);
    let because = match reason {
        Reason::NoEndpoints => format!("{service} has no endpoints"),
        Reason::NoLocalEndpoints => format!("{service} has no endpoint on this node, and this client may use no other"),
        Reason::NotTaken => "where the endpoint that is chosen takes no new connection".to_owned(),
        Reason::SourceRanges => format!("{source} is not in the loadBalancerSourceRanges of {service}"),
        Reason::NoSuchPort => {
            format!("{destination} is a cluster IP, but only of {}", ports(destination, &traced.frontends))
        }
        Reason::NoSuchClusterIp => format!("{destination} is in a range of cluster IPs, but no Service has it"),
        Reason::Other => "for no reason that Portolan knows".to_owned(),
    };
    let by = match rule {
        Some(RulePlace { step, number }) => ("rule", format!("{number} of chain {step}: {text}")),
        None => ("by", text.clone()),
    };
    [(word, format!("{chance}{because}")), by]
}

/// What an address has.
fn ports(address: IpAddr, frontends: &[LiveFrontend]) -> String {
    let at = frontends.iter().filter(|frontend| frontend.vip.addr == address);
    let mut ports = String::new();
    for LiveFrontend { vip, port, .. } in at {
        let comma = if ports.is_empty() { "" } else { ", " };
        // Writing to a String cannot fail.
        let _ = write!(ports, "{comma}{}/{} ({port})", vip.port, vip.protocol);
    }
    if ports.is_empty() { "no port".to_owned() } else { ports }
}

/// For JSON and for people.
const fn origin(origin: Origin) -> (&'static str, &'static str) {
    match origin {
        Origin::Pod => ("pod", "a pod"),
        Origin::Node => ("node", "this node"),
        Origin::Outside => ("outside", "another host"),
    }
}

const fn address_kind(kind: AddressKind) -> (&'static str, &'static str) {
    match kind {
        AddressKind::ClusterIp => ("clusterIP", "cluster IP"),
        AddressKind::External => ("external", "external IP, load-balancer IP or NodePort"),
        AddressKind::NodePort => ("nodePort", "NodePort at all addresses of the node"),
    }
}

const fn masquerade(why: Masquerade) -> (&'static str, &'static str) {
    match why {
        Masquerade::External => ("external", "the address is no cluster IP, and has externalTrafficPolicy Cluster"),
        Masquerade::NotFromPod => ("notFromPod", "the client is no pod"),
        Masquerade::All => ("all", "every client of a cluster IP is (--masquerade-all)"),
        Masquerade::Node => ("node", "the client is this node, and may be sent to an endpoint of another one"),
        Masquerade::Hairpin => ("hairpin", "the endpoint is the client itself"),
        Masquerade::PassingThrough => {
            ("passingThrough", "neither client nor endpoint is of this node, and the answer must come back to it")
        }
        Masquerade::Other => ("other", "a rule says so that is not Portolan's"),
    }
}

const fn policy(policy: Policy) -> (&'static str, &'static str) {
    match policy {
        Policy::SourceRanges => ("sourceRanges", "loadBalancerSourceRanges: only some sources may connect"),
        Policy::LocalEndpoints => ("localEndpoints", "externalTrafficPolicy Local: endpoints of this node only"),
        Policy::ShortCut => {
            ("shortCut", "externalTrafficPolicy Local, but pods of this node and the node itself reach all endpoints")
        }
    }
}

const fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::NoEndpoints => "noEndpoints",
        Reason::NoLocalEndpoints => "noLocalEndpoints",
        Reason::NotTaken => "notTaken",
        Reason::SourceRanges => "sourceRanges",
        Reason::NoSuchPort => "noSuchPort",
        Reason::NoSuchClusterIp => "noSuchClusterIP",
        Reason::Other => "other",
    }
}
