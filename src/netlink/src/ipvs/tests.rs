//! Decoders against what a kernel sent (`testdata/ipvs.bin`, made of `testdata/ipvs.sh` by `examples/record.rs`), and encoders
//! against decoders.

use std::net::SocketAddr;

use super::*;
use crate::{
    attr::encode,
    fields::Fields,
    links::{self, Link},
    message::Messages,
};

const RECORDED: &[u8] = include_bytes!("../../testdata/ipvs.bin");

const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;

/// The attributes of the recorded messages with a command of IPVS.
fn recorded(command: u8) -> impl Iterator<Item = Attrs<'static>> {
    Messages::new(RECORDED)
        .filter(move |message| message.kind > RTM_NEWADDR && message.payload.first() == Some(&command))
        .map(|message| message.attrs_after(generic::HEADER))
}

fn address(protocol: u16, socket: &str) -> ServerId {
    ServerId::Address { protocol, socket: socket.parse().unwrap() }
}

fn server(id: ServerId, scheduler: &str) -> VirtualServer {
    let netmask = if id.is_ipv6() { 128 } else { u32::MAX };
    VirtualServer { id, scheduler: scheduler.to_owned(), flags: 0, timeout: 0, netmask, engine: None }
}

fn servers() -> Vec<VirtualServer> {
    let persistent = VirtualServer::PERSISTENT;
    let flags = VirtualServer::HASH_FALLBACK | VirtualServer::HASH_PORT;
    vec![
        server(address(6, "10.96.0.10:80"), "rr"),
        VirtualServer { flags, ..server(address(6, "[fd00::10]:443"), "mh") },
        VirtualServer { flags: persistent, timeout: 10_800, ..server(address(17, "10.96.0.10:53"), "wlc") },
        VirtualServer { flags: VirtualServer::ONE_PACKET, ..server(address(17, "10.96.0.11:53"), "wrr") },
        VirtualServer { flags: persistent, timeout: 60, netmask: 64, ..server(address(17, "[fd00::10]:53"), "sh") },
        VirtualServer {
            flags: persistent,
            timeout: 300,
            netmask: 0xffff_ff00,
            ..server(address(132, "10.96.0.11:3868"), "lc")
        },
        server(ServerId::Mark { ipv6: false, mark: 7 }, "nq"),
        server(ServerId::Mark { ipv6: true, mark: 9 }, "sed"),
    ]
}

fn destination(socket: &str, weight: u32) -> Destination {
    let socket = socket.parse().unwrap();
    Destination { socket, forwarding: Forwarding::Masquerade, weight, upper: 0, lower: 0 }
}

#[test]
fn recorded_virtual_servers_are_understood() {
    let mut listed: Vec<_> = recorded(command::NEW_SERVICE).map(|attrs| ListedServer::parse(attrs).unwrap()).collect();
    listed.sort_by_key(|listed| listed.server.id);
    let of_one = Stats { connections: 1, packets_in: 1, packets_out: 0, bytes_in: 60, bytes_out: 0 };
    assert_eq!(listed.first().map(|listed| listed.stats), Some(of_one));
    assert!(listed.iter().skip(1).all(|listed| listed.stats == Stats::default()));
    assert_eq!(listed.into_iter().map(|listed| listed.server).collect::<Vec<_>>(), servers());
}

#[test]
fn recorded_destinations_are_understood() {
    let any = ServerId::Mark { ipv6: false, mark: 1 };
    let listed = recorded(command::NEW_DEST).map(|attrs| ListedDestination::parse(attrs, &any).unwrap());
    let mut listed: Vec<_> = listed.collect();
    listed.sort_by_key(|listed| listed.destination.socket);
    let used = listed.iter().find(|listed| listed.active > 0).unwrap();
    assert_eq!((used.active, used.inactive, used.persistent, used.stats.bytes_in), (1, 0, 0, 60));
    assert_eq!(used.destination, Destination { upper: 9, lower: 3, ..destination("10.244.1.4:8080", 65_536) });
    let expected = [
        Destination { forwarding: Forwarding::Direct, ..destination("10.0.0.7:0", 1) },
        Destination { forwarding: Forwarding::Tunnel, ..destination("10.0.0.8:0", 1) },
        used.destination,
        destination("10.244.1.5:5353", 1),
        destination("127.0.0.2:8080", 1),
        destination("127.0.0.3:8080", 0),
        destination("[fd00:1::5]:8443", 7),
    ];
    assert_eq!(listed.iter().map(|listed| listed.destination).collect::<Vec<_>>(), expected);
}

