//! What a Service says about its connections beyond addresses and ports: where they may go, who may connect, who stays
//! with an endpoint. Where a field is absent the API's default stands, so that a manifest means what the API server
//! would make of it.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{
    finding::{Refused, Report},
    raw::{AffinitySeconds, Metadata, ServiceLabels, ServiceSpec, ServiceType, SessionAffinity},
    rejection::{RejectionReason, Unit},
    warning::WarningReason,
};
use crate::{
    addr::{Family, PerFamily},
    desired::Scheduling,
    model::TrafficPolicy,
    text::excerpt,
};

/// As [`crate::model::Service`] has them.
type SourceRanges = Option<Box<PerFamily<Box<[IpNet]>>>>;

/// The API's default of `timeoutSeconds` (`DefaultClientIPServiceAffinitySeconds`): three hours.
const AFFINITY_SECONDS: AffinitySeconds = AffinitySeconds(10800);

/// Local counts only where kube-proxy's `ExternallyAccessible` says so, which looks at the type and, for ClusterIP, at
/// whether any external IP is listed.
pub(super) fn external_policy(spec: &ServiceSpec, type_: ServiceType, report: &mut Report<'_>) -> TrafficPolicy {
    let path = format_args!("spec.externalTrafficPolicy");
    let policy = report.read(&spec.external_traffic_policy, path, Unit::Setting).ok().flatten().copied();
    let accessible = match type_ {
        ServiceType::NodePort | ServiceType::LoadBalancer => true,
        ServiceType::ClusterIp => spec.external_ips.valid().is_some_and(|list| !list.is_empty()),
        ServiceType::ExternalName => false,
    };
    if policy == Some(TrafficPolicy::Local) && !accessible {
        report.warn(path, "Local".to_owned(), WarningReason::NotExternallyAccessible);
        return TrafficPolicy::Cluster;
    }
    policy.unwrap_or_default()
}

pub(super) fn internal_policy(spec: &ServiceSpec, report: &mut Report<'_>) -> TrafficPolicy {
    let path = format_args!("spec.internalTrafficPolicy");
    report.read(&spec.internal_traffic_policy, path, Unit::Setting).ok().flatten().copied().unwrap_or_default()
}

/// The seconds that a client stays with its endpoint. An impossible number is the default: it says that there is
/// affinity, and only not for how long.
pub(super) fn affinity(spec: &ServiceSpec, report: &mut Report<'_>) -> Option<u32> {
    let affinity = report.read(&spec.session_affinity, format_args!("spec.sessionAffinity"), Unit::Setting);
    if affinity.ok()? != Some(&SessionAffinity::ClientIp) {
        return None;
    }
    let mut seconds = || -> Result<_, Refused> {
        let path = format_args!("spec.sessionAffinityConfig");
        let Some(config) = report.read(&spec.session_affinity_config, path, Unit::Setting)? else { return Ok(None) };
        let client_ip = report.read(&config.client_ip, format_args!("{path}.clientIP"), Unit::Setting)?;
        let Some(client_ip) = client_ip else { return Ok(None) };
        report.read(&client_ip.timeout_seconds, format_args!("{path}.clientIP.timeoutSeconds"), Unit::Setting)
    };
    Some(seconds().ok().flatten().unwrap_or(&AFFINITY_SECONDS).0)
}

/// The scheduler of the Service's virtual servers. In every mode, since the nodes of a cluster need not have the same.
pub(super) fn scheduling(metadata: &Metadata<ServiceLabels>, report: &mut Report<'_>) -> Option<Scheduling> {
    let path = format_args!("metadata.annotations");
    let annotations = report.read(&metadata.annotations, path, Unit::Setting).ok()??;
    let path = format_args!("{path}[portolan.dev/ipvs-scheduler]");
    let text = report.read(&annotations.ipvs_scheduler, path, Unit::Setting).ok()??;
    if text.is_empty() {
        return None;
    }
    let scheduling = text.parse::<Scheduling>();
    scheduling.map_err(|bad| report.reject(path, excerpt(text), bad.into(), Unit::Setting)).ok()
}

/// Who may connect to the load-balancer addresses. As in kube-proxy a bad range is left out, and a family without
/// ranges lets everybody in; the findings say where the one has led to the other.
pub(super) fn source_ranges(
    spec: &ServiceSpec,
    cluster_ips: &PerFamily<Option<IpAddr>>,
    report: &mut Report<'_>,
) -> Result<SourceRanges, Refused> {
    let path = format_args!("spec.loadBalancerSourceRanges");
    let Some(list) = report.read(&spec.load_balancer_source_ranges, path, Unit::LoadBalancer)? else { return Ok(None) };
    let mut all = PerFamily::<Vec<IpNet>>::default();
    for (i, field) in list.iter().enumerate() {
        let path = format_args!("{path}[{i}]");
        match report.cidr(field, path, Unit::SourceRange) {
            Ok(Some(range)) => all.get_mut(Family::of(range.addr())).push(range),
            Ok(None) => drop(report.reject(path, String::new(), RejectionReason::NotACidr, Unit::SourceRange)),
            Err(Refused) => {}
        }
    }
    let open = |family: &Family| cluster_ips.get(*family).is_some() && all.get(*family).is_empty();
    if Family::ALL.iter().any(open) {
        report.widen(Unit::SourceRange, Unit::SourceRanges);
    }
    let ranges = PerFamily { v4: merged(&all.v4), v6: merged(&all.v6) };
    Ok((!ranges.v4.is_empty() || !ranges.v6.is_empty()).then(|| Box::new(ranges)))
}

/// Sorted, and no two overlap; empty where they let everybody in.
fn merged(ranges: &Vec<IpNet>) -> Box<[IpNet]> {
    let merged = IpNet::aggregate(ranges);
    if merged.iter().any(|range| range.prefix_len() == 0) { Box::default() } else { merged.into() }
}

/// Where a load balancer asks for local endpoints: only where it needs to, as in kube-proxy's `NeedsHealthCheck`.
pub(super) fn health_check_node_port(
    spec: &ServiceSpec,
    type_: ServiceType,
    policy: TrafficPolicy,
    report: &mut Report<'_>,
) -> Option<u16> {
    let path = format_args!("spec.healthCheckNodePort");
    let port = report.read(&spec.health_check_node_port, path, Unit::Setting).ok()?;
    if type_ != ServiceType::LoadBalancer || policy != TrafficPolicy::Local {
        return None;
    }
    let port = port.map(|port| port.0).filter(|port| *port != 0);
    if port.is_none() {
        report.warn(path, String::new(), WarningReason::NoHealthCheckNodePort);
    }
    port
}
