//! How connections of this node's pods are told from others.

use std::fmt;

/// `detectLocalMode`, `--detect-local-mode`: by kube-proxy's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DetectLocalMode {
    /// By their source address, which is inside --cluster-cidr
    ClusterCidr,
    /// By their source address, which is inside the Node's spec.podCIDRs
    NodeCidr,
    /// By the interface that they come in by: --pod-bridge-interface
    BridgeInterface,
    /// By the beginning of its name: --pod-interface-name-prefix
    InterfaceNamePrefix,
}

impl DetectLocalMode {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::ClusterCidr, Self::NodeCidr, Self::BridgeInterface, Self::InterfaceNamePrefix];

    /// kube-proxy's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClusterCidr => "ClusterCIDR",
            Self::NodeCidr => "NodeCIDR",
            Self::BridgeInterface => "BridgeInterface",
            Self::InterfaceNamePrefix => "InterfaceNamePrefix",
        }
    }

    /// The mode of this name; the first where there is none.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        if name.is_empty() { Some(Self::ClusterCidr) } else { Self::ALL.into_iter().find(|mode| mode.name() == name) }
    }
}

impl fmt::Display for DetectLocalMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
