//! New connections at a steady rate, from several places at once, while something happens; and what became of them.

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use portolan_core::addr::Protocol;

use super::Cluster;
use crate::{
    controlplane::Error,
    destination::Destination,
    host::Host,
    probe::{self, Outcome},
};

/// From one connection to the next of a client: 250 a second.
const INTERVAL: Duration = Duration::from_millis(4);

/// How long a lost connection is waited for: below one second, when TCP would send its SYN again and hide the loss.
pub(super) const LOST: Duration = Duration::from_millis(900);

/// One that connects to each of its destinations in turn.
#[derive(Debug, Clone)]
pub struct Client {
    /// The name of its host.
    pub host: &'static str,
    /// Where it connects to.
    pub to: Vec<SocketAddr>,
}

/// What a client met.
#[derive(Debug, Clone)]
pub struct Figures {
    /// The name of its host.
    pub host: &'static str,
    /// So many connections.
    pub connections: u32,
    /// Those that no server answered, by what happened instead, each with the destination.
    pub failures: BTreeMap<String, u32>,
    /// The time of all of them.
    pub took: Duration,
    /// The time of the one that took longest.
    pub slowest: Duration,
}

impl Figures {
    /// Connections in a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        f64::from(self.connections) / self.took.as_secs_f64()
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} connections in {:.1} s, {:.0}/s, slowest {:.0} ms, {} failed",
            self.host,
            self.connections,
            self.took.as_secs_f64(),
            self.rate(),
            self.slowest.as_secs_f64() * 1000.0,
            self.failures.values().sum::<u32>()
        )?;
        if self.failures.is_empty() { Ok(()) } else { write!(f, ": {:?}", self.failures) }
    }
}

/// Lets all clients connect until `work` ends.
///
/// # Errors
/// What `work` says, and when a client cannot make its socket.
pub fn under_traffic<E: From<Error>>(
    cluster: &mut Cluster,
    clients: &[Client],
    work: impl FnOnce(&mut Cluster) -> Result<(), E>,
) -> Result<Vec<Figures>, E> {
    let end = AtomicBool::new(false);
    let hosts = clients.iter().map(|client| Ok((cluster.lab().host(client.host)?.clone(), client.to.clone())));
    let hosts = hosts.collect::<Result<Vec<_>, crate::Error>>().map_err(Error::from)?;
    thread::scope(|scope| {
        let connecting: Vec<_> = hosts.iter().map(|(host, to)| scope.spawn(|| connect(host, to, &end))).collect();
        let worked = work(cluster);
        end.store(true, Ordering::Relaxed);
        let figures =
            connecting.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        let figures = figures.collect::<Result<Vec<_>, Error>>();
        worked?;
        Ok(figures?)
    })
}

fn connect(host: &Host, to: &[SocketAddr], end: &AtomicBool) -> Result<Figures, Error> {
    let client = probe::Client { member: host.member(), source: None, timeout: LOST };
    let mut figures = Figures {
        host: host.name(),
        connections: 0,
        failures: BTreeMap::new(),
        took: Duration::ZERO,
        slowest: Duration::ZERO,
    };
    host.enter(|| {
        let start = Instant::now();
        for to in to.iter().cycle() {
            if end.load(Ordering::Relaxed) {
                break;
            }
            // One that was late does not make the next ones late.
            thread::sleep((INTERVAL * figures.connections).saturating_sub(start.elapsed()));
            let begin = Instant::now();
            let outcome = client.ask(Destination::Port(Protocol::Tcp, *to))?;
            figures.slowest = figures.slowest.max(begin.elapsed());
            figures.connections += 1;
            if !matches!(outcome, Outcome::Answered(_)) {
                *figures.failures.entry(format!("{outcome:?} at {to}")).or_default() += 1;
            }
        }
        figures.took = start.elapsed();
        Ok(figures)
    })?
}
