//! Repairs that do not last: another program, or another Portolan, undoes them again and again.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use portolan_e2e::daemon::{Daemon, Rules as _};
use portolan_scripted::{endpoint_slice, service};

use crate::world::{SERVICES, SLICES, World, complaints, webs};

const EDIT: &str = "the edit of a test";

/// As another program would do it that is in a loop.
fn edit(world: &World) -> Result<()> {
    let edit = |family| format!("insert rule {family} portolan nat-output accept comment \"{EDIT}\"\n");
    world.node.nft(&(edit("ip") + &edit("ip6")))?;
    Ok(())
}

/// Edits until it is not ready.
fn contest(world: &World, daemon: &Daemon) -> Result<()> {
    world.until("/readyz to be 503", daemon, || {
        edit(world)?;
        Ok(world.code("/readyz")? == 503)
    })
}

/// Syncs that have read what the kernel holds.
fn looks(world: &World) -> Result<f64> {
    world.metric("kubeproxy_sync_full_proxy_rules_duration_seconds_count{ip_family=\"IPv4\"}")
}

pub(crate) fn repairs_that_do_not_last_are_made_less_often_and_told_once() -> Result<()> {
    let world = World::new()?;
    let (services, slices) = webs(&[0, 1]);
    world.lists(&services, &slices);
    let daemon = world.run_until_ready(&["--proxy-mode=nftables", "--iptables-sync-period=2s"])?;
    let at_start = complaints(&daemon).len();
    contest(&world, &daemon)?;
    let contested = Instant::now();
    let told = world.event("default", "RulesContested", &daemon)?;
    ensure!(told["type"] == "Warning" && told["regarding"]["kind"] == "Node", "{told:#}");
    ensure!(told["note"].as_str().is_some_and(|note| note.starts_with("nft (process ")), "{told:#}");
    ensure!(world.metric("portolan_rules_contested")? == 1.0);
    ensure!(world.metric("portolan_conflicting_proxy")? == 0.0);
    ensure!((world.code("/healthz")?, world.code("/livez")?) == (200, 200));

    // A wait of 100 ms, 200, ... up to the period follows each repair, however many edits there are.
    let (before, mut edits) = (looks(&world)?, 0);
    while contested.elapsed() < Duration::from_secs(4) || edits < 30 {
        edit(&world)?;
        edits += 1;
    }
    let made = looks(&world)? - before;
    let took = contested.elapsed().as_secs_f64();
    ensure!(made <= 6.0 + took / 2.0, "{made} repairs of {edits} edits in {took} s");

    // Changes go in all the same.
    world.tell(SERVICES, "ADDED", &service(2))?;
    world.tell(SLICES, "ADDED", &endpoint_slice(2, 1))?;
    world.until("the new Service", &daemon, || {
        edit(&world)?;
        Ok(world.frontends()?.get("10.96.1.2:80") == Some(&1))
    })?;

    // The end is told, too.
    world.until_code("/readyz", 200, &daemon)?;
    let settled = world.event("default", "RulesSettled", &daemon)?;
    ensure!(settled["type"] == "Normal", "{settled:#}");
    ensure!(world.metric("portolan_rules_contested")? == 0.0);
    ensure!(!world.node.tables()?.contains(EDIT), "the last edits are still there");
    // How many repairs are in a row depends on when we come to edit; of those that follow nothing is told.
    let complaints = complaints(&daemon).split_off(at_start);
    let at_once = complaints.iter().take_while(|line| line.contains("repaired")).count();
    ensure!(complaints.len() == at_once + 1, "{complaints:#?}");

    // From now on it is at once again.
    let seen = daemon.log().len();
    edit(&world)?;
    daemon.logs(seen, "another program changed our objects: repaired")?;
    Ok(())
}

pub(crate) fn a_ruleset_that_is_flushed_all_the_time_is_whole_afterwards() -> Result<()> {
    let world = World::new()?;
    let (services, slices) = webs(&(0..200).collect::<Vec<_>>());
    world.lists(&services, &slices);
    let daemon = world.run_until_ready(&["--proxy-mode=nftables", "--iptables-sync-period=2s"])?;
    let before = world.node.tables()?;
    world.until("/readyz to be 503", &daemon, || {
        world.node.nft("flush ruleset")?;
        Ok(world.code("/readyz")? == 503)
    })?;
    // What cannot be written beside a flush has to repair first, and is still tried.
    world.tell(SERVICES, "DELETED", &service(7))?;
    world.tell(SLICES, "DELETED", &endpoint_slice(7, 2))?;
    world.until_code("/readyz", 200, &daemon)?;
    ensure!(!world.node.tables()?.contains("web-7:"));
    world.tell(SERVICES, "ADDED", &service(7))?;
    world.tell(SLICES, "ADDED", &endpoint_slice(7, 2))?;
    world.until("the rules as they were", &daemon, || Ok(world.node.tables()? == before))?;
    let complaints = complaints(&daemon);
    ensure!(complaints.iter().filter(|line| line.contains("keeps changing")).count() == 1, "{complaints:#?}");
    Ok(())
}

pub(crate) fn a_second_portolan_is_named() -> Result<()> {
    let world = World::new()?;
    let (services, slices) = webs(&[0, 1, 2, 3]);
    world.lists(&services, &slices);
    let daemon = world.run_until_ready(&["--proxy-mode=nftables", "--iptables-sync-period=5s"])?;
    let other = world.run(&[
        "--proxy-mode=nftables",
        "--masquerade-all",
        "--healthz-bind-address=127.0.0.1:20256",
        "--metrics-bind-address=127.0.0.1:20249",
    ])?;
    let told = world.event("default", "ConflictingProxy", &daemon)?;
    ensure!(told["note"].as_str().is_some_and(|note| note.starts_with("another Portolan (")), "{told:#}");
    ensure!(world.metric("portolan_conflicting_proxy")? == 1.0);
    for one in [&daemon, &other] {
        let (line, _) = one.logs(0, "two Portolans run on this node")?;
        ensure!(line.contains("another Portolan ("), "{line}");
    }
    // Whoever has made sixteen repairs first makes them less often, and the other one may then never come to as many in a row.
    world.until("one of them to repair less often", &daemon, || {
        let told = [&daemon, &other].map(Daemon::log).concat();
        let slower: Vec<_> = told.iter().filter(|line| line.contains("keeps changing Portolan's objects")).collect();
        ensure!(slower.iter().all(|line| line.contains("another Portolan (")), "{slower:?}");
        Ok(!slower.is_empty())
    })?;
    drop(other);
    world.until_code("/readyz", 200, &daemon)?;
    world.until("it to be gone", &daemon, || Ok(world.metric("portolan_conflicting_proxy")? == 0.0))?;
    // What is in the kernel is what the first wants.
    let generation = world.node.generation()?;
    let seen = daemon.log().len();
    world.tell(SERVICES, "DELETED", &service(3))?;
    daemon.logs(seen, "programmed")?;
    ensure!(world.node.generation()? > generation);
    Ok(())
}
