//! The daemon's own life: what it does not write, and that its end, however it comes, leaves the rules.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use portolan_core::object::{Backend as _, Dialect as _, Syncer, Unclaimed};
use portolan_e2e::{
    Mode,
    cast::named,
    daemon::{Daemon, Rules as _, lone, lone_for, test},
    dataplane::{Dataplane, Iptables, Ipvs, Nft, Objects},
    harness::{self, Failure, Test},
    has_kernel_for,
    host::Host,
    objects::{NODE_A, service},
    product::Portolan,
};
use portolan_nftables::testing::policy;

/// Until a virtual server without connections is removed.
const DRAINED: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let mut tests = of_mode::<Nft>();
    tests.extend(of_mode::<Iptables>());
    if has_kernel_for(Mode::Ipvs) {
        tests.extend(of_mode::<Ipvs>());
    }
    tests.push(test("nftables/an idle daemon writes nothing", an_idle_daemon_writes_nothing));
    tests.push(test("nftables/a restart keeps the order of endpoints", a_restart_keeps_the_order_of_endpoints));
    harness::run(|| Ok::<_, Failure>(tests), || ())
}

fn of_mode<D: Dataplane>() -> Vec<Test> {
    let named = |name: &str| format!("{}/{name}", D::MODE);
    vec![
        test(&named("SIGTERM ends it well and a restart writes nothing"), || {
            restart_writes_nothing::<D>(Signal::SIGTERM)
        }),
        test(&named("SIGINT ends it well and a restart writes nothing"), || {
            restart_writes_nothing::<D>(Signal::SIGINT)
        }),
        test(&named("resyncs without drift write and read nothing"), resyncs_write_and_read_nothing::<D>),
        test(
            &named("killed in the middle of changes, a restart converges"),
            killed_in_the_middle_a_restart_converges::<D>,
        ),
    ]
}

/// So many Services with one to seven endpoints; each `round` gives them others.
fn services(count: usize, round: usize) -> Result<String> {
    let (a1, a2, b1) = (named("pod-a1")?, named("pod-a2")?, named("pod-b1")?);
    let seven = [(a1, 1), (a2, 1), (b1, 1), (a1, 2), (a2, 2), (b1, 2), (a1, 3)];
    let mut text = format!("{NODE_A}---\n");
    for number in 0..count {
        let endpoints = seven.iter().take((number + round) % 8).copied().collect::<Vec<_>>();
        text += &service(&format!("svc-{number}"), &format!("10.96.1.{number}"), &endpoints);
    }
    Ok(text)
}

/// Renamed into place, so that nobody reads half of it.
fn write(folder: &Path, text: &str) -> Result<()> {
    fs::write(folder.join("new"), text)?;
    fs::rename(folder.join("new"), folder.join("all.yaml"))?;
    Ok(())
}

/// `transactions=3` in a log line.
fn transactions(line: &str) -> Result<u32> {
    let number = line.split("transactions=").nth(1).and_then(|rest| rest.split(' ').next());
    Ok(number.context("no number of transactions")?.parse()?)
}

/// Adds a Service and waits for it: whatever the daemon had to do before is done then. Returns the number of
/// transactions that it took, which are all that the log speaks of.
fn sentinel(daemon: &Daemon, folder: &Path, node: &Host, mode: Mode) -> Result<u32> {
    let seen = daemon.log().len();
    fs::write(folder.join("sentinel.yaml"), service("sentinel", "10.96.0.99", &[(named("pod-a1")?, 7)]))?;
    let (line, _) = daemon.logs(seen, "programmed")?;
    ensure!(node.listed(mode)?.contains("10.96.0.99"), "programmed, but not the new Service");
    // Where virtual servers drain, their removal is told as well.
    ensure!(mode == Mode::Ipvs || daemon.log().len() == seen + 1, "{:#?}", daemon.log());
    transactions(&line)
}

fn restart_writes_nothing<D: Dataplane>(signal: Signal) -> Result<()> {
    let (node, portolan, folder) = (lone_for(D::MODE)?, Portolan::find()?.in_mode(D::MODE), tempfile::tempdir()?);
    write(folder.path(), &services(20, 0)?)?;
    let daemon = Daemon::start(&portolan, &node, folder.path())?;
    daemon.logs(0, "programmed")?;
    let (before, generation) = (node.listed(D::MODE)?, node.generation()?);
    let status = daemon.end(signal)?;
    ensure!(status.code() == Some(0), "{status}");
    ensure!(node.listed(D::MODE)? == before, "its end changed the rules");

    portolan.once(folder.path(), &node).expect_exit(0)?;
    ensure!(node.generation()? == generation && node.listed(D::MODE)? == before, "run --once wrote something");

    let daemon = Daemon::start(&portolan, &node, folder.path())?;
    // A change that comes after the start: that it is programmed shows that the start is over.
    fs::write(folder.path().join("first.yaml"), service("first", "10.96.0.98", &[]))?;
    let (line, _) = daemon.logs(0, "programmed")?;
    if D::MODE == Mode::Nftables {
        ensure!(node.generation()? == generation + transactions(&line)?, "the start wrote something");
    } else {
        // A run of iptables-restore commits each table by itself; and of virtual servers and addresses, each is told in a line.
        let after = node.listed(D::MODE)?;
        let is_object = |line: &&str| D::MODE == Mode::Iptables || line.starts_with(['-', 'k']);
        ensure!(before.lines().filter(is_object).all(|line| after.contains(line)), "the start changed something");
    }
    ensure!(!daemon.log().iter().any(|line| line.contains("repaired")), "{:#?}", daemon.log());
    Ok(())
}

