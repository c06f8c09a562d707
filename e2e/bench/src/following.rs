//! `portolan run` with an API server: its start, its memory, nothing at all, and one change.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use portolan_scripted::{endpoint_slice, service};

use crate::{
    agent,
    api_server::{ApiServer, ENDPOINTS},
    clock::percentile,
    process::Process,
    report::{Report, Row, count, short},
    site,
};

/// Changes that are measured, each of another Service.
const ROUNDS: u32 = 500;

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
    /// Ready, and settled.
    pub(crate) fn start(services: u32) -> anyhow::Result<(Self, Start)> {
        site::make()?;
        let api = ApiServer::start(services)?;
        let begin = Instant::now();
        let agent = agent::start([Path::new("--kubeconfig"), &api.kubeconfig()], api.folder())?;
        let start = Start { cpu: agent.cpu()?, wall: begin.elapsed() };
        thread::sleep(SETTLING);
        Ok((Self { api, agent }, start))
    }

    /// Moves a Service to the living pods; how long it takes from what the watch tells to a connection that is accepted.
    pub(crate) fn change(&self, i: u32) -> anyhow::Result<Duration> {
        let (slice, to) = (site::moved(endpoint_slice(i, ENDPOINTS)), site::front(&service(i))?);
        let begin = Instant::now();
        self.api.tell(&slice)?;
        site::landed(to, begin, PATIENCE)
    }
}

/// What the agent took until it was ready.
pub(crate) struct Start {
    cpu: Duration,
    wall: Duration,
}

/// One change, in a cluster of this size.
pub(crate) fn measure_change(services: u32) -> anyhow::Result<Report> {
    let (following, _) = Following::start(services)?;
    Ok(Report::of(vec![one_change(&following, services)?]))
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
    let (mut taken, mut connecting) = (Vec::new(), Vec::new());
    let before = following.agent.cpu()?;
    for i in 0..ROUNDS {
        taken.push(following.change(i)?);
        connecting.push(site::landed(site::front(&service(i))?, Instant::now(), PATIENCE)?);
        thread::sleep(BETWEEN);
    }
    let cpu = following.agent.cpu()?.saturating_sub(before) / ROUNDS;
    Ok(Row {
        figure: format!("watch event -> new TCP connection lands, {} Services x 2", count(services)),
        measured: format!("{} p50, {} p99", short(percentile(taken.clone(), 50)), short(percentile(taken, 99))),
        target: "<= 1 ms p50, <= 5 ms p99".to_owned(),
        floor: format!("{} a connection", short(percentile(connecting, 50))),
        beside: format!("{ROUNDS} changes, both endpoints replaced; CPU {} a change", short(cpu)),
    })
}
