//! How many connections came to each frontend, and why some of them came to nothing.

use std::{
    io::{self, Write},
    net::IpAddr,
};

use portolan_core::{
    object::{FrontendCounts, LiveFrontend},
    text::printable,
};
use serde::Serialize;

use super::{frontends::address, table::table};

/// One line for each frontend; `-` for connections that nobody counts.
///
/// # Errors
/// When `out` cannot be written to.
pub fn counters_table(out: &mut dyn Write, counted: &[(LiveFrontend, FrontendCounts)]) -> io::Result<()> {
    let row = |(frontend, counts): &(LiveFrontend, FrontendCounts)| {
        [
            address(frontend),
            frontend.vip.protocol.to_string(),
            printable(&frontend.port),
            counts.connections.map_or_else(|| "-".to_owned(), |connections| connections.to_string()),
            counts.no_endpoints.to_string(),
            counts.no_local_endpoints.to_string(),
            counts.source_ranges.to_string(),
        ]
    };
    let rows: Vec<_> = counted.iter().map(row).collect();
    let heading =
        ["FRONTEND", "PROTO", "SERVICE", "CONNECTIONS", "NO ENDPOINTS", "NO LOCAL ENDPOINTS", "SOURCE RANGES"];
    table(out, heading, &rows)
}

/// A JSON array with an object for each frontend: `address` (`null` for a NodePort at all of the node's), `port`,
/// `protocol`, `service` (namespace/name:port), `connections` (`null` where nobody counts them), and the packets that were refused:
/// `noEndpoints`, `noLocalEndpoints`, `sourceRanges`.
///
/// # Errors
/// When `out` cannot be written to.
pub fn counters_json(out: &mut dyn Write, counted: &[(LiveFrontend, FrontendCounts)]) -> io::Result<()> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Counted<'a> {
        address: Option<IpAddr>,
        port: u16,
        protocol: String,
        service: &'a str,
        connections: Option<u64>,
        no_endpoints: u64,
        no_local_endpoints: u64,
        source_ranges: u64,
    }
    let counted: Vec<_> = counted
        .iter()
        .map(|(frontend, counts)| Counted {
            address: Some(frontend.vip.addr).filter(|addr| !addr.is_unspecified()),
            port: frontend.vip.port,
            protocol: frontend.vip.protocol.to_string(),
            service: &frontend.port,
            connections: counts.connections,
            no_endpoints: counts.no_endpoints,
            no_local_endpoints: counts.no_local_endpoints,
            source_ranges: counts.source_ranges,
        })
        .collect();
    super::json(out, &counted)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use portolan_core::{addr::Protocol, desired::Vip};

    use super::*;

    fn cluster() -> [(LiveFrontend, FrontendCounts); 2] {
        let frontend = |addr: &str, port: &str| LiveFrontend {
            vip: Vip { addr: addr.parse().unwrap(), protocol: Protocol::Tcp, port: 80 },
            port: port.to_owned(),
            endpoints: Vec::new(),
            local_endpoints: None,
            notes: BTreeSet::new(),
        };
        let counts =
            FrontendCounts { connections: Some(1234), no_endpoints: 0, no_local_endpoints: 5, source_ranges: 67 };
        [
            (frontend("10.96.0.1", "default/web:http"), counts),
            (frontend("0.0.0.0", "default/np"), FrontendCounts { connections: None, ..FrontendCounts::default() }),
        ]
    }

    #[test]
    fn as_a_table() {
        let mut out = Vec::new();
        counters_table(&mut out, &cluster()).unwrap();
        let expected = "\
FRONTEND      PROTO  SERVICE           CONNECTIONS  NO ENDPOINTS  NO LOCAL ENDPOINTS  SOURCE RANGES
10.96.0.1:80  tcp    default/web:http  1234         0             5                   67
*:80          tcp    default/np        -            0             0                   0
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn as_json() {
        let mut out = Vec::new();
        counters_json(&mut out, &cluster()).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!((&json[0]["connections"], &json[0]["sourceRanges"]), (&1234.into(), &67.into()));
        assert_eq!(
            (&json[1]["address"], &json[1]["connections"]),
            (&serde_json::Value::Null, &serde_json::Value::Null)
        );
    }
}
