//! What a new connection costs through a Service of a small and of a large cluster.
//!
//! Two network namespaces, each with a thread of its own, take turns. In each the client, both pods and all Services'
//! endpoints are addresses on its loopback link; a connection is a UDP socket with a port of its own that sends one
//! datagram, which meets the output hook, the translation and connection tracking as any other.

use std::{
    net::{Ipv4Addr, SocketAddrV4, UdpSocket},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::Duration,
};

use anyhow::ensure;
use nix::sched::{CloneFlags, unshare};

use crate::{
    clock::{percentile, spent},
    cluster::{self, Shape},
    daemon::{Daemon, Event},
    report::{Report, Row, count, short},
    site::ip,
};

const SMALL: u32 = 100;
const LARGE: u32 = 30_000;

/// All Services lead to the two pods of the first.
const SHAPE: Shape = Shape { protocol: "UDP", pods_of: Some(0), ..Shape::USUAL };
/// A pod that is a client.
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 128, 255, 1);
const ROUNDS: u16 = 40;
/// Connections in a row; the datagrams of so many fit into the receiver's buffer.
const CONNECTIONS: u16 = 200;
const FIRST_PORT: u16 = 10_000;

/// Where a connection goes.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// To the endpoint itself.
    Direct,
    /// Through always the same Service.
    One,
    /// Through all Services in turn, so that their elements are in no cache.
    All,
}

const WAYS: [Way; 3] = [Way::Direct, Way::One, Way::All];

/// A namespace that waits for its turn.
struct Place {
    turn: Sender<()>,
    done: Receiver<[Duration; 3]>,
    /// What one connection took, of each [`Way`], in each round.
    taken: [Vec<Duration>; 3],
}

/// The same connections at both sizes.
pub(crate) fn measure() -> anyhow::Result<Report> {
    let mut threads = Vec::new();
    let mut places = Vec::new();
    for services in [SMALL, LARGE] {
        let (turn, turns) = channel();
        let (finished, done) = channel();
        threads.push(thread::spawn(move || live(services, &turns, &finished)));
        places.push(Place { turn, done, taken: Default::default() });
    }
    'rounds: for _ in 0..ROUNDS {
        for place in &mut places {
            if place.turn.send(()).is_err() {
                break 'rounds;
            }
            // A thread that failed says why below.
            let Ok(taken) = place.done.recv() else { break 'rounds };
            place.taken.iter_mut().zip(taken).for_each(|(all, one)| all.push(one));
        }
    }
    let medians: Vec<_> = places.into_iter().map(|place| place.taken.map(|all| percentile(all, 50))).collect();
    for thread in threads {
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    }
    let [small, large] = medians.as_slice() else { anyhow::bail!("two sizes were measured") };
    let row = |what: &str, small: Duration, large: Duration, direct: (Duration, Duration)| Row {
        figure: format!("new connection through {what}, {} / {} Services (CPU)", count(SMALL), count(LARGE)),
        measured: format!("{} / {}", short(small), short(large)),
        target: "equal".to_owned(),
        floor: format!("{} / {} to the pod", short(direct.0), short(direct.1)),
        beside: format!("medians of {ROUNDS} x {CONNECTIONS} in turn, UDP, output hook"),
    };
    let (&[direct, one, all], &[direct_large, one_large, all_large]) = (small, large);
    let direct = (direct, direct_large);
    Ok(Report::of(vec![row("one Service", one, one_large, direct), row("all in turn", all, all_large, direct)]))
}

fn live(services: u32, turns: &Receiver<()>, finished: &Sender<[Duration; 3]>) -> anyhow::Result<()> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    let pods = [cluster::pod(0, 0), cluster::pod(0, 1)];
    ip("link set lo up")?;
    for address in pods.into_iter().chain([CLIENT]) {
        ip(&format!("addr add {address}/32 dev lo"))?;
    }
    ip("route add 10.96.0.0/11 dev lo")?;
    let mut daemon = Daemon::start()?;
    daemon.take(cluster::objects(services, SHAPE)?.into_iter().map(Event::applied).collect())?;

    let receiver = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 8080))?;
    receiver.set_nonblocking(true)?;
    let (mut port, mut next) = (FIRST_PORT, 0);
    while turns.recv().is_ok() {
        let mut taken = [Duration::ZERO; 3];
        for (taken, way) in taken.iter_mut().zip(WAYS) {
            let (result, spent) = spent(|| {
                for _ in 0..CONNECTIONS {
                    let to = match way {
                        Way::Direct => SocketAddrV4::new(pods[0], 8080),
                        Way::One => SocketAddrV4::new(cluster::cluster_ip(7), 80),
                        Way::All => {
                            // A prime, so that neighbours in time are none in memory.
                            next = (next + 7919) % services;
                            SocketAddrV4::new(cluster::cluster_ip(next), 80)
                        }
                    };
                    connect(port, to)?;
                    port += 1;
                }
                anyhow::Ok(())
            });
            result?;
            let arrived = std::iter::from_fn(|| receiver.recv(&mut [0; 8]).ok()).count();
            ensure!(arrived == usize::from(CONNECTIONS), "{arrived} of {CONNECTIONS} datagrams arrived ({way:?})");
            *taken = spent.cpu / u32::from(CONNECTIONS);
        }
        if finished.send(taken).is_err() {
            break;
        }
    }
    Ok(())
}

fn connect(port: u16, to: SocketAddrV4) -> std::io::Result<()> {
    let socket = UdpSocket::bind((CLIENT, port))?;
    socket.connect(to)?;
    socket.send(b"x").map(drop)
}
