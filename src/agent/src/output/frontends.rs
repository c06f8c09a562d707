//! Frontends and endpoints as the kernel holds them.

use std::{
    io::{self, Write},
    net::SocketAddr,
};

use portolan_core::object::LiveFrontend;
use serde::Serialize;

use super::table::table;
use portolan_core::text::printable;

/// One line for each endpoint, the frontend on the first of them: three hundred endpoints stay readable, and `grep`
/// finds one.
///
/// # Errors
/// When `out` cannot be written to.
pub fn frontends_table(out: &mut dyn Write, frontends: &[LiveFrontend]) -> io::Result<()> {
    let mut rows = Vec::new();
    for frontend in frontends {
        let address = SocketAddr::new(frontend.vip.addr, frontend.vip.port).to_string();
        let mut endpoints = frontend.endpoints.iter().map(ToString::to_string);
        rows.push([
            address,
            frontend.vip.protocol.to_string(),
            printable(&frontend.port),
            endpoints.next().unwrap_or_else(|| "-".to_owned()),
            note(frontend).to_owned(),
        ]);
        rows.extend(endpoints.map(|endpoint| ["", "", "", &endpoint, ""].map(ToOwned::to_owned)));
    }
    table(out, ["FRONTEND", "PROTO", "SERVICE", "ENDPOINTS", "NOTE"], &rows)
}

const fn note(frontend: &LiveFrontend) -> &'static str {
    match (frontend.endpoints.is_empty(), frontend.masquerade_always) {
        (true, _) => "rejected: no endpoints",
        (false, true) => "always masqueraded",
        (false, false) => "",
    }
}

/// A JSON array with an object for each frontend: `address`, `port`, `protocol`, `service` (namespace/name:port),
/// `endpoints` (address:port each), `rejected`, `masqueradeAlways`.
///
/// # Errors
/// When `out` cannot be written to.
pub fn frontends_json(out: &mut dyn Write, frontends: &[LiveFrontend]) -> io::Result<()> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Listed<'a> {
        address: std::net::IpAddr,
        port: u16,
        protocol: String,
        service: &'a str,
        endpoints: &'a [SocketAddr],
        rejected: bool,
        masquerade_always: bool,
    }
    let listed: Vec<_> = frontends
        .iter()
        .map(|frontend| Listed {
            address: frontend.vip.addr,
            port: frontend.vip.port,
            protocol: frontend.vip.protocol.to_string(),
            service: &frontend.port,
            endpoints: &frontend.endpoints,
            rejected: frontend.endpoints.is_empty(),
            masquerade_always: frontend.masquerade_always,
        })
        .collect();
    super::json(out, &listed)
}

#[cfg(test)]
mod tests {
    use portolan_core::{addr::Protocol, desired::Vip};

    use super::*;

    fn frontends() -> Vec<LiveFrontend> {
        let vip = |addr: &str, port| Vip { addr: addr.parse().unwrap(), protocol: Protocol::Tcp, port };
        vec![
            LiveFrontend {
                vip: vip("172.30.0.1", 443),
                port: "default/kubernetes:https".into(),
                endpoints: vec!["10.0.0.1:6443".parse().unwrap(), "10.0.0.2:6443".parse().unwrap()],
                masquerade_always: false,
            },
            LiveFrontend {
                vip: vip("fd00::1", 80),
                port: "team-a/we\nb".into(),
                endpoints: vec!["[fd01::1]:8080".parse().unwrap()],
                masquerade_always: true,
            },
            LiveFrontend {
                vip: vip("172.30.0.2", 80),
                port: String::new(),
                endpoints: vec![],
                masquerade_always: true,
            },
        ]
    }

    #[test]
    fn as_a_table() {
        let mut out = Vec::new();
        frontends_table(&mut out, &frontends()).unwrap();
        let expected = "\
FRONTEND        PROTO  SERVICE                   ENDPOINTS       NOTE
172.30.0.1:443  tcp    default/kubernetes:https  10.0.0.1:6443
                                                 10.0.0.2:6443
[fd00::1]:80    tcp    team-a/we\\nb              [fd01::1]:8080  always masqueraded
172.30.0.2:80   tcp                              -               rejected: no endpoints
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
