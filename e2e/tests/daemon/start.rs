//! The start: what is there at once, what waits for what, and what stays in the kernel meanwhile. And the end.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use portolan_e2e::daemon::{Daemon, Rules as _};
use portolan_scripted::{Answer, Authority, Server, Verb, endpoint_slice, list};
use serde_json::json;

use crate::world::{HEALTH, METRICS, NODE, NODES, SERVICES, SLICES, World, exposed, fill, held, node, text, webs};

const WEB_0: (&str, usize) = ("10.96.1.0:80", 2);
const WEB_1: (&str, usize) = ("10.96.1.1:80", 2);
const PRIMARY: &str = "--proxy-mode=nftables";

/// A world whose kernel was programmed by a run that has ended.
fn programmed_before() -> Result<World> {
    let world = World::new()?;
    let (services, slices) = webs(&[0, 1]);
    world.lists(&services, &slices);
    let daemon = world.run_until_ready(&[PRIMARY])?;
    world.until_frontends(&[WEB_0, WEB_1], &daemon)?;
    let before = world.node.tables()?;
    let status = daemon.end(Signal::SIGTERM)?;
    ensure!(status.code() == Some(0), "{status}");
    ensure!(world.node.tables()? == before, "its end changed the rules");
    Ok(world)
}

/// The HTTP ports are open, nothing is ready, and the kernel is as it was.
fn waits(world: &World, daemon: &Daemon, before: &(String, u32)) -> Result<()> {
    world.until_code("/livez", 200, daemon)?;
    let codes = (world.code("/healthz")?, world.code("/readyz")?);
    ensure!(codes == (503, 503), "/healthz and /readyz: {codes:?}");
    ensure!(world.get(METRICS, "/proxyMode")?.body == "nftables");
    ensure!(world.metric("portolan_synced")? == 0.0);
    ensure!((world.node.tables()?, world.node.generation()?) == *before, "the kernel was written to");
    Ok(())
}

pub(crate) fn nothing_is_written_or_removed_before_the_lists_are_complete() -> Result<()> {
    let world = programmed_before()?;
    let before = (world.node.tables()?, world.node.generation()?);
    // web-1 is gone, web-0 has grown; the slices and the Node keep us waiting.
    let (services, _) = webs(&[0]);
    let (slices, nodes) = (list(1, &[endpoint_slice(0, 3)]), list(1, &[node(&[NODE.into()])]));
    world.server.on(SERVICES, Verb::List, [Answer::json(&list(1, &services))]);
    world.server.on(SLICES, Verb::List, [held(&slices), Answer::json(&slices)]);
    world.server.on(NODES, Verb::List, [held(&nodes), Answer::json(&nodes)]);
    let daemon = world.run(&[PRIMARY])?;
    waits(&world, &daemon, &before)?;
    // The Services are watched, so their list is complete.
    ensure!(world.server.wait_for(SERVICES, Verb::Watch, 2) && world.server.wait_for(SLICES, Verb::List, 2));
    waits(&world, &daemon, &before)?;

    world.cut(SLICES)?;
    world.until_frontends(&[("10.96.1.0:80", 3), WEB_1], &daemon)?;
    // All Services are served; web-1's NodePort would be closed if the Node's addresses were thought to be gone.
    world.until_code("/readyz", 200, &daemon)?;
    ensure!(world.code("/healthz")? == 503, "there is no Node yet");

    ensure!(world.server.wait_for(NODES, Verb::List, 2));
    world.cut(NODES)?;
    world.until_code("/healthz", 200, &daemon)?;
    world.until_frontends(&[("10.96.1.0:80", 3)], &daemon)
}

pub(crate) fn an_api_server_that_is_down_at_the_start_is_waited_for() -> Result<()> {
    let world = programmed_before()?;
    let before = (world.node.tables()?, world.node.generation()?);
    let free = world.node.enter(|| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr())??;
    let daemon = world.run(&[PRIMARY, &format!("--master=http://{free}")])?;
    daemon.logs(0, "is lost")?;
    waits(&world, &daemon, &before)?;

    let server = world.node.enter(|| Server::start_at(free))??;
    fill(&server);
    let (services, slices) = webs(&[0]);
    server.on(SERVICES, Verb::List, [Answer::json(&list(1, &services))]);
    server.on(SLICES, Verb::List, [Answer::json(&list(1, &slices))]);
    world.until_code("/readyz", 200, &daemon)?;
    daemon.logs(0, "is back after")?;
    world.until_frontends(&[WEB_0], &daemon)
}

