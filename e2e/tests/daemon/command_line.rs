//! In kube-proxy's place: its name, its flags, its files, and the rights that its container has.

use std::{fs, net::SocketAddr};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use portolan_e2e::{
    daemon::{Daemon, Rules as _},
    http::Request,
};
use portolan_scripted::{Authority, Server, Verb};
use serde_json::{Value, json};

use crate::world::{METRICS, SERVICES, World, ensure_quiet, text, webs};

/// What kubeadm 1.36 writes into its ConfigMap: no mode.
pub(crate) const KUBEADM_1_36: &str = include_str!("../../../testdata/config/kube-proxy/kubeadm-1.36.yaml");

/// What kubeadm writes from 1.37 on: `mode: iptables`.
pub(crate) const KUBEADM_1_37: &str = include_str!("../../../testdata/config/kube-proxy/kubeadm-1.37.yaml");

/// Where that looks for the kubeconfig.
pub(crate) const KUBECONFIG: &str = "/var/lib/kube-proxy/kubeconfig.conf";

const WEB_0: (&str, usize) = ("10.96.1.0:80", 2);

/// kubeadm's two files, with the CA and the token beside them, as a pod has them.
fn as_kubeadm(configuration: &str) -> Result<(World, String)> {
    let authority = Authority::new()?;
    let identity = authority.server()?;
    let world = World::with(|| Server::start_tls(&authority, &identity))?;
    world.server.allow_token("sesame");
    let (services, slices) = webs(&[0]);
    world.lists(&services, &slices);
    let (ca, token, kubeconfig) = (world.path("ca.crt"), world.path("token"), world.path("kubeconfig.conf"));
    fs::write(&ca, authority.pem())?;
    fs::write(&token, "sesame")?;
    let server = world.server.url();
    let lines = format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- cluster:\n    certificate-authority: {}\n    server: {server}\n  name: \
         default\ncontexts:\n- context:\n    cluster: default\n    namespace: default\n    user: default\n  name: default\n\
         current-context: default\nusers:\n- name: default\n  user:\n    tokenFile: {}\n",
        text(&ca),
        text(&token)
    );
    fs::write(&kubeconfig, lines)?;
    let config = world.path("config.conf");
    fs::write(&config, configuration.replace(KUBECONFIG, text(&kubeconfig)))?;
    let config = format!("--config={}", text(&config));
    Ok((world, config))
}

/// Starts with kubeadm's files, serves in iptables mode, and ends.
fn kubeadms_files_work(configuration: &str, told: impl FnOnce(&World, &Daemon) -> Result<()>) -> Result<()> {
    let (world, config) = as_kubeadm(configuration)?;
    let daemon = Daemon::spawn(world.kube_proxy(&[&config, "--hostname-override=node-a"])?)?;
    world.until_code("/readyz", 200, &daemon)?;
    world.until_code("/healthz", 200, &daemon)?;
    world.until_frontends(&[WEB_0], &daemon)?;
    ensure!(world.get(METRICS, "/proxyMode")?.body == "iptables");
    told(&world, &daemon)?;
    let asked = world.server.requests_for(SERVICES, Verb::List);
    ensure!(asked.iter().all(|request| request.token.as_deref() == Some("sesame")));
    ensure!(daemon.end(Signal::SIGTERM)?.code() == Some(0));
    Ok(())
}

pub(crate) fn kubeadms_files_and_command_line_work_without_a_word() -> Result<()> {
    kubeadms_files_work(KUBEADM_1_36, |world, daemon| {
        // What a blank mode means is no warning.
        daemon.logs(0, "INFO no mode is given: iptables")?;
        ensure!(world.event("default", "ModeDefaulted", daemon)?["type"] == "Normal");
        ensure_quiet(daemon)
    })
}

pub(crate) fn kubeadms_files_of_1_37_do_so_too() -> Result<()> {
    kubeadms_files_work(KUBEADM_1_37, |_, daemon| ensure_quiet(daemon))
}

pub(crate) fn after_init_only_cap_net_admin_is_enough() -> Result<()> {
    let (world, config) = as_kubeadm(KUBEADM_1_36)?;
    let node = "--hostname-override=node-a";
    ensure!(world.established()? != "86400", "the kernel's value is that of kube-proxy already");
    world.kube_proxy(&[&config, node, "--init-only"])?.expect_exit(0)?;
    ensure!(world.established()? == "86400", "24h is kube-proxy's default");
    ensure!(world.server.requests().is_empty(), "the API server was asked");

    // uid 0 with one capability, as `drop: [ALL], add: [NET_ADMIN]` has it.
    let bounds = ["--bounding-set=-all,+net_admin", "--inh-caps=-all,+net_admin", "--ambient-caps=-all"];
    let program = world.path("kube-proxy");
    let run = world.node.command("setpriv").args(bounds).args([text(&program), config.as_str(), node]);
    let daemon = Daemon::spawn(run)?;
    world.until_code("/readyz", 200, &daemon)?;
    world.until_frontends(&[WEB_0], &daemon)?;
    ensure_quiet(&daemon)
}

pub(crate) fn flags_are_read_as_go_reads_them() -> Result<()> {
    let world = World::new()?;
    let daemon = world.run_until_ready(&[
        "--hostname_override",
        "NODE-A",
        "--proxy-mode=nftables",
        "--masquerade_all=T",
        "--bind-address-hard-fail=false",
        "--iptables-sync-period=1h",
        "--iptables_sync_period",
        "1m30s",
        "--v=2",
        "-v",
        "1",
        "--nodeport-addresses=10.0.0.0/8,192.168.0.0/16",
        "--nodeport-addresses=fd00::/8",
    ])?;
    world.until_code("/healthz", 200, &daemon)?;
    let configuration = world.configz()?;
    for (pointer, value) in [
        ("/nftables/masqueradeAll", json!(true)),
        ("/nftables/syncPeriod", json!("1m30s")),
        ("/logging/verbosity", json!(1)),
        ("/nodePortAddresses", json!(["10.0.0.0/8", "192.168.0.0/16", "fd00::/8"])),
    ] {
        ensure!(configuration.pointer(pointer) == Some(&value), "{pointer} of {configuration:#}");
    }
    Ok(())
}

