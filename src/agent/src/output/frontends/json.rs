//! The same for programs.

use std::{
    io::{self, Write},
    net::{IpAddr, SocketAddr},
};

use portolan_core::{
    inspect::{LiveDestination, LiveServer},
    object::FrontendNote,
};
use serde::Serialize;

use super::Listed;

/// A JSON array with an object for each frontend: `address` (`null` for a NodePort at all of the node's), `port`,
/// `protocol`, `service` (namespace/name:port; empty where there is none any more), `endpoints` (address:port each),
/// `localEndpoints` (where connections from outside go if they may only go to local ones, else `null`), `rejected`, `dropped`,
/// `restricted`, `masqueradeAlways`, `sessionAffinity`, and `virtualServer` (`null` where rules choose the endpoint). A virtual
/// server has `scheduler`, `flags`, `persistenceSeconds` (or `null`) and `destinations`, each with `endpoint`, `forwarding`,
/// `weight`, `draining`, `activeConnections`, `inactiveConnections` and `connections` (all so far).
///
/// # Errors
/// When `out` cannot be written to.
pub fn frontends_json(out: &mut dyn Write, listed: &[Listed]) -> io::Result<()> {
    let listed: Vec<_> = listed.iter().map(Json::from).collect();
    crate::output::json(out, &listed)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "each is a question of its own to whoever reads the JSON")]
struct Json<'a> {
    address: Option<IpAddr>,
    port: u16,
    protocol: String,
    service: &'a str,
    endpoints: &'a [SocketAddr],
    local_endpoints: Option<&'a [SocketAddr]>,
    rejected: bool,
    dropped: bool,
    restricted: bool,
    masquerade_always: bool,
    session_affinity: bool,
    virtual_server: Option<JsonServer<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonServer<'a> {
    scheduler: &'a str,
    flags: &'a [&'static str],
    persistence_seconds: Option<u32>,
    destinations: Vec<JsonDestination>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonDestination {
    endpoint: SocketAddr,
    forwarding: &'static str,
    weight: u32,
    draining: bool,
    active_connections: u32,
    inactive_connections: u32,
    connections: u64,
}

impl<'a> From<&'a Listed> for Json<'a> {
    fn from(Listed { frontend, server }: &'a Listed) -> Self {
        let has = |note| frontend.notes.contains(&note);
        Self {
            address: Some(frontend.vip.addr).filter(|addr| !addr.is_unspecified()),
            port: frontend.vip.port,
            protocol: frontend.vip.protocol.to_string(),
            service: &frontend.port,
            endpoints: &frontend.endpoints,
            local_endpoints: frontend.local_endpoints.as_deref(),
            rejected: has(FrontendNote::Rejected),
            dropped: has(FrontendNote::Dropped),
            restricted: has(FrontendNote::Restricted),
            masquerade_always: has(FrontendNote::MasqueradeAlways),
            session_affinity: has(FrontendNote::Affinity),
            virtual_server: server.as_ref().map(JsonServer::from),
        }
    }
}

impl<'a> From<&'a LiveServer> for JsonServer<'a> {
    fn from(server: &'a LiveServer) -> Self {
        let destination = |listed: &LiveDestination| JsonDestination {
            endpoint: listed.to,
            forwarding: listed.forwarding,
            weight: listed.weight,
            draining: listed.weight == 0,
            active_connections: listed.active,
            inactive_connections: listed.inactive,
            connections: listed.connections,
        };
        Self {
            scheduler: &server.scheduler,
            flags: &server.flags,
            persistence_seconds: server.persistence,
            destinations: server.destinations.iter().map(destination).collect(),
        }
    }
}
