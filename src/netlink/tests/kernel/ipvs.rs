//! IPVS, in a kernel that has it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use portolan_netlink::{
    Errno, Refusal, RequestError,
    ipvs::{Change, Destination, Forwarding, Ipvs, IpvsError, ListedDestination, ServerId, Timeouts, VirtualServer},
    links::{Address, AddressChange, Links},
};

use crate::support::Test;

pub(crate) const TESTS: &[Test] = &[
    ("ipvs_virtual_servers_read_back_equal", virtual_servers_read_back_equal),
    ("ipvs_destinations_read_back_equal", destinations_read_back_equal),
    ("ipvs_each_change_is_refused_by_itself", each_change_is_refused_by_itself),
    ("ipvs_ten_thousand_servers_in_one_call", ten_thousand_servers_in_one_call),
    ("ipvs_addresses_of_a_dummy_link_are_the_nodes", addresses_of_a_dummy_link_are_the_nodes),
    ("ipvs_schedulers_are_found_without_making_a_server", schedulers_are_found_without_making_a_server),
    ("ipvs_timeouts_that_are_0_stay", timeouts_that_are_0_stay),
    ("ipvs_the_kernel_tells_its_version", the_kernel_tells_its_version),
];

const TCP: u16 = 6;
const UDP: u16 = 17;

/// Why this kernel has no IPVS for us, if that is so.
pub(crate) fn missing() -> Option<String> {
    let mut ipvs = match Ipvs::open() {
        Ok(ipvs) => ipvs,
        Err(error) => return Some(error.to_string()),
    };
    ipvs.servers().err().map(|error: IpvsError| error.to_string())
}

/// In a network namespace with an address: where it has none the kernel takes every IPv4 address for one of many hosts, which
/// no destination may have (EINVAL).
fn open() -> Ipvs {
    give_an_address();
    Ipvs::open().expect("this kernel has it")
}

fn give_an_address() {
    let mut links = Links::open().expect("opened");
    let loopback = links.link("lo").expect("asked").expect("there").index;
    let address = Address { addr: Ipv4Addr::LOCALHOST.into(), prefix: 8 };
    assert_eq!(links.change_addresses(loopback, [AddressChange::Add(address)]).expect("asked"), []);
}

fn id(protocol: u16, socket: &str) -> ServerId {
    ServerId::Address { protocol, socket: socket.parse().expect("an address") }
}

fn server(id: ServerId, scheduler: &str) -> VirtualServer {
    let netmask = if id.is_ipv6() { 128 } else { u32::MAX };
    VirtualServer { id, scheduler: scheduler.to_owned(), flags: 0, timeout: 0, netmask, engine: None }
}

fn destination(socket: &str, weight: u32) -> Destination {
    let socket = socket.parse().expect("an address");
    Destination { socket, forwarding: Forwarding::Masquerade, weight, upper: 0, lower: 0 }
}

fn made(refusals: Result<Vec<Refusal>, IpvsError>) {
    assert_eq!(refusals.expect("asked").first(), None);
}

fn virtual_servers_read_back_equal() {
    let mut ipvs = open();
    let persistent = VirtualServer::PERSISTENT;
    let hash = VirtualServer::HASH_FALLBACK | VirtualServer::HASH_PORT;
    let mut servers = vec![
        server(id(TCP, "10.96.0.10:80"), "rr"),
        VirtualServer { flags: persistent, timeout: 10_800, ..server(id(UDP, "10.96.0.10:53"), "wlc") },
        VirtualServer {
            flags: persistent,
            timeout: 300,
            netmask: 0xffff_ff00,
            ..server(id(132, "10.96.0.11:5"), "lc")
        },
        VirtualServer { flags: hash, ..server(id(TCP, "[fd00::10]:443"), "mh") },
        VirtualServer { flags: persistent, timeout: 60, netmask: 64, ..server(id(UDP, "[fd00::10]:53"), "sh") },
        VirtualServer { flags: VirtualServer::ONE_PACKET, ..server(id(UDP, "10.96.0.12:53"), "wrr") },
        server(ServerId::Mark { ipv6: false, mark: 7 }, "nq"),
        server(ServerId::Mark { ipv6: true, mark: 0x8000_0001 }, "sed"),
    ];
    made(ipvs.change(servers.iter().map(Change::AddServer)));
    let listed = |ipvs: &mut Ipvs| {
        let mut listed: Vec<_> = ipvs.servers().expect("listed").into_iter().map(|listed| listed.server).collect();
        listed.sort_by_key(|server| server.id);
        listed
    };
    servers.sort_by_key(|server| server.id);
    assert_eq!(listed(&mut ipvs), servers);
    for server in &servers {
        assert_eq!(ipvs.server(&server.id).expect("asked").map(|listed| listed.server).as_ref(), Some(server));
    }
    // All of it but the identity can be changed, and flags can be taken away.
    for server in &mut servers {
        (server.scheduler, server.flags, server.timeout) = ("lblc".to_owned(), 0, 0);
    }
    made(ipvs.change(servers.iter().map(Change::SetServer)));
    assert_eq!(listed(&mut ipvs), servers);
    made(ipvs.change(servers.iter().map(|server| Change::DeleteServer(&server.id))));
    assert_eq!(listed(&mut ipvs), []);
    assert_eq!(ipvs.server(&id(TCP, "10.96.0.10:80")).expect("asked"), None);
}

