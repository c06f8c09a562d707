//! Which ServicePorts a family knows, and which of them a packet belongs to.

use std::net::IpAddr;

use crate::addresses::{link_local, parse_ip, refused};
use crate::endpoints::{endpoints, has_endpoints};
use crate::node::has_node_ports;
use crate::objects::{Family, Ingress, Policy, Port, Service, ServiceType};
use crate::world::{Packet, World};

/// A port of a Service in one family: the unit of balancing.
#[derive(Clone, Copy)]
pub(crate) struct ServicePort<'a> {
    pub(crate) service: &'a Service,
    pub(crate) port: &'a Port,
    pub(crate) family: Family,
    pub(crate) cluster_ip: IpAddr,
}

/// By what right a ServicePort claims a packet. S11.1: the smaller one wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Frontend {
    ClusterIp,
    ExternalOrLoadBalancerIp,
    NodePort,
}

/// S1.1, S2.1: the ServicePorts of a family, one for each of `spec.ports` of each Service that is ours.
pub(crate) fn service_ports(world: &World, family: Family) -> Vec<ServicePort<'_>> {
    let mut found = Vec::new();
    for service in &world.services {
        if is_ours(service)
            && let Some(cluster_ip) = cluster_ip(world, service, family)
        {
            found.extend(service.ports.iter().map(|port| ServicePort { service, port, family, cluster_ip }));
        }
    }
    found
}

/// S1.1 `ExternalName`, S1.2 label `service-proxy-name`.
fn is_ours(service: &Service) -> bool {
    service.service_type != ServiceType::ExternalName
        && !service.labels.contains_key("service.kubernetes.io/service-proxy-name")
}

/// S1.3 `spec.clusterIPs` + `spec.ipFamilies`: the IP at this family's place; without `ipFamilies` the first. What is no IP,
/// as `None` and nothing, makes the whole Service unknown, and so does one that is refused (S13.3), but for a link-local one
/// inside a ServiceCIDR (S13.8).
fn cluster_ip(world: &World, service: &Service, family: Family) -> Option<IpAddr> {
    let in_range =
        |ip: &IpAddr| world.service_cidrs.iter().flat_map(|object| &object.cidrs).any(|cidr| cidr.contains(ip));
    let is_good = |ip: &IpAddr| !refused(*ip) || link_local(*ip) && in_range(ip);
    let index = match service.ip_families.is_empty() {
        true => 0,
        false => service.ip_families.iter().position(|of| *of == family)?,
    };
    parse_ip(service.cluster_ips.get(index)?).filter(|ip| Family::of(*ip) == family && is_good(ip))
}

/// S2.3, S2.8 `externalIPs`: those of this family that can be read.
fn external_ips(port: &ServicePort<'_>) -> Vec<IpAddr> {
    port.service.external_ips.iter().filter_map(|ip| parse_ip(ip)).filter(|ip| Family::of(*ip) == port.family).collect()
}

/// S2.4, S2.5 `status.loadBalancer.ingress[].ip`: those of this family whose `ipMode` is unset or `VIP`.
pub(crate) fn load_balancer_ips(port: &ServicePort<'_>) -> Vec<IpAddr> {
    let is_vip = |ingress: &&Ingress| matches!(ingress.ip_mode.as_deref(), None | Some("VIP"));
    let ips = port.service.ingress.iter().filter(is_vip).filter_map(|ingress| parse_ip(ingress.ip.as_ref()?));
    ips.filter(|ip| Family::of(*ip) == port.family).filter(|ip| !refused(*ip)).collect()
}

/// S2.2 to S2.4, S10.1: the right by which this ServicePort claims the packet, the strongest if there are several.
fn claim(world: &World, port: &ServicePort<'_>, packet: &Packet) -> Option<Frontend> {
    let destination = packet.destination;
    if packet.protocol != port.port.protocol {
        return None;
    }
    if packet.port == port.port.port {
        if destination == port.cluster_ip {
            return Some(Frontend::ClusterIp);
        }
        if refused(destination) {
            // Neither of the others.
        } else if external_ips(port).contains(&destination) || load_balancer_ips(port).contains(&destination) {
            return Some(Frontend::ExternalOrLoadBalancerIp);
        }
    }
    let is_node_port = port.port.node_port != 0 && packet.port == port.port.node_port;
    (is_node_port && has_node_ports(world, destination)).then_some(Frontend::NodePort)
}

/// S11.1 to S11.3: the frontend decides, then whether there are usable endpoints, then
/// the older `creationTimestamp`, then namespace/name.
pub(crate) fn winner<'a>(world: &'a World, packet: &Packet) -> Option<(Frontend, ServicePort<'a>)> {
    let ports = service_ports(world, Family::of(packet.destination));
    let claims = ports.into_iter().filter_map(|port| Some((claim(world, &port, packet)?, port)));
    claims.min_by_key(|(frontend, port)| {
        let usable = has_endpoints(&endpoints(world, port));
        let Service { created, namespace, name, .. } = port.service;
        (*frontend, !usable, created, namespace, name)
    })
}

/// S7.3 a live cluster IP: one that belongs to a ServicePort of ours, with or without endpoints.
pub(crate) fn is_live_cluster_ip(world: &World, address: IpAddr) -> bool {
    service_ports(world, Family::of(address)).iter().any(|port| port.cluster_ip == address)
}

/// S5.8 `externalTrafficPolicy: Local`: it counts only if the Service is externally accessible.
pub(crate) fn is_external_policy_local(service: &Service) -> bool {
    let accessible = match service.service_type {
        ServiceType::LoadBalancer | ServiceType::NodePort => true,
        ServiceType::ClusterIp => !service.external_ips.is_empty(),
        ServiceType::ExternalName => false,
    };
    accessible && service.external_traffic_policy == Some(Policy::Local)
}
