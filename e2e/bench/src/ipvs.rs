//! Ipvs mode: a start, beside the programs that write the same virtual servers and addresses; and changes. A change is taken in at
//! once; what drains is asked for later, and is in the figures of the daemon.

use std::{
    fmt::Write as _,
    io::Write as _,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use nix::{
    sched::{CloneFlags, unshare},
    sys::resource::{UsageWho, getrusage},
};

use crate::{
    change::{self, Step},
    clock::{Samples, duration, spent},
    cluster::{self, Shape},
    cold::start,
    daemon::{Daemon, Event},
    report::{Report, Row, count, short},
    site::ip,
};

const LINK: &str = "kube-ipvs0";

/// Of each change.
const ROUNDS: u32 = 200;

/// So much longer than the programs a start may take.
const TARGET: f64 = 1.2;

/// Both starts of one cluster, the programs, and changes.
pub(crate) fn measure(services: u32) -> anyhow::Result<Report> {
    let (by_ipvsadm, by_ip) = elsewhere(|| programs(services))?;
    let by_programs = by_ipvsadm + by_ip;
    with_address()?;

    let objects = cluster::objects(services, Shape::USUAL)?;
    let events = || objects.iter().cloned().map(Event::applied).collect::<Vec<_>>();
    let cold = start(Daemon::in_ipvs_mode, events())?;
    let again = start(Daemon::in_ipvs_mode, events())?;
    ensure!(again.operations == 0, "the second start wrote {} objects", again.operations);

    let size = count(services);
    let row = |what: &str, measured: String, target: &str, beside: String| Row {
        figure: format!("ipvs mode, {size} Services x 2: {what}"),
        measured,
        target: target.to_owned(),
        floor: String::new(),
        beside,
    };
    let mut rows = vec![
        Row {
            floor: format!("{}: ipvsadm {}, ip {}", short(by_programs), short(by_ipvsadm), short(by_ip)),
            ..row(
                "cold start, from decoded objects (CPU)",
                format!("{}, {} on the wall", short(cold.spent.cpu), short(cold.spent.wall)),
                &format!("<= {TARGET} x floor"),
                format!(
                    "{:.2} x; {}; {} objects",
                    cold.spent.cpu.as_secs_f64() / by_programs.as_secs_f64(),
                    cold.parts,
                    cold.operations
                ),
            )
        },
        row(
            "restart over it (CPU)",
            format!("{}, {} on the wall", short(again.spent.cpu), short(again.spent.wall)),
            "0 written",
            format!("{} written; {}", again.operations, again.parts),
        ),
    ];
    for (name, samples) in changes(services, events())? {
        let measured = format!("{} p50, {} p99", short(samples.wall(50)), short(samples.wall(99)));
        rows.push(row(
            name,
            measured,
            "<= 1 ms p50",
            "from the decoded object to the last answer of the kernel".to_owned(),
        ));
    }
    Ok(Report { cost: cold.spent.cpu, rows })
}

/// The changes of [`change::usual`], each of another Service.
fn changes(services: u32, events: Vec<Event>) -> anyhow::Result<Vec<(&'static str, Samples)>> {
    let mut daemon = Daemon::in_ipvs_mode()?;
    daemon.take(events)?;
    let mut changes: Vec<(&'static str, Samples)> = Vec::new();
    for round in 0..ROUNDS {
        for Step { name, events } in change::usual(services + round)? {
            let (result, spent) = spent(|| daemon.take(events));
            ensure!(result?.0.operations > 0, "a change changed nothing");
            let Some(name) = name else { continue };
            match changes.iter_mut().find(|(known, _)| *known == name) {
                Some((_, samples)) => samples.add(spent),
                None => {
                    let mut samples = Samples::default();
                    samples.add(spent);
                    changes.push((name, samples));
                }
            }
        }
    }
    Ok(changes)
}

/// What `ipvsadm --restore` takes for the virtual servers of a cluster, and `ip -batch` for their addresses.
fn programs(services: u32) -> anyhow::Result<(Duration, Duration)> {
    let (mut servers, mut addresses) = (String::new(), String::new());
    for i in 0..services {
        let server = cluster::cluster_ip(i);
        writeln!(servers, "-A -t {server}:80 -s rr")?;
        for k in 0..Shape::USUAL.endpoints {
            writeln!(servers, "-a -t {server}:80 -r {}:8080 -m -w 1", cluster::pod(i, k))?;
        }
        writeln!(addresses, "address add {server}/32 dev {LINK}")?;
    }
    with_address()?;
    ip(&format!("link add {LINK} type dummy"))?;
    let by_ip = run("ip", &["-batch", "-"], &addresses)?;
    Ok((run("ipvsadm", &["--restore"], &servers)?, by_ip))
}

/// Gives the caller's network namespace an address, without which the kernel takes no destination (EINVAL).
fn with_address() -> anyhow::Result<()> {
    ip("link set lo up")?;
    ip("address add 192.168.100.11/24 dev lo")
}

/// Works in a network namespace of its own: IPVS keeps destinations that were removed for two minutes, and goes through them all
/// for each one that is added (net/netfilter/ipvs/ip_vs_ctl.c, `ip_vs_trash_get_dest`).
fn elsewhere<T: Send>(work: impl FnOnce() -> anyhow::Result<T> + Send) -> anyhow::Result<T> {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            work()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Runs a program on this input, and says what it took on the processor.
fn run(program: &str, arguments: &[&str], input: &str) -> anyhow::Result<Duration> {
    let before = children()?;
    let mut child = Command::new(program).args(arguments).stdin(Stdio::piped()).spawn().context(program.to_owned())?;
    child.stdin.take().context("no stdin")?.write_all(input.as_bytes())?;
    let status = child.wait()?;
    ensure!(status.success(), "{program}: {status}");
    Ok(children()?.saturating_sub(before))
}

/// CPU time of all programs that were run and waited for.
fn children() -> anyhow::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    Ok(duration(usage.user_time()) + duration(usage.system_time()))
}

/// Removes all virtual servers of the caller's network namespace, and the link with their addresses.
pub(crate) fn flush() -> anyhow::Result<()> {
    let flushed = Command::new("ipvsadm").arg("--clear").status().context("ipvsadm")?;
    ensure!(flushed.success(), "ipvsadm --clear: {flushed}");
    let has_link =
        Command::new("ip").args(["link", "show", LINK]).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    if has_link.success() { ip(&format!("link delete {LINK}")) } else { Ok(()) }
}
