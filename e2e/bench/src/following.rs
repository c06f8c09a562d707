//! `portolan run` with an API server: its start, its memory, nothing at all, and one change. CPU time is that of all its threads
//! and of the programs that it runs.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::ensure;
use portolan_iptables::Variant;
use portolan_scripted::{endpoint_slice, service};

use crate::{
    agent,
    api_server::{ApiServer, ENDPOINTS},
    clock::percentile,
    dataplane::Dataplane,
    process::Process,
    report::{Report, Row, count, short},
    site,
};

/// Changes that are measured, each of another Service.
const ROUNDS: u32 = 500;

/// The same in iptables mode, where one takes longer, and in ipvs mode.
const ROUNDS_OF_OTHERS: u32 = 100;

/// After a change the agent hears of its own commit.
const BETWEEN: Duration = Duration::from_millis(5);

/// The agent compares generations every 30 s: twice in this time.
const IDLE: Duration = Duration::from_secs(60);

/// In which the agent may give memory back after its start.
const SETTLING: Duration = Duration::from_secs(5);

/// How long a change may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The agent at work with a scripted API server.
pub(crate) struct Following {
    pub(crate) api: ApiServer,
    pub(crate) agent: Process,
}

impl Following {
    /// In nftables mode, ready and settled.
    pub(crate) fn start(services: u32) -> anyhow::Result<(Self, Start)> {
        site::make()?;
        let api = ApiServer::start(services)?;
        let (agent, start) = start(Dataplane::Nftables, &api)?;
        Ok((Self { api, agent }, start))
    }

    /// Moves a Service to the living pods; how long it takes from what the watch tells to a connection that is accepted.
    pub(crate) fn change(&self, i: u32) -> anyhow::Result<Duration> {
        let (slice, to) = (site::moved(endpoint_slice(i, ENDPOINTS)), site::front(&service(i))?);
        let begin = Instant::now();
        self.api.tell(&slice)?;
        site::landed(to, begin, PATIENCE)
    }

    /// Moves so many Services, one after the other.
    fn changes(&self, rounds: u32) -> anyhow::Result<Changes> {
        let (mut taken, mut connecting) = (Vec::new(), Vec::new());
        let before = self.agent.cpu()?;
        for i in 0..rounds {
            taken.push(self.change(i)?);
            connecting.push(site::landed(site::front(&service(i))?, Instant::now(), PATIENCE)?);
            thread::sleep(BETWEEN);
        }
        // The programs of the last change have ended, too.
        thread::sleep(SETTLING);
        let cpu = self.agent.cpu()?.saturating_sub(before) / rounds;
        Ok(Changes { taken, connecting: percentile(connecting, 50), cpu })
    }
}

/// What the agent took until it was ready.
pub(crate) struct Start {
    cpu: Duration,
    wall: Duration,
}

/// Starts the agent and lets it settle.
fn start(dataplane: Dataplane, api: &ApiServer) -> anyhow::Result<(Process, Start)> {
    let begin = Instant::now();
    let agent = agent::start(dataplane, [Path::new("--kubeconfig"), &api.kubeconfig()], api.folder())?;
    let start = Start { cpu: agent.cpu()?, wall: begin.elapsed() };
    thread::sleep(SETTLING);
    Ok((agent, start))
}

/// One change, in a cluster of this size.
pub(crate) fn measure_change(services: u32) -> anyhow::Result<Report> {
    let (following, _) = Following::start(services)?;
    Ok(Report::of(vec![one_change(&following, services)?]))
}

