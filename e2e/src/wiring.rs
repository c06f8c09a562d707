//! Links, addresses and routes, written for `ip -batch`: one batch for the links of a lab, one for each host.
//!
//! ```text
//!   outside: bridge lan -- to-node-a ======= lan :node-a: pod-a1 ======= eth0 :pod-a1
//!                       -- to-node-b ======= lan :node-b: ...
//! ```
//!
//! A pod has one address and a default route through 169.254.1.1 and fe80::1, which are its node's end of the pair;
//! so pods share no network and every packet between two of them meets their node's rules.
//!
//! A cable's first end to be up sends nothing until the kernel has seen its carrier come. That is done at once only when
//! the two ends have different interface numbers, and otherwise once a second (net/core/link_watch.c,
//! `linkwatch_urgent_event`); so the numbers are given here. `link show` makes the kernel see to it before it goes on, and
//! hosts are configured from the outside in, so that an address never meets a link without carrier.

use std::{fmt::Write as _, path::Path};

use crate::{
    Options,
    cast::{CAST, Member, Role, SERVICE_CIDRS},
};

/// What is written to /proc/sys/net in every namespace before it has links; later links inherit `default`.
pub(crate) const SYSCTLS: [(&str, &str); 14] = [
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/default/rp_filter", "0"),
    // A node sends back packets over the link they came from (a pod of node-b asked through node-a): no redirects.
    ("ipv4/conf/all/send_redirects", "0"),
    ("ipv4/conf/default/send_redirects", "0"),
    ("ipv4/conf/all/accept_redirects", "0"),
    ("ipv4/conf/default/accept_redirects", "0"),
    ("ipv6/conf/all/accept_redirects", "0"),
    ("ipv6/conf/default/accept_redirects", "0"),
    ("ipv6/conf/default/accept_ra", "0"),
    // No duplicate address detection: an address works at once, the link-local ones too, from which a node asks for its
    // neighbours when it forwards (net/ipv6/ndisc.c, ndisc_send_ns).
    ("ipv6/conf/default/accept_dad", "0"),
    // Refusals are counted and timed: neither the limit per host nor the one per machine (which is applied to the
    // types in the mask, net/ipv4/icmp.c, icmp_global_allow) may swallow one. Type 0 is not an error in either family.
    ("ipv4/icmp_ratelimit", "0"),
    ("ipv4/icmp_ratemask", "0"),
    ("ipv6/icmp/ratelimit", "0"),
    ("ipv6/icmp/ratemask", "0"),
];

/// What nodes have besides.
pub(crate) const NODE_SYSCTLS: [(&str, &str); 3] =
    [("ipv4/ip_forward", "1"), ("ipv6/conf/all/forwarding", "1"), ("ipv6/conf/default/forwarding", "1")];

/// All virtual cables of a lab, each with the end up that is nearer to a pod: the other one cannot be, before there is
/// this one. `path` gives the file that names a member's namespace.
pub(crate) fn links(path: impl Fn(&str) -> String) -> String {
    let mut batch = String::new();
    for (number, member) in CAST.iter().enumerate() {
        let (end, peer, peer_name) = match &member.role {
            Role::Outside => continue,
            Role::Node { .. } => ("lan", "outside", format!("to-{}", member.name)),
            Role::Pod { node } => ("eth0", *node, member.name.to_owned()),
        };
        line(
            &mut batch,
            format_args!(
                "link add name {end} index {} up netns {} type veth peer name {peer_name} index {} netns {}",
                100 + number,
                path(member.name),
                200 + number,
                path(peer)
            ),
        );
    }
    batch
}

/// The names of a member's links.
pub(crate) fn link_names(member: &Member) -> Vec<String> {
    let pods = CAST.iter().filter(|other| matches!(other.role, Role::Pod { node } if node == member.name));
    let nodes = CAST.iter().filter(|other| other.is_node());
    match member.role {
        Role::Outside => ["lan".to_owned()].into_iter().chain(nodes.map(|node| format!("to-{}", node.name))).collect(),
        Role::Node { .. } => ["lan".to_owned()].into_iter().chain(pods.map(|pod| pod.name.to_owned())).collect(),
        Role::Pod { .. } => vec!["eth0".to_owned()],
    }
}

