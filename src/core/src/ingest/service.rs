//! Services: which are ours, their addresses and their ports.

use std::{collections::BTreeSet, fmt::Arguments, net::IpAddr, sync::Arc};

use ipnet::IpNet;
use smol_str::SmolStr;

use super::{
    Read,
    field::Field,
    finding::{Refused, Report},
    raw::{Ingress, PortObject, ServiceObject, ServiceSpec, ServiceStatus, ServiceType},
    reference::ObjectRef,
    rejection::{RejectionReason, Unit},
    settings,
};
use crate::{
    addr::{Family, PerFamily, Protocol, SpecialAddress, read_ip},
    model::{Created, Names, Service, ServicePort, Uid},
    name::{ServiceName, ServicePortName},
    text::excerpt,
};

/// Reads a Service. `None` for one that is refused, or that kube-proxy does not serve either: ExternalName, headless,
/// another proxy's. `name` is the one of `reference`, as it is shared in memory; `ranges` are those of the ServiceCIDRs.
pub(crate) fn read_service(
    object: &ServiceObject,
    reference: &ObjectRef,
    name: &ServiceName,
    names: &mut Names,
    ranges: &PerFamily<Vec<IpNet>>,
) -> Read<Service> {
    let mut report = Report::of(reference);
    let service = read(object, &mut report, name, names, ranges).ok().flatten();
    (service, report.into_findings())
}

/// Whether the ServiceCIDRs decide if the Service is good: it has a cluster IP that is good inside of them alone.
pub(crate) fn depends_on_service_cidrs(object: &ServiceObject) -> bool {
    let Some(spec) = object.spec.valid() else { return false };
    let all = spec.cluster_ips.valid().into_iter().flatten().chain([&spec.cluster_ip]);
    let addrs = all.filter_map(|field| read_ip(field.valid()?)).map(|read| read.addr);
    addrs.into_iter().any(|addr| SpecialAddress::of(addr) == Some(SpecialAddress::LinkLocal))
}

fn read(
    object: &ServiceObject,
    report: &mut Report<'_>,
    name: &ServiceName,
    names: &mut Names,
    ranges: &PerFamily<Vec<IpNet>>,
) -> Result<Option<Service>, Refused> {
    let metadata = report.metadata(&object.metadata, Unit::Service)?;
    let labels = report.read(&metadata.labels, format_args!("metadata.labels"), Unit::Service)?;
    if labels.is_some_and(|labels| !labels.proxy_name.is_absent()) {
        return Ok(None);
    }
    let spec = report.require(&object.spec, format_args!("spec"), Unit::Service)?;
    if is_headless(spec) {
        return Ok(None);
    }
    // kube-proxy looks for ExternalName only: a type that it does not know is served by the other fields.
    let type_ = report.read(&spec.type_, format_args!("spec.type"), Unit::Setting);
    let type_ = type_.ok().flatten().copied().unwrap_or(ServiceType::ClusterIp);
    if type_ == ServiceType::ExternalName {
        return Ok(None);
    }
    let cluster_ips = cluster_ips(spec, report, ranges)?;
    let mut external_ips = external_ips(spec, report);
    let mut load_balancer_ips = load_balancer_ips(&object.status, report);
    let source_ranges = settings::source_ranges(spec, &cluster_ips, report).unwrap_or_else(|Refused| {
        // Nobody knows who may connect: better closed than open, by whichever field an address is reached.
        let closed: BTreeSet<IpAddr> = load_balancer_ips.drain(..).collect();
        external_ips.retain(|addr| !closed.contains(addr));
        None
    });
    let external_policy = settings::external_policy(spec, type_, report);
    let created = metadata.creation_timestamp.valid();
    Ok(Some(Service {
        uid: metadata.uid.valid().and_then(|text| Uid::read(text)),
        created: created.map_or(Created::UNKNOWN, |text| Created::read(text)),
        cluster_ips,
        external_ips: external_ips.into(),
        load_balancer_ips: load_balancer_ips.into(),
        external_policy,
        internal_policy: settings::internal_policy(spec, report),
        affinity: settings::affinity(spec, report),
        scheduling: settings::scheduling(metadata, report),
        source_ranges,
        health_check_node_port: settings::health_check_node_port(spec, type_, external_policy, report),
        ports: ports(spec, report, name, names),
    }))
}

