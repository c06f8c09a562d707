//! A service proxy in kube-proxy's place, in a cluster of three nodes with a real API server: Services work from every
//! place, and connections go on whatever ends, comes back or is replaced.
//!
//! ```text
//!   node-a, node-c   iptables mode, as kubeadm has it
//!   node-b           nftables mode, by a ConfigMap of its own
//! ```
//!
//! So every test sees both modes at work, each where packets of pods, of the node and of others come in.
//!
//! Portolan is the proxy; with `PORTOLAN_CLUSTER_PROXY=kube-proxy` the real one is, in the same tests.
//! `PORTOLAN_CLUSTER_OUTAGE=60` has the API server be down for so many seconds instead of five.

use std::{
    collections::BTreeSet,
    env,
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::Signal;
use portolan_e2e::{
    cast::OUTSIDE,
    cluster::{App, Client, Cluster, Figures, Front, Kubelet, PROXY_USER, Setting, under_traffic},
    controlplane::{AuditEvent, Binary, User},
    daemon::test,
    harness::{self, Failure, Test},
    http::Request,
    product::Portolan,
};

/// What each client does in a second, at least.
const RATE: f64 = 200.0;

/// Where kube-proxy tells how it is, and what it does.
const HEALTH: u16 = 10256;
const METRICS: u16 = 10249;

/// As kubeadm 1.37 writes them.
const AS_KUBEADM: &[Setting] = &[("mode", "iptables"), ("maxPerCore", "null")];

/// As kubeadm wrote them up to 1.36.
const AS_KUBEADM_1_36: &[Setting] = &[("mode", "\"\""), ("maxPerCore", "null")];

/// For the real kube-proxy, which ends when it cannot write nf_conntrack_max, as nobody can in a network namespace.
const NO_CONNTRACK: &[Setting] = &[("mode", "iptables"), ("maxPerCore", "0")];

/// The node that is not in iptables mode.
const APART: (&str, &[Setting]) = ("node-b", &[("mode", "nftables")]);

fn main() -> ExitCode {
    harness::run(tests, || ())
}

fn tests() -> Result<Vec<Test>, Failure> {
    let binary = Binary::unless_missing("no service proxy was tried in a real cluster")
        .map_err(|missing| missing.to_string())?;
    let Some(binary) = binary else { return Ok(Vec::new()) };
    let proxy = Proxy::chosen(&binary).map_err(|error| format!("{error:#}"))?;
    let outage = match env::var("PORTOLAN_CLUSTER_OUTAGE") {
        Ok(seconds) => seconds.parse().map_err(|error| format!("PORTOLAN_CLUSTER_OUTAGE={seconds}: {error}"))?,
        Err(_) => 5,
    };
    let outage = Duration::from_secs(outage);
    let world = Arc::new(World { binary, proxy, outage, cluster: Mutex::new(None) });
    let cases: [(&str, Case); 10] = [
        ("Services of every type work from every place, through their whole life", services),
        ("a Service that another proxy is to serve is not served", left_to_others),
        ("lists may be streamed", lists_streamed),
        ("every HTTP endpoint answers on every node", http),
        ("proxies are killed and started again under traffic", proxies_killed),
        ("the API server is down under traffic, and proxies are killed meanwhile", api_server_down),
        ("etcd is killed and started again under traffic", etcd_killed),
        ("tokens and the certificate authority are replaced, and nothing is forbidden", credentials_replaced),
        ("the image is swapped for kube-proxy's and back under traffic", swapped),
        ("kubeadm upgrades what it wrote for kube-proxy under traffic", upgraded),
    ];
    let tests = cases.into_iter().map(|(name, case)| {
        let world = Arc::clone(&world);
        test(name, move || world.with(case))
    });
    Ok(tests.collect())
}

/// A test.
type Case = fn(&World, &mut Cluster) -> Result<()>;

/// One cluster for all tests, one after the other.
struct World {
    binary: Binary,
    proxy: Proxy,
    outage: Duration,
    cluster: Mutex<Option<Cluster>>,
}

/// What is tried.
struct Proxy {
    program: PathBuf,
    /// Other than in kubeadm's ConfigMap.
    settings: &'static [Setting],
    is_portolan: bool,
}

impl Proxy {
    fn chosen(binary: &Binary) -> Result<Self> {
        match env::var("PORTOLAN_CLUSTER_PROXY").as_deref() {
            Ok("kube-proxy") => {
                Ok(Self { program: binary.path().to_owned(), settings: NO_CONNTRACK, is_portolan: false })
            }
            Ok("portolan") | Err(_) => {
                Ok(Self { program: Portolan::find()?.path().to_owned(), settings: &[], is_portolan: true })
            }
            Ok(other) => bail!("PORTOLAN_CLUSTER_PROXY={other}: portolan or kube-proxy"),
        }
    }
}

impl World {
    fn with(&self, case: Case) -> Result<()> {
        let mut held = self.cluster.lock().unwrap_or_else(PoisonError::into_inner);
        // One that fails is not used again.
        let mut cluster = match held.take() {
            Some(cluster) => cluster,
            None => {
                let begin = Instant::now();
                let cluster = Cluster::start(&self.binary, &self.proxy.program, self.proxy.settings, APART)?;
                println!("the cluster was there after {:.1?}", begin.elapsed());
                cluster
            }
        };
        let restarts = cluster.restarts();
        let begin = Instant::now();
        case(self, &mut cluster)?;
        println!("  in {:.1?}", begin.elapsed());
        let restarts = cluster.restarts() - restarts;
        ensure!(!self.proxy.is_portolan || restarts == 0, "a proxy ended by itself, {restarts} times");
        nothing_forbidden(&cluster)?;
        *held = Some(cluster);
        Ok(())
    }
}

fn services(_: &World, cluster: &mut Cluster) -> Result<()> {
    let mut app = App::new(cluster, "web", 1)?;
    for (what, pods) in [
        ("created", &["pod-a1", "pod-b1", "pod-c1"][..]),
        ("scaled up", &["pod-a1", "pod-a2", "pod-b1", "pod-b2", "pod-c1", "pod-c2"]),
        ("scaled down", &["pod-c2"]),
        ("rolled", &["pod-a1", "pod-b2"]),
    ] {
        let begin = Instant::now();
        app.run_in(cluster, pods).with_context(|| what.to_owned())?;
        println!("{what}: seen from every place after {:.1?}", begin.elapsed());
    }
    Ok(app.delete(cluster)?)
}

/// The label takes the Service out of what is listed and watched, by the selector of the request.
fn left_to_others(_: &World, cluster: &mut Cluster) -> Result<()> {
    let mut app = App::new(cluster, "web", 1)?;
    app.run_in(cluster, &["pod-a1", "pod-b1"])?;
    app.leave_to(cluster, Some("another"))?;
    app.leave_to(cluster, None)?;
    Ok(app.delete(cluster)?)
}

/// By the real API server, as the beginning of a watch (KEP-3157).
fn lists_streamed(world: &World, cluster: &mut Cluster) -> Result<()> {
    if !world.proxy.is_portolan {
        println!("  not tried: the flag is Portolan's");
        return Ok(());
    }
    cluster.end_proxies(Signal::SIGTERM)?;
    let before = cluster.plane.audit()?.len();
    cluster.run_with(&["--streaming-lists"])?;
    let mut app = App::new(cluster, "web", 1)?;
    app.run_in(cluster, &["pod-a1", "pod-c1"])?;
    app.delete(cluster)?;
    let events = cluster.plane.audit()?;
    let of_proxies = events.iter().skip(before).filter(|event| event.user.username == PROXY_USER);
    let asked: Vec<_> = of_proxies.filter(|event| ["list", "watch"].contains(&&*event.verb)).collect();
    for kind in ["/services?", "/endpointslices?"] {
        let of_kind: Vec<_> = asked.iter().filter(|event| event.request_uri.contains(kind)).collect();
        let streamed =
            |event: &&&&AuditEvent| event.request_uri.contains("sendInitialEvents=true") && event.code() == 200;
        // Each node has a token of its own.
        let count = of_kind.iter().filter(streamed).map(|event| event.user.token()).collect::<BTreeSet<_>>().len();
        ensure!(count == cluster.kubelets().len(), "{count} nodes had {kind} streamed: {of_kind:#?}");
        ensure!(of_kind.iter().all(|event| event.verb == "watch"), "{kind} was listed in pages: {of_kind:#?}");
        println!("  {kind}: streamed to {count} nodes");
    }
    Ok(cluster.run_with(&[])?)
}

/// As `curl` asks, at the addresses of kubeadm's configuration.
fn http(world: &World, cluster: &mut Cluster) -> Result<()> {
    let of_health: &[&str] =
        if world.proxy.is_portolan { &["/healthz", "/livez", "/readyz"] } else { &["/healthz", "/livez"] };
    let of_metrics = ["/healthz", "/proxyMode", "/metrics", "/configz", "/statusz", "/flagz"];
    let targets = of_health.iter().map(|target| (HEALTH, *target)).chain(of_metrics.map(|target| (METRICS, target)));
    for (port, target) in targets {
        let (request, server) =
            (Request { method: "GET", target, headers: &[], body: "" }, ([127, 0, 0, 1], port).into());
        // A proxy that was just started listens soon, and is ready soon.
        cluster.until(target, |cluster| {
            for node in cluster.kubelets().iter().map(Kubelet::node) {
                match node.enter(|| request.send(server))? {
                    Ok(answer) if answer.status == "200 OK" => {}
                    missed => return Ok(Err(format!("{}: {missed:?}", node.name()))),
                }
            }
            Ok(Ok(()))
        })?;
        for node in cluster.kubelets().iter().map(Kubelet::node) {
            let answer = node.enter(|| request.send(server))??;
            let first = answer.body.lines().find(|line| !line.is_empty()).unwrap_or_default();
            let shown: String = first.chars().take(60).collect();
            if target == "/proxyMode" {
                let mode = if node.name() == APART.0 { "nftables" } else { "iptables" };
                ensure!(answer.body == mode, "{} is in mode {}", node.name(), answer.body);
            }
            println!("  {} {server}{target}: {}, {} bytes: {shown}", node.name(), answer.status, answer.body.len());
        }
    }
    Ok(())
}

fn proxies_killed(_: &World, cluster: &mut Cluster) -> Result<()> {
    during("kill -9 and restart of all proxies", cluster, |cluster, moving| {
        for pods in [["pod-a2", "pod-b2"], ["pod-b2", "pod-c2"], ["pod-a2", "pod-c2"]] {
            cluster.end_proxies(Signal::SIGKILL)?;
            cluster.start_proxies()?;
            moving.run_in(cluster, &pods)?;
        }
        Ok(())
    })
}

fn api_server_down(world: &World, cluster: &mut Cluster) -> Result<()> {
    during(&format!("the API server down for {:?}", world.outage), cluster, |cluster, moving| {
        cluster.plane.kill_api_server();
        cluster.go_on_for(world.outage / 2)?;
        cluster.end_proxies(Signal::SIGKILL)?;
        cluster.start_proxies()?;
        cluster.go_on_for(world.outage / 2)?;
        cluster.plane.start_api_server()?;
        moved(cluster, moving, "pod-b2")
    })
}

fn etcd_killed(_: &World, cluster: &mut Cluster) -> Result<()> {
    during("etcd killed and restarted", cluster, |cluster, moving| {
        cluster.plane.kill_etcd();
        cluster.plane.start_etcd()?;
        cluster.plane.wait_until_ready()?;
        moved(cluster, moving, "pod-b2")
    })
}

fn credentials_replaced(world: &World, cluster: &mut Cluster) -> Result<()> {
    let mut app = App::new(cluster, "web", 1)?;
    moved(cluster, &mut app, "pod-a1")?;

    let old = cluster.plane.credentials().authority()?;
    let users = cluster.renew_tokens(&old)?;
    cluster.plane.kill_api_server();
    cluster.plane.start_api_server()?;
    come_with(cluster, &users, "new tokens")?;
    moved(cluster, &mut app, "pod-b1")?;

    let credentials = cluster.plane.new_credentials()?;
    let new = credentials.authority()?;
    let users = cluster.renew_tokens(&format!("{old}{new}"))?;
    if !world.proxy.is_portolan {
        // client-go looks at the file every five minutes (transport/ca_rotation.go).
        cluster.end_proxies(Signal::SIGTERM)?;
        cluster.start_proxies()?;
    }
    cluster.plane.use_credentials(credentials)?;
    come_with(cluster, &users, "both authorities")?;
    moved(cluster, &mut app, "pod-c1")?;

    let users = cluster.renew_tokens(&new)?;
    cluster.plane.kill_api_server();
    cluster.plane.start_api_server()?;
    come_with(cluster, &users, "the new authority alone")?;
    moved(cluster, &mut app, "pod-a1")?;
    Ok(app.delete(cluster)?)
}

/// The Service gets another endpoint, and every node knows.
fn moved(cluster: &mut Cluster, app: &mut App, to: &'static str) -> Result<()> {
    let begin = Instant::now();
    app.run_in(cluster, &[to])?;
    println!("  a change ({to}) is on all nodes after {:.1?}", begin.elapsed());
    Ok(())
}

/// Waits until the proxies of all nodes have been served with their new tokens.
fn come_with(cluster: &mut Cluster, users: &[User], what: &str) -> Result<()> {
    let begin = Instant::now();
    cluster.until(what, |cluster| {
        let events = cluster.plane.audit()?;
        let served: BTreeSet<_> =
            events.iter().filter(|event| event.code() == 200).filter_map(|event| event.user.token()).collect();
        let missing = users.iter().filter(|user| user.token().is_none_or(|token| !served.contains(token))).count();
        Ok(if missing == 0 { Ok(()) } else { Err(format!("{missing} nodes have not come")) })
    })?;
    println!("{what}: used by all nodes after {:.1?}", begin.elapsed());
    Ok(())
}

/// What the audit log says of the proxies so far.
fn nothing_forbidden(cluster: &Cluster) -> Result<()> {
    let events = cluster.plane.audit()?;
    let of_proxies: Vec<_> = events.iter().filter(|event| event.user.username == PROXY_USER).collect();
    let (early, forbidden): (Vec<&AuditEvent>, Vec<_>) =
        of_proxies.iter().copied().filter(|event| event.code() == 403).partition(|event| event.starting);
    ensure!(!of_proxies.is_empty(), "the audit log has no request of a proxy");
    ensure!(forbidden.is_empty(), "forbidden: {forbidden:#?}");
    let early = early.len();
    println!(
        "  audit: {} requests of the proxies so far, none forbidden but {early} before the API server knew its roles",
        of_proxies.len()
    );
    Ok(())
}

fn swapped(world: &World, cluster: &mut Cluster) -> Result<()> {
    cluster.set(NO_CONNTRACK)?;
    during("swapped for kube-proxy and back", cluster, |cluster, moving| {
        cluster.swap(world.binary.path())?;
        moved(cluster, moving, "pod-b2")?;
        cluster.swap(&world.proxy.program)?;
        moved(cluster, moving, "pod-c2")
    })?;
    let settings: Vec<_> = AS_KUBEADM.iter().chain(world.proxy.settings).copied().collect();
    Ok(cluster.set(&settings)?)
}

/// From 1.36 to 1.37. The proxies see another ConfigMap first, and are started anew with it.
fn upgraded(world: &World, cluster: &mut Cluster) -> Result<()> {
    if !world.proxy.is_portolan {
        println!("  not tried: kube-proxy does not start with what kubeadm writes, here");
        return Ok(());
    }
    cluster.set(AS_KUBEADM_1_36)?;
    during("kubeadm upgrades", cluster, |cluster, moving| {
        moved(cluster, moving, "pod-b2")?;
        cluster.upgrade_proxies()?;
        // Of the node that has its own, no byte is another.
        cluster.until("the ConfigMap to be read, and found to say the same", |cluster| {
            let mut written = cluster.kubelets().iter().filter(|kubelet| kubelet.node().name() != APART.0);
            let missing = written.find(|kubelet| !kubelet.log().contains("nothing in it is different"));
            Ok(missing.map_or(Ok(()), |kubelet| Err(kubelet.node().name().to_owned())))
        })?;
        moved(cluster, moving, "pod-c2")?;
        cluster.swap(&world.proxy.program)?;
        moved(cluster, moving, "pod-a2")
    })?;
    let told = cluster.kubelets().iter().filter(|kubelet| kubelet.log().contains("WARN `mode`")).count();
    ensure!(told == 0, "{told} nodes warn of a mode that means what the blank one meant");
    Ok(())
}

/// Lets connections go on to a Service that nobody touches while something happens, which changes another one. Not one
/// may fail.
fn during(what: &str, cluster: &mut Cluster, work: impl FnOnce(&mut Cluster, &mut App) -> Result<()>) -> Result<()> {
    let mut steady = App::new(cluster, "steady", 2)?;
    steady.run_in(cluster, &["pod-a1", "pod-b1", "pod-c1"])?;
    let mut moving = App::new(cluster, "moving", 3)?;
    moving.run_in(cluster, &["pod-a2"])?;
    let to = |fronts: &[Front]| fronts.iter().flat_map(|front| steady.front(*front)).copied().collect();
    let clients = [
        Client { host: "pod-a3", to: to(&[Front::ClusterIp, Front::NodePort]) },
        Client { host: "pod-b3", to: to(&[Front::ClusterIp, Front::NodePort]) },
        Client { host: "node-a", to: to(&[Front::ClusterIp, Front::ExternalIp]) },
        Client { host: "node-b", to: to(&[Front::ClusterIp, Front::ExternalIp]) },
        Client { host: OUTSIDE, to: to(&[Front::NodePort, Front::LoadBalancer]) },
    ];
    let figures = under_traffic(cluster, &clients, |cluster| work(cluster, &mut moving))?;
    println!("{what}:");
    figures.iter().for_each(|figures| println!("  {figures}"));
    moving.delete(cluster)?;
    steady.delete(cluster)?;
    let slow: Vec<_> = figures.iter().filter(|figures| figures.rate() < RATE).map(Figures::to_string).collect();
    ensure!(slow.is_empty(), "less than {RATE} connections a second: {slow:?}");
    ensure!(figures.iter().all(|figures| figures.failures.is_empty()), "connections failed");
    Ok(())
}
