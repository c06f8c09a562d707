//! `portolan trace`: what becomes of a packet, by the rules that the kernel holds.

use std::{collections::BTreeMap, net::IpAddr};

use portolan_core::{
    addr::Family,
    desired::LocalDetector,
    inspect::{Inspect, Ruleset},
    trace::{Origin, Outcome, Packet, Verdict, World},
};

use super::{CommandError, present};
use crate::{
    backends,
    cli::{OutputFormat, Trace},
    exit::Exit,
    local_addresses::LocalAddresses,
    output::{Traced, print, trace_json, trace_text},
};

/// Prints what becomes of a packet; none is sent.
///
/// # Errors
/// When the addresses are of two families, the kernel cannot be read, or nothing can be printed.
pub fn trace(arguments: &Trace) -> Result<Exit, CommandError> {
    let Trace { from, to, .. } = *arguments;
    if Family::of(from) != Family::of(to.address) {
        return Err(CommandError::TwoFamilies { from, to: to.address });
    }
    let local = LocalAddresses::read().map_err(CommandError::Addresses)?;
    let traced = first_to_take(arguments, &local)?;
    let refused = |outcome: &Outcome| matches!(outcome.verdict, Verdict::Rejected(_) | Verdict::Dropped(_));
    let exit = if traced.trace.outcomes.iter().any(refused) { Exit::Unanswered } else { Exit::Success };
    print(|out| match arguments.output {
        OutputFormat::Table => trace_text(out, &traced),
        OutputFormat::Json => trace_json(out, &traced),
    })
    .map_err(CommandError::Print)?;
    Ok(exit)
}

/// What the first backend does whose rules take the packet: those behind it meet the endpoint's address, and let it pass. The
/// last one's answer where none takes it.
fn first_to_take(arguments: &Trace, local: &LocalAddresses) -> Result<Traced, CommandError> {
    let mut present = present(None)?;
    if present.is_empty() {
        present = backends::all()?.into_iter().map(|(_, kernel)| kernel).collect();
    }
    let mut last = None;
    for mut kernel in present {
        let traced = follow(&mut *kernel, arguments, local)?;
        let takes_it = traced.trace.outcomes.iter().any(|outcome| outcome.verdict != Verdict::Untouched);
        last = Some(traced);
        if takes_it {
            break;
        }
    }
    last.ok_or(CommandError::NoBackends)
}

fn follow(kernel: &mut dyn Inspect, arguments: &Trace, local: &LocalAddresses) -> Result<Traced, CommandError> {
    let live = kernel.observed()?;
    let (origin, assumed) = origin(arguments, local, &*live);
    let packet = Packet { source: arguments.from, origin, destination: arguments.to.address, asks: arguments.to.asks };
    let is_local = |address| local.contains(address);
    let for_client = |remembered: &BTreeMap<_, _>| live.trace(&packet, &World { is_local: &is_local, remembered });
    let nobody = for_client(&BTreeMap::new());
    let trace = for_client(&kernel.remembered(packet.source, &nobody)?);
    let other_tables = kernel.other_tables(packet.family())?;
    let servers = kernel.servers()?;
    Ok(Traced { packet, assumed, trace, other_tables, frontends: live.frontends(), servers })
}

/// Where the packet comes from, and why that is thought where nobody says it.
fn origin(arguments: &Trace, local: &LocalAddresses, live: &dyn Ruleset) -> (Origin, Option<String>) {
    let said =
        [(arguments.pod, Origin::Pod), (arguments.node_local, Origin::Node), (arguments.outside, Origin::Outside)];
    if let Some((_, origin)) = said.into_iter().find(|(said, _)| *said) {
        return (origin, None);
    }
    let from: IpAddr = arguments.from;
    let (origin, why) = match live.detector(Family::of(from)) {
        _ if local.contains(from) => (Origin::Node, "the address is its own".to_owned()),
        Some(LocalDetector::Cidr(pods)) if pods.contains(&from) => (Origin::Pod, format!("pods are in {pods}")),
        Some(LocalDetector::Cidr(pods)) => (Origin::Outside, format!("pods are in {pods}")),
        Some(LocalDetector::Interface(name)) => {
            (Origin::Outside, format!("only what comes in by {name} is from a pod; say --pod if it does"))
        }
        Some(LocalDetector::InterfacePrefix(name)) => {
            (Origin::Outside, format!("only what comes in by {name}* is from a pod; say --pod if it does"))
        }
        None => (Origin::Outside, "the address is not the node's own".to_owned()),
    };
    (origin, Some(why))
}
