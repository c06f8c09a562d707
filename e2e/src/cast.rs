//! Who is in a lab, and which addresses they have. Always the same, so that scenarios can name them; only the cluster has a
//! cast of its own ([`crate::cluster`]).

use std::{
    fmt,
    mem::discriminant,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use portolan_core::addr::{Family, Protocol};

use crate::Error;

/// The pods' addresses, IPv4 and IPv6, as `--cluster-cidr` takes them.
pub const CLUSTER_CIDR: &str = "10.244.0.0/16,fd00:10:244::/48";

/// Addresses that `outside` sends to node-a, also where it has them itself: cluster IPs, then external and load-balancer IPs.
pub(crate) const SERVICE_CIDRS: [&str; 4] = ["10.96.0.0/16", "fd00:10:96::/112", "203.0.113.0/24", "2001:db8:113::/64"];

/// The client outside of the cluster, which also stands in for addresses that nobody else has.
pub const OUTSIDE: &str = "outside";

/// One host: a network namespace with a name.
#[derive(Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name in scenarios; a node's name is also that of its Node object.
    pub name: &'static str,
    /// Its address, from which its connections come.
    pub v4: Ipv4Addr,
    /// Its IPv6 address, from which its connections come.
    pub v6: Ipv6Addr,
    /// Its other addresses, on the same link. Its connections come from one of them only where a client binds to it, or
    /// goes to an address of the same network.
    pub others: &'static [(Ipv4Addr, Ipv6Addr)],
    /// What it is.
    pub role: Role,
}

/// What a [`Member`] is.
#[derive(Debug, PartialEq, Eq)]
pub enum Role {
    /// A client that is no part of the cluster. It forwards nothing: a packet that ends here is met with silence.
    Outside,
    /// Runs the API server, on the network of the nodes.
    ControlPlane,
    /// Runs Portolan and forwards for its pods.
    Node {
        /// The pods' addresses on this node.
        pod_cidrs: [&'static str; 2],
    },
    /// Lives on a node, reached by a route for its one address only.
    Pod {
        /// The node's name.
        node: &'static str,
    },
}

impl Role {
    /// Whether both are of the same kind, whatever their addresses.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        discriminant(self) == discriminant(other)
    }
}

/// The whole cast of scenarios, from the outside in.
pub static CAST: [Member; 6] = [
    Member {
        name: OUTSIDE,
        v4: Ipv4Addr::new(192, 168, 100, 1),
        v6: Ipv6Addr::new(0xfd00, 0x100, 0, 0, 0, 0, 0, 1),
        others: &[
            (Ipv4Addr::new(192, 168, 101, 1), Ipv6Addr::new(0xfd00, 0x101, 0, 0, 0, 0, 0, 1)),
            (Ipv4Addr::new(192, 168, 100, 101), Ipv6Addr::new(0xfd00, 0x100, 0, 0, 0, 0, 0, 0x101)),
            (Ipv4Addr::new(192, 168, 100, 102), Ipv6Addr::new(0xfd00, 0x100, 0, 0, 0, 0, 0, 0x102)),
            (Ipv4Addr::new(192, 168, 100, 103), Ipv6Addr::new(0xfd00, 0x100, 0, 0, 0, 0, 0, 0x103)),
            (Ipv4Addr::new(192, 168, 100, 104), Ipv6Addr::new(0xfd00, 0x100, 0, 0, 0, 0, 0, 0x104)),
        ],
        role: Role::Outside,
    },
    Member {
        name: "node-a",
        v4: Ipv4Addr::new(192, 168, 100, 11),
        v6: Ipv6Addr::new(0xfd00, 0x100, 0, 0, 0, 0, 0, 0x11),
        others: &[(Ipv4Addr::new(192, 168, 101, 11), Ipv6Addr::new(0xfd00, 0x101, 0, 0, 0, 0, 0, 0x11))],
        role: Role::Node { pod_cidrs: ["10.244.1.0/24", "fd00:10:244:1::/64"] },
    },
    Member {
        name: "node-b",
        v4: Ipv4Addr::new(192, 168, 100, 12),
        v6: Ipv6Addr::new(0xfd00, 0x100, 0, 0, 0, 0, 0, 0x12),
        others: &[(Ipv4Addr::new(192, 168, 101, 12), Ipv6Addr::new(0xfd00, 0x101, 0, 0, 0, 0, 0, 0x12))],
        role: Role::Node { pod_cidrs: ["10.244.2.0/24", "fd00:10:244:2::/64"] },
    },
    Member {
        name: "pod-a1",
        v4: Ipv4Addr::new(10, 244, 1, 11),
        v6: Ipv6Addr::new(0xfd00, 0x10, 0x244, 1, 0, 0, 0, 0x11),
        others: &[],
        role: Role::Pod { node: "node-a" },
    },
    Member {
        name: "pod-a2",
        v4: Ipv4Addr::new(10, 244, 1, 12),
        v6: Ipv6Addr::new(0xfd00, 0x10, 0x244, 1, 0, 0, 0, 0x12),
        others: &[],
        role: Role::Pod { node: "node-a" },
    },
    Member {
        name: "pod-b1",
        v4: Ipv4Addr::new(10, 244, 2, 11),
        v6: Ipv6Addr::new(0xfd00, 0x10, 0x244, 2, 0, 0, 0, 0x11),
        others: &[],
        role: Role::Pod { node: "node-b" },
    },
];

impl Member {
    /// Its address in one family.
    #[must_use]
    pub const fn address(&self, family: Family) -> IpAddr {
        match family {
            Family::V4 => IpAddr::V4(self.v4),
            Family::V6 => IpAddr::V6(self.v6),
        }
    }

    /// All its addresses, the first ones first.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let pairs = std::iter::once((self.v4, self.v6)).chain(self.others.iter().copied());
        pairs.flat_map(|(v4, v6)| [IpAddr::V4(v4), IpAddr::V6(v6)])
    }

    /// The link that faces the cluster.
    #[must_use]
    pub const fn link(&self) -> &'static str {
        match self.role {
            Role::Outside | Role::ControlPlane | Role::Node { .. } => "lan",
            Role::Pod { .. } => "eth0",
        }
    }

    /// Whether it runs Portolan.
    #[must_use]
    pub const fn is_node(&self) -> bool {
        matches!(self.role, Role::Node { .. })
    }
}

/// The member of [`CAST`] of this name.
///
/// # Errors
/// When there is none.
pub fn named(name: &str) -> Result<&'static Member, Error> {
    CAST.iter().find(|member| member.name == name).ok_or_else(|| Error::UnknownHost(name.to_owned()))
}

/// The member that has this address, if one has.
#[must_use]
pub fn with_address(address: IpAddr) -> Option<&'static Member> {
    CAST.iter().find(|member| member.addresses().any(|own| own == address))
}

/// A server's place in the cast: one port of a member, at its first addresses of both families.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// The member's name.
    pub host: &'static str,
    /// The port.
    pub port: u16,
    /// The protocol.
    pub protocol: Protocol,
}

/// As scenarios name it: `pod-a1:8080`.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}
