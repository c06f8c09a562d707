//! EndpointSlices: whose they are, and the endpoints that can be used.

use std::{fmt::Arguments, net::IpAddr};

use super::{
    Read,
    field::{Field, List},
    finding::{Refused, Report},
    raw::{self, AddressType, Conditions, EndpointObject, EndpointPort, EndpointSliceObject, Hint},
    reference::ObjectRef,
    rejection::{RejectionReason, Unit},
};
use crate::{
    addr::{Family, Protocol},
    model::{EndpointState, Hints, Names, NodeHint, Slice, SliceEndpoint, SlicePort},
    name::{is_dns_subdomain, is_label_value},
    text::excerpt,
};

/// A slice, and the Service that it belongs to, in the slice's own namespace.
pub(crate) struct ReadSlice<'a> {
    pub(crate) service: &'a str,
    pub(crate) slice: Slice,
}

/// Reads an EndpointSlice. `None` for one that is refused, or that kube-proxy does not use either: of no Service, of a
/// headless one, of host names. `hostname` is this node's.
pub(crate) fn read_slice<'a>(
    object: &'a EndpointSliceObject,
    reference: &ObjectRef,
    hostname: &str,
    names: &mut Names,
) -> Read<ReadSlice<'a>> {
    let mut report = Report::of(reference);
    let slice = read(object, &mut report, hostname, names).ok().flatten();
    (slice, report.into_findings())
}

fn read<'a>(
    object: &'a EndpointSliceObject,
    report: &mut Report<'_>,
    hostname: &str,
    names: &mut Names,
) -> Result<Option<ReadSlice<'a>>, Refused> {
    let metadata = report.metadata(&object.metadata, Unit::Slice)?;
    let labels = report.read(&metadata.labels, format_args!("metadata.labels"), Unit::Slice)?;
    let Some(labels) = labels.filter(|labels| labels.headless.is_absent()) else { return Ok(None) };
    let path = format_args!("metadata.labels[kubernetes.io/service-name]");
    let service = match report.read(&labels.service_name, path, Unit::Slice)? {
        Some(service) if !service.is_empty() => service,
        Some(_) | None => return Ok(None),
    };
    report.label(service, path, Unit::Slice)?;
    let family = match report.require(&object.address_type, format_args!("addressType"), Unit::Slice)? {
        AddressType::Ip(family) => *family,
        AddressType::Fqdn => return Ok(None),
    };
    let mut ports = Vec::new();
    for (i, field) in report.list(&object.ports, format_args!("ports"), Unit::Slice).iter().enumerate() {
        ports.extend(port(field, i, report, names).ok().flatten());
    }
    let mut endpoints = Vec::new();
    let list = report.list(&object.endpoints, format_args!("endpoints"), Unit::Slice);
    for (i, field) in list.iter().enumerate() {
        endpoints.extend(endpoint(field, i, family, hostname, report, names).ok().flatten());
    }
    ports.sort_unstable();
    let name = report.object().name.clone();
    let slice = Slice { name, family, ports: ports.into(), endpoints: endpoints.into() };
    Ok(Some(ReadSlice { service, slice }))
}

/// A port; none without a number (or with 0), which means all ports and is for other consumers of slices.
fn port(
    field: &Field<EndpointPort>,
    i: usize,
    report: &mut Report<'_>,
    names: &mut Names,
) -> Result<Option<SlicePort>, Refused> {
    let path = format_args!("ports[{i}]");
    let object = report.require(field, path, Unit::SlicePort)?;
    let name = report.port_name(&object.name, format_args!("{path}.name"), Unit::SlicePort)?;
    let protocol = report.read(&object.protocol, format_args!("{path}.protocol"), Unit::SlicePort)?;
    let number = report.read(&object.port, format_args!("{path}.port"), Unit::SlicePort)?;
    let number = number.map(|port| port.0).filter(|port| *port != 0);
    let protocol = protocol.copied().unwrap_or(Protocol::Tcp);
    Ok(number.map(|number| SlicePort { name: names.share(name), protocol, number }))
}

