//! NodePorts at loopback addresses over real sockets: what clients and endpoints notice of the listener between them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code as a whole")]

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use portolan::{loopback::LoopbackNodePorts, metrics::Metrics};
use portolan_core::{
    addr::{Family, Protocol},
    desired::{LoopbackNodePort, PortChange, PortId},
    model::AtLoopback,
    name::{ServiceName, ServicePortName},
};
use socket2::SockRef;

/// Only reached when something is wrong.
const PATIENCE: Duration = Duration::from_secs(20);

struct World {
    node_ports: LoopbackNodePorts,
    metrics: Arc<Metrics>,
}

impl World {
    fn new() -> Self {
        Self {
            node_ports: LoopbackNodePorts::default(),
            metrics: Metrics::new(Vec::new(), AtLoopback::Listener).unwrap(),
        }
    }

    /// What a ServicePort wants from now on, with the others as they are.
    fn change(&mut self, name: &str, wanted: Option<(SocketAddr, &[SocketAddr])>) {
        self.update(name, wanted);
        self.node_ports.settle(&self.metrics);
    }

    fn update(&mut self, name: &str, wanted: Option<(SocketAddr, &[SocketAddr])>) {
        let service = ServiceName { namespace: "default".into(), name: name.into() };
        let name = Arc::new(ServicePortName { service, port: "http".into(), protocol: Protocol::Tcp });
        let loopback = wanted.map(|(address, endpoints)| LoopbackNodePort {
            address,
            endpoints: endpoints.to_vec(),
            affinity: None,
        });
        let family = wanted.map_or(Family::V4, |(address, _)| Family::of(address.ip()));
        self.node_ports.update(&PortChange { id: PortId { name, family }, desired: None, loopback });
    }

    fn metric(&self, name: &str) -> String {
        let text = self.metrics.text();
        let line = text.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned));
        line.unwrap_or_else(|| format!("{name} is missing"))
    }
}

const LISTENERS: &str = "kubeproxy_nftables_localhost_nodeport_listeners{ip_family=\"IPv4\"} ";
const FAILURES: &str = "kubeproxy_nftables_localhost_nodeport_listener_creation_failures_total{ip_family=\"IPv4\"} ";
const REJECTED: &str =
    "kubeproxy_nftables_localhost_nodeport_rejected_packets_total{ip_family=\"IPv4\",protocol=\"UDP\"} ";

/// Somebody who listens, and where.
fn endpoint() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// An address where nobody listens.
fn free() -> SocketAddr {
    endpoint().1
}

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// A client of a NodePort, and the endpoint's end of its connection.
fn connected(to: SocketAddr, endpoint: &TcpListener) -> (TcpStream, TcpStream) {
    let client = connect(to);
    let (accepted, _) = endpoint.accept().unwrap();
    accepted.set_read_timeout(Some(PATIENCE)).unwrap();
    (client, accepted)
}

fn read_all(mut stream: &TcpStream) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).map(|_| all)
}

fn is_reset(stream: &TcpStream) -> bool {
    read_all(stream).is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
}

fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
}

#[test]
fn bytes_are_carried_both_ways_and_each_end_is_passed_on() {
    let (listener, at) = endpoint();
    let (mut world, node_port) = (World::new(), free());
    world.change("web", Some((node_port, &[at])));
    // More than sockets and pipes hold, so that both ends have to wait for each other.
    let much: Vec<u8> = (0..8_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    for client_first in [true, false] {
        let (client, accepted) = connected(node_port, &listener);
        let (first, second) = if client_first { (client, accepted) } else { (accepted, client) };
        thread::scope(|scope| {
            scope.spawn(|| {
                (&first).write_all(&much).unwrap();
                first.shutdown(Shutdown::Write).unwrap();
            });
            assert!(read_all(&second).unwrap() == much, "client first: {client_first}");
        });
        // The other direction is still open.
        (&second).write_all(b"answer").unwrap();
        second.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(&first).unwrap(), b"answer");
    }
}

#[test]
fn a_reset_is_passed_on_and_so_is_an_endpoint_that_refuses() {
    let (listener, at) = endpoint();
    let (mut world, node_port) = (World::new(), free());
    world.change("web", Some((node_port, &[at])));
    let (client, accepted) = connected(node_port, &listener);
    reset(accepted);
    assert!(is_reset(&client));
    let (client, accepted) = connected(node_port, &listener);
    reset(client);
    assert!(is_reset(&accepted));
    world.change("web", Some((node_port, &[free()])));
    assert!(is_reset(&connect(node_port)));
}

