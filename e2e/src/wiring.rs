//! Links, addresses and routes, written for `ip -batch`: one batch for the links of a lab, one for each host.
//!
//! ```text
//!   outside: bridge lan -- to-node-a ======= lan :node-a: pod-a1 ======= eth0 :pod-a1
//!                       -- to-node-b ======= lan :node-b: ...
//!                       -- to-control-plane = lan :control-plane    (in a cluster)
//! ```
//!
//! A pod has one address and a default route through 169.254.1.1 and fe80::1, which are its node's end of the pair;
//! so pods share no network and every packet between two of them meets their node's rules. Where a scenario wants it the
//! node's ends hang on a bridge, which then has the gateway's addresses: pods still share no network.
//!
//! A cable's first end to be up sends nothing until the kernel has seen its carrier come. That is done at once only when
//! the two ends have different interface numbers, and otherwise once a second (net/core/link_watch.c,
//! `linkwatch_urgent_event`); so the numbers are given here. `link show` makes the kernel see to it before it goes on, and
//! hosts are configured from the outside in, so that an address never meets a link without carrier.

use std::{fmt::Write as _, net::IpAddr, path::Path};

use portolan_core::addr::Family;

use crate::{
    Options,
    cast::{CAST, Member, OUTSIDE, Role, SERVICE_CIDRS},
    scenario::AddressChange,
};

/// The routing table of `outside` for what it sends itself.
const OWN_PACKETS: u8 = 100;