/// An endpoint that can be used. Only its first address counts (the API says so of `addresses` since 1.23).
fn endpoint(
    field: &Field<EndpointObject>,
    i: usize,
    family: Family,
    hostname: &str,
    report: &mut Report<'_>,
    names: &mut Names,
) -> Result<Option<SliceEndpoint>, Refused> {
    let path = format_args!("endpoints[{i}]");
    let unit = Unit::Endpoint;
    let object = report.require(field, path, unit)?;
    let conditions = report.read(&object.conditions, format_args!("{path}.conditions"), unit)?;
    let state = conditions.map_or(Ok(Some(EndpointState::Ready)), |found| state(found, path, report))?;
    let Some(state) = state else { return Ok(None) };
    let addresses = report.read(&object.addresses, format_args!("{path}.addresses"), unit)?;
    let Some(first) = addresses.and_then(|list| list.first()) else { return Ok(None) };
    let path_of_first = format_args!("{path}.addresses[0]");
    let Some(addr) = report.address(first, path_of_first, unit)? else { return Ok(None) };
    expect_family(addr, family, path_of_first, report)?;
    let node = report.read(&object.node_name, format_args!("{path}.nodeName"), unit)?;
    let local = node.is_some_and(|node| **node == *hostname);
    let hints = report.read(&object.hints, format_args!("{path}.hints"), Unit::Hint).ok().flatten();
    let hints = hints.and_then(|found| hints_of(found, path, hostname, report, names));
    Ok(Some(SliceEndpoint { addr, local, state, hints }))
}

/// What the conditions come to; `None` for an endpoint that cannot be used. One that is ready is, also while it ends:
/// the API says so with `publishNotReadyAddresses`.
fn state(
    conditions: &Conditions,
    path: Arguments<'_>,
    report: &mut Report<'_>,
) -> Result<Option<EndpointState>, Refused> {
    let mut is = |field, name, default| -> Result<bool, Refused> {
        let value = report.read(field, format_args!("{path}.conditions.{name}"), Unit::Endpoint)?;
        Ok(value.copied().unwrap_or(default))
    };
    if is(&conditions.ready, "ready", true)? {
        return Ok(Some(EndpointState::Ready));
    }
    let usable = is(&conditions.serving, "serving", true)? && is(&conditions.terminating, "terminating", false)?;
    Ok(usable.then_some(EndpointState::Terminating))
}

/// The hints of an endpoint; a bad one is left out. `None` without any.
fn hints_of(
    hints: &raw::Hints,
    path: Arguments<'_>,
    hostname: &str,
    report: &mut Report<'_>,
    names: &mut Names,
) -> Option<Box<Hints>> {
    let zones = hinted(
        &hints.for_zones,
        format_args!("{path}.hints.forZones"),
        (is_label_value, RejectionReason::NotALabelValue),
        report,
    );
    let zones: Box<[_]> = zones.into_iter().map(|zone| names.share(zone)).collect();
    let nodes = hinted(
        &hints.for_nodes,
        format_args!("{path}.hints.forNodes"),
        (is_dns_subdomain, RejectionReason::NotASubdomain),
        report,
    );
    let node = match nodes.is_empty() {
        true => NodeHint::None,
        false if nodes.contains(&hostname) => NodeHint::Here,
        false => NodeHint::Elsewhere,
    };
    (!zones.is_empty() || node != NodeHint::None).then(|| Box::new(Hints { zones, node }))
}

/// The names in a list of hints that keep a rule.
fn hinted<'f>(
    field: &'f Field<List<Hint>>,
    path: Arguments<'_>,
    (keeps_rule, rule): (fn(&str) -> bool, RejectionReason),
    report: &mut Report<'_>,
) -> Vec<&'f str> {
    let list = report.list(field, path, Unit::Hint);
    let mut name = |i: usize, field: &'f Field<Hint>| -> Result<&'f str, Refused> {
        let hint = report.require(field, format_args!("{path}[{i}]"), Unit::Hint)?;
        let path = format_args!("{path}[{i}].name");
        let name = report.require(&hint.name, path, Unit::Hint)?;
        if keeps_rule(name) { Ok(name) } else { Err(report.reject(path, excerpt(name), rule.clone(), Unit::Hint)) }
    };
    list.iter().enumerate().filter_map(|(i, field)| name(i, field).ok()).collect()
}

fn expect_family(addr: IpAddr, expected: Family, path: Arguments<'_>, report: &mut Report<'_>) -> Result<(), Refused> {
    if Family::of(addr) == expected {
        return Ok(());
    }
    Err(report.reject(path, addr.to_string(), RejectionReason::WrongFamily { expected }, Unit::Endpoint))
}
