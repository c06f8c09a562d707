//! What cannot be done is said, with what to do, and everything else is done.

use std::{fs, net::SocketAddr, path::Path, process::ExitCode, time::Duration};

use anyhow::{Context as _, Result, ensure};
use portolan_core::{
    addr::{Family, Protocol},
    desired::{PortChange, PortId},
    object::{SyncReport, Syncer},
};
use portolan_e2e::{
    Lab, MODES, Mode, Options,
    cast::named,
    daemon::{Rules as _, lone, test},
    harness::{self, Failure, Test},
    host::Host,
    objects::{NODE_A, service, tcp_targets},
    probe::Outcome,
    product::Portolan,
};
use portolan_nftables::{
    Nftables,
    testing::{policy, port},
};
use serde_json::json;

fn main() -> ExitCode {
    let mut tests = vec![
        test("nftables/a set that is full is replaced by a larger one", a_set_that_is_full_is_replaced_by_a_larger_one),
        test(
            "nftables/a Service that fits into no socket is set aside",
            a_service_that_fits_into_no_socket_is_set_aside,
        ),
        test("nftables/a table that fits into no socket is made anew", a_table_that_fits_into_no_socket_is_made_anew),
    ];
    tests.extend(MODES.into_iter().flat_map(of_mode));
    harness::run(|| Ok::<_, Failure>(tests), || ())
}

fn of_mode(mode: Mode) -> [Test; 3] {
    let of_mode = |name: &str, check: fn(Mode) -> Result<()>| test(&format!("{mode}/{name}"), move || check(mode));
    [
        of_mode("bad input is refused in the smallest unit", bad_input_is_refused_in_the_smallest_unit),
        of_mode("a file that is no YAML is refused alone", a_file_that_is_no_yaml_is_refused_alone),
        of_mode("without CAP_NET_ADMIN it says what to do", without_privileges_it_says_what_to_do),
    ]
}

/// Exit code, stdout and stderr of a command of Portolan for manifests.
fn portolan(mode: Mode, node: &Host, command: &[&str], manifests: &Path) -> Result<(Option<i32>, String, String)> {
    let portolan = Portolan::find()?.in_mode(mode);
    let output = portolan.on(node).args(command).args(portolan.arguments(manifests, node)).output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((output.status.code(), text(&output.stdout), text(&output.stderr)))
}

/// A Service with one good port and one that is not possible.
const HALF_GOOD: &str = "\
apiVersion: v1
kind: Service
metadata: {name: half, namespace: default}
spec:
  clusterIP: 10.96.0.20
  ports:
    - {name: good, port: 80}
    - {name: bad, port: 70000}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: half-1, namespace: default, labels: {kubernetes.io/service-name: half}}
addressType: IPv4
ports: [{name: good, port: 8080}, {name: bad, port: 8081}]
endpoints: [{addresses: [10.244.1.11]}, {addresses: [10.244.1.300]}, {addresses: [10.244.1.12]}]
---
apiVersion: v1
kind: Servce
metadata: {name: misspelt, namespace: default}
---
";

fn named_service(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: default}}\nspec: {{clusterIP: 10.96.0.66, \
         ports: [{{port: 80}}]}}\n---\n"
    )
}

