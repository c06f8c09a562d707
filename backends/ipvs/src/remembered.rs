//! Which clients IPVS keeps at a destination. Its connections have templates among them, which have no client's port:
//!
//! ```text
//!   Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData
//!   TCP C0A80165 0000 0A60000A 0050 0AF4010B 1F90 NONE            120
//! ```
#![expect(clippy::disallowed_methods, reason = "it is a file of the kernel")]

use std::{
    collections::BTreeMap,
    fs, io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use portolan_core::desired::Vip;

use crate::{
    glance::{address, protocol},
    key::Key,
};

/// Of the network namespace of this thread.
const FILE: &str = "/proc/thread-self/net/ip_vs_conn";

/// For how long destinations will still have a client, by their names.
pub(crate) fn read(client: IpAddr) -> io::Result<BTreeMap<String, Duration>> {
    let text = fs::read_to_string(FILE)?;
    Ok(text.lines().filter_map(template).filter(|(of, ..)| *of == client).map(|(_, key, left)| (key, left)).collect())
}

/// The client, the destination's name, and how long it is kept.
fn template(line: &str) -> Option<(IpAddr, String, Duration)> {
    let words: Vec<_> = line.split_ascii_whitespace().collect();
    let [name, client, "0000", asked, port, to, to_port, _state, left, ..] = *words else { return None };
    let socket = |addr, port| Some(SocketAddr::new(address(addr)?, u16::from_str_radix(port, 16).ok()?));
    let asked = socket(asked, port)?;
    let vip = Vip { addr: asked.ip(), protocol: protocol(name)?, port: asked.port() };
    let key = Key::Destination(vip, socket(to, to_port)?);
    Some((address(client)?, key.to_string(), Duration::from_secs(left.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_told_from_connections() {
        let lines = [
            "Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData",
            "TCP C0A80165 0000 0A60000A 0050 0AF4010B 1F90 NONE            120",
            "TCP C0A80165 C001 0A60000A 0050 0AF4010B 1F90 ESTABLISHED     899",
            "UDP fd00:0100:0000:0000:0000:0000:0000:0065 0000 fd00:0010:0096:0000:0000:0000:0000:000a 0035 \
             fd00:0010:0244:0001:0000:0000:0000:000b 0035 NONE             60",
            "TCP x 0000 0A60000A 0050 0AF4010B 1F90 NONE 1",
            "TCP C0A80165 0000 0A60000A 0050 0AF4010B 1F90 NONE -1",
        ];
        let told: Vec<_> = lines.into_iter().filter_map(template).map(|told| format!("{told:?}")).collect();
        assert_eq!(
            told,
            [
                r#"(192.168.1.101, "destination 10.244.1.11:8080 of virtual server 10.96.0.10:80/tcp", 120s)"#,
                r#"(fd00:100::65, "destination [fd00:10:244:1::b]:53 of virtual server [fd00:10:96::a]:53/udp", 60s)"#,
            ]
        );
    }
}