/// As a server that refuses an upload by its size: it answers and closes, and what is still on its way meets a reset.
#[test]
fn an_answer_that_comes_before_the_request_is_whole_arrives() {
    let (listener, at) = endpoint();
    let (mut world, node_port) = (World::new(), free());
    world.change("web", Some((node_port, &[at])));
    let (mut client, mut accepted) = connected(node_port, &listener);
    let mut heard = [0; 1];
    client.write_all(&[1; 1 << 20]).unwrap();
    accepted.read_exact(&mut heard).unwrap();
    accepted.write_all(b"too large").unwrap();
    // What is unread makes a reset of it.
    drop(accepted);
    let mut answer = [0; 9];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"too large");
}

#[test]
fn connections_outlive_other_endpoints_and_end_with_their_listener() {
    let ((first, at_first), (second, at_second)) = (endpoint(), endpoint());
    let (mut world, node_port) = (World::new(), free());
    world.change("web", Some((node_port, &[at_first])));
    assert_eq!((world.metric(LISTENERS), world.metric(REJECTED)), ("1".to_owned(), "0".to_owned()));
    let (client, accepted) = connected(node_port, &first);
    world.change("web", Some((node_port, &[at_second])));
    let _other = connected(node_port, &second);
    (&client).write_all(b"still there").unwrap();
    let mut heard = [0; 11];
    (&accepted).read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"still there");
    world.change("web", None);
    assert_eq!(world.metric(LISTENERS), "0");
    assert_eq!(TcpStream::connect(node_port).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    assert_eq!((read_all(&client).unwrap(), read_all(&accepted).unwrap()), (Vec::new(), Vec::new()));
}

#[test]
fn a_port_that_is_taken_hinders_nobody_and_is_tried_again() {
    let (listener, at) = endpoint();
    let (occupant, taken) = endpoint();
    let (mut world, other) = (World::new(), free());
    world.update("taken", Some((taken, &[at])));
    world.update("other", Some((other, &[at])));
    world.node_ports.settle(&world.metrics);
    assert_eq!((world.metric(LISTENERS), world.metric(FAILURES)), ("1".to_owned(), "1".to_owned()));
    let _ = connected(other, &listener);
    world.node_ports.settle(&world.metrics);
    assert_eq!(world.metric(FAILURES), "2");
    drop(occupant);
    world.node_ports.settle(&world.metrics);
    assert_eq!((world.metric(LISTENERS), world.metric(FAILURES)), ("2".to_owned(), "2".to_owned()));
    let _ = connected(taken, &listener);
    // Nothing is left to be tried.
    world.node_ports.settle(&world.metrics);
    assert_eq!(world.metric(FAILURES), "2");
}

#[test]
fn a_port_may_change_hands() {
    let ((first, at_first), (second, at_second)) = (endpoint(), endpoint());
    let (mut world, node_port) = (World::new(), free());
    let mut turns = [("first", at_first, &first), ("second", at_second, &second)];
    for _ in 0..20 {
        let [(loser, ..), (winner, at, listener)] = turns;
        world.update(winner, Some((node_port, &[at])));
        world.update(loser, None);
        world.node_ports.settle(&world.metrics);
        let _ = connected(node_port, listener);
        turns.reverse();
    }
    assert_eq!(world.metric(LISTENERS), "1");
}

#[test]
fn a_family_that_the_kernel_lacks_is_no_failure() {
    let at = SocketAddr::from((Ipv6Addr::new(0xfd00, 0xdead, 0, 0, 0, 0, 0, 1), 30080));
    let mut world = World::new();
    world.change("web", Some((at, &[at])));
    assert!(world.metric(&FAILURES.replace("IPv4", "IPv6")).ends_with("is missing"));
}

#[test]
fn who_is_silent_and_who_floods_keeps_nobody_out() {
    const SILENT: usize = 1500;
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let (listener, at) = endpoint();
    let (mut world, node_port) = (World::new(), free());
    world.change("web", Some((node_port, &[at])));
    let silent: Vec<_> = (0..SILENT).map(|_| connected(node_port, &listener)).collect();
    let (flooding, flooded) = connected(node_port, &listener);
    let sink = thread::spawn({
        let mut flooded = flooded;
        move || io::copy(&mut flooded, &mut io::sink())
    });
    let flood = thread::spawn({
        let flooding = flooding.try_clone().unwrap();
        move || while (&flooding).write_all(&[0; 1 << 16]).is_ok() {}
    });
    // New ones, those that were silent, and changes have their turns all the same.
    for (round, (client, accepted)) in silent.iter().enumerate().step_by(100) {
        let (new, new_accepted) = connected(node_port, &listener);
        for (mut from, mut to) in [(&new, &new_accepted), (&new_accepted, &new), (client, accepted), (accepted, client)]
        {
            from.write_all(b"word").unwrap();
            let mut heard = [0; 4];
            to.read_exact(&mut heard).unwrap();
            assert_eq!(&heard, b"word", "round {round}");
        }
        world.change("other", Some((free(), &[at])));
        world.change("other", None);
    }
    flooding.shutdown(Shutdown::Both).unwrap();
    flood.join().unwrap();
    sink.join().unwrap().unwrap();
}
