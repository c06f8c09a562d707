//! Changes on their way into the kernel: how soon, how many at once, and what is counted of them.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use portolan_e2e::daemon::{Daemon, Rules as _};
use portolan_scripted::{endpoint_slice, service};
use serde_json::{Value, json};

use crate::world::{METRICS, SERVICES, SLICES, World, webs};

/// The annotation with the time from which it is measured how long a change took to get into the kernel.
const CHANGED: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// Two changes, one after the other: where `minSyncPeriod` is 1 s the second waits, with all that come meanwhile.
pub(crate) fn at_least_a_second_between_two_syncs(world: &World, daemon: &Daemon) -> Result<()> {
    let has = |numbers: &[u32]| -> Result<bool> {
        let frontends = world.frontends()?;
        Ok(numbers.iter().all(|i| frontends.contains_key(&format!("10.96.1.{i}:80"))))
    };
    let add = |i: u32| world.tell(SERVICES, "ADDED", &service(i));
    let start = Instant::now();
    add(21)?;
    world.until("the first change", daemon, || has(&[21]))?;
    let generation = world.node.generation()?;
    for i in [22, 23, 24] {
        add(i)?;
    }
    world.until("three changes", daemon, || has(&[22, 23, 24]))?;
    // The first sync ended after `start`.
    let took = start.elapsed();
    ensure!(took >= Duration::from_secs(1), "a change waited only {took:?}");
    ensure!(world.node.generation()? == generation + 1, "more than one transaction");
    Ok(())
}

pub(crate) fn an_explicit_least_period_is_kept() -> Result<()> {
    let world = World::new()?;
    let arguments = ["--proxy-mode=nftables", "--iptables-min-sync-period=1s"];
    let daemon = world.run_until_ready(&arguments)?;
    at_least_a_second_between_two_syncs(&world, &daemon)
}

pub(crate) fn changes_are_counted() -> Result<()> {
    let world = World::new()?;
    let (services, slices) = webs(&[0]);
    world.lists(&services, &slices);
    let daemon = world.run_until_ready(&["--proxy-mode=nftables"])?;
    let kube_proxys = |name: &str| world.metric(&format!("kubeproxy_sync_proxy_rules_{name}"));
    let changes =
        || Ok::<_, anyhow::Error>((kube_proxys("service_changes_total")?, kube_proxys("endpoint_changes_total")?));
    // kube-proxy's two proxies, one for each family, count each Service; a slice is of one family.
    ensure!(changes()? == (2.0, 1.0), "{:?}", changes()?);
    let programmed = |family: &str| {
        world.metric(&format!("kubeproxy_network_programming_duration_seconds_count{{ip_family=\"{family}\"}}"))
    };
    ensure!(programmed("IPv4")? == 0.0, "what happened before the start says nothing");

    let mut slice = endpoint_slice(0, 3);
    slice["metadata"]["annotations"][CHANGED] = jiff::Timestamp::now().to_string().into();
    world.tell(SLICES, "MODIFIED", &slice)?;
    world.until_frontends(&[("10.96.1.0:80", 3)], &daemon)?;
    world.until("the time that it took", &daemon, || Ok(programmed("IPv4")? == 1.0))?;
    ensure!(programmed("IPv6")? == 0.0);
    ensure!(changes()? == (2.0, 2.0), "{:?}", changes()?);

    let mut local = service(0);
    local["spec"]["internalTrafficPolicy"] = "Local".into();
    world.tell(SERVICES, "MODIFIED", &local)?;
    let no_local = "no_local_endpoints_total{ip_family=\"IPv4\",traffic_policy=\"internal\"}";
    world.until("a Service without local endpoints", &daemon, || Ok(kube_proxys(no_local)? == 1.0))?;
    slice["endpoints"][0]["nodeName"] = "node-a".into();
    world.tell(SLICES, "MODIFIED", &slice)?;
    world.until("a local endpoint", &daemon, || Ok(kube_proxys(no_local)? == 0.0))?;
    ensure!(changes()? == (4.0, 3.0), "{:?}", changes()?);
    let waiting = (kube_proxys("service_changes_pending")?, kube_proxys("endpoint_changes_pending")?);
    ensure!(waiting == (0.0, 0.0), "{waiting:?}");

    let mut wrong = service(1);
    wrong["spec"]["ports"] = json!([{"name": "http", "protocol": "TCP", "port": 0}]);
    world.tell(SERVICES, "ADDED", &wrong)?;
    world.until("the rejection", &daemon, || Ok(rejections(&world)? == 1.0))
}

fn rejections(world: &World) -> Result<f64> {
    let page = world.get(METRICS, "/metrics")?.body;
    let samples = page.lines().filter(|line| line.starts_with("portolan_rejections_total{kind=\"Service\""));
    let values = samples.map(|line| Ok(line.rsplit(' ').next().context("no value")?.parse::<f64>()?));
    values.sum::<Result<f64>>()
}

/// A slice of `web-0` whose endpoints are on node-a, each ready or not.
pub(crate) fn local_slice(ready: &[bool]) -> Value {
    let mut slice = endpoint_slice(0, u32::try_from(ready.len()).unwrap_or_default());
    for (n, ready) in ready.iter().enumerate() {
        slice["endpoints"][n]["nodeName"] = "node-a".into();
        slice["endpoints"][n]["conditions"] = json!({"ready": ready, "serving": ready, "terminating": false});
    }
    slice
}