fn bad_input_is_refused_in_the_smallest_unit(mode: Mode) -> Result<()> {
    let (node, folder) = (lone()?, tempfile::tempdir()?);
    let long = "x".repeat(300);
    let bad_names = [r#""quo\"te""#, r#""new\nline""#, long.as_str(), r#""a}; flush ruleset; {""#];
    let bad_ip = "apiVersion: v1\nkind: Service\nmetadata: {name: bad-ip, namespace: default}\nspec: {clusterIP: \
                  10.96.0.999, ports: [{port: 80}]}\n---\n";
    let text = [NODE_A, "---\n", HALF_GOOD, bad_ip].concat()
        + &bad_names.map(named_service).concat()
        + &service("good", "10.96.0.10", &[(named("pod-a1")?, 8080)]);
    fs::write(folder.path().join("all.yaml"), text)?;

    let (exit, _, stderr) = portolan(mode, &node, &["run", "--once"], folder.path())?;
    ensure!(exit == Some(3), "{exit:?}: {stderr}");
    // Object, field, value; each on one line of its own.
    for parts in [
        ["half", "spec.ports[1].port", "70000"],
        ["half-1", "endpoints[1].addresses", "10.244.1.300"],
        ["misspelt", "kind", "Servce"],
        ["bad-ip", "clusterIP", "10.96.0.999"],
        ["Service", "metadata.name", "quo"],
        ["Service", "metadata.name", r"new\nline"],
        ["Service", "metadata.name", "xxxxxxxxxx"],
        ["Service", "metadata.name", "flush ruleset"],
    ] {
        ensure!(stderr.lines().any(|line| parts.iter().all(|part| line.contains(part))), "{parts:?} not in\n{stderr}");
    }

    let frontends = node.frontends(mode)?;
    let held = frontends.iter().map(|held| format!("{} {} {:?}", held.port, held.vip, held.endpoints));
    let wanted = [
        "default/good:http 10.96.0.10:80/tcp [10.244.1.11:8080]",
        "default/half:good 10.96.0.20:80/tcp [10.244.1.11:8080, 10.244.1.12:8080]",
    ];
    ensure!(held.eq(wanted), "{frontends:#?}");

    let list = Portolan::find()?.on(&node).args(["list", "--rejected", "-f"]).arg(folder.path()).expect_exit(0)?;
    for part in ["70000", "10.244.1.300", "Servce", "10.96.0.999", "quo", r"new\nline", "xxxxxxxxxx", "flush ruleset"] {
        ensure!(list.contains(part), "{part:?} not in\n{list}");
    }
    Ok(())
}

fn a_file_that_is_no_yaml_is_refused_alone(mode: Mode) -> Result<()> {
    let (node, folder) = (lone()?, tempfile::tempdir()?);
    fs::write(folder.path().join("good.yaml"), service("good", "10.96.0.10", &[(named("pod-a1")?, 8080)]))?;
    fs::write(folder.path().join("bad.yaml"), "a: [b\n\0\u{1}")?;
    let (exit, _, stderr) = portolan(mode, &node, &["run", "--once"], folder.path())?;
    ensure!(exit == Some(3) && stderr.contains("bad.yaml"), "{exit:?}: {stderr}");
    ensure!(node.listed(mode)?.contains("default/good:http"));
    Ok(())
}

fn without_privileges_it_says_what_to_do(mode: Mode) -> Result<()> {
    let (node, folder) = (lone()?, tempfile::tempdir()?);
    fs::write(folder.path().join("good.yaml"), service("good", "10.96.0.10", &[]))?;
    let portolan = Portolan::find()?.in_mode(mode);
    let program = portolan.on(&node).line();
    let program = program.split_once(": ").map(|(_, path)| path.to_owned()).context("no path")?;
    for command in [&["run"][..], &["run", "--once"], &["diff"], &["list"], &["cleanup"]] {
        let setpriv = ["--bounding-set=-net_admin", "--inh-caps=-net_admin", &program];
        let mut command = node.command("setpriv").args(setpriv).args(command);
        if !command.line().ends_with("list") && !command.line().ends_with("cleanup") {
            command = command.args(portolan.arguments(folder.path(), &node));
        }
        let line = command.line();
        let output = command.output()?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.code() == Some(1), "{line}: {}: {stderr}", output.status);
        let error = stderr.lines().last().unwrap_or_default();
        ensure!(error.contains("ERROR") && error.contains("CAP_NET_ADMIN"), "{line}: {stderr}");
    }
    Ok(())
}

fn a_set_that_is_full_is_replaced_by_a_larger_one() -> Result<()> {
    let lab = Lab::new(&Options::default())?;
    let (node, client) = (lab.host("node-a")?, lab.host("pod-a1")?);
    let endpoints = [(named("pod-a2")?, 8080), (named("pod-b1")?, 8080)];
    let _servers = lab.serve(tcp_targets(&endpoints))?;
    let folder = tempfile::tempdir()?;
    let add = |last: u8| -> Result<()> {
        let name = format!("svc-{last}");
        fs::write(folder.path().join(format!("{name}.yaml")), service(&name, &format!("10.96.0.{last}"), &endpoints))?;
        Ok(())
    };
    add(1)?;
    let (_, rendered, _) = portolan(Mode::Nftables, node, &["render"], folder.path())?;
    let small = |line: &str| if line.contains("\tsize ") { "size 2".to_owned() } else { line.to_owned() };
    node.nft(&rendered.lines().map(small).collect::<Vec<_>>().join("\n"))?;

    // One that is large enough stays as it is.
    let generation = node.generation()?;
    let (exit, _, stderr) = portolan(Mode::Nftables, node, &["run", "--once"], folder.path())?;
    ensure!(exit == Some(0) && node.generation()? == generation, "{exit:?}: {stderr}");

    (2..8).try_for_each(add)?;
    let (exit, _, stderr) = portolan(Mode::Nftables, node, &["run", "--once"], folder.path())?;
    ensure!(exit == Some(0), "{exit:?}: {stderr}");
    for last in 1..8 {
        let to = SocketAddr::from(([10, 96, 0, last], 80));
        let outcome = client.connect(Protocol::Tcp, to, Duration::from_secs(3))?;
        ensure!(matches!(outcome, Outcome::Answered(_)), "{to}: {outcome:?}");
    }
    let (exit, stdout, _) = portolan(Mode::Nftables, node, &["diff"], folder.path())?;
    ensure!(exit == Some(0), "{stdout}");
    // The former ones are gone, and nft loads what it lists.
    let listed = node.tables()?;
    let of_v4 = node.nft("list table ip portolan")?;
    ensure!(of_v4.contains("set services.b {") && !of_v4.contains("set services {"), "{of_v4}");
    node.nft(&format!("flush ruleset\n{listed}"))?;
    let (exit, stdout, _) = portolan(Mode::Nftables, node, &["diff"], folder.path())?;
    ensure!(exit == Some(0), "after nft -f: {stdout}");

    // Whoever is killed between the two transactions leaves both; ours is the one that is read.
    node.nft("add set ip portolan services { type ipv4_addr; }; add set ip portolan cluster-ips { type ipv4_addr; }")?;
    let (exit, _, stderr) = portolan(Mode::Nftables, node, &["run", "--once"], folder.path())?;
    ensure!(exit == Some(0) && node.nft("list table ip portolan")? == of_v4, "{exit:?}: {stderr}");
    Ok(())
}

