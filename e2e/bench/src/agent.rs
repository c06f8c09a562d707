//! The real thing: `portolan run` on a large manifest. Its start, its memory, and what it does when nothing happens.

use std::{
    env, fs,
    io::{BufRead, BufReader, BufWriter, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use portolan_netlink::Connection;

use crate::{
    cluster::{self, NODE, POD_CIDR, Shape},
    report::{Report, Row, count, short},
};

const SERVICES: u32 = 10_000;

/// The agent compares generations every 30 s: once in this time.
const IDLE: Duration = Duration::from_secs(32);

/// Starts the agent and leaves it alone.
pub(crate) fn measure() -> anyhow::Result<Report> {
    let folder = tempfile::tempdir()?;
    let manifest = folder.path().join("list.json");
    let megabytes = write_list(&manifest)? >> 20;

    let mut agent = start(&manifest)?;
    let log = BufReader::new(agent.stderr.take().context("the agent's log")?);
    wait_until_programmed(log)?;
    let cold = cpu(&agent)?;
    // Its own commits are still notified.
    thread::sleep(Duration::from_millis(500));
    let mut connection = Connection::open()?;
    let generation = connection.generation()?;
    let before = cpu(&agent)?;
    thread::sleep(IDLE);
    let spent = cpu(&agent)?.saturating_sub(before);
    ensure!(connection.generation()? == generation, "the agent wrote something although nothing had changed");
    let peak = peak_memory(&agent)?;
    kill(Pid::from_raw(i32::try_from(agent.id())?), Signal::SIGTERM)?;
    let ended = agent.wait()?;
    ensure!(ended.success(), "portolan run: {ended}");

    let size = count(SERVICES);
    Ok(Report::of(vec![
        Row {
            figure: format!("portolan run, {size} Services x 2: peak RSS (VmHWM)"),
            measured: format!("{:.1} MiB", peak / 1024.0),
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
            measured: format!("{} in {} s", short(spent), IDLE.as_secs()),
            target: "<= 1 ms a resync".to_owned(),
            floor: String::new(),
            beside: "with one resync; nothing written".to_owned(),
        },
    ]))
}

fn write_list(path: &Path) -> anyhow::Result<u64> {
    let mut out = BufWriter::new(fs::File::create(path)?);
    write!(out, r#"{{"apiVersion":"v1","kind":"List","items":[{}"#, cluster::node_text())?;
    for i in 0..SERVICES {
        write!(out, ",{}", cluster::service_text(i, Shape::USUAL))?;
    }
    for i in 0..SERVICES {
        write!(out, ",{}", cluster::slice_text(i, Shape::USUAL, 0))?;
    }
    write!(out, "]}}")?;
    out.flush()?;
    Ok(fs::metadata(path)?.len())
}

fn start(manifest: &Path) -> anyhow::Result<Child> {
    let program = env::current_exe()?.with_file_name("portolan");
    let mut command = Command::new(&program);
    command.args(["run", "--mode=nftables", "--hostname-override", NODE, "--cluster-cidr", POD_CIDR, "--manifests"]);
    command.arg(manifest).env_remove("RUST_LOG").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().with_context(|| format!("{} (`make bench` builds it)", program.display()))
}

fn wait_until_programmed(log: impl BufRead + Send + 'static) -> anyhow::Result<()> {
    let mut lines = log.lines();
    let mut seen = String::new();
    for line in lines.by_ref() {
        let line = line?;
        if line.contains("programmed") {
            // Somebody has to go on reading, or the agent would wait for room in the pipe.
            thread::spawn(move || lines.for_each(drop));
            return Ok(());
        }
        seen.push_str(&line);
        seen.push('\n');
    }
    anyhow::bail!("the agent ended before it had programmed anything:\n{seen}")
}

/// CPU time of all its threads: the first field of schedstat, in nanoseconds.
fn cpu(agent: &Child) -> anyhow::Result<Duration> {
    let mut nanos = 0_u64;
    for thread in fs::read_dir(format!("/proc/{}/task", agent.id()))? {
        let schedstat = fs::read_to_string(thread?.path().join("schedstat"))?;
        nanos += schedstat.split(' ').next().context("schedstat is empty")?.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanos))
}

/// In KiB.
fn peak_memory(agent: &Child) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{}/status", agent.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM in its status")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