/// The first sync, a restart and changes in iptables mode or ipvs mode, in a cluster of this size.
pub(crate) fn measure_mode(services: u32, dataplane: Dataplane) -> anyhow::Result<Report> {
    site::make()?;
    dataplane.sign()?;
    let api = ApiServer::start(services)?;
    let (agent, first) = start(dataplane, &api)?;
    agent.end()?;
    let (agent, again) = start(dataplane, &api)?;
    let written = agent.metric("portolan_kernel_operations_total")?;
    ensure!(written == 0.0, "the second start wrote {written} objects");

    let changes = Following { api, agent }.changes(ROUNDS_OF_OTHERS)?;
    let row = |what: &str, measured: String, target: &str, beside: String| Row {
        figure: format!("{dataplane}, {} Services x 2: {what}", count(services)),
        measured,
        target: target.to_owned(),
        floor: String::new(),
        beside,
    };
    // A change exchanges the whole table in iptables-legacy, so nothing is promised.
    let (of_first, of_cpu, of_event) = match dataplane {
        Dataplane::Iptables(Variant::Nft) => ("<= 3 s", "<= 20 ms", "<= 60 ms p50"),
        Dataplane::Iptables(Variant::Legacy) => ("<= 2 s", "", ""),
        Dataplane::Ipvs | Dataplane::Nftables => ("", "", ""),
    };
    let of_restart = if dataplane == Dataplane::Ipvs { "0 written" } else { "<= 1.5 s, 0 written" };
    let wall = |start: &Start| format!("{} on the wall, with the lists", short(start.wall));
    let replaced = format!("{ROUNDS_OF_OTHERS} changes, both endpoints replaced");
    Ok(Report::of(vec![
        row("first sync (CPU)", short(first.cpu), of_first, wall(&first)),
        row("a change (CPU)", short(changes.cpu), of_cpu, replaced),
        Row {
            floor: format!("{} a connection", short(changes.connecting)),
            ..row("event -> packet", changes.percentiles(), of_event, "as the changes before".to_owned())
        },
        row("restart (CPU)", short(again.cpu), of_restart, format!("0 written; {}", wall(&again))),
    ]))
}

/// All of it, in a cluster of this size.
pub(crate) fn measure(services: u32) -> anyhow::Result<Report> {
    let (following, start) = Following::start(services)?;
    let Following { api, agent } = &following;
    let (resident, peak) = (agent.memory("VmRSS")?, agent.memory("VmHWM")?);
    let idle = agent::idle(agent, IDLE)?;
    let in_five_minutes = idle * 300 / u32::try_from(IDLE.as_secs())?;
    let size = count(services);
    let rows = vec![
        Row {
            figure: format!("API server, {size} Services x 2: start to complete sync (CPU)"),
            measured: short(start.cpu),
            target: "<= 1 s".to_owned(),
            floor: String::new(),
            beside: format!("{} MiB of lists over TLS; {} on the wall", api.size >> 20, short(start.wall)),
        },
        Row {
            figure: format!("API server, {size} Services x 2: RSS (VmRSS)"),
            measured: format!("{resident:.1} MiB"),
            target: "<= 64 MiB".to_owned(),
            floor: String::new(),
            beside: format!("{} s after it was ready; VmHWM {peak:.1} MiB", SETTLING.as_secs()),
        },
        Row {
            figure: format!("API server, {size} Services x 2: nothing changes (CPU)"),
            measured: format!("{} in 5 minutes", short(in_five_minutes)),
            target: "<= 20 ms".to_owned(),
            floor: String::new(),
            beside: format!("{} in {} s, with two resyncs; nothing written", short(idle), IDLE.as_secs()),
        },
        one_change(&following, services)?,
    ];
    Ok(Report::of(rows))
}

fn one_change(following: &Following, services: u32) -> anyhow::Result<Row> {
    let changes = following.changes(ROUNDS)?;
    Ok(Row {
        figure: format!("event -> packet, {} Services x 2", count(services)),
        measured: changes.percentiles(),
        target: "<= 1 ms p50, <= 5 ms p99".to_owned(),
        floor: format!("{} a connection", short(changes.connecting)),
        beside: format!("{ROUNDS} changes, both endpoints replaced; CPU {} a change", short(changes.cpu)),
    })
}

/// What changes took.
struct Changes {
    /// Each of them, until a connection was accepted.
    taken: Vec<Duration>,
    /// A connection by itself, in the median.
    connecting: Duration,
    /// CPU time of the agent, of one change.
    cpu: Duration,
}

impl Changes {
    fn percentiles(&self) -> String {
        let taken = |percent| short(percentile(self.taken.clone(), percent));
        format!("{} p50, {} p99", taken(50), taken(99))
    }
}
