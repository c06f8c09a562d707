//! EndpointSlices: whose they are, and their ready endpoints.

use std::{net::IpAddr, sync::Arc};

use super::{
    Read,
    field::Field,
    finding::{Refused, Report},
    raw::{AddressType, EndpointObject, EndpointPort, EndpointSliceObject},
    reference::ObjectRef,
    rejection::{RejectionReason, Unit},
    warning::WarningReason,
};
use crate::{
    addr::{Family, Protocol},
    model::{Names, Slice, SliceEndpoint, SlicePort},
    text::excerpt,
};

/// A slice, and the Service that it belongs to, in the slice's own namespace.
pub(crate) struct ReadSlice {
    pub(crate) service: Arc<str>,
    pub(crate) slice: Slice,
}

/// Reads an EndpointSlice. `None` for one that is refused, or that kube-proxy does not use either: of no Service, of a
/// headless one, of host names. `hostname` is this node's.
pub(crate) fn read_slice(
    object: &EndpointSliceObject,
    reference: &ObjectRef,
    hostname: &str,
    names: &mut Names,
) -> Read<ReadSlice> {
    let mut report = Report::of(reference);
    let slice = read(object, &mut report, hostname, names).ok().flatten();
    (slice, report.into_findings())
}

fn read(
    object: &EndpointSliceObject,
    report: &mut Report<'_>,
    hostname: &str,
    names: &mut Names,
) -> Result<Option<ReadSlice>, Refused> {
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
        endpoints.extend(endpoint(field, i, family, hostname, report).ok().flatten());
    }
    warn_hints(list, report);
    // Beside one that is ready it would not be used anyway, at no port of the slice.
    if endpoints.is_empty() {
        warn_terminating(list, report);
    }
    ports.sort_unstable();
    let name = report.object().name.clone();
    let slice = Slice { name, family, ports: ports.into(), endpoints: endpoints.into() };
    Ok(Some(ReadSlice { service: service.clone(), slice }))
}

/// Names the first endpoint with a hint. A wrong value is no hint.
fn warn_hints(endpoints: &[Field<EndpointObject>], report: &mut Report<'_>) {
    let with_hints = |(i, field): (usize, &Field<EndpointObject>)| {
        let hints = field.valid()?.hints.valid()?;
        [("forZones", &hints.for_zones), ("forNodes", &hints.for_nodes)].into_iter().find_map(|(name, list)| {
            let list = list.valid().filter(|list| !list.is_empty())?;
            let names: Vec<&str> = list.iter().filter_map(|hint| Some(&**hint.valid()?.name.valid()?)).collect();
            Some((i, name, names.join(", ")))
        })
    };
    if let Some((i, name, value)) = endpoints.iter().enumerate().find_map(with_hints) {
        report.warn(format_args!("endpoints[{i}].hints.{name}"), excerpt(&value), WarningReason::Hints);
    }
}

/// Names the first endpoint that ends and still serves: kube-proxy falls back to those.
fn warn_terminating(endpoints: &[Field<EndpointObject>], report: &mut Report<'_>) {
    let falls_back = |field: &Field<EndpointObject>| {
        field.valid().and_then(|endpoint| endpoint.conditions.valid()).is_some_and(|conditions| {
            // The API: a `serving` that is not there means true.
            conditions.ready.valid() == Some(&false)
                && conditions.serving.valid() != Some(&false)
                && conditions.terminating.valid() == Some(&true)
        })
    };
    if let Some(i) = endpoints.iter().position(falls_back) {
        let path = format_args!("endpoints[{i}].conditions.terminating");
        report.warn(path, "true".to_owned(), WarningReason::Terminating);
    }
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

/// An endpoint that is ready. Only its first address counts (the API says so of `addresses` since 1.23).
fn endpoint(
    field: &Field<EndpointObject>,
    i: usize,
    family: Family,
    hostname: &str,
    report: &mut Report<'_>,
) -> Result<Option<SliceEndpoint>, Refused> {
    let path = format_args!("endpoints[{i}]");
    let unit = Unit::Endpoint;
    let object = report.require(field, path, unit)?;
    let conditions = report.read(&object.conditions, format_args!("{path}.conditions"), unit)?;
    if let Some(conditions) = conditions
        && report.read(&conditions.ready, format_args!("{path}.conditions.ready"), unit)? == Some(&false)
    {
        return Ok(None);
    }
    let addresses = report.read(&object.addresses, format_args!("{path}.addresses"), unit)?;
    let Some(first) = addresses.and_then(|list| list.first()) else { return Ok(None) };
    let path_of_first = format_args!("{path}.addresses[0]");
    let Some(addr) = report.address(first, path_of_first, unit)? else { return Ok(None) };
    expect_family(addr, family, path_of_first, report)?;
    let node = report.read(&object.node_name, format_args!("{path}.nodeName"), unit)?;
    Ok(Some(SliceEndpoint { addr, local: node.is_some_and(|node| **node == *hostname) }))
}

fn expect_family(
    addr: IpAddr,
    expected: Family,
    path: std::fmt::Arguments<'_>,
    report: &mut Report<'_>,
) -> Result<(), Refused> {
    if Family::of(addr) == expected {
        return Ok(());
    }
    Err(report.reject(path, addr.to_string(), RejectionReason::WrongFamily { expected }, Unit::Endpoint))
}
