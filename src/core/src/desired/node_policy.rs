//! What holds for every Service on this node: who counts as a pod of it, what is masqueraded, where NodePorts are.

use std::{fmt, str::FromStr, sync::Arc};

use ipnet::IpNet;

use super::Scheduler;
use crate::addr::PerFamily;

/// What a backend has to know of the node before it knows any Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePolicy {
    /// Whose connections count as a pod's of this node. `None`: nobody's, and so no client of a cluster IP is
    /// masqueraded either.
    pub detector: PerFamily<Option<LocalDetector>>,
    /// Whether every client of a cluster IP is masqueraded, pods too.
    pub masquerade_all: bool,
    /// The bit of the packet mark that means "masquerade".
    pub masquerade_mark: u32,
    /// Whether new connections are counted for each Frontend.
    pub count_connections: bool,
    /// At which addresses NodePorts are.
    pub node_ports: PerFamily<NodePortsAt>,
    /// Whether IPv4 loopback addresses are no exception of [`NodePortsAt::Local`].
    pub node_ports_at_loopback: bool,
    /// Where cluster IPs come from: what lies inside and is no cluster IP is dropped. Sorted, each once.
    pub service_cidrs: PerFamily<Vec<IpNet>>,
    /// Whether forwarded packets that belong to no connection, by what conntrack says, are dropped.
    pub drop_invalid: bool,
    /// Whether there are so many endpoints that comments which only help people are left out.
    pub is_large: PerFamily<bool>,
    /// How virtual servers pick an endpoint, where there are any and the Service does not say.
    pub scheduler: Scheduler,
}

impl NodePolicy {
    /// kube-proxy's default for [`NodePolicy::masquerade_mark`]: bit 14.
    pub const MASQUERADE_MARK: u32 = 1 << 14;
}

/// Without detector and ServiceCIDRs; NodePorts at addresses that Frontends name.
impl Default for NodePolicy {
    fn default() -> Self {
        Self {
            detector: PerFamily::default(),
            masquerade_all: false,
            masquerade_mark: Self::MASQUERADE_MARK,
            count_connections: false,
            node_ports: PerFamily::default(),
            node_ports_at_loopback: false,
            service_cidrs: PerFamily::default(),
            drop_invalid: false,
            is_large: PerFamily::default(),
            scheduler: Scheduler::default(),
        }
    }
}

/// How a connection is recognised as a pod's of this node (`--detect-local-mode`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LocalDetector {
    /// Its source address is inside.
    Cidr(IpNet),
    /// It comes in by this interface, the bridge of the pods.
    Interface(InterfaceName),
    /// It comes in by an interface whose name begins so.
    InterfacePrefix(InterfaceName),
}

/// At which addresses of the node NodePorts are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum NodePortsAt {
    /// At those that Frontends name.
    #[default]
    Frontends,
    /// At every address that is local to the node and inside one of these, loopback excepted; at all such addresses if
    /// there are none. Which addresses are local the kernel knows, at each moment. Frontends have the unspecified
    /// address.
    Local(Vec<IpNet>),
}

/// The name of a network interface, or its beginning: 1 to 15 bytes that are printable, without blank, quote and slash
/// (`dev_valid_name` of the kernel, and what can be written into rules).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceName(Arc<str>);

/// That a text cannot be the name of a network interface.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} cannot be the name of a network interface: those have 1 to 15 printable characters without blank, `/`, `\"`, `*` and `\\`"
)]
pub struct BadInterfaceName(String);

impl InterfaceName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for InterfaceName {
    type Err = BadInterfaceName;

    fn from_str(text: &str) -> Result<Self, BadInterfaceName> {
        let is_good = |byte: u8| byte.is_ascii_graphic() && !b"/\"\\*".contains(&byte);
        let valid = (1..16).contains(&text.len()) && text.bytes().all(is_good);
        if valid { Ok(Self(text.into())) } else { Err(BadInterfaceName(text.to_owned())) }
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interface_names_can_be_written_into_rules() {
        for good in ["cni0", "veth", "a", "fifteen-letters", "br_x.5:1"] {
            assert_eq!(good.parse::<InterfaceName>().unwrap().as_str(), good);
        }
        for bad in ["", "sixteen-letters-", "a b", "a/b", "\"", "veth*", "a\\", "é", "a\n"] {
            assert!(bad.parse::<InterfaceName>().is_err(), "{bad:?}");
        }
    }
}
