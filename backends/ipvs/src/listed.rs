//! Virtual servers as `ipvsadm -Ln` lists them.

use portolan_core::inspect::{LiveDestination, LiveServer};
use portolan_netlink::ipvs::{Forwarding, ListedDestination, VirtualServer};

use crate::observed::Ours;

/// One of them, with its destinations.
pub(crate) fn server(Ours { server, destinations, .. }: Ours) -> LiveServer {
    let server = server.server;
    let persistence = (server.flags & VirtualServer::PERSISTENT != 0).then_some(server.timeout);
    let mut destinations: Vec<_> = destinations.iter().map(destination).collect();
    destinations.sort_by_key(|destination| destination.to);
    LiveServer { flags: flags(&server), scheduler: server.scheduler, persistence, destinations }
}

fn destination(listed: &ListedDestination) -> LiveDestination {
    LiveDestination {
        to: listed.destination.socket,
        forwarding: match listed.destination.forwarding {
            Forwarding::Masquerade => "Masq",
            Forwarding::Local => "Local",
            Forwarding::Tunnel => "Tunnel",
            Forwarding::Direct => "Route",
            Forwarding::Other(_) => "unknown",
        },
        weight: listed.destination.weight,
        active: listed.active,
        inactive: listed.inactive,
        connections: listed.stats.connections,
    }
}

/// Those of the two schedulers that have names of their own for them, and that one of other kinds.
fn flags(server: &VirtualServer) -> Vec<&'static str> {
    let [fallback, port] = match server.scheduler.as_str() {
        "mh" => ["mh-fallback", "mh-port"],
        "sh" => ["sh-fallback", "sh-port"],
        _ => ["flag-1", "flag-2"],
    };
    let named = [
        (VirtualServer::ONE_PACKET, "ops"),
        (VirtualServer::HASH_FALLBACK, fallback),
        (VirtualServer::HASH_PORT, port),
    ];
    named.into_iter().filter(|(flag, _)| server.flags & flag != 0).map(|(_, name)| name).collect()
}
