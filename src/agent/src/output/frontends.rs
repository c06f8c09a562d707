//! Frontends and endpoints as the kernel holds them.

mod json;
#[cfg(test)]
mod tests;

use std::{
    io::{self, Write},
    mem,
    net::{IpAddr, SocketAddr},
};

pub use self::json::frontends_json;
use super::table::table;
use portolan_core::{
    inspect::{LiveDestination, LiveServer},
    object::{FrontendNote, LiveFrontend},
    text::{Seconds, printable},
};

/// A frontend that the kernel holds.
#[derive(Debug, Clone)]
pub struct Listed {
    /// What rules say of it.
    pub frontend: LiveFrontend,
    /// Its virtual server, if it has one.
    pub server: Option<LiveServer>,
}

const HEADING: [&str; 11] = [
    "FRONTEND",
    "PROTO",
    "SERVICE",
    "SCHEDULER",
    "ENDPOINTS",
    "FORWARD",
    "WEIGHT",
    "ACTIVE",
    "INACTIVE",
    "CONNECTIONS",
    "NOTE",
];

/// One line for each endpoint, the frontend on the first of them: three hundred endpoints stay readable, and `grep`
/// finds one. A NodePort at all addresses of the node has `*` in the place of the address. What virtual servers tell is left out
/// where there is none, and `-` for a frontend that has none.
///
/// # Errors
/// When `out` cannot be written to.
pub fn frontends_table(out: &mut dyn Write, listed: &[Listed]) -> io::Result<()> {
    let rows: Vec<_> = listed.iter().flat_map(rows).collect();
    if listed.iter().any(|listed| listed.server.is_some()) {
        return table(out, HEADING, &rows);
    }
    table(out, by_rules(HEADING), &rows.into_iter().map(by_rules).collect::<Vec<_>>())
}

/// A row without what virtual servers tell.
fn by_rules<T>(row: [T; 11]) -> [T; 5] {
    let [frontend, proto, service, _, endpoint, _, _, _, _, _, note] = row;
    [frontend, proto, service, endpoint, note]
}

fn rows(listed: &Listed) -> Vec<[String; 11]> {
    let Listed { frontend, server } = listed;
    let mut of_frontend = [
        address(frontend),
        frontend.vip.protocol.to_string(),
        printable(&frontend.port),
        server.as_ref().map_or_else(|| "-".to_owned(), scheduler),
        notes(frontend),
    ];
    let row = |(endpoint, destination): (String, Option<&LiveDestination>)| {
        let [frontend, proto, service, scheduler, note] = mem::take(&mut of_frontend);
        let [forward, weight, active, inactive, connections] = cells(destination);
        [frontend, proto, service, scheduler, endpoint, forward, weight, active, inactive, connections, note]
    };
    endpoints(frontend, server.as_ref()).into_iter().map(row).collect()
}

/// At least one cell.
fn endpoints<'a>(
    frontend: &LiveFrontend,
    server: Option<&'a LiveServer>,
) -> Vec<(String, Option<&'a LiveDestination>)> {
    let local = frontend.local_endpoints.as_deref();
    let destinations = server.map(|server| &*server.destinations).unwrap_or_default();
    let open = frontend.endpoints.iter().map(|endpoint| {
        let told = match local {
            Some(local) if local.contains(endpoint) => format!("{endpoint} (local)"),
            _ => endpoint.to_string(),
        };
        (told, destinations.iter().find(|destination| destination.to == *endpoint))
    });
    let local = local.unwrap_or_default().iter().filter(|endpoint| !frontend.endpoints.contains(endpoint));
    let others = destinations.iter().filter(|destination| !frontend.endpoints.contains(&destination.to));
    let other = |destination: &'a LiveDestination| {
        let draining = if destination.weight == 0 { " (draining)" } else { "" };
        (format!("{}{draining}", destination.to), Some(destination))
    };
    let mut endpoints: Vec<_> =
        open.chain(local.map(|endpoint| (format!("{endpoint} (local only)"), None))).chain(others.map(other)).collect();
    if endpoints.is_empty() {
        endpoints.push(("-".to_owned(), None));
    }
    endpoints
}

fn cells(destination: Option<&LiveDestination>) -> [String; 5] {
    let Some(LiveDestination { forwarding, weight, active, inactive, connections, .. }) = destination else {
        return ["-"; 5].map(ToOwned::to_owned);
    };
    [(*forwarding).to_owned(), weight.to_string(), active.to_string(), inactive.to_string(), connections.to_string()]
}

/// In the order of `ipvsadm -Ln`: `rr`, `mh (mh-port)`, `rr persistent 3h`.
fn scheduler(server: &LiveServer) -> String {
    let flags = if server.flags.is_empty() { String::new() } else { format!(" ({})", server.flags.join(",")) };
    let persistence = server.persistence.map(|seconds| format!(" persistent {}", Seconds(seconds.into())));
    format!("{}{flags}{}", printable(&server.scheduler), persistence.unwrap_or_default())
}

/// Address and port as tables show them.
pub(super) fn address(frontend: &LiveFrontend) -> String {
    let vip = frontend.vip;
    match (vip.addr.is_unspecified(), vip.addr) {
        (true, IpAddr::V4(_)) => format!("*:{}", vip.port),
        (true, IpAddr::V6(_)) => format!("[*]:{}", vip.port),
        (false, addr) => SocketAddr::new(addr, vip.port).to_string(),
    }
}

fn notes(frontend: &LiveFrontend) -> String {
    let note = |note: &FrontendNote| match note {
        FrontendNote::Rejected => "rejected: no endpoints",
        FrontendNote::Dropped => "dropped: no local endpoints",
        FrontendNote::Restricted => "restricted sources",
        FrontendNote::MasqueradeAlways => "always masqueraded",
        FrontendNote::Affinity => "session affinity",
        FrontendNote::Gone => "no Service: for connections that are left",
    };
    let local = frontend.local_endpoints.as_ref().map(|local| match local.is_empty() {
        true => "dropped from outside: no local endpoints",
        false => "local endpoints from outside",
    });
    local.into_iter().chain(frontend.notes.iter().map(note)).collect::<Vec<_>>().join(", ")
}
