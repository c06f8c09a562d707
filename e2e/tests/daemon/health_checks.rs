//! Health-check node ports: what a load balancer hears as Services and slices change.

use std::net::{SocketAddr, TcpListener};

use anyhow::{Context as _, Result, ensure};
use portolan_e2e::daemon::Daemon;
use serde_json::{Value, json};

use crate::{
    changes::local_slice,
    world::{NODE, SERVICES, SLICES, World, code, exposed},
};

/// A Service with a health-check node port.
fn checked(port: u16) -> Value {
    let mut service = exposed("LoadBalancer");
    service["spec"]["externalTrafficPolicy"] = "Local".into();
    service["spec"]["healthCheckNodePort"] = port.into();
    service["status"]["loadBalancer"] = json!({"ingress": [{"ip": "203.0.113.1"}]});
    service
}

/// Code and weight that the node's address answers; none where nobody listens.
fn heard(world: &World, port: u16) -> Result<Option<(u16, u64)>> {
    let Ok(answer) = world.get_from(NODE, port, "/") else { return Ok(None) };
    let weight = answer.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("X-Load-Balancing-Endpoint-Weight"));
    let body: Value = serde_json::from_str(&answer.body)?;
    ensure!(body["service"]["namespace"] == "ns-0" && body["service"]["name"] == "web-0", "{body:#}");
    let weight = weight.context("no weight")?.1.parse()?;
    ensure!(body["localEndpoints"] == weight, "{body:#}");
    Ok(Some((code(&answer)?, weight)))
}

fn until_heard(world: &World, port: u16, wanted: Option<(u16, u64)>, daemon: &Daemon) -> Result<()> {
    world.until(&format!("{wanted:?} at port {port}"), daemon, || Ok(heard(world, port)? == wanted))
}

pub(crate) fn answers_follow_services_and_slices() -> Result<()> {
    let world = World::new()?;
    world.lists(&[checked(32000)], &[local_slice(&[true, true])]);
    let daemon = world.run_until_ready(&["--proxy-mode=nftables"])?;
    until_heard(&world, 32000, Some((200, 2)), &daemon)?;
    ensure!(world.get(32000, "/").is_err(), "loopback is no primary address");
    for (ready, wanted) in
        [(&[true, false][..], (200, 1)), (&[false, false], (503, 0)), (&[], (503, 0)), (&[true, true, true], (200, 3))]
    {
        world.tell(SLICES, "MODIFIED", &local_slice(ready))?;
        until_heard(&world, 32000, Some(wanted), &daemon)?;
    }

    world.tell(SERVICES, "MODIFIED", &checked(32001))?;
    until_heard(&world, 32001, Some((200, 3)), &daemon)?;
    ensure!(heard(&world, 32000)?.is_none(), "the old port is open");

    let taken = SocketAddr::from((NODE, 32002));
    let occupant = world.node.enter(|| TcpListener::bind(taken))??;
    world.tell(SERVICES, "MODIFIED", &checked(32002))?;
    let told = world.event("ns-0", "FailedToStartServiceHealthcheck", &daemon)?;
    ensure!(
        told["action"] == "Listen" && told["type"] == "Warning" && told["regarding"]["name"] == "web-0",
        "{told:#}"
    );
    ensure!(told["note"].as_str().is_some_and(|note| note.contains("192.168.100.11:32002")), "{told:#}");
    drop(occupant);
    world.tell(SLICES, "MODIFIED", &local_slice(&[true]))?;
    until_heard(&world, 32002, Some((200, 1)), &daemon)?;

    world.tell(SERVICES, "DELETED", &checked(32002))?;
    until_heard(&world, 32002, None, &daemon)
}

pub(crate) fn with_all_addresses_loopback_is_one_of_them() -> Result<()> {
    let world = World::new()?;
    world.lists(&[checked(32000)], &[local_slice(&[true])]);
    let daemon = world.run_until_ready(&[])?;
    until_heard(&world, 32000, Some((200, 1)), &daemon)?;
    ensure!(code(&world.get(32000, "/")?)? == 200, "kube-proxy listens on 0.0.0.0");
    Ok(())
}

pub(crate) fn they_are_at_the_addresses_of_node_ports() -> Result<()> {
    let world = World::new()?;
    world.lists(&[checked(32000)], &[local_slice(&[true])]);
    for (list, at_node, at_loopback) in [
        ("primary,localhost", true, true),
        ("127.0.0.0/8,192.168.0.0/16", true, true),
        ("localhost", false, true),
        ("192.168.0.0/16", true, false),
        ("10.0.0.0/8", false, false),
    ] {
        let daemon = world.run_until_ready(&[&format!("--nodeport-addresses={list}")])?;
        let found = || Ok((heard(&world, 32000)?.is_some(), world.get(32000, "/").is_ok()) == (at_node, at_loopback));
        world.until(
            &format!("{list}: {at_node} at the node's address and {at_loopback} at loopback"),
            &daemon,
            found,
        )?;
    }
    Ok(())
}
