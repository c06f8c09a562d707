//! The link of Services and what others do to it, among them a predecessor.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use nix::{
    libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{setsockopt, sockopt},
};
use portolan_core::{
    desired::PortChange,
    inspect::{Predecessor as _, Running},
    object::{Backend as _, Syncer},
};
use portolan_ipvs::{Kernel, Leftovers, Own};

use super::{changes, run, syncer};

pub(crate) fn what_befalls_the_link_is_heard_of() {
    let mut syncer = syncer();
    syncer.sync().expect("synced");
    for arguments in [
        "address delete 10.0.0.1/32 dev kube-ipvs0",
        "address add fd00::77/128 dev kube-ipvs0",
        "link set kube-ipvs0 name other",
        "link delete kube-ipvs0",
    ] {
        assert!(!is_readable(&syncer), "{arguments}: something was heard of before");
        run("ip", arguments);
        assert!(is_readable(&syncer), "{arguments}");
        assert!(syncer.check().expect("synced").operations > 0, "{arguments}");
        // What we did ourselves is heard of, too.
        assert_eq!(syncer.check().expect("synced").operations, 0, "{arguments}");
    }
    let looked = syncer.stats().observations;
    for arguments in ["address add 192.0.2.1/32 dev lo", "link add another type dummy", "link set kube-ipvs0 up"] {
        run("ip", arguments);
        assert_eq!(
            (syncer.check().expect("synced").operations, syncer.stats().observations),
            (0, looked),
            "{arguments}"
        );
    }
}

/// Whether the kernel has something to say.
fn is_readable(syncer: &Syncer<Kernel>) -> bool {
    let mut fds: Vec<_> = syncer.backend().wakers().into_iter().map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
    poll(&mut fds, PollTimeout::ZERO).expect("polled") > 0
}

pub(crate) fn our_own_changes_are_not_anothers() {
    let mut syncer = syncer();
    syncer.sync().expect("synced");
    let looked = syncer.stats().observations;
    for desired in [None, Some(())] {
        for change in changes() {
            syncer.update(&PortChange { desired: change.desired.filter(|_| desired.is_some()), ..change });
        }
        assert!(syncer.sync().expect("synced").operations > 0);
        assert_eq!(syncer.check().expect("synced").operations, 0);
    }
    assert_eq!(syncer.stats().observations, looked);
}

pub(crate) fn a_link_of_another_kind_is_replaced() {
    run("ip", "link add kube-ipvs0 type bridge");
    run("ip", "address add 10.0.0.1/32 dev kube-ipvs0");
    syncer().sync().expect("synced");
    assert!(run("ip", "-details link show kube-ipvs0").contains("dummy"));
    assert_eq!(syncer().sync().expect("synced").operations, 0);
}

/// With other flags than ours, for Services that there are and for one that is gone; but not what is elsewhere.
pub(crate) fn what_kube_proxy_has_at_the_link_is_adopted() {
    run("ip", "link add kube-ipvs0 type dummy");
    for address in ["10.0.0.1/32", "10.0.0.99/32", "fd00::99/128"] {
        run("ip", &format!("address add {address} dev kube-ipvs0"));
    }
    for arguments in [
        "-A -t 10.0.0.1:80 -s wrr -p 10800",
        "-a -t 10.0.0.1:80 -r 192.0.2.1:8080 -m",
        "-A -t 10.0.0.99:80 -s rr",
        "-a -t 10.0.0.99:80 -r 192.0.2.1:8080 -m",
        "-A -t 192.168.100.11:30080 -s rr",
    ] {
        run("ipvsadm", arguments);
    }
    let mut syncer = syncer();
    syncer.sync().expect("synced");
    while let Some(due) = syncer.due() {
        syncer.drain(due).expect("drained");
    }
    let (servers, addresses) = (run("ipvsadm", "-Sn"), run("ip", "-br address show kube-ipvs0"));
    assert!(
        servers.contains("-A -t 10.0.0.1:80 -s rr\n") && servers.contains("-A -t 192.168.100.11:30080"),
        "{servers}"
    );
    assert!(!servers.contains("10.0.0.99") && !servers.contains("192.0.2.1"), "{servers}");
    assert!(addresses.contains("10.0.0.1/32") && !addresses.contains("99"), "{addresses}");
}

