//! What the kernel counts of each frontend, by real connections: `portolan list --counters` names the Service, and has each
//! connection once, in every mode and with each kind of iptables. In ipvs mode `portolan list` has the virtual servers, and what
//! drains.

#![allow(clippy::indexing_slicing, reason = "test code as a whole: what is missing fails it")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::{IpAddr, SocketAddr},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use portolan::counters::kernel_figures;
use portolan_core::addr::Protocol::{self, Tcp, Udp};
use portolan_e2e::{
    Lab, Mode, Options,
    cast::{Target, named},
    daemon::test,
    harness::{self, Failure},
    has_kernel_for,
    host::Host,
    objects::{NODE_A, service, tcp_targets},
    probe::{Outcome, still_echoes},
    product::Portolan,
    server::Listener,
};
use serde_json::Value;

fn main() -> ExitCode {
    let mut tests = vec![
        test("nftables/each connection is counted once and named", || counted(Mode::Nftables, None)),
        test("iptables-nft/each connection is counted once and named", || counted(Mode::Iptables, Some("nft"))),
        test("iptables-legacy/each connection is counted once and named", || counted(Mode::Iptables, Some("legacy"))),
    ];
    if has_kernel_for(Mode::Ipvs) {
        tests.push(test("ipvs/each connection is counted once and named", || counted(Mode::Ipvs, None)));
        tests.push(test("ipvs/draining is listed", draining_is_listed));
    }
    harness::run(|| Ok::<_, Failure>(tests), || ())
}

/// Below one second, when TCP would send its SYN again and be counted twice.
const SILENCE: Duration = Duration::from_millis(900);

/// A Service with datagrams.
const DNS: &str = "\
apiVersion: v1
kind: Service
metadata: {name: dns, namespace: kube-system}
spec:
  clusterIP: 10.96.0.5
  ports: [{protocol: UDP, port: 53}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: dns, namespace: kube-system, labels: {kubernetes.io/service-name: dns}}
addressType: IPv4
ports: [{protocol: UDP, port: 8053}]
endpoints: [{addresses: [10.244.1.12]}]
";

fn manifests() -> Result<String> {
    let (here, there) = ([(named("pod-a2")?, 8080)], [(named("pod-b1")?, 8080)]);
    let load_balancer = |name: &str, cluster_ip: &str, endpoints: &[_], vip: &str, more: &str| {
        let spec =
            format!("status: {{loadBalancer: {{ingress: [{{ip: {vip}}}]}}}}\nspec:\n  type: LoadBalancer\n  {more}\n");
        service(name, cluster_ip, endpoints).replacen("spec:\n", &spec, 1)
    };
    let web = service("web", "10.96.0.1", &here).replacen("spec:\n", "spec:\n  type: NodePort\n", 1).replacen(
        "port: 80}",
        "port: 80, nodePort: 30080}",
        1,
    );
    let all = [
        NODE_A.to_owned(),
        web,
        service("none", "10.96.0.2", &[]),
        load_balancer("local", "10.96.0.3", &there, "203.0.113.1", "externalTrafficPolicy: Local"),
        load_balancer("ranges", "10.96.0.4", &here, "203.0.113.2", "loadBalancerSourceRanges: [198.51.100.0/24]"),
        DNS.to_owned(),
        service("six", "fd00:10:96::1", &here),
    ];
    Ok(all.join("---\n"))
}

/// So many connections of a host, all of which end alike.
fn connect(lab: &Lab, host: &str, protocol: Protocol, to: &str, count: u32, end: fn(&Outcome) -> bool) -> Result<()> {
    let to: SocketAddr = to.parse()?;
    for outcome in lab.host(host)?.connections(protocol, to, SILENCE, count)? {
        ensure!(end(&outcome), "{host} to {to}: {outcome:?}");
    }
    Ok(())
}

/// By address and port: the Service, its connections, and those that were refused for want of an endpoint, for want of a local one,
/// and by source ranges.
fn listed(portolan: &Portolan, node: &Host) -> Result<BTreeMap<String, (String, [u64; 4])>> {
    let text = portolan.on(node).args(["list", "--counters", "--output", "json"]).expect_exit(0)?;
    let Value::Array(rows) = serde_json::from_str(&text)? else { anyhow::bail!("no array: {text}") };
    rows.iter()
        .map(|row| {
            let field = |name: &str| row.get(name).with_context(|| format!("no {name} in {row}"));
            let frontend = format!("{} {}", field("address")?.as_str().unwrap_or("*"), field("port")?);
            let mut counts = [0; 4];
            for (count, name) in
                counts.iter_mut().zip(["connections", "noEndpoints", "noLocalEndpoints", "sourceRanges"])
            {
                *count = field(name)?.as_u64().context("no number")?;
            }
            Ok((frontend, (field("service")?.as_str().unwrap_or_default().to_owned(), counts)))
        })
        .collect()
}

