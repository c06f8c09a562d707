//! Who is in the cluster: as in scenarios, with a third node, more pods and the control plane.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::cast::{Member, OUTSIDE, Role};

/// The host of etcd, the API server and the controllers.
pub const CONTROL_PLANE: &str = "control";

/// The nodes.
pub const NODES: [&str; 3] = ["node-a", "node-b", "node-c"];

/// From the outside in, as [`crate::lab`] wants it.
pub static CAST: [Member; 14] = [
    on_the_lan(OUTSIDE, 0x01, 1, Role::Outside),
    on_the_lan(CONTROL_PLANE, 0x10, 10, Role::ControlPlane),
    on_the_lan("node-a", 0x11, 11, Role::Node { pod_cidrs: ["10.244.1.0/24", "fd00:10:244:1::/64"] }),
    on_the_lan("node-b", 0x12, 12, Role::Node { pod_cidrs: ["10.244.2.0/24", "fd00:10:244:2::/64"] }),
    on_the_lan("node-c", 0x13, 13, Role::Node { pod_cidrs: ["10.244.3.0/24", "fd00:10:244:3::/64"] }),
    pod("pod-a1", "node-a", 1, 1),
    pod("pod-a2", "node-a", 1, 2),
    pod("pod-a3", "node-a", 1, 3),
    pod("pod-b1", "node-b", 2, 1),
    pod("pod-b2", "node-b", 2, 2),
    pod("pod-b3", "node-b", 2, 3),
    pod("pod-c1", "node-c", 3, 1),
    pod("pod-c2", "node-c", 3, 2),
    pod("pod-c3", "node-c", 3, 3),
];

/// Its IPv6 address ends as its IPv4 address does, read as hexadecimal.
const fn on_the_lan(name: &'static str, v6: u16, v4: u8, role: Role) -> Member {
    let v6 = Ipv6Addr::new(0xfd00, 0x100, 0, 0, 0, 0, 0, v6);
    Member { name, v4: Ipv4Addr::new(192, 168, 100, v4), v6, others: &[], role }
}

const fn pod(name: &'static str, node: &'static str, subnet: u8, number: u8) -> Member {
    Member {
        name,
        v4: Ipv4Addr::new(10, 244, subnet, 10 + number),
        v6: Ipv6Addr::new(0xfd00, 0x10, 0x244, subnet as u16, 0, 0, 0, 0x10 + number as u16),
        others: &[],
        role: Role::Pod { node },
    }
}