/// The signal is answered while the program that a kubeconfig names for credentials is waited for.
pub(crate) fn a_plug_in_that_hangs_does_not_keep_it_from_ending() -> Result<()> {
    let authority = Authority::new()?;
    let identity = authority.server()?;
    let world = World::with(|| Server::start_tls(&authority, &identity))?;
    let (ca, kubeconfig, asked) = (world.path("ca.crt"), world.path("kubeconfig"), world.path("asked"));
    fs::write(&ca, authority.pem())?;
    let exec = json!({
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "sh",
        "args": ["-c", format!("echo $$ >{}; sleep 1000", text(&asked))],
        "interactiveMode": "Never",
    });
    let kubeconfig_text = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "a", "cluster": {"server": world.server.url(), "certificate-authority": ca}}],
        "users": [{"name": "a", "user": {"exec": exec}}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "current-context": "a",
    });
    fs::write(&kubeconfig, kubeconfig_text.to_string())?;
    let daemon = world.run(&[PRIMARY, &format!("--kubeconfig={}", text(&kubeconfig))])?;
    let pid = || Ok::<_, anyhow::Error>(fs::read_to_string(&asked).is_ok_and(|pid| pid.ends_with('\n')));
    world.until("the plug-in to be asked", &daemon, pid)?;
    ensure!(world.code("/livez")? == 200);
    ensure!(daemon.end(Signal::SIGTERM)?.success(), "it did not end as it should");
    let process = format!("/proc/{}", fs::read_to_string(&asked)?.trim());
    let stat = || fs::read_to_string(format!("{process}/stat"));
    ensure!(!stat().is_ok_and(|stat| !stat.contains(") Z ")), "the plug-in is left behind");
    Ok(())
}

pub(crate) fn without_a_node_everything_but_primary_node_ports_is_served() -> Result<()> {
    let world = World::new()?;
    world.lists(&[exposed("NodePort")], &[endpoint_slice(0, 2)]);
    world.server.on(NODES, Verb::List, [Answer::json(&list(1, &[]))]);
    let daemon = world.run_until_ready(&[PRIMARY])?;
    world.until_frontends(&[WEB_0], &daemon)?;
    ensure!((world.code("/healthz")?, world.code("/livez")?) == (503, 200));

    world.tell(NODES, "ADDED", &node(&[]))?;
    world.until_code("/healthz", 200, &daemon)?;
    world.until_frontends(&[WEB_0], &daemon)?;

    // A new node's own may come some seconds after it: nobody is alarmed for half a minute.
    ensure!(!daemon.log().iter().any(|line| line.contains("no Node object named")), "{:#?}", daemon.log());
    world.tell(NODES, "MODIFIED", &node(&[NODE.into()]))?;
    world.until_frontends(&[WEB_0, ("192.168.100.11:30080", 2)], &daemon)
}

pub(crate) fn a_port_that_is_taken_ends_it_only_if_that_is_asked_for() -> Result<()> {
    for port in [HEALTH, METRICS] {
        let world = World::new()?;
        let (services, slices) = webs(&[0]);
        world.lists(&services, &slices);
        let taken = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let _occupant = world.node.enter(|| TcpListener::bind(taken))??;
        let master = format!("--master={}", world.server.url());
        let healthz = format!("--healthz-bind-address=127.0.0.1:{HEALTH}");
        let arguments = [master.as_str(), "--hostname-override=node-a", healthz.as_str()];
        let output = world.kube_proxy(&arguments)?.arg("--bind-address-hard-fail").output()?;
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.code() == Some(1), "{}", output.status);
        let last = stderr.lines().last().context("no word")?;
        ensure!(last.contains("ERROR") && last.contains(&taken.to_string()), "{stderr}");
        ensure!(!stderr.contains("tried again"), "{stderr}");

        let daemon = Daemon::spawn(world.kube_proxy(&arguments)?)?;
        let (line, _) = daemon.logs(0, &format!("cannot listen on {taken}"))?;
        ensure!(line.contains("ERROR") && line.contains("tried again every 5 s"), "{line}");
        world.until_frontends(&[WEB_0], &daemon)?;
    }
    Ok(())
}
