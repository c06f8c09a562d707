//! Rolling updates while clients connect as fast as they can.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader},
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use portolan_core::addr::{Family, Protocol};
use portolan_e2e::{daemon::until, host::Host, server::Servers};

use super::world::{CLIENTS, Endpoint, PATIENCE, World, name, six};

/// So often every endpoint is replaced.
const ROUNDS: usize = 10;

/// So many endpoints are there at a time.
const SERVING: usize = 3;

/// So many connections of each host are on their way at a time.
const AT_ONCE: usize = 2;

/// A machine under load may take as long; a client that has to send a SYN again is delayed by a second.
const DELAYED: Duration = Duration::from_millis(500);

/// What the connections of a client came to: by the name of the server that answered, or by what went wrong.
#[derive(Debug, Default)]
struct Met {
    outcomes: BTreeMap<String, u32>,
    delayed: u32,
}

impl Met {
    fn add(&mut self, other: Self) {
        self.delayed += other.delayed;
        for (outcome, count) in other.outcomes {
            *self.outcomes.entry(outcome).or_default() += count;
        }
    }
}

/// One connection, which the client ends: who answered, or what went wrong.
fn connect(to: SocketAddr) -> String {
    let mut line = String::new();
    let read = TcpStream::connect_timeout(&to, PATIENCE).and_then(|stream| {
        stream.set_read_timeout(Some(PATIENCE))?;
        BufReader::new(stream).read_line(&mut line)
    });
    match read {
        Ok(_) => line.split(' ').next().unwrap_or_default().to_owned(),
        Err(error) => error.to_string(),
    }
}

/// Connects again and again; `begun` counts it.
fn flood(host: &Host, to: SocketAddr, begun: &AtomicU32, end: &AtomicBool) -> Result<Met> {
    let met = host.enter(|| {
        let mut met = Met::default();
        while !end.load(Ordering::SeqCst) {
            begun.fetch_add(1, Ordering::SeqCst);
            let start = Instant::now();
            let outcome = connect(to);
            met.delayed += u32::from(start.elapsed() >= DELAYED);
            *met.outcomes.entry(outcome).or_default() += 1;
        }
        met
    });
    Ok(met?)
}

/// How often a host's kernel had to send a SYN again.
fn syns_sent_again(host: &Host) -> Result<u32> {
    let text = host.enter(|| fs::read_to_string("/proc/thread-self/net/netstat"))??;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("TcpExt: "));
    let (names, counts) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let mut counted = names.split(' ').zip(counts.split(' '));
    let (_, count) = counted.find(|(name, _)| *name == "TCPSynRetrans").context("no count of SYNs")?;
    Ok(count.parse()?)
}

/// Replaces every endpoint one after the other. The server of one that is gone ends as soon as nobody can be on the way to it:
/// whoever comes to it afterwards is refused.
fn roll(
    world: &World,
    endpoints: &mut [Endpoint; 6],
    servers: &mut BTreeMap<String, Servers>,
    begun: &[AtomicU32],
) -> Result<()> {
    for place in (0..SERVING).cycle().take(ROUNDS * SERVING) {
        endpoints.swap(place, place + SERVING);
        let (comes, goes) = (endpoints[place], endpoints[place + SERVING]);
        servers.insert(name(comes), world.listen(comes)?);
        world.want(&endpoints[..SERVING])?;
        let before: Vec<_> = begun.iter().map(|begun| begun.load(Ordering::SeqCst)).collect();
        // The second that a client begins from now on is one for which the kernel has what is wanted, and those before have ended.
        until("each client to come on", || {
            let mut now = begun.iter().map(|begun| begun.load(Ordering::SeqCst)).zip(&before);
            Ok::<_, anyhow::Error>(now.all(|(now, before)| now >= before + 2).then_some(()))
        })?;
        servers.remove(&name(goes));
    }
    Ok(())
}

fn rolling_update(world: &World) -> Result<()> {
    let mut endpoints = six()?;
    let servers = endpoints[..SERVING].iter().map(|endpoint| Ok((name(*endpoint), world.listen(*endpoint)?)));
    let mut servers = servers.collect::<Result<BTreeMap<_, _>>>()?;
    world.want(&endpoints[..SERVING])?;
    let begun: Vec<_> = (0..CLIENTS.len() * AT_ONCE).map(|_| AtomicU32::new(0)).collect();
    let (end, start, to) = (AtomicBool::new(false), Instant::now(), world.vip());
    let met = thread::scope(|scope| -> Result<Met> {
        let (lab, end) = (&world.lab, &end);
        let clients = CLIENTS.iter().cycle().zip(&begun);
        let floods: Vec<_> =
            clients.map(|(client, begun)| scope.spawn(move || flood(lab.host(client)?, to, begun, end))).collect();
        let rolled = roll(world, &mut endpoints, &mut servers, &begun);
        end.store(true, Ordering::SeqCst);
        let mut met = Met::default();
        for flood in floods {
            met.add(flood.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        rolled.map(|()| met)
    })?;
    let took = start.elapsed().as_secs_f64();
    let again = CLIENTS.iter().map(|client| syns_sent_again(world.lab.host(client)?)).sum::<Result<u32>>()?;
    let connections: u32 = met.outcomes.values().sum();
    println!(
        "{} endpoints replaced in {took:.1} s, {connections} connections, {:.0} a second, {again} SYNs sent again, {} connections \
         delayed by {DELAYED:?}: {:?}",
        ROUNDS * SERVING,
        f64::from(connections) / took,
        met.delayed,
        met.outcomes
    );
    let names = six()?.map(name);
    ensure!(met.outcomes.keys().all(|outcome| names.contains(outcome)), "lost connections: {:?}", met.outcomes);
    ensure!(met.outcomes.len() == names.len() && again == 0, "{again} SYNs sent again: {:?}", met.outcomes);
    Ok(())
}

pub(crate) fn a_rolling_update_loses_none() -> Result<()> {
    rolling_update(&World::new(Family::V4, Protocol::Tcp)?)
}

/// Each client has 500 ports and may use one again 10 ms after its last connection, which IPVS knows for two minutes.
pub(crate) fn none_is_lost_where_ports_come_again() -> Result<()> {
    let world = World::new(Family::V4, Protocol::Tcp)?;
    for client in CLIENTS {
        let settings = [("ip_local_port_range", "40000 40499"), ("tcp_tw_reuse", "1"), ("tcp_tw_reuse_delay", "10")];
        for (name, value) in settings {
            world.lab.host(client)?.enter(|| fs::write(format!("/proc/sys/net/ipv4/{name}"), value))??;
        }
    }
    rolling_update(&world)
}
