//! What a new connection costs beside the rules of small and of large clusters, in each dataplane, and without any rules.
//!
//! Network namespaces, each with a thread of its own, take turns. In each the client, both pods and all Services'
//! endpoints are addresses on its loopback link; a connection is a UDP socket with a port of its own that sends one
//! datagram, which meets the output hook, the translation and connection tracking as any other.

use std::{
    iter,
    net::{Ipv4Addr, SocketAddrV4, UdpSocket},
    process::Command,
    sync::mpsc::{Receiver, Sender, channel},
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use nix::sched::{CloneFlags, unshare};

use crate::{
    agent,
    clock::{percentile, spent},
    cluster::{self, Shape},
    dataplane::{self, Dataplane},
    report::{Report, Row, count, short},
    site::ip,
};

const SIZES: [u32; 3] = [100, 10_000, 30_000];

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

impl Way {
    const fn name(self) -> &'static str {
        match self {
            Self::Direct => "to a pod",
            Self::One => "through one Service",
            Self::All => "through all in turn",
        }
    }
}

const WAYS: [Way; 3] = [Way::Direct, Way::One, Way::All];

/// A namespace that waits for its turn.
struct Place {
    turn: Sender<()>,
    done: Receiver<[Duration; 3]>,
    /// What one connection took, of each [`Way`], in each round.
    taken: [Vec<Duration>; 3],
    /// It ends when it gets no more turns.
    thread: JoinHandle<anyhow::Result<()>>,
}

impl Place {
    /// With the rules of so many Services, or none but one that wants connections tracked.
    fn new(rules: Option<(Dataplane, u32)>) -> Self {
        let (turn, turns) = channel();
        let (finished, done) = channel();
        let thread = thread::spawn(move || live(rules, &turns, &finished));
        Self { turn, done, taken: Default::default(), thread }
    }

    /// Gives it a turn; whether it took it. Who did not says why in the end.
    fn take_turn(&mut self) -> bool {
        let Some(taken) = self.turn.send(()).ok().and_then(|()| self.done.recv().ok()) else { return false };
        self.taken.iter_mut().zip(taken).for_each(|(all, one)| all.push(one));
        true
    }

    /// What a connection takes, in the median.
    fn end(self) -> anyhow::Result<[Duration; 3]> {
        drop(self.turn);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok(self.taken.map(|all| percentile(all, 50)))
    }
}

/// The same connections in all dataplanes, at all sizes.
pub(crate) fn measure() -> anyhow::Result<Report> {
    let sizes = |dataplane| SIZES.map(|size| Some((dataplane, size)));
    let mut places = Vec::new();
    for rules in iter::once(None).chain(dataplane::ALL.into_iter().flat_map(sizes)) {
        let mut place = Place::new(rules);
        // The first turn is no measurement. It comes when the rules are there: two who program at a time wait for each other.
        if place.take_turn() {
            place.taken = Default::default();
        }
        places.push(place);
    }
    let mut rounds = 0;
    while rounds < ROUNDS && places.iter_mut().all(Place::take_turn) {
        rounds += 1;
    }
    let mut medians = places.into_iter().map(Place::end).collect::<anyhow::Result<Vec<_>>>()?.into_iter();
    let [without, ..] = medians.next().unwrap_or_default();
    let mut rows = Vec::new();
    for dataplane in dataplane::ALL {
        let by_size: Vec<_> = medians.by_ref().take(SIZES.len()).collect();
        for (number, way) in WAYS.into_iter().enumerate() {
            let taken = by_size.iter().filter_map(|taken| taken.get(number));
            rows.push(Row {
                figure: format!("{dataplane}, {} Services: {}", SIZES.map(count).join(" / "), way.name()),
                measured: taken.map(|taken| short(*taken)).collect::<Vec<_>>().join(" / "),
                target: "<= 2 x floor".to_owned(),
                floor: format!("{} without rules", short(without)),
                beside: format!("CPU, medians of {ROUNDS} x {CONNECTIONS}"),
            });
        }
    }
    Ok(Report::of(rows))
}

fn live(rules: Option<(Dataplane, u32)>, turns: &Receiver<()>, finished: &Sender<[Duration; 3]>) -> anyhow::Result<()> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    let pods = [cluster::pod(0, 0), cluster::pod(0, 1)];
    ip("link set lo up")?;
    for address in pods.into_iter().chain([CLIENT]) {
        ip(&format!("addr add {address}/32 dev lo"))?;
    }
    ip("route add 10.96.0.0/11 dev lo")?;
    if let Some((dataplane, services)) = rules {
        dataplane.sign()?;
        agent::program(dataplane, services, SHAPE, None)?;
    } else {
        track()?;
    }

    let receiver = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 8080))?;
    receiver.set_nonblocking(true)?;
    let (mut port, mut next) = (FIRST_PORT, 0);
    while turns.recv().is_ok() {
        let mut taken = [Duration::ZERO; 3];
        for (taken, way) in taken.iter_mut().zip(WAYS) {
            let (result, spent) = spent(|| {
                for _ in 0..CONNECTIONS {
                    let to = match (way, rules) {
                        (Way::Direct, _) | (_, None) => SocketAddrV4::new(pods[0], 8080),
                        (Way::One, _) => SocketAddrV4::new(cluster::cluster_ip(7), 80),
                        (Way::All, Some((_, services))) => {
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

/// The least that has conntrack at work.
fn track() -> anyhow::Result<()> {
    let rules = "add table ip floor; add chain ip floor output { type filter hook output priority 0; }; \
                 add rule ip floor output ct state new counter";
    let status = Command::new("nft").arg(rules).status().context("nft")?;
    ensure!(status.success(), "nft: {status}");
    Ok(())
}

fn connect(port: u16, to: SocketAddrV4) -> std::io::Result<()> {
    let socket = UdpSocket::bind((CLIENT, port))?;
    socket.connect(to)?;
    socket.send(b"x").map(drop)
}
