//! New connections at a steady pace while proxies change, counted by what the test is doing meanwhile.

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use portolan_core::addr::Protocol;
use portolan_e2e::{Lab, probe::Outcome};

use super::world::CLIENTS;

/// Between two connections of a client: with three of them at least 200 a second, and far fewer in a test than a client
/// has ports.
const PAUSE: Duration = Duration::from_millis(6);

/// How long a connection is waited for: below one second, when TCP would send its SYN again and hide the loss.
const LOST: Duration = Duration::from_millis(900);

/// What was counted while the test did one thing.
#[derive(Debug, Clone)]
pub(crate) struct Phase {
    /// What the test did.
    pub(crate) what: &'static str,
    took: Duration,
    connections: u32,
    /// By what came instead of an answer.
    pub(crate) failed: BTreeMap<String, u32>,
}

/// Connections a second, in all phases together.
pub(crate) fn rate(phases: &[Phase]) -> f64 {
    let connections: u32 = phases.iter().map(|phase| phase.connections).sum();
    f64::from(connections) / phases.iter().map(|phase| phase.took).sum::<Duration>().as_secs_f64()
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, took, connections, failed } = self;
        let rate = f64::from(*connections) / took.as_secs_f64();
        write!(f, "{what:<44} {took:>7.2?} {connections:>6} connections, {rate:>4.0}/s, failed: {failed:?}")
    }
}

/// Traffic under way.
#[derive(Debug)]
pub(crate) struct Traffic {
    phases: Mutex<Vec<(Phase, Instant)>>,
    end: AtomicBool,
}

impl Traffic {
    /// What is counted from now on is counted as this.
    pub(crate) fn phase(&self, what: &'static str) {
        let mut phases = self.phases();
        let now = Instant::now();
        if let Some((last, began)) = phases.last_mut() {
            last.took = now - *began;
        }
        phases.push((Phase { what, took: Duration::ZERO, connections: 0, failed: BTreeMap::new() }, now));
    }

    /// Waits for this many connections more in this phase.
    pub(crate) fn more(&self, count: u32) -> Result<()> {
        let connections = || self.phases().last().map_or(0, |(phase, _)| phase.connections);
        let (goal, deadline) = (connections() + count, Instant::now() + Duration::from_secs(30));
        while connections() < goal {
            ensure!(Instant::now() < deadline, "the clients do not come on");
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn phases(&self) -> std::sync::MutexGuard<'_, Vec<(Phase, Instant)>> {
        self.phases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connects again and again, to one destination after the other.
    fn client(&self, lab: &Lab, name: &str, destinations: &[SocketAddr]) -> Result<()> {
        let host = lab.host(name)?;
        for to in destinations.iter().cycle() {
            if self.end.load(Ordering::Relaxed) {
                break;
            }
            // A connection belongs to the phase that it began in.
            let phase = self.phases().len() - 1;
            let outcome = host.connect(Protocol::Tcp, *to, LOST)?;
            if let Some((phase, _)) = self.phases().get_mut(phase) {
                phase.connections += 1;
                if !matches!(outcome, Outcome::Answered(_)) {
                    *phase.failed.entry(format!("{outcome:?} from {name} at {to}")).or_default() += 1;
                }
            }
            thread::sleep(PAUSE);
        }
        Ok(())
    }
}

/// Has all clients connect to these destinations until `work` ends; what was counted in each of its phases.
pub(crate) fn during(
    lab: &Lab,
    destinations: &[SocketAddr],
    work: impl FnOnce(&Traffic) -> Result<()>,
) -> Result<Vec<Phase>> {
    let traffic = Traffic { phases: Mutex::default(), end: AtomicBool::new(false) };
    traffic.phase("before");
    thread::scope(|scope| {
        let clients = CLIENTS.map(|name| scope.spawn(|| traffic.client(lab, name, destinations)));
        let worked = work(&traffic);
        traffic.end.store(true, Ordering::Relaxed);
        for client in clients {
            client.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        worked
    })?;
    traffic.phase("after");
    let mut phases: Vec<_> = traffic.phases().drain(..).map(|(phase, _)| phase).collect();
    phases.pop();
    Ok(phases)
}