fn counted(mode: Mode, variant: Option<&str>) -> Result<()> {
    let lab = Lab::new(&Options::default())?;
    let tcp = tcp_targets(&[(named("pod-a2")?, 8080), (named("pod-b1")?, 8080)]).collect::<Vec<_>>();
    let udp = Target { host: "pod-a2", port: 8053, protocol: Udp };
    let _servers = lab.serve(tcp.into_iter().chain([udp]))?;
    let node = lab.host("node-a")?;
    if let Some(variant) = variant {
        // As kubelet marks it.
        node.command(format!("iptables-{variant}"))
            .args(["-t", "mangle", "-N", "KUBE-IPTABLES-HINT"])
            .expect_exit(0)?;
    }
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("all.yaml"), manifests()?)?;
    let portolan = Portolan::find()?.in_mode(mode);
    // In iptables mode the kernel counts unasked, and NodePorts are at all addresses.
    let options = ["--count-connections", "--nodeport-addresses=0.0.0.0/0,::/0"];
    let program = || portolan.once(folder.path(), node).args(options);
    program().expect_exit(0)?;

    let answered = |outcome: &Outcome| matches!(outcome, Outcome::Answered(_));
    let refused = |outcome: &Outcome| matches!(outcome, Outcome::Refused);
    let silent = |outcome: &Outcome| matches!(outcome, Outcome::Silent);
    connect(&lab, "pod-a1", Tcp, "10.96.0.1:80", 3, answered)?;
    connect(&lab, "node-a", Tcp, "10.96.0.1:80", 1, answered)?;
    connect(&lab, "outside", Tcp, "192.168.100.11:30080", 2, answered)?;
    connect(&lab, "node-a", Tcp, "192.168.100.11:30080", 1, answered)?;
    connect(&lab, "pod-a1", Tcp, "10.96.0.2:80", 2, refused)?;
    connect(&lab, "outside", Tcp, "203.0.113.1:80", 2, silent)?;
    connect(&lab, "pod-a1", Tcp, "203.0.113.1:80", 1, answered)?;
    connect(&lab, "pod-a1", Tcp, "10.96.0.4:80", 1, answered)?;
    connect(&lab, "outside", Tcp, "203.0.113.2:80", 2, silent)?;
    connect(&lab, "pod-a1", Udp, "10.96.0.5:53", 3, answered)?;
    connect(&lab, "pod-a1", Tcp, "[fd00:10:96::1]:80", 2, answered)?;

    let expected = [
        ("10.96.0.1 80", "default/web:http", [4, 0, 0, 0]),
        ("* 30080", "default/web:http", [3, 0, 0, 0]),
        ("10.96.0.2 80", "default/none:http", [0, 2, 0, 0]),
        ("10.96.0.3 80", "default/local:http", [0, 0, 0, 0]),
        // The pod goes to an endpoint of another node, as clients outside may not.
        ("203.0.113.1 80", "default/local:http", [3, 0, 2, 0]),
        ("10.96.0.4 80", "default/ranges:http", [1, 0, 0, 0]),
        ("203.0.113.2 80", "default/ranges:http", [2, 0, 0, 2]),
        ("10.96.0.5 53", "kube-system/dns", [3, 0, 0, 0]),
        ("fd00:10:96::1 80", "default/six:http", [2, 0, 0, 0]),
    ];
    let expected = expected.map(|(frontend, service, counts)| (frontend.to_owned(), (service.to_owned(), counts)));
    let expected = BTreeMap::from(expected);
    let counts = listed(&portolan, node)?;
    ensure!(counts == expected, "{counts:#?}");
    // What is as it is wanted is not written again, so nothing begins anew.
    program().expect_exit(0)?;
    let counts = listed(&portolan, node)?;
    ensure!(counts == expected, "after a restart: {counts:#?}");
    variant.map_or(Ok(()), |variant| invalid_packets_are_counted(&lab, node, variant))
}

