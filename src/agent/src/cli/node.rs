//! What is known about the node besides the Node object: the same options for every command that needs them, with the
//! names and meanings that they have in kube-proxy. Go's spellings (`--flag=true`, empty values) are not understood yet.

use clap::{Args, ValueEnum};
use portolan_core::{
    desired::InterfaceName,
    model::{DetectLocal, NodeConfig, NodePortAddresses},
};

use super::values::{ClusterCidr, Hostname, MasqueradeBit, NodePortList, ValueError};

/// What is known about the node besides the Node object among the manifests.
#[derive(Debug, Args)]
pub struct NodeOptions {
    /// The name of this node's Node object, in place of the host's name; made lower-case
    #[arg(long, value_name = "NAME")]
    pub hostname_override: Option<Hostname>,
    /// How connections of this node's pods are told from others
    ///
    /// Others are masqueraded when they connect to a cluster IP. Pods are not, and they reach all endpoints of a Service
    /// with externalTrafficPolicy Local by any of its addresses.
    #[arg(long, value_name = "MODE", default_value = "ClusterCIDR")]
    pub detect_local_mode: DetectLocalMode,
    /// ClusterCIDR: the addresses of pods, one CIDR for each IP family
    ///
    /// Without it nobody counts as a pod, and no connection to a cluster IP is masqueraded but those of a pod to itself.
    #[arg(long, value_name = "CIDR[,CIDR]")]
    pub cluster_cidr: Option<ClusterCidr>,
    /// BridgeInterface: the bridge of the pods; their connections come in by it
    #[arg(long, value_name = "NAME")]
    pub pod_bridge_interface: Option<InterfaceName>,
    /// InterfaceNamePrefix: how the names of the pods' interfaces begin
    #[arg(long, value_name = "PREFIX")]
    pub pod_interface_name_prefix: Option<InterfaceName>,
    /// Masquerade every connection to a cluster IP, those of pods too
    #[arg(long)]
    pub masquerade_all: bool,
    /// Which bit of the packet mark says "masquerade": 0 to 31
    #[arg(long, value_name = "BIT", default_value = "14")]
    pub iptables_masquerade_bit: MasqueradeBit,
    /// Count new connections for each frontend, for `portolan list --counters`
    ///
    /// It costs a new connection up to 2.4 %. Refused packets are always counted, which costs the others nothing.
    #[arg(long)]
    pub count_connections: bool,
    /// Which of the node's addresses have NodePorts: `primary`, or those inside one of these CIDRs
    ///
    /// `primary` is one address of each IP family, from the Node object: the first internal one, else the first external
    /// one. With CIDRs they are the addresses that the node has at each moment, loopback excepted; a family that no CIDR
    /// of the list is of has NodePorts on all its addresses.
    #[arg(long, value_name = "primary|CIDR[,CIDR...]", default_value = "primary")]
    pub nodeport_addresses: NodePortList,
}

/// How connections of this node's pods are told from others, by kube-proxy's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DetectLocalMode {
    /// By their source address, which is inside --cluster-cidr
    #[value(name = "ClusterCIDR")]
    ClusterCidr,
    /// By their source address, which is inside the Node's spec.podCIDRs
    #[value(name = "NodeCIDR")]
    NodeCidr,
    /// By the interface that they come in by: --pod-bridge-interface
    #[value(name = "BridgeInterface")]
    BridgeInterface,
    /// By the beginning of its name: --pod-interface-name-prefix
    #[value(name = "InterfaceNamePrefix")]
    InterfaceNamePrefix,
}

impl NodeOptions {
    /// The facts that the model wants, with the host's own name where none is given.
    ///
    /// # Errors
    /// When no name is given and the host's cannot be used, and when a mode lacks the option that it needs.
    pub fn node_config(&self) -> Result<NodeConfig, ValueError> {
        let hostname = match &self.hostname_override {
            Some(name) => name.clone(),
            None => Hostname::of_host()?,
        };
        Ok(NodeConfig {
            hostname: hostname.0,
            detect_local: self.detect_local()?,
            masquerade_all: self.masquerade_all,
            masquerade_mark: self.iptables_masquerade_bit.mark(),
            count_connections: self.count_connections,
            nodeport_addresses: NodePortAddresses::clone(&self.nodeport_addresses.0),
        })
    }

    fn detect_local(&self) -> Result<DetectLocal, ValueError> {
        let needs = |mode, option| move || ValueError::DetectorNeeds { mode, option };
        Ok(match self.detect_local_mode {
            DetectLocalMode::ClusterCidr => {
                DetectLocal::ClusterCidr(self.cluster_cidr.map(|cidrs| cidrs.0).unwrap_or_default())
            }
            DetectLocalMode::NodeCidr => DetectLocal::NodeCidr,
            DetectLocalMode::BridgeInterface => DetectLocal::BridgeInterface(
                self.pod_bridge_interface.clone().ok_or_else(needs("BridgeInterface", "--pod-bridge-interface"))?,
            ),
            DetectLocalMode::InterfaceNamePrefix => DetectLocal::InterfaceNamePrefix(
                self.pod_interface_name_prefix
                    .clone()
                    .ok_or_else(needs("InterfaceNamePrefix", "--pod-interface-name-prefix"))?,
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        node: NodeOptions,
    }

    fn config(arguments: &str) -> Result<NodeConfig, String> {
        let line = ["portolan", "--hostname-override", "node-a"].into_iter().chain(arguments.split_whitespace());
        Command::try_parse_from(line).unwrap().node.node_config().map_err(|error| error.to_string())
    }

    #[test]
    fn each_detector_takes_its_own_option() {
        let name = |name: &str| name.parse().unwrap();
        for (arguments, expected) in [
            ("", DetectLocal::ClusterCidr(Default::default())),
            ("--detect-local-mode NodeCIDR --cluster-cidr 10.0.0.0/8", DetectLocal::NodeCidr),
            (
                "--detect-local-mode BridgeInterface --pod-bridge-interface cni0",
                DetectLocal::BridgeInterface(name("cni0")),
            ),
            (
                "--detect-local-mode InterfaceNamePrefix --pod-interface-name-prefix veth",
                DetectLocal::InterfaceNamePrefix(name("veth")),
            ),
        ] {
            assert_eq!(config(arguments).unwrap().detect_local, expected, "{arguments}");
        }
        for (mode, option) in
            [("BridgeInterface", "--pod-bridge-interface"), ("InterfaceNamePrefix", "--pod-interface-name-prefix")]
        {
            let message = config(&format!("--detect-local-mode {mode} --cluster-cidr 10.0.0.0/8")).unwrap_err();
            assert!(message.contains(mode) && message.contains(option), "{message}");
        }
    }

    #[test]
    fn masquerade() {
        let config = |arguments| config(arguments).unwrap();
        assert_eq!((config("").masquerade_mark, config("").masquerade_all), (0x4000, false));
        let other = config("--masquerade-all --iptables-masquerade-bit 31");
        assert_eq!((other.masquerade_mark, other.masquerade_all), (0x8000_0000, true));
    }
}