fn destinations_read_back_equal() {
    let mut ipvs = open();
    let ids = [id(TCP, "10.96.0.10:80"), id(TCP, "[fd00::10]:80"), id(TCP, "10.96.0.99:1")];
    let servers = [ids[0], ids[1]].map(|id| server(id, "wrr"));
    made(ipvs.change(servers.iter().map(Change::AddServer)));
    let four = [
        destination("10.244.1.1:8080", 1),
        Destination { forwarding: Forwarding::Direct, ..destination("10.244.1.2:80", 0) },
        Destination { forwarding: Forwarding::Tunnel, ..destination("10.244.1.3:80", 100_000) },
        Destination { upper: 9, lower: 3, ..destination("10.244.1.4:65535", i32::MAX.unsigned_abs()) },
    ];
    let six = [destination("[fd00:1::1]:8080", 1), destination("[fd00:1::2]:8080", 70_000)];
    let to_four = four.iter().map(|to| Change::AddDestination(&ids[0], to));
    let to_six = six.iter().map(|to| Change::AddDestination(&ids[1], to));
    made(ipvs.change(to_four.chain(to_six)));
    let listed = |ipvs: &mut Ipvs| -> Vec<Vec<Destination>> {
        let listed = ipvs.destinations(&ids).expect("listed");
        let plain = |to: &ListedDestination| {
            assert_eq!((to.active, to.inactive, to.persistent), (0, 0, 0));
            to.destination
        };
        // The last one added comes first.
        listed.iter().map(|of| of.iter().rev().map(plain).collect()).collect()
    };
    assert_eq!(listed(&mut ipvs), [four.to_vec(), six.to_vec(), vec![]]);
    let changed = Destination { weight: 0, ..four[0] };
    made(ipvs.change([
        Change::SetDestination(&ids[0], &changed),
        Change::DeleteDestination(&ids[0], four[1].socket),
        Change::DeleteDestination(&ids[1], six[1].socket),
    ]));
    assert_eq!(listed(&mut ipvs), [vec![changed, four[2], four[3]], vec![six[0]], vec![]]);
}

fn each_change_is_refused_by_itself() {
    let mut ipvs = open();
    let there = server(id(TCP, "10.96.0.10:80"), "rr");
    let missing = id(TCP, "10.96.0.11:80");
    let unknown = server(missing, "no-such");
    let to = destination("10.244.1.1:8080", 1);
    let other = destination("10.244.1.2:8080", 1);
    let heavy = destination("10.244.1.3:8080", u32::MAX);
    let changes = [
        Change::AddServer(&there),
        Change::AddServer(&there),
        Change::AddServer(&unknown),
        Change::AddDestination(&missing, &to),
        Change::AddDestination(&there.id, &to),
        Change::AddDestination(&there.id, &to),
        Change::SetDestination(&there.id, &other),
        Change::DeleteDestination(&there.id, other.socket),
        Change::AddDestination(&there.id, &heavy),
        Change::DeleteServer(&missing),
        Change::AddDestination(&there.id, &other),
    ];
    let refused: Vec<_> = ipvs
        .change(changes)
        .expect("asked")
        .iter()
        .map(|refusal| (refusal.op.expect("known"), refusal.errno))
        .collect();
    let expected = [
        (1, Errno::EEXIST),
        (2, Errno::ENOENT),
        (3, Errno::ESRCH),
        (5, Errno::EEXIST),
        (6, Errno::ENOENT),
        (7, Errno::ENOENT),
        (8, Errno::ERANGE),
        (9, Errno::ESRCH),
    ];
    assert_eq!(refused, expected);
    assert_eq!(ipvs.destinations(&[there.id]).expect("listed")[0].len(), 2);
}

