//! What `/proc/net/ip_vs` shows of virtual servers: all of them and their destinations in one read, where netlink has a list of
//! destinations for each. Flags of schedulers, engines and thresholds are not in it.
//!
//! ```text
//!   TCP  0A60000A:0050 rr
//!     -> 0AF4010B:1F90      Masq    1      0          0
//!   UDP  [fd00:0010:0096:0000:0000:0000:0000:000a]:0035 wlc persistent 10800 80000000
//! ```
#![expect(clippy::disallowed_methods, reason = "it is a file of the kernel")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use portolan_core::{addr::Protocol, desired::Vip};
use portolan_netlink::ipvs::VirtualServer;

use crate::{key::Key, run, value::Value};

/// Of the network namespace of this thread.
const FILE: &str = "/proc/thread-self/net/ip_vs";

/// The link, its addresses and the virtual servers there, as they are seen, or as they would be.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Glance {
    has_link: bool,
    pub(crate) addresses: BTreeSet<IpAddr>,
    /// With the words behind their addresses.
    servers: BTreeMap<Vip, String>,
    /// With the way of forwarding and the weight.
    destinations: BTreeMap<(Vip, SocketAddr), String>,
}

impl Glance {
    /// What is seen where the kernel holds these objects.
    pub(crate) fn of<'a>(objects: impl Iterator<Item = (&'a Key, &'a Value)>) -> Self {
        let mut glance = Self::default();
        for (key, value) in objects {
            match (key, value) {
                (Key::Link, value) => glance.has_link = *value == Value::Link,
                (Key::Address(address), _) => drop(glance.addresses.insert(*address)),
                (Key::Server(vip), Value::Server(server)) => {
                    glance.servers.insert(*vip, words(&run::server(vip, *server)));
                }
                (Key::Destination(vip, to), Value::Destination { weight }) => {
                    glance.destinations.insert((*vip, *to), format!("Masq {weight}"));
                }
                (Key::Server(_) | Key::Destination(..) | Key::Beside(_), _) => {}
            }
        }
        glance
    }

    /// Reads the virtual servers at these addresses.
    pub(crate) fn read_servers(&mut self, is_ours: impl Fn(IpAddr) -> bool) -> io::Result<()> {
        self.take(&fs::read_to_string(FILE)?, is_ours);
        Ok(())
    }

    fn take(&mut self, text: &str, is_ours: impl Fn(IpAddr) -> bool) {
        let mut server = None;
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            let (first, address) = (words.next(), words.next().and_then(socket));
            if first != Some("->") {
                server = first.and_then(protocol).zip(address).map(vip).filter(|vip| is_ours(vip.addr));
                self.servers.extend(server.map(|vip| (vip, words.collect::<Vec<_>>().join(" "))));
            } else if let (Some(vip), Some(to)) = (server, address) {
                self.destinations.insert((vip, to), words.take(2).collect::<Vec<_>>().join(" "));
            }
        }
    }
}

/// How a virtual server is shown (`ip_vs_info_seq_show`), without its name.
fn words(server: &VirtualServer) -> String {
    let VirtualServer { scheduler, flags, timeout, netmask, .. } = server;
    if flags & VirtualServer::PERSISTENT == 0 {
        return scheduler.clone();
    }
    // The length of an IPv6 prefix is taken for a mask.
    let netmask = if server.id.is_ipv6() { u32::from_be(*netmask) } else { *netmask };
    format!("{scheduler} persistent {timeout} {netmask:08X}")
}

pub(crate) fn protocol(name: &str) -> Option<Protocol> {
    Protocol::ALL.into_iter().find(|known| known.to_string().eq_ignore_ascii_case(name))
}

const fn vip((protocol, socket): (Protocol, SocketAddr)) -> Vip {
    Vip { addr: socket.ip(), protocol, port: socket.port() }
}

/// `0A60000A:0050`, `[fd00:0010:0096:0000:0000:0000:0000:000a]:0050`
fn socket(text: &str) -> Option<SocketAddr> {
    let (addr, port) = text.rsplit_once(':')?;
    let addr = addr.strip_prefix('[').and_then(|addr| addr.strip_suffix(']')).unwrap_or(addr);
    Some(SocketAddr::new(address(addr)?, u16::from_str_radix(port, 16).ok()?))
}

