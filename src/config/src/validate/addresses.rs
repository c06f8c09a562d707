//! Rules about addresses: where is listened, and whom detectors and NodePorts know.

use std::net::SocketAddr;

use portolan_core::{addr::read_ip, desired::InterfaceName};

use super::Rules;
use crate::{
    configuration::Configuration,
    detect::DetectLocalMode,
    nearest::did_you_mean,
    value::{ClusterCidr, Hostname, NodePortList},
};

pub(super) fn check(of: &Configuration, rules: &mut Rules<'_>) {
    let name = &of.hostname_override;
    if let (false, Err(error)) = (name.is_empty(), name.parse::<Hostname>()) {
        rules.broken("hostnameOverride", name, error.rule, error.rule.advice());
    }
    let bind = &of.bind_address;
    let advice = "leave it out for the Node object's address";
    rules.hold(read_ip(bind).is_some(), "bindAddress", bind, "is not an IP address", advice);
    // Empty is how flags switch it off.
    if !of.healthz_bind_address.is_empty() {
        listen("healthzBindAddress", &of.healthz_bind_address, "leave it out for 0.0.0.0:10256", rules);
    }
    listen("metricsBindAddress", &of.metrics_bind_address, "leave it out for 127.0.0.1:10249", rules);
    node_ports(of, rules);
    detector(of, rules);
}

/// An address with a port that is not 0.
pub(crate) fn socket_address(text: &str) -> Option<SocketAddr> {
    let (host, port) = text.rsplit_once(':')?;
    let host = match host.strip_prefix('[') {
        Some(host) => host.strip_suffix(']')?,
        None => Some(host).filter(|host| !host.contains(':'))?,
    };
    let port = port.parse().ok().filter(|port| *port != 0)?;
    Some(SocketAddr::new(read_ip(host)?.addr, port))
}

fn listen(path: &str, text: &str, advice: &str, rules: &mut Rules<'_>) {
    let rule = "is not an IP address and a port from 1 to 65535, such as 10.0.0.1:10256 or [fd00::1]:10256";
    rules.hold(socket_address(text).is_some(), path, text, rule, advice);
}

fn node_ports(of: &Configuration, rules: &mut Rules<'_>) {
    let entries = of.node_port_addresses.as_deref().unwrap_or_default();
    if entries.is_empty() {
        return;
    }
    for (index, error) in NodePortList::of(entries).err().into_iter().flatten() {
        rules.broken(&format!("nodePortAddresses[{index}]"), &error.entry, error.rule, error.rule.advice());
    }
}

fn detector(of: &Configuration, rules: &mut Rules<'_>) {
    let mode = &of.detect_local_mode;
    let Some(known) = DetectLocalMode::of(mode) else {
        let names = DetectLocalMode::ALL.map(DetectLocalMode::name);
        let rule = format!("is not {} or blank", names.join(", "));
        let advice = did_you_mean(mode, names, "leave it out for ClusterCIDR");
        return rules.broken("detectLocalMode", mode, rule, &advice);
    };
    let mut interface = |path, name: &String| {
        if name.is_empty() {
            let rule = format!("is empty, and the detector {known} needs it");
            return rules.broken(path, name, rule, "give the interface, or use another detector");
        }
        let rule = "is not the name of a network interface (1 to 15 printable characters without blank, `/`, `\"`, `*` \
                    and `\\`)";
        rules.hold(name.parse::<InterfaceName>().is_ok(), path, name, rule, "correct it");
    };
    match known {
        DetectLocalMode::ClusterCidr if !of.cluster_cidr.is_empty() => {
            if let Err(error) = of.cluster_cidr.parse::<ClusterCidr>() {
                rules.broken("clusterCIDR", &error.entry, error.rule, error.rule.advice());
            }
        }
        DetectLocalMode::ClusterCidr | DetectLocalMode::NodeCidr => {}
        DetectLocalMode::BridgeInterface => {
            interface("detectLocal.bridgeInterface", &of.detect_local.bridge_interface);
        }
        DetectLocalMode::InterfaceNamePrefix => {
            interface("detectLocal.interfaceNamePrefix", &of.detect_local.interface_name_prefix);
        }
    }
}