pub(crate) fn what_kube_proxy_uses_again_is_not_cleaned_up() {
    syncer().sync().expect("synced");
    let servers = run("ipvsadm", "-Sn");
    run("ipset", "create KUBE-CLUSTER-IP hash:ip,port");
    let removal = Own::find().expect("asked").remove(false);
    assert!(removal.trouble.is_empty() && run("ipvsadm", "-Sn") == servers, "{removal:?}");
    assert_eq!(removal.kept, ["virtual servers of link kube-ipvs0: kube-proxy's ipvs mode uses them"]);
    assert_eq!(run("nft", "list tables"), "");
    run("ipset", "destroy KUBE-CLUSTER-IP");
    // Nothing but the tables says whose they are.
    syncer().sync().expect("synced");
    let removal = Own::find().expect("asked").remove(false);
    assert!(removal.trouble.is_empty() && run("ipvsadm", "-Sn").is_empty(), "{removal:?}");
}

/// Endpoints are at an address of this node, so that one network namespace is enough.
pub(crate) fn what_another_mode_left_drains() {
    std::fs::write("/proc/sys/net/ipv4/vs/conntrack", "1").expect("set");
    run("ip", "link add kube-ipvs0 type dummy");
    run("ip", "address add 10.0.0.1/32 dev kube-ipvs0");
    run("ip", "address add 10.0.0.2/32 dev kube-ipvs0");
    let listener = TcpListener::bind("192.168.100.11:8080").expect("bound");
    let datagrams = UdpSocket::bind("192.168.100.11:5353").expect("bound");
    for arguments in [
        "-A -t 10.0.0.1:80 -s rr",
        "-a -t 10.0.0.1:80 -r 192.168.100.11:8080 -m",
        "-a -t 10.0.0.1:80 -r 192.168.100.11:8081 -m",
        "-A -t 10.0.0.2:80 -s rr",
        "-a -t 10.0.0.2:80 -r 192.168.100.11:8080 -m",
        "-A -u 10.0.0.2:53 -s rr",
        "-a -u 10.0.0.2:53 -r 192.168.100.11:5353 -m",
    ] {
        run("ipvsadm", arguments);
    }
    let udp = UdpSocket::bind("0.0.0.0:0").expect("bound");
    udp.send_to(b"hello", "10.0.0.2:53").expect("sent");
    assert_eq!(datagrams.recv(&mut [0; 8]).expect("received"), 5);
    let mut client = TcpStream::connect("10.0.0.1:80");
    // The one of the two destinations that nobody listens at refuses.
    client = client.or_else(|_| TcpStream::connect("10.0.0.1:80"));
    let (mut client, (mut server, _)) = (client.expect("connected"), listener.accept().expect("accepted"));
    let mut echo =
        |client: &mut TcpStream| client.write_all(b"hello").and_then(|()| server.read_exact(&mut [0; 5])).is_ok();
    assert!(echo(&mut client));

    let mut left = Leftovers::new(Running::Another);
    let removal = left.remove(false);
    assert!(removal.trouble.is_empty() && removal.removed.is_empty(), "{removal:?}");
    assert_eq!(removal.draining, ["link kube-ipvs0, of ipvs mode"]);
    assert!(!left.is_present().expect("told"));
    let (servers, addresses) = (run("ipvsadm", "-Sn"), run("ip", "-br address show kube-ipvs0"));
    assert!(servers.contains("-a -t 10.0.0.1:80 -r 192.168.100.11:8080 -m -w 0"), "{servers}");
    assert!(!servers.contains("10.0.0.2") && !addresses.contains("10.0.0.2"), "{servers}{addresses}");
    assert!(echo(&mut client));
    assert!(
        !run("cat", "/proc/net/nf_conntrack").lines().any(|line| line.contains("dst=10.0.0.2") && line.contains("udp"))
    );
    let removal = left.drain(Duration::ZERO);
    assert!(removal.removed.is_empty() && removal.draining.len() == 1 && echo(&mut client));

    // A connection that is reset is forgotten after ten seconds.
    setsockopt(&client, sockopt::Linger, &libc::linger { l_onoff: 1, l_linger: 0 }).expect("set");
    drop(client);
    let deadline = Instant::now() + Duration::from_secs(60);
    while left.drain(Duration::ZERO).removed != ["link kube-ipvs0, of ipvs mode"] {
        assert!(Instant::now() < deadline, "{}", run("ipvsadm", "-Ln"));
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(run("ipvsadm", "-Sn"), "");
}
