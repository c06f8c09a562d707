//! The main thread while others have much to do: it answers signals, follows its configuration and writes Events.

use std::fs;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use portolan::sync_loop::SYNC_THREAD;
use portolan_scripted::service;
use serde_json::json;

use crate::world::{SERVICES, World, text, webs};

const HEAD: &str = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: nftables\n";

/// More changes than may wait for the sync thread.
const MANY: u32 = 600;

/// The kernel keeps the sync thread, changes come, and everything else goes on.
pub(crate) fn a_halted_sync_thread_holds_nobody_up() -> Result<()> {
    let world = World::new()?;
    let (services, slices) = webs(&[0]);
    world.lists(&services, &slices);
    let config = world.path("config.conf");
    fs::write(&config, HEAD)?;
    let daemon = world.run_until_ready(&[&format!("--config={}", text(&config))])?;
    daemon.halt(SYNC_THREAD)?;
    for i in 1..=MANY {
        world.tell(SERVICES, "ADDED", &service(i))?;
    }
    fs::write(&config, format!("{HEAD}conntrack: {{tcpEstablishedTimeout: 1234s}}\n"))?;
    world.until("the new time limit of conntrack", &daemon, || Ok(world.established()? == "1234"))?;
    let status = daemon.end(Signal::SIGTERM)?;
    ensure!(status.success(), "{status}");
    Ok(())
}

/// The same with manifests, which are read for the first time.
pub(crate) fn a_signal_ends_it_while_manifests_are_read() -> Result<()> {
    let world = World::new()?;
    let manifests = world.path("services.json");
    let services: Vec<_> = (0..MANY).map(service).collect();
    fs::write(&manifests, json!({"apiVersion": "v1", "kind": "List", "items": services}).to_string())?;
    let daemon = world.run(&["--proxy-mode=nftables", &format!("--manifests={}", text(&manifests))])?;
    world.until("the sync thread", &daemon, || Ok(daemon.halt(SYNC_THREAD).is_ok()))?;
    let status = daemon.end(Signal::SIGTERM)?;
    ensure!(status.success(), "{status}");
    Ok(())
}
