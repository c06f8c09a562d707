//! The real thing: `portolan run` on a large manifest. Its start, its memory, and what it does when nothing happens.

use std::{
    env, fs,
    io::{BufWriter, Write as _},
    path::Path,
    process::Command,
    thread,
    time::Duration,
};

use anyhow::ensure;
use portolan_netlink::Connection;

use crate::{
    cluster::{self, NODE, POD_CIDR, Shape},
    dataplane::Dataplane,
    kernel_memory::Group,
    process::Process,
    report::{Report, Row, count, short},
    site,
};

const SERVICES: u32 = 10_000;

/// The agent compares generations every 30 s: once in this time.
const IDLE: Duration = Duration::from_secs(32);

/// Starts the agent and leaves it alone.
pub(crate) fn measure() -> anyhow::Result<Report> {
    let folder = tempfile::tempdir()?;
    let manifest = folder.path().join("list.json");
    let megabytes = write_list(&manifest, SERVICES, Shape::USUAL)? >> 20;

    site::make()?;
    let agent = start(Dataplane::Nftables, ["--manifests".as_ref(), manifest.as_path()], folder.path())?;
    let cold = agent.cpu()?;
    let idle = idle(&agent, IDLE)?;
    let peak = agent.memory("VmHWM")?;
    agent.end()?;

    let size = count(SERVICES);
    Ok(Report::of(vec![
        Row {
            figure: format!("portolan run, {size} Services x 2: peak RSS (VmHWM)"),
            measured: format!("{peak:.1} MiB"),
            target: "<= 40 MiB".to_owned(),
            floor: String::new(),
            beside: format!("one JSON List of {megabytes} MiB"),
        },
        Row {
            figure: format!("portolan run, {size} Services x 2: cold start from the file (CPU)"),
            measured: short(cold),
            target: String::new(),
            floor: String::new(),
            beside: "with reading the JSON; all threads".to_owned(),
        },
        Row {
            figure: format!("portolan run, {size} Services x 2: nothing changes (CPU)"),
            measured: format!("{} in {} s", short(idle), IDLE.as_secs()),
            target: "<= 1 ms a resync".to_owned(),
            floor: String::new(),
            beside: "with one resync; nothing written".to_owned(),
        },
    ]))
}

/// Starts the agent in the namespace of the caller, with a source of objects, and waits until it is ready.
pub(crate) fn start(dataplane: Dataplane, source: [&Path; 2], folder: &Path) -> anyhow::Result<Process> {
    let mut agent = Process::start(command(dataplane)?.args(source), &folder.join("portolan.log"))?;
    agent.wait_until_ready()?;
    Ok(agent)
}

/// Programs a cluster in the namespace of the caller once, as a member of a control group where there is one.
pub(crate) fn program(dataplane: Dataplane, services: u32, shape: Shape, group: Option<&Group>) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    write_list(&folder.path().join("list.json"), services, shape)?;
    let mut command = command(dataplane)?;
    command.args(["--once", "--manifests"]).arg(folder.path()).env("RUST_LOG", "warn");
    if let Some(group) = group {
        command = group.wrap(&command);
    }
    let status = command.status()?;
    ensure!(status.success(), "portolan run --once: {status}");
    Ok(())
}

fn command(dataplane: Dataplane) -> anyhow::Result<Command> {
    let mut command = Command::new(env::current_exe()?.with_file_name("portolan"));
    command.args(["run", "--mode", dataplane.mode(), "--hostname-override", NODE, "--cluster-cidr", POD_CIDR]);
    Ok(command)
}

/// CPU time of the agent in a time in which nothing changes.
pub(crate) fn idle(agent: &Process, time: Duration) -> anyhow::Result<Duration> {
    // Its own commits are still notified.
    thread::sleep(Duration::from_millis(500));
    let mut connection = Connection::open()?;
    let (generation, before) = (connection.generation()?, agent.cpu()?);
    thread::sleep(time);
    let spent = agent.cpu()?.saturating_sub(before);
    ensure!(connection.generation()? == generation, "the agent wrote something although nothing had changed");
    Ok(spent)
}

/// What the kernel takes for the rules of so many Services.
pub(crate) fn measure_kernel_memory(services: u32, target: &str) -> anyhow::Result<Report> {
    let group = Group::new()?;
    program(Dataplane::Nftables, services, Shape::USUAL, Some(&group))?;
    Ok(Report::of(vec![Row {
        figure: format!("kernel memory of the rules, {} Services x 2", count(services)),
        measured: format!("{:.1} MiB", group.of_rules()?),
        target: target.to_owned(),
        floor: String::new(),
        beside: "what the control group of the process that wrote them is charged less when they are flushed"
            .to_owned(),
    }]))
}

fn write_list(path: &Path, services: u32, shape: Shape) -> anyhow::Result<u64> {
    let mut out = BufWriter::new(fs::File::create(path)?);
    write!(out, r#"{{"apiVersion":"v1","kind":"List","items":[{}"#, cluster::node_text())?;
    for i in 0..services {
        write!(out, ",{}", cluster::service_text(i, shape))?;
    }
    for i in 0..services {
        write!(out, ",{}", cluster::slice_text(i, shape, 0))?;
    }
    write!(out, "]}}")?;
    out.flush()?;
    Ok(fs::metadata(path)?.len())
}
