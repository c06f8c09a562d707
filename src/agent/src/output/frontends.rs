//! Frontends and endpoints as the kernel holds them.

use std::{
    io::{self, Write},
    net::{IpAddr, SocketAddr},
};

use portolan_core::object::{FrontendNote, LiveFrontend};
use serde::Serialize;

use super::table::table;
use portolan_core::text::printable;

/// One line for each endpoint, the frontend on the first of them: three hundred endpoints stay readable, and `grep`
/// finds one. A NodePort at all addresses of the node has `*` in the place of the address.
///
/// # Errors
/// When `out` cannot be written to.
pub fn frontends_table(out: &mut dyn Write, frontends: &[LiveFrontend]) -> io::Result<()> {
    let mut rows = Vec::new();
    for frontend in frontends {
        let local = frontend.local_endpoints.as_deref();
        let endpoint = |endpoint: &SocketAddr| match local {
            Some(local) if local.contains(endpoint) => format!("{endpoint} (local)"),
            _ => endpoint.to_string(),
        };
        let only_local = local.unwrap_or_default().iter().filter(|endpoint| !frontend.endpoints.contains(endpoint));
        let mut endpoints =
            frontend.endpoints.iter().map(endpoint).chain(only_local.map(|e| format!("{e} (local only)")));
        rows.push([
            address(frontend),
            frontend.vip.protocol.to_string(),
            printable(&frontend.port),
            endpoints.next().unwrap_or_else(|| "-".to_owned()),
            notes(frontend),
        ]);
        rows.extend(endpoints.map(|endpoint| ["", "", "", &endpoint, ""].map(ToOwned::to_owned)));
    }
    table(out, ["FRONTEND", "PROTO", "SERVICE", "ENDPOINTS", "NOTE"], &rows)
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
    };
    let local = frontend.local_endpoints.as_ref().map(|local| match local.is_empty() {
        true => "dropped from outside: no local endpoints",
        false => "local endpoints from outside",
    });
    local.into_iter().chain(frontend.notes.iter().map(note)).collect::<Vec<_>>().join(", ")
}

/// A JSON array with an object for each frontend: `address` (`null` for a NodePort at all of the node's), `port`,
/// `protocol`, `service` (namespace/name:port), `endpoints` (address:port each), `localEndpoints` (where connections from
/// outside go if they may only go to local ones, else `null`), `rejected`, `dropped`, `restricted`, `masqueradeAlways`,
/// `sessionAffinity`.
///
/// # Errors
/// When `out` cannot be written to.
pub fn frontends_json(out: &mut dyn Write, frontends: &[LiveFrontend]) -> io::Result<()> {
    let listed: Vec<_> = frontends.iter().map(Listed::from).collect();
    super::json(out, &listed)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "each is a question of its own to whoever reads the JSON")]
struct Listed<'a> {
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
}

impl<'a> From<&'a LiveFrontend> for Listed<'a> {
    fn from(frontend: &'a LiveFrontend) -> Self {
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
        }
    }
}

#[cfg(test)]
mod tests {
    use portolan_core::{addr::Protocol, desired::Vip};

    use super::*;

    fn frontend(addr: &str, port: &str, endpoints: &[&str], notes: &[FrontendNote]) -> LiveFrontend {
        LiveFrontend {
            vip: Vip { addr: addr.parse().unwrap(), protocol: Protocol::Tcp, port: 80 },
            port: port.to_owned(),
            endpoints: endpoints.iter().map(|endpoint| endpoint.parse().unwrap()).collect(),
            local_endpoints: None,
            notes: notes.iter().copied().collect(),
        }
    }

    fn frontends() -> Vec<LiveFrontend> {
        use FrontendNote::{Affinity, MasqueradeAlways, Rejected};
        let local = |list: &[&str]| Some(list.iter().map(|endpoint| endpoint.parse().unwrap()).collect());
        vec![
            frontend("172.30.0.1", "default/kubernetes:https", &["10.0.0.1:6443", "10.0.0.2:6443"], &[]),
            frontend("fd00::1", "team-a/we\nb", &["[fd01::1]:8080"], &[MasqueradeAlways, Affinity]),
            frontend("172.30.0.2", "", &[], &[Rejected]),
            LiveFrontend {
                local_endpoints: local(&["10.0.0.1:80", "10.0.0.3:80"]),
                ..frontend("0.0.0.0", "ns/local", &["10.0.0.1:80", "10.0.0.2:80"], &[])
            },
            LiveFrontend { local_endpoints: local(&[]), ..frontend("::", "ns/local", &["10.0.0.1:80"], &[]) },
        ]
    }

    #[test]
    fn as_a_table() {
        let mut out = Vec::new();
        frontends_table(&mut out, &frontends()).unwrap();
        let expected = "\
FRONTEND       PROTO  SERVICE                   ENDPOINTS                 NOTE
172.30.0.1:80  tcp    default/kubernetes:https  10.0.0.1:6443
                                                10.0.0.2:6443
[fd00::1]:80   tcp    team-a/we\\nb              [fd01::1]:8080            always masqueraded, session affinity
172.30.0.2:80  tcp                              -                         rejected: no endpoints
*:80           tcp    ns/local                  10.0.0.1:80 (local)       local endpoints from outside
                                                10.0.0.2:80
                                                10.0.0.3:80 (local only)
[*]:80         tcp    ns/local                  10.0.0.1:80               dropped from outside: no local endpoints
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn as_json() {
        let mut out = Vec::new();
        frontends_json(&mut out, &frontends()).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(json[1]["service"], "team-a/we\nb");
        assert_eq!(json[1]["endpoints"][0], "[fd01::1]:8080");
        assert_eq!(json[2]["rejected"], true);
        assert_eq!(json[0]["masqueradeAlways"], false);
    }
}
