//! The configuration file while the daemon runs: what is followed is in the kernel as if it had been there from the start;
//! what cannot be followed changes nothing.

use std::{
    fs,
    net::{Ipv4Addr, TcpStream},
};

use anyhow::{Result, ensure};
use portolan_e2e::{
    Mode,
    cluster::Volume,
    daemon::{Daemon, Rules as _},
};
use portolan_nftables::{Key, Value as Held};
use portolan_scripted::{Verb, endpoint_slice, service};
use serde_json::{Value, json};

use crate::{
    changes::at_least_a_second_between_two_syncs,
    command_line::{KUBEADM_1_36, KUBEADM_1_37, KUBECONFIG},
    world::{NODE, SERVICES, World, ensure_quiet, exposed, node, text},
};

const HEAD: &str = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: nftables\n";

/// What holds at first, and again after each test of an edit: not one period is short.
const FIRST: &str = "clusterCIDR: 10.244.0.0/16\nnftables: {syncPeriod: 1h}\n";

/// A daemon with its configuration file.
struct Running {
    world: World,
    volume: Volume,
    daemon: Daemon,
    edits: usize,
}

impl Running {
    fn start() -> Result<Self> {
        let world = World::new()?;
        world.lists(&[exposed("NodePort")], &[endpoint_slice(0, 2)]);
        let volume = world.config_map(&format!("{HEAD}{FIRST}"))?;
        let config = format!("--config={}", text(&volume.path().join("config.conf")));
        let daemon = world.run_until_ready(&[&config])?;
        Ok(Self { world, volume, daemon, edits: 0 })
    }

    /// Gives the file another end: swapped as a ConfigMap, or edited in place, in turns.
    fn edit(&mut self, settings: &str) -> Result<()> {
        self.edits += 1;
        let text = format!("{HEAD}{settings}");
        if self.edits.is_multiple_of(2) {
            fs::write(self.volume.path().join("config.conf"), text)?;
        } else {
            self.volume.write([("config.conf", text.as_str())])?;
        }
        Ok(())
    }

    fn until(&self, what: &str, is: impl FnMut() -> Result<bool>) -> Result<()> {
        self.world.until(what, &self.daemon, is)
    }

    fn until_shown(&self, field: &str, value: &Value) -> Result<()> {
        self.until(&format!("{field} to be {value} in /configz"), || {
            Ok(self.world.configz()?.pointer(field) == Some(value))
        })
    }

    fn objects(&self) -> Result<Vec<(Key, Held)>> {
        Ok(self.world.node.objects()?)
    }
}

/// What a kernel holds that was programmed with these settings and nothing before.
fn fresh(settings: &str) -> Result<Vec<(Key, Held)>> {
    let world = World::new()?;
    let items = [exposed("NodePort"), endpoint_slice(0, 2), node(&[Ipv4Addr::from(NODE)])];
    let (config, objects) = (world.path("config.conf"), world.path("objects.json"));
    fs::write(&config, format!("{HEAD}{settings}"))?;
    fs::write(&objects, json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string())?;
    let run = world.portolan.on(&world.node).args(["run", "--once", "--hostname-override=node-a", "--config"]);
    run.arg(config).arg("-f").arg(objects).expect_exit(0)?;
    Ok(world.node.objects()?)
}

pub(crate) fn listeners_follow_the_file() -> Result<()> {
    let mut running = Running::start()?;
    let is_open = |running: &Running| {
        Ok(running.world.node.enter(|| TcpStream::connect((Ipv4Addr::LOCALHOST, 30080)).is_ok())?)
    };
    ensure!(!is_open(&running)?, "nobody has asked for loopback");
    for _ in 0..2 {
        running.edit(&format!("{FIRST}nodePortAddresses: [primary, localhost]\n"))?;
        running.until("the NodePort at loopback", || is_open(&running))?;
        running.edit(FIRST)?;
        running.until("the NodePort at loopback to be closed", || Ok(!is_open(&running)?))?;
    }
    Ok(())
}

