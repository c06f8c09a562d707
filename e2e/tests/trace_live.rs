//! `portolan trace` on nodes: every scenario's flows against what real kernels hold, with the nodes' real addresses, say
//! what the rendered rules say; and what only a kernel knows, such as which clients are remembered.

use std::{collections::BTreeMap, fs, path::Path, process::ExitCode, time::Duration};

use anyhow::{Context as _, Result, ensure};
use portolan::output::{Traced, trace_json};
use portolan_core::{addr::Protocol, trace::Origin};
use portolan_e2e::{
    Lab, MODES, Mode, Options,
    cast::named,
    daemon::{Rules as _, lone, test},
    harness::{self, Failure, Test},
    host::Host,
    objects::{NODE_A, service, tcp_targets},
    probe::Outcome,
    product::Portolan,
    scenario::Scenario,
    stage::Stage,
    traced::{Hop, Rules},
};
use serde_json::Value;

fn main() -> ExitCode {
    harness::run(tests, || ())
}

fn tests() -> Result<Vec<Test>, Failure> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/scenarios");
    let scenarios = Scenario::load_all(&folder).map_err(|error| error.chain())?;
    let of_mode = |mode| {
        let of = move |scenario: &Scenario| {
            let scenario = scenario.clone();
            test(&format!("{mode}/{}", scenario.name), move || check(&scenario, mode))
        };
        scenarios.iter().map(of)
    };
    let mut tests: Vec<_> = MODES.into_iter().flat_map(of_mode).collect();
    // Of whom iptables remembers, the kernel tells in ticks that no program can compare with now (/proc/net/xt_recent).
    tests.push(test("nftables/a client is remembered", a_client_is_remembered));
    tests.push(test("nftables/what others did is named", what_others_did_is_named));
    Ok(tests)
}

/// The first step of a scenario.
fn check(scenario: &Scenario, mode: Mode) -> Result<()> {
    let portolan = Portolan::find()?.in_mode(mode);
    let mut stage = Stage::new(scenario)?;
    stage.enter(0)?;
    stage.lab().nodes().try_for_each(|node| portolan.run_once(scenario, node))?;
    let mut rules = Rules::new(scenario, portolan.mode());
    rules.enter(0).map_err(anyhow::Error::msg)?;
    for flow in scenario.steps.iter().take(1).flat_map(|step| &step.flows) {
        for (hop, trace) in rules.follow(flow) {
            let wanted = as_json(&Traced {
                packet: hop.packet,
                assumed: None,
                trace,
                other_tables: Vec::new(),
                frontends: Vec::new(),
                servers: BTreeMap::new(),
            })?;
            let found = by_portolan(&portolan, stage.lab().host(hop.node.name)?, &hop)?;
            ensure!(found == wanted, "{flow} on {}: {found:#} is not {wanted:#}", hop.node.name);
        }
    }
    Ok(())
}

fn as_json(traced: &Traced) -> Result<Value> {
    let mut out = Vec::new();
    trace_json(&mut out, traced)?;
    Ok(serde_json::from_slice(&out)?)
}

/// What the program says, and that its exit code says the same.
fn by_portolan(portolan: &Portolan, node: &Host, hop: &Hop) -> Result<Value> {
    let origin = match hop.packet.origin {
        Origin::Pod => "--pod",
        Origin::Node => "--node-local",
        Origin::Outside => "--outside",
    };
    ask(portolan, node, &hop.packet.source.to_string(), &hop.packet.to_string(), &[origin])
}

fn ask(portolan: &Portolan, node: &Host, from: &str, to: &str, more: &[&str]) -> Result<Value> {
    let command = portolan.on(node).args(["trace", "-o", "json", "--from", from, "--to", to]).args(more);
    let line = command.line();
    let output = command.output()?;
    let said: Value = serde_json::from_slice(&output.stdout).with_context(|| format!("{line}: {output:?}"))?;
    let refused = at(&said, "/outcomes").to_string();
    let refused = [r#""verdict":"rejected""#, r#""verdict":"dropped""#].iter().any(|verdict| refused.contains(verdict));
    ensure!(output.status.code() == Some(if refused { 2 } else { 0 }), "{line}: {output:?}");
    Ok(said)
}

fn at<'json>(json: &'json Value, pointer: &str) -> &'json Value {
    json.pointer(pointer).unwrap_or(&Value::Null)
}

