//! ServiceCIDRs: the ranges that cluster IPs are taken from.

use ipnet::IpNet;

use super::{
    Read,
    finding::{Refused, Report},
    raw::ServiceCidrObject,
    reference::ObjectRef,
    rejection::Unit,
};

/// Reads a ServiceCIDR. `None` for one that is refused. Its conditions are not looked at, as in kube-proxy.
pub(crate) fn read_service_cidr(object: &ServiceCidrObject, reference: &ObjectRef) -> Read<Box<[IpNet]>> {
    let mut report = Report::of(reference);
    let cidrs = read(object, &mut report).ok();
    (cidrs, report.into_findings())
}

fn read(object: &ServiceCidrObject, report: &mut Report<'_>) -> Result<Box<[IpNet]>, Refused> {
    report.metadata(&object.metadata, Unit::ServiceCidr)?;
    let spec = report.require(&object.spec, format_args!("spec"), Unit::ServiceCidr)?;
    let cidrs = report.cidrs(&spec.cidrs, format_args!("spec.cidrs"), Unit::ServiceCidr);
    Ok(cidrs.into())
}