/// Addresses and routes of one member.
pub(crate) fn configuration(member: &Member, options: Options) -> String {
    let mut batch = String::from("link set lo up\n");
    match &member.role {
        Role::Outside => outside(&mut batch),
        Role::Node { second, .. } => {
            line(&mut batch, format_args!("link show dev lan"));
            first_addresses(&mut batch, "lan", &format!("{}/24", member.v4), &format!("{}/64", member.v6));
            second_addresses(&mut batch, &format!("{}/24", second.0), &format!("{}/64", second.1));
            node_routes(&mut batch, member, options);
        }
        Role::Pod { .. } => {
            line(&mut batch, format_args!("link show dev eth0"));
            first_addresses(&mut batch, "eth0", &format!("{}/32", member.v4), &format!("{}/128", member.v6));
            line(&mut batch, format_args!("route add 169.254.1.1 dev eth0 scope link"));
            line(&mut batch, format_args!("route add default via 169.254.1.1 dev eth0 src {}", member.v4));
            line(&mut batch, format_args!("route add default via fe80::1 dev eth0 src {}", member.v6));
        }
    }
    batch
}

fn outside(batch: &mut String) {
    line(batch, format_args!("link add lan type bridge stp_state 0 forward_delay 0 mcast_snooping 0"));
    line(batch, format_args!("link set lan up"));
    for node in CAST.iter().filter(|member| member.is_node()) {
        line(batch, format_args!("link set to-{} master lan up", node.name));
    }
    first_addresses(batch, "lan", "192.168.100.1/24", "fd00:100::1/64");
    second_addresses(batch, "192.168.101.1/24", "fd00:101::1/64");
    for node in &CAST {
        if let Role::Node { pod_cidrs, .. } = &node.role {
            via(batch, pod_cidrs, node);
            if node.name == "node-a" {
                via(batch, &SERVICE_CIDRS, node);
            }
        }
    }
}

fn node_routes(batch: &mut String, node: &Member, options: Options) {
    for other in &CAST {
        match &other.role {
            Role::Pod { node: home } if *home == node.name => {
                line(batch, format_args!("link set {} up", other.name));
                line(batch, format_args!("addr add 169.254.1.1/32 dev {} scope link", other.name));
                line(batch, format_args!("addr add fe80::1/64 dev {} nodad", other.name));
                line(batch, format_args!("route add {} dev {} src {}", other.v4, other.name, node.v4));
                line(batch, format_args!("route add {} dev {} src {}", other.v6, other.name, node.v6));
            }
            Role::Node { pod_cidrs, .. } if other.name != node.name => via(batch, pod_cidrs, other),
            Role::Outside if options.default_routes => via(batch, &["default"], other),
            _ => {}
        }
    }
}

fn first_addresses(batch: &mut String, link: &str, v4: &str, v6: &str) {
    line(batch, format_args!("addr add {v4} dev {link}"));
    line(batch, format_args!("addr add {v6} dev {link} nodad"));
}

/// The kernel takes the IPv4 address that came first as a source, but the IPv6 address that came last, unless it is
/// deprecated (RFC 6724, rule 3).
fn second_addresses(batch: &mut String, v4: &str, v6: &str) {
    line(batch, format_args!("addr add {v4} dev lan"));
    line(batch, format_args!("addr add {v6} dev lan nodad preferred_lft 0"));
}

/// `default` is one word for two routes, so the gateway decides the family.
fn via(batch: &mut String, destinations: &[&str], gateway: &Member) {
    for destination in destinations {
        if !destination.contains(':') {
            line(batch, format_args!("route add {destination} via {}", gateway.v4));
        }
        if !destination.contains('.') {
            line(batch, format_args!("route add {destination} via {}", gateway.v6));
        }
    }
}

fn line(batch: &mut String, command: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = writeln!(batch, "{command}");
}

/// Where the kernel keeps a sysctl of the namespace of the thread that asks.
pub(crate) fn sysctl_path(name: &str) -> String {
    Path::new("/proc/sys/net").join(name).display().to_string()
}
