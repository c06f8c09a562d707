//! Nodes: the addresses that NodePorts can be reached at.

use super::{
    Read,
    finding::{Refused, Report},
    raw::NodeObject,
    reference::ObjectRef,
    rejection::Unit,
};
use crate::model::{Node, NodeAddress, NodeAddressKind};

/// Reads a Node. `None` for one that is refused.
pub(crate) fn read_node(object: &NodeObject, reference: &ObjectRef) -> Read<Node> {
    let mut report = Report::of(reference);
    let node = read(object, &mut report).ok();
    (node, report.into_findings())
}

fn read(object: &NodeObject, report: &mut Report<'_>) -> Result<Node, Refused> {
    report.metadata(&object.metadata, Unit::Node)?;
    let Some(status) = report.read(&object.status, format_args!("status"), Unit::Node)? else {
        return Ok(Node::default());
    };
    let mut addresses = Vec::new();
    for (i, field) in report.list(&status.addresses, format_args!("status.addresses"), Unit::Node).iter().enumerate() {
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
    Ok(Node { addresses })
}
