//! Nodes: the addresses that NodePorts can be reached at, the zone, the addresses of pods, whether it is going away.

use std::sync::Arc;

use ipnet::IpNet;

use super::{
    Read,
    finding::{Refused, Report},
    raw::{Metadata, NodeLabels, NodeObject},
    reference::ObjectRef,
    rejection::Unit,
};
use crate::{
    addr::{Family, PerFamily},
    model::{Node, NodeAddress, NodeAddressKind},
};

/// Reads a Node. `None` for one that is refused.
pub(crate) fn read_node(object: &NodeObject, reference: &ObjectRef) -> Read<Node> {
    let mut report = Report::of(reference);
    let node = read(object, &mut report).ok();
    (node, report.into_findings())
}

fn read(object: &NodeObject, report: &mut Report<'_>) -> Result<Node, Refused> {
    let metadata = report.metadata(&object.metadata, Unit::Node)?;
    let zone = zone(metadata, report).ok().flatten();
    let pod_cidrs = pod_cidrs(object, report).unwrap_or_default();
    let addresses = addresses(object, report).unwrap_or_default();
    let leaving = !metadata.deletion_timestamp.is_absent() || has_autoscaler_taint(object, report);
    Ok(Node { addresses, zone, pod_cidrs, leaving })
}

/// Whether the cluster autoscaler has decided to remove the machine; the taint's effect does not matter.
fn has_autoscaler_taint(object: &NodeObject, report: &mut Report<'_>) -> bool {
    // What is wrong with the spec as a whole is in the report already.
    let Some(spec) = object.spec.valid() else { return false };
    let mut found = false;
    for (i, field) in report.list(&spec.taints, format_args!("spec.taints"), Unit::Taints).iter().enumerate() {
        let path = format_args!("spec.taints[{i}]");
        let Ok(Some(taint)) = report.read(field, path, Unit::Taint) else { continue };
        let Ok(key) = report.read(&taint.key, format_args!("{path}.key"), Unit::Taint) else { continue };
        found |= key.is_some_and(|key| &**key == "ToBeDeletedByClusterAutoscaler");
    }
    found
}

fn zone(metadata: &Metadata<NodeLabels>, report: &mut Report<'_>) -> Result<Option<Arc<str>>, Refused> {
    let Some(labels) = report.read(&metadata.labels, format_args!("metadata.labels"), Unit::Zone)? else {
        return Ok(None);
    };
    let path = format_args!("metadata.labels[topology.kubernetes.io/zone]");
    match report.read(&labels.zone, path, Unit::Zone)? {
        Some(zone) if !zone.is_empty() => report.label_value(zone, path, Unit::Zone).map(|()| Some((**zone).into())),
        Some(_) | None => Ok(None),
    }
}

/// The first of each family. The API server keeps `podCIDR` equal to the first of `podCIDRs`; a manifest may have only
/// one of the two fields, which then stands for both.
fn pod_cidrs(object: &NodeObject, report: &mut Report<'_>) -> Result<PerFamily<Option<IpNet>>, Refused> {
    let Some(spec) = report.read(&object.spec, format_args!("spec"), Unit::PodCidrs)? else {
        return Ok(PerFamily::default());
    };
    let mut all = report.cidrs(&spec.pod_cidrs, format_args!("spec.podCIDRs"), Unit::PodCidrs);
    if spec.pod_cidrs.is_absent() {
        all.extend(report.part(&spec.pod_cidr, format_args!("spec.podCIDR"), Unit::PodCidrs)?);
    }
    let first = |family| all.iter().find(|cidr| Family::of(cidr.addr()) == family).copied();
    Ok(PerFamily { v4: first(Family::V4), v6: first(Family::V6) })
}

fn addresses(object: &NodeObject, report: &mut Report<'_>) -> Result<Vec<NodeAddress>, Refused> {
    let mut addresses = Vec::new();
    let Some(status) = report.read(&object.status, format_args!("status"), Unit::NodeAddresses)? else {
        return Ok(addresses);
    };
    for (i, field) in
        report.list(&status.addresses, format_args!("status.addresses"), Unit::NodeAddresses).iter().enumerate()
    {
        let path = format_args!("status.addresses[{i}]");
        let Ok(Some(object)) = report.read(field, path, Unit::Address) else { continue };
        let Ok(kind) = report.read(&object.type_, format_args!("{path}.type"), Unit::Address) else { continue };
        let kind = match kind.map(AsRef::as_ref) {
            Some("InternalIP") => NodeAddressKind::Internal,
            Some("ExternalIP") => NodeAddressKind::External,
            // Host names, and types of the future.
            Some(_) | None => continue,
        };
        if let Ok(Some(addr)) = report.address(&object.address, format_args!("{path}.address"), Unit::Address) {
            addresses.push(NodeAddress { kind, addr });
        }
    }
    Ok(addresses)
}