/// In a user namespace the socket's buffer cannot be forced: what a transaction may have is twice net.core.wmem_max.
fn a_service_that_fits_into_no_socket_is_set_aside() -> Result<()> {
    let (node, folder) = (lone()?, tempfile::tempdir()?);
    let largest: usize = fs::read_to_string("/proc/sys/net/core/wmem_max")?.trim().parse()?;
    // An element is more than 40 bytes; a slice takes 1000 endpoints.
    let slices = 2 * largest / 40 / 1000 + 1;
    let slice = |slice: usize| {
        let address = |n| format!("{}.{}.{}.{}", 11 + slice / 200, slice % 200, n / 250, 1 + n % 250);
        let endpoints: Vec<_> = (0..1000).map(|n| json!({"addresses": [address(n)]})).collect();
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": format!("huge-{slice}"), "namespace": "default",
                "labels": {"kubernetes.io/service-name": "huge"}},
            "ports": [{"name": "http", "port": 1}], "endpoints": endpoints,
        })
    };
    let text = service("good", "10.96.0.10", &[(named("pod-a1")?, 8080)]) + &service("huge", "10.96.0.11", &[]);
    fs::write(folder.path().join("services.yaml"), text)?;
    // JSON, which is read twenty times faster than YAML.
    let list = json!({"apiVersion": "v1", "kind": "List", "items": (0..slices).map(slice).collect::<Vec<_>>()});
    fs::write(folder.path().join("slices.json"), list.to_string())?;
    let portolan = Portolan::find()?;
    let program = portolan.on(&node).line();
    let program = program.split_once(": ").map(|(_, path)| path.to_owned()).context("no path")?;
    let script = r#""$@"; code=$?; nft list map ip portolan endpoints-1; exit $code"#;
    let output = node
        .command("unshare")
        .args(["--user", "--map-root-user", "--net", "sh", "-c", script, "sh", &program, "run", "--once"])
        .args(portolan.arguments(folder.path(), &node))
        .output()?;
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.code() == Some(3), "{}: {stdout}\n{stderr}", output.status);
    ensure!(stderr.lines().any(|line| line.contains("default/huge:http") && line.contains("wmem_max")), "{stderr}");
    ensure!(stdout.contains("10.96.0.10 . tcp . 80 : 10.244.1.11 . 8080"), "{stdout}\n{stderr}");
    Ok(())
}

/// What net.core.wmem_max is as a rule; the kernel doubles it. It holds for whoever is in a user namespace.
const SEND_BUFFER: usize = 208 << 10;

/// Neither growth nor a chain that only a new table puts right is too much for the socket, however many Services there are.
fn a_table_that_fits_into_no_socket_is_made_anew() -> Result<()> {
    let node = lone()?;
    node.enter(|| {
        let start = || -> Result<_> {
            let mut syncer = Syncer::new(Nftables::watching()?.with_send_buffer(SEND_BUFFER)?);
            syncer.set_policy(&policy());
            Ok(syncer)
        };
        let mut syncer = start()?;
        for (count, restarts) in [(10, false), (5000, false), (10_000, true)] {
            if restarts {
                syncer = start()?;
            }
            for desired in (0..count).flat_map(|number| Family::ALL.map(|family| port(number, family, 2))) {
                let id = PortId { name: desired.name.clone().into(), family: desired.family };
                syncer.update(&PortChange { id, desired: Some(desired), loopback: None });
            }
            let report = syncer.sync().with_context(|| format!("growing to {count}"))?;
            ensure!(report.quarantined.is_empty() && report.stuck.is_empty(), "{report:?}");
        }
        node.nft("chain ip portolan nat-output { policy drop; }")?;
        let report = syncer.check().context("after a chain was changed")?;
        ensure!(report.quarantined.is_empty() && report.stuck.is_empty(), "{report:?}");
        syncer.look_again();
        let again = syncer.sync()?;
        ensure!(again == SyncReport::default(), "the kernel holds something else: {again:?}");
        println!("made anew in {} transactions", report.batches);
        Ok(())
    })?
}