pub(crate) fn mistakes_are_told_all_at_once_and_end_it() -> Result<()> {
    let world = World::new()?;
    let failed = |arguments: &[&str]| -> Result<Vec<String>> {
        let output = world.kube_proxy(arguments)?.output()?;
        let stderr = String::from_utf8(output.stderr)?;
        ensure!(output.status.code() == Some(1) && output.stdout.is_empty(), "{}: {stderr}", output.status);
        Ok(stderr.lines().map(str::to_owned).collect())
    };
    let told = failed(&["--nope", "--cluster-cird=10.0.0.0/8", "extra"])?;
    let parts = ["`--nope`", "did you mean `--cluster-cidr`", "`extra`"];
    ensure!(told.len() == 3 && told.iter().zip(parts).all(|(line, part)| line.contains(part)), "{told:#?}");

    let wrong =
        ["--proxy-mode=nft", "--conntrack-min=-1", "--iptables-sync-period=30", "--bind-address=here", "--verison"];
    let told = failed(&wrong)?;
    let flags = ["proxy-mode", "conntrack-min", "iptables-sync-period", "bind-address", "verison"];
    ensure!(flags.iter().all(|flag| told.iter().any(|line| line.contains(flag))), "{told:#?}");

    let config = world.path("config.conf");
    fs::write(&config, KUBEADM_1_36.replace("min: null", "min: -1").replace("mode: \"\"", "mode: nft"))?;
    let config = format!("--config={}", text(&config));
    let told = failed(&[&config])?;
    ensure!(
        ["`conntrack.min`", "`mode`"].iter().all(|field| told.iter().any(|line| line.contains(field))),
        "{told:#?}"
    );
    let checked = ["check-config", &config, "--machine-id-file=/x"];
    let checked = world.portolan.on(&world.node).args(checked).output()?;
    ensure!(checked.status.code() == Some(1));
    ensure!(String::from_utf8(checked.stdout)?.starts_with("warning: `--machine-id-file`"));
    ensure!(String::from_utf8(checked.stderr)?.lines().eq(&told), "check-config says something else");
    ensure!(world.server.requests().is_empty() && world.node.listing()?.is_empty(), "something was started");
    Ok(())
}

pub(crate) fn what_ends_at_once_touches_nothing() -> Result<()> {
    let (world, config) = as_kubeadm(KUBEADM_1_36)?;
    let version = world.kube_proxy(&["--version"])?.expect_exit(0)?;
    ensure!(version.starts_with("portolan ") && version.lines().count() == 1, "{version}");
    world.portolan.on(&world.node).args(["check-config", &config]).expect_exit(0)?;

    let written = world.path("written.yaml");
    let write_to = format!("--write-config-to={}", text(&written));
    world.kube_proxy(&[&config, &write_to])?.expect_exit(0)?;
    // It is a configuration itself, which comes to the same.
    let (first, again) = (fs::read_to_string(&written)?, format!("--config={}", text(&written)));
    ensure!(first.contains("mode: iptables") && first.contains("syncPeriod: 30s"), "{first}");
    world.kube_proxy(&[&again, &write_to])?.expect_exit(0)?;
    ensure!(fs::read_to_string(&written)? == first);
    ensure!(world.server.requests().is_empty() && world.node.listing()?.is_empty(), "something was started");
    Ok(())
}

pub(crate) fn the_verbosity_may_be_changed_while_it_runs() -> Result<()> {
    let world = World::new()?;
    let daemon = world.run_until_ready(&["--profiling"])?;
    // Each watch that breaks is told from 4 on.
    let mut watches = 1;
    let mut broken = || {
        ensure!(world.server.wait_for(SERVICES, Verb::Watch, watches));
        watches += 1;
        world.cut(SERVICES)?;
        ensure!(world.server.wait_for(SERVICES, Verb::Watch, watches));
        Ok(())
    };
    broken()?;
    ensure!(!daemon.log().iter().any(|line| line.contains("DEBUG")), "{:#?}", daemon.log());
    let request = Request { method: "PUT", target: "/debug/flags/v", headers: &[], body: "4" };
    let answer = world.node.enter(|| request.send(SocketAddr::from(([127, 0, 0, 1], METRICS))))??;
    ensure!(answer.status == "200 OK", "{answer:?}");
    broken()?;
    daemon.logs(0, "DEBUG")?;
    Ok(())
}

pub(crate) fn with_json_each_line_is_one_object() -> Result<()> {
    let world = World::new()?;
    let (services, slices) = webs(&[0]);
    world.lists(&services, &slices);
    let daemon = world.run_until_ready(&["--logging-format=json", "-v=10"])?;
    daemon.logs(0, "\"programmed\"")?;
    let lines = daemon.log();
    for line in &lines {
        let object: Value = serde_json::from_str(line).with_context(|| line.clone())?;
        let there = object["ts"].is_number() && object["v"].is_number() && object["msg"].is_string();
        ensure!(there, "{line}");
    }
    ensure!(lines.iter().any(|line| line.contains("\"v\":6")), "-v=10 logs no more than -v=0");
    Ok(())
}
