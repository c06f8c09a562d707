//! What people are told of virtual servers.

use std::{collections::BTreeMap, io::ErrorKind, net::TcpStream, time::Duration};

use portolan_core::{
    addr::Protocol,
    desired::Vip,
    inspect::{Inspect as _, LiveDestination},
    trace::{Asks, Origin, Packet, Reason, Verdict, World},
};
use portolan_ipvs::Kernel;

use super::{changes, run, syncer};

pub(crate) fn virtual_servers_are_told_as_ipvsadm_lists_them() {
    let mut syncer = syncer();
    syncer.sync().expect("synced");
    run("ipvsadm", "-E -t 10.0.0.2:80 -s mh -b mh-fallback,mh-port -p 60");
    run("ipvsadm", "-e -t 10.0.0.2:80 -r 11.0.0.1:8080 -m -w 0");
    // As another program would add it.
    run("ipvsadm", "-a -t 10.0.0.2:80 -r 192.0.2.7:80 -g -w 7");
    let listed = run("ipvsadm", "-Ln");
    assert!(listed.contains("TCP  10.0.0.2:80 mh (mh-fallback,mh-port) persistent 60\n"), "{listed}");
    let servers = Kernel::open().expect("IPVS").servers().expect("it is read");
    assert_eq!(servers.len(), changes().len());
    let server = servers.get(&vip("10.0.0.2")).expect("it is there");
    assert_eq!((&*server.scheduler, server.persistence), ("mh", Some(60)));
    assert_eq!(server.flags, ["mh-fallback", "mh-port"]);
    for destination in &server.destinations {
        let LiveDestination { to, forwarding, weight, active, inactive, .. } = destination;
        let line = format!("-> {to} {forwarding} {weight} {active} {inactive}");
        let is_listed = |listed: &str| listed.split_whitespace().collect::<Vec<_>>().join(" ") == line;
        assert!(listed.lines().any(is_listed), "{line} is not in {listed}");
    }
    assert_eq!(server.destinations.len(), 3);
}

/// A second connection would come to the same destination, and a trace says so.
pub(crate) fn a_trace_knows_where_a_client_stays() {
    let mut syncer = syncer();
    syncer.sync().expect("synced");
    run("ipvsadm", "-E -t 10.0.0.2:80 -s rr -p 600");
    let asked = vip("10.0.0.2");
    // No endpoint answers. What the node sends to an address of its own comes from there.
    let tried = TcpStream::connect_timeout(&(asked.addr, asked.port).into(), Duration::from_millis(10));
    tried.expect_err("nobody is there");
    let packet = Packet {
        source: asked.addr,
        origin: Origin::Node,
        destination: asked.addr,
        asks: Asks::Port(asked.protocol, asked.port),
    };
    let mut kernel = Kernel::open().expect("IPVS");
    let observed = kernel.observed().expect("it is read");
    let is_local = |address| address == asked.addr;
    let traced = |remembered: &_| observed.trace(&packet, &World { is_local: &is_local, remembered });
    let before = traced(&BTreeMap::new());
    assert_eq!(before.outcomes.len(), 2, "{before:?}");
    let after = traced(&kernel.remembered(packet.source, &before).expect("it is read"));
    let [outcome] = &*after.outcomes else { panic!("{after:?}") };
    let Verdict::Endpoint { sticky: Some(sticky), .. } = &outcome.verdict else { panic!("{outcome:?}") };
    let left = sticky.left.expect("it is remembered").as_secs();
    assert!(sticky.timeout == 600 && (590..=600).contains(&left), "{sticky:?}");
}

/// Others have taken away what took new connections, and no rule knows of it.
pub(crate) fn a_trace_ends_where_the_kernel_does() {
    let mut syncer = syncer();
    syncer.sync().expect("synced");
    run("ipvsadm", "-d -t 10.0.0.2:80 -r 11.0.0.1:8080");
    run("ipvsadm", "-e -t 10.0.0.2:80 -r 11.0.0.2:8080 -m -w 0");
    let asked = vip("10.0.0.2");
    let is_local = |address| address == asked.addr;
    let remembered = BTreeMap::new();
    let packet = Packet {
        source: "192.168.100.11".parse().expect("an address"),
        origin: Origin::Node,
        destination: asked.addr,
        asks: Asks::Port(asked.protocol, asked.port),
    };
    let observed = Kernel::open().expect("IPVS").observed().expect("it is read");
    let trace = observed.trace(&packet, &World { is_local: &is_local, remembered: &remembered });
    let [outcome] = &*trace.outcomes else { panic!("{trace:?}") };
    let Verdict::Rejected(by) = &outcome.verdict else { panic!("{outcome:?}") };
    assert_eq!((by.reason, &by.rule, &*by.text), (Reason::NoEndpoints, &None, "virtual server 10.0.0.2:80/tcp"));
    let refused = TcpStream::connect((asked.addr, asked.port)).expect_err("nobody is there");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

fn vip(address: &str) -> Vip {
    Vip { addr: address.parse().expect("an address"), protocol: Protocol::Tcp, port: 80 }
}