fn is_headless(spec: &ServiceSpec) -> bool {
    let none = |field: &Field<SmolStr>| field.valid().is_some_and(|text| text == "None");
    none(&spec.cluster_ip) || spec.cluster_ips.valid().and_then(|list| list.first()).is_some_and(none)
}

/// The cluster IP of each family; at least one.
///
/// The API server keeps `clusterIP` equal to the first of `clusterIPs`. A manifest may have only one of the two fields,
/// which then stands for both; where they differ, the list counts.
fn cluster_ips(
    spec: &ServiceSpec,
    report: &mut Report<'_>,
    ranges: &PerFamily<Vec<IpNet>>,
) -> Result<PerFamily<Option<IpAddr>>, Refused> {
    let list = report.read(&spec.cluster_ips, format_args!("spec.clusterIPs"), Unit::Service)?;
    let families = families(spec, report);
    let mut found = PerFamily::default();
    let mut given = false;
    for (i, field) in list.into_iter().flatten().enumerate() {
        let path = format_args!("spec.clusterIPs[{i}]");
        given |= cluster_ip((field, families.get(i)), path, report, ranges, &mut found);
    }
    let path = format_args!("spec.clusterIP");
    if !given && !cluster_ip((&spec.cluster_ip, families.first()), path, report, ranges, &mut found) {
        return Err(report.reject(path, String::new(), RejectionReason::NoClusterIp, Unit::Service));
    }
    if found == PerFamily::default() {
        // Each was refused in its own family, and there is no other family left.
        report.widen(Unit::ClusterIp, Unit::Service);
        return Err(Refused);
    }
    Ok(found)
}

/// The families as the object lists them, each wrong one reported.
fn families<'s>(spec: &'s ServiceSpec, report: &mut Report<'_>) -> &'s [Field<Family>] {
    let families = report.list(&spec.ip_families, format_args!("spec.ipFamilies"), Unit::Setting);
    for (i, family) in families.iter().enumerate() {
        // What is refused is in the report; the cluster IP at its place is then taken as it is.
        let _ = report.read(family, format_args!("spec.ipFamilies[{i}]"), Unit::Setting);
    }
    families
}

/// Reads one cluster IP with the family at its place; false where there is none.
fn cluster_ip(
    (field, family): (&Field<SmolStr>, Option<&Field<Family>>),
    path: Arguments<'_>,
    report: &mut Report<'_>,
    ranges: &PerFamily<Vec<IpNet>>,
    found: &mut PerFamily<Option<IpAddr>>,
) -> bool {
    let is_in_range = |addr: IpAddr| ranges.get(Family::of(addr)).iter().any(|range| range.contains(&addr));
    let addr = match report.address_of(field, path, Unit::ClusterIp, is_in_range) {
        Ok(Some(addr)) => addr,
        Ok(None) => return false,
        Err(Refused) => return true,
    };
    let actual = Family::of(addr);
    let slot = found.get_mut(actual);
    match family.and_then(Field::valid) {
        Some(&expected) if expected != actual => {
            report.reject(path, addr.to_string(), RejectionReason::WrongFamily { expected }, Unit::ClusterIp);
        }
        _ if slot.is_some() => {
            let reason = RejectionReason::SecondOfFamily { family: actual };
            report.reject(path, addr.to_string(), reason, Unit::Address);
        }
        _ => *slot = Some(addr),
    }
    true
}

fn external_ips(spec: &ServiceSpec, report: &mut Report<'_>) -> Vec<IpAddr> {
    let list = report.list(&spec.external_ips, format_args!("spec.externalIPs"), Unit::ExternalIps);
    let read = |(i, field)| report.address(field, format_args!("spec.externalIPs[{i}]"), Unit::Address).ok().flatten();
    list.iter().enumerate().filter_map(read).collect()
}

