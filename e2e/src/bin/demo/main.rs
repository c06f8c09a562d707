//! `make demo`: the main job in one minute. A small cluster in network namespaces, Portolan on its two nodes, web
//! servers in its pods, and curl from everywhere; a pod goes while somebody downloads from it; somebody removes what Portolan has
//! written, and Portolan puts it back.
//!
//! `demo ipvs` and `demo iptables` show the same in these modes.

mod agents;
mod kernel;
mod web;

use std::{env, error::Error, process::ExitCode, time::Instant};

use portolan_e2e::{
    Lab, Mode, Options, has_kernel_for,
    host::{Host, HostCommand},
    inside,
    product::Portolan,
};

use crate::{agents::Agents, kernel::Drift};

/// Those who answer.
const PODS: [&str; 3] = ["pod-a1", "pod-a2", "pod-b1"];

/// Where clients in pods ask.
const CLUSTER_IP: &str = "http://10.96.0.10/";

type Failure = Box<dyn Error>;

fn main() -> ExitCode {
    let mode = env::args().nth(1).map_or(Some(Mode::Nftables), |name| Mode::of(&name));
    let Some(mode) = mode else {
        eprintln!("demo: the modes are {}", Mode::ALL.map(Mode::name).join(", "));
        return ExitCode::FAILURE;
    };
    if let Err(refused) = inside::enter() {
        eprintln!("demo: {refused}");
        return ExitCode::FAILURE;
    }
    if !has_kernel_for(mode) {
        eprintln!("demo: this kernel has no IPVS; `make demo MODE=ipvs` brings one that has");
        return ExitCode::FAILURE;
    }
    match demo(mode) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn demo(mode: Mode) -> Result<(), Failure> {
    let portolan = Portolan::find()?.in_mode(mode);
    let start = Instant::now();
    let lab = Lab::new(&Options::default())?;
    println!(
        "A cluster of six network namespaces, made in {:.1?}: outside, node-a, node-b, pod-a1, pod-a2, pod-b1.",
        start.elapsed()
    );
    println!("Nothing of it touches this machine's own rules and links.");
    for pod in PODS {
        web::serve(lab.host(pod)?)?;
    }
    let node = lab.host("node-a")?;

    title(&format!("Portolan programs both nodes, in {mode} mode"));
    let agents = Agents::start(&lab, portolan)?;

    title("curl through the cluster IP and the NodePort: who answers, and whom it saw");
    for (from, url) in [
        ("pod-a1", CLUSTER_IP),
        ("pod-b1", "http://[fd00:10:96::10]/"),
        ("node-a", CLUSTER_IP),
        ("outside", "http://192.168.100.11:30080/"),
        ("outside", "http://[fd00:100::12]:30080/"),
        ("pod-a2", "http://10.96.0.99/"),
    ] {
        web::curl(lab.host(from)?, url)?;
    }

    title("What the kernel holds");
    agents.ask(node, "list")?;
    for program in kernel::programs(mode) {
        run(node, program)?;
    }

    title("A pod goes while somebody downloads from it");
    a_pod_goes(&lab, &agents)?;

    for Drift { what, by } in kernel::drifts(mode) {
        title(what);
        run(node, by)?;
        let removed = Instant::now();
        agents.wait_for(node)?;
        println!(
            "\nrepaired when looked at {:.1?} later; Portolan's own log line above says how long it took",
            removed.elapsed()
        );
        web::curl(lab.host("pod-a1")?, CLUSTER_IP)?;
    }

    title("Is the kernel what Portolan thinks?");
    agents.ask(node, &agents.command("diff", node))?;

    drop(agents);
    println!("\nThe whole cluster is gone now. Next: README.md says how to run Portolan on manifests of your own.");
    Ok(())
}

/// Its connections stay until they end, and new ones go elsewhere.
fn a_pod_goes(lab: &Lab, agents: &Agents<'_>) -> Result<(), Failure> {
    let (node, client) = (lab.host("node-a")?, lab.host("pod-a2")?);
    let download = web::Download::start(client, CLUSTER_IP)?;
    println!("\npod-a2$ curl {CLUSTER_IP}{} &", web::SLOW);
    println!("  {}", download.first);
    let pod = PODS.into_iter().find(|pod| download.first.starts_with(pod)).ok_or("nobody's answer")?;
    println!("\n{pod} leaves the EndpointSlices.");
    agents.remove(lab.host(pod)?)?;
    if let Some((program, to_see)) = kernel::going(agents.mode()) {
        run(node, program)?;
        println!("\n{to_see}");
    }
    web::curl(client, CLUSTER_IP)?;
    println!("\nThe download goes on to its end:");
    println!("  {}", download.finish()?);
    Ok(())
}

fn title(text: &str) {
    println!("\n== {text}");
}

/// Runs a command on a host, and shows what it prints.
fn run(host: &Host, command: &str) -> Result<(), Failure> {
    let mut words = command.split(' ');
    let program = words.next().unwrap_or_default();
    show(host, command, host.command(program).args(words))
}

/// Shows a command, and what it prints.
fn show(host: &Host, line: &str, command: HostCommand) -> Result<(), Failure> {
    println!("\n{}$ {line}", host.name());
    for line in command.expect_exit(0)?.lines() {
        println!("  {line}");
    }
    Ok(())
}