fn an_idle_daemon_writes_nothing() -> Result<()> {
    let (node, portolan, folder) = (lone()?, Portolan::find()?, tempfile::tempdir()?);
    let text = services(20, 0)?;
    write(folder.path(), &text)?;
    let daemon = Daemon::start(&portolan, &node, folder.path())?;
    daemon.logs(0, "programmed")?;
    let generation = node.generation()?;
    // It wakes up for all of this, and has nothing to do.
    for number in 0..20 {
        write(folder.path(), &format!("{text}# {number}\n"))?;
        node.nft("add table ip mine; delete table ip mine")?;
    }
    let transactions = sentinel(&daemon, folder.path(), &node, Mode::Nftables)?;
    ensure!(node.generation()? == generation + 20 + transactions, "it wrote something");
    Ok(())
}

fn resyncs_write_and_read_nothing<D: Dataplane>() -> Result<()> {
    let node = lone_for(D::MODE)?;
    node.enter(|| {
        let mut syncer = Syncer::new(D::kernel()?);
        syncer.set_policy(&policy());
        syncer.sync()?;
        let (stats, generation) = (syncer.stats(), node.generation()?);
        for _ in 0..100 {
            syncer.resync()?;
        }
        ensure!(syncer.stats() == stats && node.generation()? == generation);
        Ok(())
    })?
}

fn killed_in_the_middle_a_restart_converges<D: Dataplane>() -> Result<()> {
    let (node, portolan, folder) = (lone_for(D::MODE)?, Portolan::find()?.in_mode(D::MODE), tempfile::tempdir()?);
    write(folder.path(), &services(60, 0)?)?;
    for killed in 0..6 {
        let daemon = Daemon::start(&portolan, &node, folder.path())?;
        for round in 0..3 {
            write(folder.path(), &services(60, killed + round)?)?;
        }
        daemon.logs(0, "programmed")?;
        write(folder.path(), &services(60, killed + 4)?)?;
        let status = daemon.end(Signal::SIGKILL)?;
        ensure!(status.code().is_none(), "{status}");
    }
    write(folder.path(), &services(60, 5)?)?;
    let daemon = Daemon::start(&portolan, &node, folder.path())?;
    daemon.logs(0, "programmed")?;
    sentinel(&daemon, folder.path(), &node, D::MODE)?;
    portolan.on(&node).arg("diff").args(portolan.arguments(folder.path(), &node)).expect_exit(0)?;

    let fresh = fresh::<D>(&portolan, folder.path())?;
    // Virtual servers drain.
    let patience = if D::MODE == Mode::Ipvs { DRAINED } else { Duration::ZERO };
    let deadline = Instant::now() + patience;
    while D::in_order(held::<D>(&node)?) != D::in_order(fresh.clone()) {
        ensure!(Instant::now() < deadline, "another end than that of a fresh start");
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Whichever endpoints have come and gone before: in the end they do not stand as a fresh start would put them, and stay so.
fn a_restart_keeps_the_order_of_endpoints() -> Result<()> {
    let (node, portolan, folder) = (lone()?, Portolan::find()?, tempfile::tempdir()?);
    let daemon = Daemon::start(&portolan, &node, folder.path())?;
    for round in 0..8 {
        let seen = daemon.log().len();
        write(folder.path(), &services(20, 7 * round)?)?;
        daemon.logs(seen, "programmed")?;
    }
    sentinel(&daemon, folder.path(), &node, Mode::Nftables)?;
    daemon.end(Signal::SIGKILL)?;
    let fresh = fresh::<Nft>(&portolan, folder.path())?;
    // A `pick` chain that no Service needs any more stays until a start.
    let used = || -> Result<BTreeMap<_, _>> {
        let all = held::<Nft>(&node)?.into_iter();
        Ok(all
            .filter(|(key, value)| Nft::unclaimed(key, value) != Unclaimed::UntilNextLook || fresh.contains_key(key))
            .collect())
    };
    let before = used()?;
    ensure!(Nft::in_order(before.clone()) == Nft::in_order(fresh.clone()), "another end than that of a fresh start");
    ensure!(before != fresh, "the history shows too little");

    portolan.once(folder.path(), &node).expect_exit(0)?;
    ensure!(used()? == before, "the start has changed the order");
    let generation = node.generation()?;
    portolan.once(folder.path(), &node).expect_exit(0)?;
    portolan.on(&node).arg("diff").args(portolan.arguments(folder.path(), &node)).expect_exit(0)?;
    ensure!(node.generation()? == generation, "run --once wrote something");
    Ok(())
}

/// What the kernel of a node holds.
fn held<D: Dataplane>(node: &Host) -> Result<Objects<D>> {
    node.enter(|| Ok(D::kernel()?.observe()?.into_iter().collect()))?
}

/// What a fresh start makes of the same manifests.
fn fresh<D: Dataplane>(portolan: &Portolan, manifests: &Path) -> Result<Objects<D>> {
    let node = lone_for(D::MODE)?;
    portolan.once(manifests, &node).expect_exit(0)?;
    held::<D>(&node)
}