/// An address of no Service, to which packets go by the node and from which they do not: conntrack calls them invalid from the
/// second one on.
fn invalid_packets_are_counted(lab: &Lab, node: &Host, variant: &str) -> Result<()> {
    let dropped = || node.enter(|| kernel_figures(Mode::Iptables)()).map(|figures| figures[0].samples[0].1);
    let outside = lab.host("outside")?;
    let mut before = dropped()?;
    ensure!(before == 0, "{before} packets were dropped");
    let addresses: BTreeSet<IpAddr> = ["203.0.113.99".parse()?, "2001:db8:113::99".parse()?].into();
    lab.stand_in(&addresses)?;
    for address in addresses {
        let to = SocketAddr::new(address, 8080);
        let _server = lab.listen([Listener { host: "outside", protocol: Tcp, at: to }])?;
        let outcome = outside.connect(Tcp, to, SILENCE)?;
        ensure!(outcome.is_silence(), "{to}: {outcome:?}");
        let now = dropped()?;
        ensure!(now > before, "{to}: {now} packets were dropped, {before} before");
        before = now;
    }
    // As the programs list them.
    let mut listed = 0;
    for program in ["iptables", "ip6tables"] {
        let rules = node.command(format!("{program}-{variant}")).args(["-nvxL", "KUBE-FORWARD"]).expect_exit(0)?;
        let rule =
            rules.lines().find(|line| line.contains("DROP") && line.contains("INVALID")).context("no such rule")?;
        listed += rule.split_whitespace().next().context("no count")?.parse::<u64>()?;
    }
    ensure!(listed >= before, "{before} of {listed} packets");
    Ok(())
}

/// A destination as it is listed: its weight, whether it drains, and its active connections.
type Destination = (String, u64, bool, u64);

/// A connection goes on to an endpoint that its Service has no more, and then without a Service.
fn draining_is_listed() -> Result<()> {
    let lab = Lab::new(&Options::default())?;
    let (here, there) = ((named("pod-a2")?, 8080), (named("pod-b1")?, 8080));
    let _server = lab.listen([Listener { host: "pod-a2", protocol: Tcp, at: "10.244.1.12:8080".parse()? }])?;
    let (node, portolan) = (lab.host("node-a")?, Portolan::find()?.in_mode(Mode::Ipvs));
    let folder = tempfile::tempdir()?;
    let program = |services: &str| -> Result<()> {
        fs::write(folder.path().join("all.yaml"), format!("{NODE_A}---\n{services}"))?;
        portolan.once(folder.path(), node).expect_exit(0)?;
        Ok(())
    };
    // What is listed of the frontend: its Service, and each destination with its weight and active connections.
    let listed = || -> Result<(String, Vec<Destination>)> {
        let text = portolan.on(node).args(["list", "--output", "json"]).expect_exit(0)?;
        let rows: Vec<Value> = serde_json::from_str(&text)?;
        let [row] = &*rows else { anyhow::bail!("no single frontend: {text}") };
        ensure!(row["virtualServer"]["scheduler"] == "rr", "{row:#}");
        let destination = |destination: &Value| {
            ensure!(destination["forwarding"] == "Masq", "{destination:#}");
            let endpoint = destination["endpoint"].as_str().context("no endpoint")?.to_owned();
            let number = |name: &str| destination[name].as_u64().with_context(|| format!("no {name}"));
            let draining = destination["draining"].as_bool().context("unknown")?;
            Ok((endpoint, number("weight")?, draining, number("activeConnections")?))
        };
        let destinations = row["virtualServer"]["destinations"].as_array().context("no destinations")?;
        let service = row["service"].as_str().context("no service")?.to_owned();
        Ok((service, destinations.iter().map(destination).collect::<Result<_>>()?))
    };
    let is = |service: &str, destinations: &[(&str, u64, bool, u64)]| -> Result<()> {
        let told = destinations
            .iter()
            .map(|(endpoint, weight, draining, active)| ((*endpoint).to_owned(), *weight, *draining, *active));
        let (expected, found) = ((service.to_owned(), told.collect::<Vec<_>>()), listed()?);
        ensure!(found == expected, "{found:?} instead of {expected:?}");
        Ok(())
    };
    program(&service("web", "10.96.0.1", &[here]))?;
    is("default/web:http", &[("10.244.1.12:8080", 1, false, 0)])?;
    let stream = lab.host("pod-a1")?.open("10.96.0.1:80".parse()?, SILENCE)??;
    still_echoes(&stream)?;
    is("default/web:http", &[("10.244.1.12:8080", 1, false, 1)])?;
    program(&service("web", "10.96.0.1", &[there]))?;
    is("default/web:http", &[("10.244.1.12:8080", 0, true, 1), ("10.244.2.11:8080", 1, false, 0)])?;
    program("")?;
    is("", &[("10.244.1.12:8080", 0, true, 1), ("10.244.2.11:8080", 0, true, 0)])?;
    let table = portolan.on(node).arg("list").expect_exit(0)?;
    let row = ["10.96.0.1:80", "tcp", "rr", "10.244.1.12:8080", "(draining)", "Masq", "0", "1", "0"];
    ensure!(table.lines().any(|line| line.split_whitespace().take(row.len()).eq(row)), "{table}");
    still_echoes(&stream)?;
    Ok(())
}