const WEB: &str = "10.96.0.10:80";
const ENDPOINTS: [(&str, u16); 2] = [("pod-a2", 8080), ("pod-b1", 8080)];

/// Programs one Service with session affinity.
fn program(portolan: &Portolan, node: &Host) -> Result<()> {
    let endpoints = ENDPOINTS.map(|(name, port)| named(name).map(|member| (member, port)));
    let endpoints = endpoints.into_iter().collect::<Result<Vec<_>, _>>()?;
    let web = service("web", "10.96.0.10", &endpoints).replace("spec:", "spec:\n  sessionAffinity: ClientIP");
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("all.yaml"), format!("{NODE_A}---\n{web}"))?;
    portolan.once(folder.path(), node).expect_exit(0)?;
    Ok(())
}

fn a_client_is_remembered() -> Result<()> {
    let (portolan, lab) = (Portolan::find()?.in_mode(Mode::Nftables), Lab::new(&Options::default())?);
    let node = lab.host("node-a")?;
    program(&portolan, node)?;
    let endpoints = ENDPOINTS.map(|(name, port)| named(name).map(|member| (member, port)));
    let _servers = lab.serve(tcp_targets(&endpoints.into_iter().collect::<Result<Vec<_>, _>>()?))?;
    let ask = |client: &str| -> Result<Value> {
        ask(&portolan, node, &named(client)?.v4.to_string(), &format!("{WEB}/tcp"), &[])
    };
    for client in ["pod-a1", "outside"] {
        let before = ask(client)?;
        let outcomes = at(&before, "/outcomes").as_array().context("outcomes")?;
        ensure!(outcomes.len() == 2 && outcomes.iter().all(|outcome| at(outcome, "/chance") == "1/2"), "{before:#}");
        ensure!(outcomes.iter().all(|outcome| at(outcome, "/sessionAffinity/left").is_null()), "{before:#}");
        let answered = lab.host(client)?.connect(Protocol::Tcp, WEB.parse()?, Duration::from_secs(3))?;
        let Outcome::Answered(answer) = answered else { anyhow::bail!("{answered:?}") };
        let after = ask(client)?;
        let [outcome] = at(&after, "/outcomes").as_array().context("outcomes")?.as_slice() else {
            anyhow::bail!("{after:#}")
        };
        let (name, port) = answer.server.split_once(':').context("a server has a port")?;
        ensure!(*at(outcome, "/endpoint") == format!("{}:{port}", named(name)?.v4), "{answer:?}, but {after:#}");
        let left = at(outcome, "/sessionAffinity/left").as_u64().context("how long it is remembered")?;
        ensure!((10_000..=10_800).contains(&left), "{after:#}");
    }
    let origin = |client: &str| Ok::<_, anyhow::Error>(at(&ask(client)?, "/origin").to_string());
    let origins = [origin("pod-a1")?, origin("node-a")?, origin("outside")?];
    ensure!(origins == [r#""pod""#, r#""node""#, r#""outside""#], "{origins:?}");
    Ok(())
}

fn what_others_did_is_named() -> Result<()> {
    let (portolan, node) = (Portolan::find()?, lone()?);
    let doubts = || -> Result<String> {
        let said = ask(&portolan, &node, "10.244.1.11", &format!("{WEB}/tcp"), &[])?;
        Ok(at(&said, "/doubts").to_string())
    };
    program(&portolan, &node)?;
    ensure!(doubts()? == "[]");
    node.nft("add table inet fw; add chain inet fw c { type filter hook forward priority 0; }; add table ip empty")?;
    let said = ask(&portolan, &node, "10.244.1.11", &format!("{WEB}/tcp"), &[])?;
    ensure!(*at(&said, "/otherTables") == serde_json::json!(["inet fw"]), "{said:#}");
    for (edit, named) in [
        ("insert rule ip portolan services counter", "rule 1 of chain services is not one that Portolan writes"),
        ("add chain ip portolan mine { type filter hook forward priority 0; policy drop; }", "chain mine in table ip"),
        ("table ip portolan { flags dormant; }", "table ip portolan is not as Portolan makes it"),
        ("delete table ip portolan", "the kernel holds nothing of Portolan's for IPv4"),
    ] {
        node.nft(edit)?;
        let doubts = doubts()?;
        ensure!(doubts.contains(named), "{edit}: {doubts}");
    }
    Ok(())
}