/// 10,000 virtual servers with two destinations each; and all of them listed, 10,001 lists over one socket.
fn ten_thousand_servers_in_one_call() {
    let mut ipvs = open();
    let socket = |base: u32, number: u32, port| SocketAddr::new(IpAddr::V4(Ipv4Addr::from(base + number)), port);
    let ids: Vec<_> = (0..10_000)
        .map(|number| ServerId::Address { protocol: TCP, socket: socket(0x0a60_0000, number, 80) })
        .collect();
    let servers: Vec<_> = ids.iter().map(|id| server(*id, "rr")).collect();
    let destinations: Vec<_> = (0..20_000)
        .map(|number| Destination { socket: socket(0x0af4_0000, number, 8080), ..destination("0.0.0.0:0", 1) })
        .collect();
    let changes = servers.iter().zip(destinations.chunks(2)).flat_map(|(server, of)| {
        [Change::AddServer(server)].into_iter().chain(of.iter().map(|to| Change::AddDestination(&server.id, to)))
    });
    made(ipvs.change(changes));
    assert_eq!(ipvs.servers().expect("listed").len(), 10_000);
    let listed = ipvs.destinations(&ids).expect("listed");
    assert!(
        listed
            .iter()
            .zip(destinations.chunks(2))
            .all(|(listed, of)| { listed.iter().rev().map(|listed| listed.destination).eq(of.iter().copied()) })
    );
    ipvs.flush().expect("emptied");
    assert_eq!(ipvs.servers().expect("listed"), []);
}

/// Also while it is down, as kube-proxy's is.
fn addresses_of_a_dummy_link_are_the_nodes() {
    give_an_address();
    let mut links = Links::open().expect("opened");
    links.add("kube-ipvs0", "dummy").expect("made");
    let link = links.link("kube-ipvs0").expect("asked").expect("there");
    assert_eq!(link.kind.as_deref(), Some("dummy"));
    let addresses = ["10.96.0.10", "fd00::10"].map(|addr| addr.parse::<IpAddr>().expect("an address"));
    let binds = |addr: &IpAddr| UdpSocket::bind((*addr, 0)).is_ok();
    assert!(!addresses.iter().any(binds));
    let add = addresses.map(|addr| AddressChange::Add(Address::alone(addr)));
    assert_eq!(links.change_addresses(link.index, add).expect("asked"), []);
    assert!(addresses.iter().all(binds));
}

fn schedulers_are_found_without_making_a_server() {
    let mut ipvs = open();
    for (name, is_known) in [("rr", true), ("mh", true), ("no-such-one", false)] {
        assert_eq!(ipvs.knows_scheduler(name).expect("asked"), is_known, "{name}");
    }
    assert_eq!(ipvs.servers().expect("listed"), []);
}

fn timeouts_that_are_0_stay() {
    let mut ipvs = open();
    ipvs.set_timeouts(Timeouts { tcp: 1_000, tcp_fin: 100, udp: 10 }).expect("set");
    ipvs.set_timeouts(Timeouts { tcp: 0, tcp_fin: 200, udp: 0 }).expect("set");
    assert_eq!(ipvs.timeouts().expect("asked"), Timeouts { tcp: 1_000, tcp_fin: 200, udp: 10 });
    let too_long = ipvs.set_timeouts(Timeouts { tcp: u32::MAX, ..Timeouts::default() });
    assert!(matches!(too_long, Err(IpvsError::Request(RequestError::Refused(Errno::EINVAL)))), "{too_long:?}");
}

fn the_kernel_tells_its_version() {
    assert_eq!(open().info().expect("asked").version, (1, 2, 1));
}