/// `0A60000A`, `fd00:0010:0096:0000:0000:0000:0000:000a`
pub(crate) fn address(text: &str) -> Option<IpAddr> {
    if text.contains(':') {
        return Some(IpAddr::V6(text.parse().ok()?));
    }
    Some(IpAddr::V4(Ipv4Addr::from(u32::from_str_radix(text, 16).ok()?)))
}

#[cfg(test)]
mod tests {
    use portolan_core::desired::Scheduler;

    use super::*;
    use crate::value::Server;

    const SEEN: &str = "\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
FWM  00000007 rr 
  -> 0AF40163:1F90      Masq    1      0          0         
TCP  0A60000A:0050 rr 
  -> 0AF4010C:1F90      Masq    0      3          1         
  -> 0AF4010B:1F90      Masq    1      0          0         
TCP  C0A8640B:20FB wlc 
  -> C0000207:20FB      Masq    1      0          0         
SCTP [fd00:0010:0096:0000:0000:0000:0000:000a]:0035 wlc 
  -> [fd00:0010:0244:0001:0000:0000:0000:000b]:0035      Masq    1      0          0         
";

    fn server(scheduler: Scheduler, affinity: Option<u32>) -> Server {
        Server { scheduling: scheduler.into(), affinity }
    }

    fn objects() -> Vec<(Key, Value)> {
        let vip = |addr: &str, protocol, port| Vip { addr: addr.parse().unwrap(), protocol, port };
        let four = vip("10.96.0.10", Protocol::Tcp, 80);
        let six = vip("fd00:10:96::a", Protocol::Sctp, 53);
        let to = |vip, to: &str, weight| (Key::Destination(vip, to.parse().unwrap()), Value::Destination { weight });
        vec![
            (Key::Server(four), Value::Server(server(Scheduler::RoundRobin, None))),
            to(four, "10.244.1.11:8080", 1),
            to(four, "10.244.1.12:8080", 0),
            (Key::Server(six), Value::Server(server(Scheduler::WeightedLeastConnection, None))),
            to(six, "[fd00:10:244:1::b]:53", 1),
        ]
    }

    fn seen(text: &str) -> Glance {
        let mut seen = Glance::default();
        seen.take(text, |address| address.to_string() != "192.168.100.11");
        seen
    }

    fn known(objects: &[(Key, Value)]) -> Glance {
        Glance::of(objects.iter().map(|(key, value)| (key, value)))
    }

    #[test]
    fn what_is_there_is_seen_whatever_connections_there_are() {
        assert_eq!(seen(SEEN), known(&objects()));
    }

    #[test]
    fn what_differs_is_seen() {
        for number in 0..objects().len() {
            let mut fewer = objects();
            fewer.remove(number);
            assert_ne!(seen(SEEN), known(&fewer), "{number}");
            let mut strange = objects();
            strange[number].1 = Value::Strange;
            assert_ne!(seen(SEEN), known(&strange), "{number}");
        }
        for (from, to) in [
            ("0050 rr", "0050 lc"),
            ("0050 rr", "0050 rr ops"),
            ("0050 rr", "0050 rr persistent 60 FFFFFFFF"),
            ("1F90      Masq    1", "1F90      Masq    7"),
            ("1F90      Masq    1", "1F90      Route   1"),
        ] {
            assert_ne!(seen(&SEEN.replacen(from, to, 9)), known(&objects()), "{to}");
        }
    }

    #[test]
    fn persistence_is_shown_as_the_kernel_shows_it() {
        let shown = |address: &str| {
            let vip = Vip { addr: address.parse().unwrap(), protocol: Protocol::Tcp, port: 80 };
            words(&run::server(&vip, server(Scheduler::SourceHashing, Some(300))))
        };
        assert_eq!(shown("10.96.0.10"), "sh persistent 300 FFFFFFFF");
        let little_endian = if cfg!(target_endian = "little") { "80000000" } else { "00000080" };
        assert_eq!(shown("fd00::1"), format!("sh persistent 300 {little_endian}"));
    }

    #[test]
    fn any_text_can_be_read() {
        for text in
            ["", "->", "TCP", "TCP :", "TCP [:]:0", "TCP [fd00::1]:", "TCP 0:0", "TCP \u{e4}:\u{e4} \n -> x:y", ":"]
        {
            seen(text);
        }
    }
}