pub(crate) fn rules_follow_the_file() -> Result<()> {
    let mut running = Running::start()?;
    let first = fresh(FIRST)?;
    running.until("the rules of the first file", || Ok(running.objects()? == first))?;
    for (settings, field, value) in [
        (
            "clusterCIDR: 10.244.0.0/16\nnftables: {syncPeriod: 1h, masqueradeAll: true}\n",
            "/nftables/masqueradeAll",
            json!(true),
        ),
        ("clusterCIDR: 10.32.0.0/12\nnftables: {syncPeriod: 1h}\n", "/clusterCIDR", json!("10.32.0.0/12")),
        (
            "clusterCIDR: 10.244.0.0/16\nnodePortAddresses: [192.168.0.0/16]\nnftables: {syncPeriod: 1h}\n",
            "/nodePortAddresses",
            json!(["192.168.0.0/16"]),
        ),
        (
            "detectLocalMode: BridgeInterface\ndetectLocal: {bridgeInterface: br0}\nnftables: {syncPeriod: 1h}\n",
            "/detectLocalMode",
            json!("BridgeInterface"),
        ),
        (
            "detectLocalMode: InterfaceNamePrefix\ndetectLocal: {interfaceNamePrefix: cali}\nnftables: {syncPeriod: 1h}\n",
            "/detectLocal/interfaceNamePrefix",
            json!("cali"),
        ),
    ] {
        let wanted = fresh(settings)?;
        ensure!(wanted != first, "{field} makes no difference");
        running.edit(settings)?;
        running.until_shown(field, &value)?;
        running.until(&format!("the rules of {settings:?}"), || Ok(running.objects()? == wanted))?;
        running.edit(FIRST)?;
        running.until("the rules of the first file again", || Ok(running.objects()? == first))?;
    }
    ensure!(running.world.metric("portolan_config_stale")? == 0.0);
    Ok(())
}

pub(crate) fn all_else_that_is_live_follows_the_file() -> Result<()> {
    let mut running = Running::start()?;
    ensure!(running.world.established()? == "86400");
    running.edit(&format!("{FIRST}conntrack: {{tcpEstablishedTimeout: 2h}}\n"))?;
    running.until("conntrack's timeout", || Ok(running.world.established()? == "7200"))?;

    running.edit(&format!("{FIRST}logging: {{verbosity: 4}}\n"))?;
    running.until_shown("/logging/verbosity", &json!(4))?;
    ensure!(running.world.server.wait_for(SERVICES, Verb::Watch, 1));
    running.world.cut(SERVICES)?;
    running.daemon.logs(0, "DEBUG")?;
    ensure!(running.world.server.wait_for(SERVICES, Verb::Watch, 2));

    running.edit(&format!("{FIRST}configSyncPeriod: 1m\n"))?;
    running.until_shown("/configSyncPeriod", &json!("1m0s"))?;

    running.edit("clusterCIDR: 10.244.0.0/16\nnftables: {syncPeriod: 1h, minSyncPeriod: 1s}\n")?;
    running.until_shown("/nftables/minSyncPeriod", &json!("1s"))?;
    at_least_a_second_between_two_syncs(&running.world, &running.daemon)?;

    // The rules are compared as often as is said now, not when the hour is over.
    running.edit("clusterCIDR: 10.244.0.0/16\nnftables: {syncPeriod: 1s}\n")?;
    running.until_shown("/nftables/syncPeriod", &json!("1s"))?;
    let syncs = || running.world.metric("kubeproxy_sync_proxy_rules_duration_seconds_count{ip_family=\"IPv4\"}");
    let before = syncs()?;
    running.until("two syncs of no change", || Ok(syncs()? >= before + 2.0))
}

