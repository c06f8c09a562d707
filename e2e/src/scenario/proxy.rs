//! The options of the service proxy in a scenario, in kube-proxy's words: `proxy` of flows.yaml. Portolan and kube-proxy
//! take the same flags.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use serde::Deserialize;

use crate::cast;

/// `proxy` of flows.yaml.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ProxyOptions {
    /// How the proxy knows that a connection comes from a pod of its node.
    pub detect_local_mode: Option<DetectLocalMode>,
    /// The pods' addresses; no flag when it is empty. Those of the lab's pods when it is not given.
    pub cluster_cidr: String,
    /// For [`DetectLocalMode::BridgeInterface`]: the lab's pods then hang on a bridge of this name.
    pub pod_bridge_interface: Option<String>,
    /// For [`DetectLocalMode::InterfaceNamePrefix`]: a node's link to a pod has the pod's name, so `pod-` is all of them.
    pub pod_interface_name_prefix: Option<String>,
    /// Whether every connection to a cluster IP is masqueraded.
    pub masquerade_all: bool,
    /// The bit of the packet mark that stands for "masquerade".
    pub masquerade_bit: Option<u8>,
    /// CIDRs and the keywords `primary`, `localhost` and `all`; `primary` when it is empty.
    pub nodeport_addresses: Vec<String>,
}

/// The values of `--detect-local-mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum DetectLocalMode {
    /// By the source address.
    #[serde(rename = "ClusterCIDR")]
    ClusterCidr,
    /// By the source address: the node's own share of the pods' addresses, from its Node object.
    #[serde(rename = "NodeCIDR")]
    NodeCidr,
    /// By the interface: a bridge.
    BridgeInterface,
    /// By the beginning of the interface's name.
    InterfaceNamePrefix,
}

impl Default for ProxyOptions {
    fn default() -> Self {
        Self {
            detect_local_mode: None,
            cluster_cidr: cast::CLUSTER_CIDR.to_owned(),
            pod_bridge_interface: None,
            pod_interface_name_prefix: None,
            masquerade_all: false,
            masquerade_bit: None,
            nodeport_addresses: Vec::new(),
        }
    }
}

impl ProxyOptions {
    /// Whether NodePorts are at loopback addresses, which takes a process that listens.
    #[must_use]
    pub fn listens_at_loopback(&self) -> bool {
        let explicit = |cidr: IpNet| {
            let loopback: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
            cidr.prefix_len() > 0 && loopback.iter().any(|address| cidr.contains(address))
        };
        self.nodeport_addresses.iter().any(|entry| entry == "localhost" || entry.parse().is_ok_and(explicit))
    }

    /// Where NodePorts are: at the primary addresses, if nothing is given. The default of each mode is another.
    #[must_use]
    pub fn nodeport_addresses(&self) -> Vec<String> {
        if self.nodeport_addresses.is_empty() { vec!["primary".to_owned()] } else { self.nodeport_addresses.clone() }
    }

    /// As flags. What is not given has none, but for `--nodeport-addresses`.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let bit = self.masquerade_bit.map(|bit| bit.to_string());
        let valued = [
            ("detect-local-mode", self.detect_local_mode.map(DetectLocalMode::word)),
            ("cluster-cidr", Some(self.cluster_cidr.as_str()).filter(|cidr| !cidr.is_empty())),
            ("pod-bridge-interface", self.pod_bridge_interface.as_deref()),
            ("pod-interface-name-prefix", self.pod_interface_name_prefix.as_deref()),
            ("iptables-masquerade-bit", bit.as_deref()),
        ];
        let mut arguments: Vec<_> =
            valued.iter().filter_map(|(flag, value)| value.map(|value| format!("--{flag}={value}"))).collect();
        arguments.extend(self.masquerade_all.then(|| "--masquerade-all".to_owned()));
        arguments.push(format!("--nodeport-addresses={}", self.nodeport_addresses().join(",")));
        arguments
    }
}

impl DetectLocalMode {
    /// The word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::ClusterCidr => "ClusterCIDR",
            Self::NodeCidr => "NodeCIDR",
            Self::BridgeInterface => "BridgeInterface",
            Self::InterfaceNamePrefix => "InterfaceNamePrefix",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_is_kube_proxys_flag() {
        let arguments = |yaml: &str| serde_saphyr::from_str::<ProxyOptions>(yaml).unwrap().arguments();
        let primary = "--nodeport-addresses=primary".to_owned();
        assert_eq!(arguments("{}"), [format!("--cluster-cidr={}", cast::CLUSTER_CIDR), primary.clone()]);
        assert_eq!(arguments("{cluster-cidr: ''}"), [primary]);
        let all = "{detect-local-mode: BridgeInterface, cluster-cidr: 10.0.0.0/8, pod-bridge-interface: cni0, \
                   pod-interface-name-prefix: pod-, masquerade-all: true, masquerade-bit: 15, nodeport-addresses: \
                   [192.168.0.0/16, 'fd00::/16']}";
        assert_eq!(
            arguments(all),
            [
                "--detect-local-mode=BridgeInterface",
                "--cluster-cidr=10.0.0.0/8",
                "--pod-bridge-interface=cni0",
                "--pod-interface-name-prefix=pod-",
                "--iptables-masquerade-bit=15",
                "--masquerade-all",
                "--nodeport-addresses=192.168.0.0/16,fd00::/16",
            ]
        );
        assert!(serde_saphyr::from_str::<ProxyOptions>("{detect-local-mode: clustercidr}").is_err());
    }

    #[test]
    fn loopback_addresses_have_node_ports_where_they_are_asked_for() {
        for (list, listens) in [
            ("[primary]", false),
            ("[all]", false),
            ("[0.0.0.0/0, '::/0']", false),
            ("[127.0.2.0/24]", false),
            ("[primary, localhost]", true),
            ("[64.0.0.0/2]", true),
            ("['::1/128']", true),
        ] {
            let options: ProxyOptions = serde_saphyr::from_str(&format!("{{nodeport-addresses: {list}}}")).unwrap();
            assert_eq!(options.listens_at_loopback(), listens, "{list}");
        }
    }
}