/// What is written to /proc/sys/net in every namespace before it has links; later links inherit `default`.
pub(crate) const SYSCTLS: [(&str, &str); 15] = [
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/default/rp_filter", "0"),
    // Ping sockets, for the group that this process has in its namespaces.
    ("ipv4/ping_group_range", "0 0"),
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

/// What `outside` has besides: what it sends to an address for which it stands in comes back to it, from itself.
pub(crate) const OUTSIDE_SYSCTLS: [(&str, &str); 1] = [("ipv4/conf/all/accept_local", "1")];

/// All virtual cables of a lab, each with the end up that is nearer to a pod: the other one cannot be, before there is
/// this one. `path` gives the file that names a member's namespace.
pub(crate) fn links(cast: &[Member], path: impl Fn(&str) -> String) -> String {
    let mut batch = String::new();
    for (number, member) in cast.iter().enumerate() {
        let (end, peer, peer_name) = match &member.role {
            Role::Outside => continue,
            Role::ControlPlane | Role::Node { .. } => ("lan", OUTSIDE, format!("to-{}", member.name)),
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
pub(crate) fn link_names(member: &Member, options: &Options) -> Vec<String> {
    let pods = options.cast.iter().filter(|other| matches!(other.role, Role::Pod { node } if node == member.name));
    let nodes = options.cast.iter().filter(|other| on_the_bridge(other));
    match member.role {
        Role::Outside => ["lan".to_owned()].into_iter().chain(nodes.map(|node| format!("to-{}", node.name))).collect(),
        Role::Node { .. } => {
            let lan = ["lan".to_owned()].into_iter().chain(options.pod_bridge.clone());
            lan.chain(pods.map(|pod| pod.name.to_owned())).collect()
        }
        Role::ControlPlane => vec!["lan".to_owned()],
        Role::Pod { .. } => vec!["eth0".to_owned()],
    }
}

/// Addresses and routes of one member.
pub(crate) fn configuration(member: &Member, options: &Options) -> String {
    let mut batch = String::from("link set lo up\n");
    match &member.role {
        Role::Outside => outside(&mut batch, member, options),
        Role::ControlPlane => {
            line(&mut batch, format_args!("link show dev lan"));
            addresses(&mut batch, member);
            pod_routes(&mut batch, options);
        }
        Role::Node { .. } => {
            line(&mut batch, format_args!("link show dev lan"));
            addresses(&mut batch, member);
            if let Some(bridge) = &options.pod_bridge {
                bridge_for_pods(&mut batch, bridge);
            }
            node_routes(&mut batch, member, options);
        }
        Role::Pod { .. } => {
            line(&mut batch, format_args!("link show dev eth0"));
            line(&mut batch, format_args!("addr add {}/32 dev eth0", member.v4));
            line(&mut batch, format_args!("addr add {}/128 dev eth0 nodad", member.v6));
            line(&mut batch, format_args!("route add 169.254.1.1 dev eth0 scope link"));
            line(&mut batch, format_args!("route add default via 169.254.1.1 dev eth0 src {}", member.v4));
            line(&mut batch, format_args!("route add default via fe80::1 dev eth0 src {}", member.v6));
        }
    }
    batch
}

/// Whether `outside` has a cable to it.
const fn on_the_bridge(member: &Member) -> bool {
    matches!(member.role, Role::ControlPlane | Role::Node { .. })
}

fn outside(batch: &mut String, member: &Member, options: &Options) {
    line(batch, format_args!("link add lan type bridge stp_state 0 forward_delay 0 mcast_snooping 0"));
    line(batch, format_args!("link set lan up"));
    for other in options.cast.iter().filter(|member| on_the_bridge(member)) {
        line(batch, format_args!("link set to-{} master lan up", other.name));
    }
    addresses(batch, member);
    pod_routes(batch, options);
    for node in options.cast.iter().filter(|member| member.name == "node-a") {
        via(batch, &SERVICE_CIDRS, node);
    }
}

/// To the pods of each node.
fn pod_routes(batch: &mut String, options: &Options) {
    for node in options.cast {
        if let Role::Node { pod_cidrs } = &node.role {
            via(batch, pod_cidrs, node);
        }
    }
}

fn bridge_for_pods(batch: &mut String, bridge: &str) {
    line(batch, format_args!("link add {bridge} type bridge stp_state 0 forward_delay 0 mcast_snooping 0"));
    line(batch, format_args!("link set {bridge} up"));
    gateway(batch, bridge);
}

/// What pods have as their gateway.
fn gateway(batch: &mut String, link: &str) {
    line(batch, format_args!("addr add 169.254.1.1/32 dev {link} scope link"));
    line(batch, format_args!("addr add fe80::1/64 dev {link} nodad"));
}

fn node_routes(batch: &mut String, node: &Member, options: &Options) {
    for other in options.cast {
        match &other.role {
            Role::Pod { node: home } if *home == node.name => {
                let link = match &options.pod_bridge {
                    Some(bridge) => {
                        line(batch, format_args!("link set {} master {bridge} up", other.name));
                        // Where bridged packets pass the rules too (br_netfilter) the bridge itself brings a pod's
                        // packet back to the pod.
                        line(batch, format_args!("link set {} type bridge_slave hairpin on", other.name));
                        bridge
                    }
                    None => {
                        line(batch, format_args!("link set {} up", other.name));
                        gateway(batch, other.name);
                        other.name
                    }
                };
                line(batch, format_args!("route add {} dev {link} src {}", other.v4, node.v4));
                line(batch, format_args!("route add {} dev {link} src {}", other.v6, node.v6));
            }
            Role::Node { pod_cidrs, .. } if other.name != node.name => via(batch, pod_cidrs, other),
            Role::Outside if options.default_routes => via(batch, &["default"], other),
            _ => {}
        }
    }
}

/// All addresses of a host on the lan. The kernel takes the IPv4 address that came first as a source, but the IPv6 address
/// that came last, unless it is deprecated (RFC 6724, rule 3).
fn addresses(batch: &mut String, member: &Member) {
    line(batch, format_args!("addr add {}/24 dev lan", member.v4));
    line(batch, format_args!("addr add {}/64 dev lan nodad", member.v6));
    for (v4, v6) in member.others {
        line(batch, format_args!("addr add {v4}/24 dev lan"));
        line(batch, format_args!("addr add {v6}/64 dev lan nodad preferred_lft 0"));
    }
}

/// `outside` takes packets for these addresses, of one family, but what it sends there itself goes to node-a all the same:
/// its own packets have a table that is looked up before its own addresses are.
pub(crate) fn stand_in<'all>(family: Family, addresses: impl Iterator<Item = &'all IpAddr>) -> String {
    let mut batch =
        format!("rule add iif lo pref 1 lookup {OWN_PACKETS}\nrule add pref 2 lookup local\nrule del pref 0\n");
    let first = |name| CAST.iter().find(|member| member.name == name).map(|member| member.address(family));
    if let (Some(node), Some(outside)) = (first("node-a"), first(OUTSIDE)) {
        for cidr in SERVICE_CIDRS.iter().filter(|cidr| cidr.contains(':') == outside.is_ipv6()) {
            line(&mut batch, format_args!("route add {cidr} via {node} src {outside} table {OWN_PACKETS}"));
        }
    }
    let host = if family == Family::V4 { "32" } else { "128 nodad preferred_lft 0" };
    addresses.for_each(|address| line(&mut batch, format_args!("addr add dev lo {address}/{host}")));
    batch
}

/// A host gets an address that its connections do not come from unasked, or loses one.
pub(crate) fn change(change: &AddressChange) -> String {
    let verb = if change.added { "add" } else { "del" };
    let quiet = if change.added && change.address.is_ipv6() { " nodad preferred_lft 0" } else { "" };
    format!("addr {verb} {change} dev {}{quiet}\n", change.link())
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