/// `kubeadm upgrade` from 1.36 to 1.37 writes `mode: iptables` where nothing was, and a downgrade takes it away.
pub(crate) fn an_upgrades_edit_of_the_mode_changes_nothing() -> Result<()> {
    let world = World::new()?;
    world.lists(&[exposed("NodePort")], &[endpoint_slice(0, 2)]);
    // The API server is that of --master, which a scripted one is.
    let [old, new] = [KUBEADM_1_36, KUBEADM_1_37].map(|text| text.replace(KUBECONFIG, "\"\""));
    let mut volume = world.config_map(&old)?;
    let config = format!("--config={}", text(&volume.path().join("config.conf")));
    let daemon = world.run_until_ready(&[&config])?;
    let (first, shown) = (world.node.listed(Mode::Iptables)?, world.configz()?);
    let mut seen = 0;
    for edited in [&new, &old, &new] {
        volume.write([("config.conf", edited.as_str())])?;
        let (line, number) = daemon.logs(seen, "the configuration file was changed")?;
        ensure!(line.contains("INFO") && line.contains("nothing in it is different"), "{line}");
        seen = number;
    }
    ensure!(world.node.listed(Mode::Iptables)? == first && world.configz()? == shown);
    ensure!(world.metric("portolan_config_stale")? == 0.0);
    ensure_quiet(&daemon)
}

pub(crate) fn what_cannot_be_followed_changes_nothing() -> Result<()> {
    let mut running = Running::start()?;
    let first = fresh(FIRST)?;
    running.until("the rules of the first file", || Ok(running.objects()? == first))?;
    let shown = running.world.configz()?;
    let (mut seen, mut told) = (0, 0);
    for (settings, why) in [
        ("nftables: {masqueradeAll: true}\nconntrack: {min: -1}\n", "conntrack.min"),
        (
            "nftables: {masqueradeAll: true}\nhealthzBindAddress: 127.0.0.1:10999\n",
            "healthzBindAddress cannot be followed",
        ),
        ("nftables: [masqueradeAll\n", "line"),
    ] {
        running.edit(settings)?;
        let (line, number) = running.daemon.logs(seen, "is not followed")?;
        ensure!(line.contains("ERROR") && line.contains("the old one stays") && line.contains(why), "{line}");
        running.until("portolan_config_stale", || Ok(running.world.metric("portolan_config_stale")? == 1.0))?;
        told += 1;
        let events = || -> Result<Vec<Value>> {
            let events = running.world.events("default")?.into_iter();
            Ok(events.filter(|event| event["reason"] == "ConfigurationNotFollowed").collect())
        };
        running.until("the Event", || Ok(events()?.len() == told))?;
        let events = events()?;
        let last = events.last().map_or(&Value::Null, |event| event);
        ensure!(last["type"] == "Warning" && last["regarding"]["kind"] == "Node", "{last:#}");
        ensure!(last["note"].as_str().is_some_and(|note| note.contains(why)), "{last:#}");

        // A change after it is programmed by the old configuration.
        let next = u32::try_from(told)?;
        running.world.tell(SERVICES, "ADDED", &service(next))?;
        let vip = format!("10.96.1.{next}:80");
        running.until("a new Service", || Ok(running.world.frontends()?.contains_key(&vip)))?;
        running.world.tell(SERVICES, "DELETED", &service(next))?;
        running.until("the rules of the first file", || Ok(running.objects()? == first))?;
        ensure!(running.world.configz()? == shown, "/configz shows what is not followed");

        let good = "clusterCIDR: 10.244.0.0/16\nnftables: {syncPeriod: 1h}\nconfigSyncPeriod: 1h\n";
        running.edit(good)?;
        running.until("it to be good again", || Ok(running.world.metric("portolan_config_stale")? == 0.0))?;
        running.until_shown("/configSyncPeriod", &json!("1h0m0s"))?;
        running.edit(FIRST)?;
        running.until("the first file", || Ok(running.world.configz()? == shown))?;
        seen = number;
    }
    Ok(())
}