#[test]
fn recorded_settings_are_understood() {
    let timeouts: Vec<_> = recorded(command::SET_CONFIG).map(Timeouts::parse).collect();
    assert_eq!(timeouts, [Timeouts { tcp: 900, tcp_fin: 120, udp: 300 }]);
    let info: Vec<_> = recorded(command::SET_INFO).map(|attrs| Info::parse(attrs).unwrap()).collect();
    assert_eq!(info, [Info { version: (1, 2, 1), table_size: 256 }]);
}

#[test]
fn the_recorded_link_and_its_addresses_are_understood() {
    let of_kind = |kind| Messages::new(RECORDED).filter(move |message| message.kind == kind);
    let links: Vec<_> = of_kind(RTM_NEWLINK).map(|message| links::parse_link(&message).unwrap()).collect();
    // Where dummy is built in there is a dummy0 from the start.
    let dummy = links.iter().rfind(|link| link.kind.as_deref() == Some("dummy")).unwrap();
    assert!(links.contains(&Link { index: 1, kind: None }));
    let addresses = of_kind(RTM_NEWADDR).filter_map(|message| links::Address::parse(&message).unwrap());
    let addresses = addresses.filter(|(index, _)| *index == dummy.index).map(|(_, address)| address);
    let expected = ["10.96.0.10", "10.96.0.11", "fd00::10"].map(|addr| links::Address::alone(addr.parse().unwrap()));
    assert_eq!(addresses.collect::<Vec<_>>(), expected);
}

#[test]
fn what_is_written_is_read() {
    for server in servers() {
        let bytes = encode(|w| server.put(w)).unwrap();
        assert_eq!(ListedServer::parse(Attrs::new(&bytes)).map(|listed| listed.server), Ok(server));
    }
}

/// Without counts of 64 bits, and with those of 32 alone.
#[test]
fn counts_of_older_kernels_are_read() {
    let narrow = |w: &mut Writer<'_>| {
        w.nest(10, |w| {
            w.u32(1, 7);
            w.u32(2, 8);
            w.u32(3, 9);
            w.bytes(4, &10_u64.to_ne_bytes());
            w.bytes(5, &11_u64.to_ne_bytes());
        });
    };
    let bytes = encode(narrow).unwrap();
    let stats = Stats::parse(Fields::new("test", Attrs::new(&bytes)), 12, 10);
    assert_eq!(stats, Stats { connections: 7, packets_in: 8, packets_out: 9, bytes_in: 10, bytes_out: 11 });
    assert_eq!(Stats::parse(Fields::new("test", Attrs::new(&[])), 12, 10), Stats::default());
}

/// What lacks a part, or has it in another size, is told by its name.
#[test]
fn what_is_incomplete_is_told() {
    let malformed = |bytes: Vec<u8>| ListedServer::parse(Attrs::new(&bytes)).unwrap_err().attribute;
    assert_eq!(malformed(vec![]), "content");
    let id = address(6, "10.96.0.10:80");
    assert_eq!(malformed(encode(|w| id.put(w)).unwrap()), "flags");
    assert_eq!(malformed(encode(|w| w.nest(1, |w| w.u16(1, 99))).unwrap()), "family");
    let bytes = encode(|w| destination::put_id(w, &id, SocketAddr::from(([10, 0, 0, 1], 80)))).unwrap();
    assert_eq!(ListedDestination::parse(Attrs::new(&bytes), &id).unwrap_err().attribute, "forwarding");
}
