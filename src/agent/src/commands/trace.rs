//! `portolan trace`: what becomes of a packet, by the rules that the kernel holds.

use std::{collections::BTreeMap, net::IpAddr};

use portolan_core::{
    addr::Family,
    desired::LocalDetector,
    object::Backend,
    trace::{Origin, Outcome, Packet, Verdict, World},
};
use portolan_nftables::{
    Nftables, frontends,
    trace::{self, Objects, detector},
};

use super::CommandError;
use crate::{
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
    let mut kernel = Nftables::open()?;
    let live = kernel.observe()?;
    let objects: Objects<'_> = live.iter().map(|(key, value)| (key, value)).collect();
    let local = LocalAddresses::read().map_err(CommandError::Addresses)?;
    let (origin, assumed) = origin(arguments, &local, &objects);
    let packet = Packet { source: from, origin, destination: to.address, asks: to.asks };
    let is_local = |address| local.contains(address);
    let for_client =
        |remembered: &BTreeMap<_, _>| trace::trace(&objects, &packet, &World { is_local: &is_local, remembered });
    let nobody = for_client(&BTreeMap::new());
    let trace = for_client(&kernel.remembered(from, &nobody)?);
    let refused = |outcome: &Outcome| matches!(outcome.verdict, Verdict::Rejected(_) | Verdict::Dropped(_));
    let exit = if trace.outcomes.iter().any(refused) { Exit::Unanswered } else { Exit::Success };
    let other_tables = kernel.other_tables(packet.family())?;
    let traced = Traced { packet, assumed, trace, other_tables, frontends: &frontends(&live) };
    print(|out| match arguments.output {
        OutputFormat::Table => trace_text(out, &traced),
        OutputFormat::Json => trace_json(out, &traced),
    })
    .map_err(CommandError::Print)?;
    Ok(exit)
}

/// Where the packet comes from, and why that is thought where nobody says it.
fn origin(arguments: &Trace, local: &LocalAddresses, objects: &Objects<'_>) -> (Origin, Option<String>) {
    let said =
        [(arguments.pod, Origin::Pod), (arguments.node_local, Origin::Node), (arguments.outside, Origin::Outside)];
    if let Some((_, origin)) = said.into_iter().find(|(said, _)| *said) {
        return (origin, None);
    }
    let from: IpAddr = arguments.from;
    let (origin, why) = match detector(objects, Family::of(from)) {
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
