//! New connections at a steady pace while proxies change, counted by what the test is doing meanwhile; and connections that
//! stay, some of them opened whenever it begins something else, all of which echo whenever it ends that.

use std::{
    collections::BTreeMap,
    fmt,
    net::{SocketAddr, TcpStream},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use portolan_core::addr::Protocol;
use portolan_e2e::{
    Lab, Mode, has_kernel_for,
    probe::{Outcome, still_echoes},
};

use super::world::CLIENTS;

/// Between two connections of a client: with three of them at least 200 a second, and far fewer in a test than a client
/// has ports.
const PAUSE: Duration = Duration::from_millis(6);

/// How long a connection is waited for: below one second, when TCP would send its SYN again and hide the loss.
const LOST: Duration = Duration::from_millis(900);

/// What was counted while the test did one thing.
#[derive(Debug, Clone)]
struct Phase {
    /// What the test did.
    what: String,
    took: Duration,
    connections: u32,
    /// So many that stay were there at its end.
    staying: usize,
    /// By what came instead of an answer.
    failed: BTreeMap<String, u32>,
    /// Those that should have stayed, with what happened.
    broken: Vec<String>,
}

/// Connections a second, in all phases together.
fn rate(phases: &[Phase]) -> f64 {
    let connections: u32 = phases.iter().map(|phase| phase.connections).sum();
    f64::from(connections) / phases.iter().map(|phase| phase.took).sum::<Duration>().as_secs_f64()
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, took, connections, staying, failed, broken } = self;
        let rate = f64::from(*connections) / took.as_secs_f64();
        write!(
            f,
            "{what:<50} {took:>7.2?} {connections:>6} connections, {rate:>4.0}/s, {staying:>3} stay, failed: {failed:?}, broken: {broken:?}"
        )
    }
}

/// Where clients connect to.
#[derive(Debug)]
pub(crate) struct Destinations {
    /// Servers that answer and close.
    pub(crate) new: Vec<SocketAddr>,
    /// Servers that echo.
    pub(crate) staying: Vec<SocketAddr>,
}

/// Traffic under way.
#[derive(Debug)]
pub(crate) struct Traffic<'a> {
    lab: &'a Lab,
    to: &'a Destinations,
    phases: Mutex<Vec<(Phase, Instant)>>,
    /// Each with its words.
    staying: Mutex<Vec<(String, TcpStream)>>,
    end: AtomicBool,
}

impl Traffic<'_> {
    /// What is counted from now on is counted as this.
    pub(crate) fn phase(&self, what: impl Into<String>) -> Result<()> {
        self.end_phase();
        let (mut opened, mut failed, what) = (Vec::new(), BTreeMap::new(), what.into());
        for name in CLIENTS {
            for to in &self.to.staying {
                match self.lab.host(name)?.open(*to, LOST)? {
                    Ok(stream) => opened.push((format!("the one of {name} to {to}, since: {what}"), stream)),
                    Err(error) => {
                        *failed.entry(format!("one that is to stay, from {name} at {to}: {error}")).or_default() += 1;
                    }
                }
            }
        }
        self.staying().append(&mut opened);
        let phase = Phase { what, took: Duration::ZERO, connections: 0, staying: 0, failed, broken: Vec::new() };
        self.phases().push((phase, Instant::now()));
        Ok(())
    }

    /// Whether those that stay have stayed.
    fn end_phase(&self) {
        let mut broken = Vec::new();
        self.staying().retain(|(words, stream)| {
            let echoed = still_echoes(stream);
            echoed.map_err(|error| broken.push(format!("{words}: {error}"))).is_ok()
        });
        let staying = self.staying().len();
        if let Some((last, began)) = self.phases().last_mut() {
            last.took = began.elapsed();
            last.staying = staying;
            last.broken = broken;
        }
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

    fn phases(&self) -> MutexGuard<'_, Vec<(Phase, Instant)>> {
        self.phases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn staying(&self) -> MutexGuard<'_, Vec<(String, TcpStream)>> {
        self.staying.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connects again and again, to one destination after the other.
    fn client(&self, name: &str) -> Result<()> {
        let host = self.lab.host(name)?;
        for to in self.to.new.iter().cycle() {
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

/// A kernel that has IPVS is one that runs as a program, in the tests (`e2e/vm`): it forwards a tenth as fast where others run too.
fn least_rate() -> f64 {
    if has_kernel_for(Mode::Ipvs) { 20.0 } else { 200.0 }
}

/// Has all clients connect until `work` ends. Nothing may fail in a phase that is judged, and what stays stays.
pub(crate) fn during(
    lab: &Lab,
    to: &Destinations,
    is_judged: impl Fn(&str) -> bool,
    work: impl FnOnce(&Traffic<'_>) -> Result<()>,
) -> Result<()> {
    let (phases, staying) = Default::default();
    let traffic = Traffic { lab, to, phases, staying, end: AtomicBool::new(false) };
    traffic.phase("before")?;
    let worked = thread::scope(|scope| {
        let clients = CLIENTS.map(|name| scope.spawn(|| traffic.client(name)));
        let worked = work(&traffic);
        traffic.end.store(true, Ordering::Relaxed);
        for client in clients {
            client.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        worked
    });
    traffic.end_phase();
    let phases: Vec<_> = traffic.phases().drain(..).map(|(phase, _)| phase).collect();
    phases.iter().for_each(|phase| println!("{phase}"));
    worked?;
    ensure!(phases.iter().all(|phase| phase.failed.is_empty() || !is_judged(&phase.what)), "connections failed");
    ensure!(phases.iter().all(|phase| phase.broken.is_empty()), "connections that were to stay are broken");
    ensure!(rate(&phases) >= least_rate(), "too little traffic");
    Ok(())
}
