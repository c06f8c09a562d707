//! Events: what the API server is given to keep.

use anyhow::{Result, ensure};
use portolan_scripted::{Answer, Verb, service};
use serde_json::json;

use crate::world::{World, complaints, events_path};

pub(crate) fn nodes_write_of_their_start_each_and_of_a_bad_object_together() -> Result<()> {
    let world = World::new()?;
    let mut bad = service(0);
    bad["spec"]["ports"] = json!([{"name": "http", "protocol": "TCP", "port": 0}]);
    world.lists(&[bad], &[]);
    world.server.on(&events_path("ns-0"), Verb::Create, [Answer::json(&json!({})), Answer::status(409)]);
    let _one = world.run_until_ready(&["--proxy-mode=nftables"])?;
    let other = world.run(&[
        "--proxy-mode=nftables",
        "--hostname-override=node-b",
        "--healthz-bind-address=127.0.0.1:20256",
        "--metrics-bind-address=127.0.0.1:20249",
    ])?;

    world.until("both to have started", &other, || Ok(world.events("default")?.len() == 2))?;
    for (started, node) in world.events("default")?.iter().zip(["node-a", "node-b"]) {
        ensure!(started["reason"] == "Starting" && started["action"] == "StartKubeProxy", "{started:#}");
        ensure!(started["type"] == "Normal" && started["note"].is_null(), "{started:#}");
        ensure!(started["regarding"]["kind"] == "Node" && started["regarding"]["name"] == node, "{started:#}");
        ensure!(started["reportingController"] == "kube-proxy", "{started:#}");
        ensure!(started["reportingInstance"] == format!("kube-proxy-{node}"), "{started:#}");
    }

    world.until("both to have told", &other, || Ok(world.events("ns-0")?.len() == 2))?;
    let told = world.events("ns-0")?;
    ensure!(told[0]["metadata"]["name"] == told[1]["metadata"]["name"], "{told:#?}");
    ensure!(told[0]["reportingInstance"] != told[1]["reportingInstance"], "{told:#?}");
    for event in &told {
        ensure!(event["reason"] == "Rejected" && event["type"] == "Warning" && event["action"] == "Read", "{event:#}");
        ensure!(event["regarding"]["kind"] == "Service" && event["regarding"]["name"] == "web-0", "{event:#}");
        ensure!(event["regarding"]["uid"] == service(0)["metadata"]["uid"], "{event:#}");
        ensure!(event["note"].as_str().is_some_and(|note| note.contains("spec.ports[0].port")), "{event:#}");
    }
    Ok(())
}

/// A gate that a later release of Kubernetes adds to the configuration of all nodes must not end the proxy of each.
pub(crate) fn a_gate_that_nobody_knows_is_told_and_the_start_goes_on() -> Result<()> {
    let world = World::new()?;
    let gate = "--feature-gates=OfALaterRelease=true";
    let daemon = world.run_until_ready(&["--proxy-mode=nftables", "--cluster-cidr=10.244.0.0/16", gate])?;
    let event = world.event("default", "UnknownFeatureGates", &daemon)?;
    ensure!(event["type"] == "Warning" && event["regarding"]["kind"] == "Node", "{event:#}");
    ensure!(event["note"].as_str().is_some_and(|note| note.contains("OfALaterRelease")), "{event:#}");
    let complaints = complaints(&daemon);
    ensure!(complaints.len() == 1 && complaints[0].contains("`OfALaterRelease=true` has no effect"), "{complaints:#?}");
    Ok(())
}

/// `kubectl describe` asks for the Events with the object's UID.
pub(crate) fn a_lost_address_is_told_to_its_service() -> Result<()> {
    let world = World::new()?;
    let mut both = [service(0), service(1)];
    both.iter_mut().for_each(|service| service["spec"]["externalIPs"] = json!(["203.0.113.7"]));
    world.lists(&both, &[]);
    let namespace = both[1]["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
    world.server.on(&events_path(&namespace), Verb::Create, [Answer::json(&json!({}))]);
    let daemon = world.run_until_ready(&["--proxy-mode=nftables"])?;
    world.until("the Event", &daemon, || Ok(!world.events(&namespace)?.is_empty()))?;
    let event = &world.events(&namespace)?[0];
    ensure!(event["reason"] == "Conflict" && event["type"] == "Warning", "{event:#}");
    ensure!(event["regarding"]["name"] == both[1]["metadata"]["name"], "{event:#}");
    ensure!(event["regarding"]["uid"] == both[1]["metadata"]["uid"], "{event:#}");
    Ok(())
}