/// The load balancer's addresses that are captured on the node.
fn load_balancer_ips(status: &Field<ServiceStatus>, report: &mut Report<'_>) -> Vec<IpAddr> {
    let unit = Unit::LoadBalancer;
    let Ok(Some(status)) = report.read(status, format_args!("status"), unit) else { return Vec::new() };
    let balancer = report.read(&status.load_balancer, format_args!("status.loadBalancer"), unit);
    let Ok(Some(balancer)) = balancer else { return Vec::new() };
    let list = report.list(&balancer.ingress, format_args!("status.loadBalancer.ingress"), unit);
    let mut read = |i: usize, field: &Field<Ingress>| {
        let path = format_args!("status.loadBalancer.ingress[{i}]");
        let ingress = report.read(field, path, Unit::Address).ok()??;
        let mode = report.read(&ingress.ip_mode, format_args!("{path}.ipMode"), Unit::Address).ok()?;
        // KEP-1860: with `Proxy`, and with modes of the future, traffic leaves for the load balancer itself.
        if mode.is_some_and(|mode| !matches!(&**mode, "" | "VIP")) {
            return None;
        }
        report.address(&ingress.ip, format_args!("{path}.ip"), Unit::Address).ok()?
    };
    list.iter().enumerate().filter_map(|(i, field)| read(i, field)).collect()
}

fn ports(spec: &ServiceSpec, report: &mut Report<'_>, service: &ServiceName, names: &mut Names) -> Box<[ServicePort]> {
    let list = report.list(&spec.ports, format_args!("spec.ports"), Unit::Service);
    let mut earlier = Earlier::default();
    let mut all = Vec::with_capacity(list.len());
    for (i, field) in list.iter().enumerate() {
        let Ok(port) = port(field, i, &earlier, report, service, names) else { continue };
        // Nobody comes after the last one: a single port, the usual case, needs no sets.
        if i + 1 < list.len() {
            earlier.names.insert(port.id.port.clone());
            earlier.numbers.insert((port.id.protocol, port.number));
        }
        all.push(port);
    }
    all.sort_unstable_by(|a, b| a.id.port.cmp(&b.id.port));
    all.into_boxed_slice()
}

/// What the ports that were accepted already have. Sets, since nothing bounds the number of a Service's ports.
#[derive(Default)]
struct Earlier {
    names: BTreeSet<Arc<str>>,
    numbers: BTreeSet<(Protocol, u16)>,
}

fn port(
    field: &Field<PortObject>,
    i: usize,
    earlier: &Earlier,
    report: &mut Report<'_>,
    service: &ServiceName,
    names: &mut Names,
) -> Result<ServicePort, Refused> {
    let path = format_args!("spec.ports[{i}]");
    let object = report.require(field, path, Unit::Port)?;
    let name = names.share(report.port_name(&object.name, format_args!("{path}.name"), Unit::Port)?);
    let protocol = report.read(&object.protocol, format_args!("{path}.protocol"), Unit::Port)?;
    let protocol = protocol.copied().unwrap_or(Protocol::Tcp);
    let Some(number) = report.port(&object.port, format_args!("{path}.port"), Unit::Port)? else {
        let path = format_args!("{path}.port");
        return Err(report.reject(path, String::new(), RejectionReason::Missing, Unit::Port));
    };
    if earlier.names.contains(&name) {
        let shown = if name.is_empty() { "(no name)".to_owned() } else { excerpt(&name) };
        return Err(report.reject(format_args!("{path}.name"), shown, RejectionReason::SameName, Unit::Port));
    }
    if earlier.numbers.contains(&(protocol, number)) {
        let path = format_args!("{path}.port");
        return Err(report.reject(path, number.to_string(), RejectionReason::SamePort, Unit::Port));
    }
    // A bad NodePort takes nothing from the cluster IP.
    let node_port = report.read(&object.node_port, format_args!("{path}.nodePort"), Unit::NodePort);
    let node_port = node_port.ok().flatten().map(|port| port.0).filter(|port| *port != 0);
    let id = ServicePortName { service: service.clone(), port: name, protocol };
    Ok(ServicePort { id: id.into(), number, node_port })
}
