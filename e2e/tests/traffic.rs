//! New connections while rules change: none is lost, none reaches a stranger.

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, SocketAddr},
    process::ExitCode,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use portolan_core::{
    addr::{Family, Protocol},
    desired::{DesiredPort, Endpoint, Frontend, FrontendKind, PortChange, PortId, Vip},
    model::TrafficPolicy,
    name::{ServiceName, ServicePortName},
    object::{Backend as _, Batch, Dialect as _, Op, Syncer},
    testing::Seed,
};
use portolan_e2e::{
    Lab, Options,
    cast::{Member, named},
    daemon::test,
    dataplane::{Dataplane, Iptables, Nft},
    harness::{self, Failure},
    objects::tcp_targets,
    probe::Outcome,
};
use portolan_nftables::{Key, Nftables, Value, testing::policy};

fn main() -> ExitCode {
    let tests = vec![
        test("nftables/a flood while a Service moves between 1, 2, 3, 5 and 6 endpoints", moving::<Nft>),
        test("iptables/a flood while a Service moves between 1, 2, 3, 5 and 6 endpoints", moving::<Iptables>),
        test("nftables/a flood while the table is made anew", rebuilding),
        test("nftables/a flood while sets are replaced by larger ones", growing),
    ];
    harness::run(|| Ok::<_, Failure>(tests), || ())
}

const CLUSTER_IP: [u8; 4] = [10, 96, 0, 1];
const STRANGERS_IP: [u8; 4] = [10, 96, 0, 2];
const MOVES: u32 = 400;

/// So many connections between two moves, so that every move meets some on their way. All of a test are fewer than a
/// client has ports for one destination: a port that comes again could meet the end of its last connection.
const BETWEEN: u32 = 90;

/// How long a lost connection is waited for: below one second, when TCP would send its SYN again and hide the loss.
const LOST: Duration = Duration::from_millis(900);

fn service(name: &str, cluster_ip: [u8; 4], endpoints: &[(&Member, u16)]) -> PortChange {
    let service = ServiceName { namespace: "default".into(), name: name.into() };
    let name = ServicePortName { service, port: "http".into(), protocol: Protocol::Tcp };
    let vip = Vip { addr: IpAddr::from(cluster_ip), protocol: Protocol::Tcp, port: 80 };
    let mut endpoints: Vec<_> = endpoints
        .iter()
        .map(|(member, port)| Endpoint { addr: member.v4.into(), port: *port, local: member.name != "pod-b1" })
        .collect();
    endpoints.sort();
    let desired = DesiredPort {
        name: name.clone(),
        family: Family::V4,
        frontends: vec![Frontend {
            vip,
            kind: FrontendKind::ClusterIp,
            policy: TrafficPolicy::Cluster,
            restricted: false,
        }],
        endpoints,
        local_endpoints: Vec::new(),
        affinity: None,
        scheduling: None,
        sources: Vec::new(),
        health_check_node_port: None,
    };
    PortChange { id: PortId { name: name.into(), family: Family::V4 }, desired: Some(desired), loopback: None }
}

/// Has the servers forget a connection when it is closed. Two clients that are masqueraded share an address but not a
/// clock: should one be given a port that the other has just used, the server's TIME_WAIT takes its timestamp for an old
/// one and drops the SYN (PAWS, RFC 7323), once in 40,000 connections, whatever the rules.
fn no_time_wait(lab: &Lab) -> Result<()> {
    for pod in ["pod-a2", "pod-b1"] {
        lab.host(pod)?.enter(|| fs::write("/proc/sys/net/ipv4/tcp_max_tw_buckets", "0"))??;
    }
    Ok(())
}

/// What the clients met, by server or by what else came.
type Met = BTreeMap<String, u32>;

/// A pod, a host outside and the node itself connect as fast as they can, until `change` ends. It is given the number of
/// connections so far.
fn flood(lab: &Lab, change: impl FnOnce(&AtomicU32) -> Result<()> + Send) -> Result<(Met, Duration)> {
    no_time_wait(lab)?;
    let (count, end) = (AtomicU32::new(0), AtomicBool::new(false));
    let to = SocketAddr::from((CLUSTER_IP, 80));
    let client = |name: &'static str| {
        let (count, end) = (&count, &end);
        move || -> Result<Met> {
            let mut met = Met::new();
            while !end.load(Ordering::Relaxed) {
                for outcome in lab.host(name)?.connections(Protocol::Tcp, to, LOST, 20)? {
                    let what = match outcome {
                        Outcome::Answered(answer) => answer.server,
                        other => format!("{other:?}"),
                    };
                    *met.entry(what).or_default() += 1;
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
            Ok(met)
        }
    };
    let start = Instant::now();
    thread::scope(|scope| {
        let clients = ["pod-a1", "outside", "node-a"].map(|name| scope.spawn(client(name)));
        let node = lab.host("node-a")?;
        let changed = node.enter(|| change(&count));
        end.store(true, Ordering::Relaxed);
        let took = start.elapsed();
        let mut met = Met::new();
        for client in clients {
            for (what, number) in client.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))? {
                *met.entry(what).or_default() += number;
            }
        }
        changed??;
        Ok((met, took))
    })
}

/// Waits until there were so many connections more.
fn more_connections(count: &AtomicU32, more: u32) -> Result<()> {
    let (goal, deadline) = (count.load(Ordering::Relaxed) + more, Instant::now() + Duration::from_secs(20));
    while count.load(Ordering::Relaxed) < goal {
        ensure!(Instant::now() < deadline, "the clients do not come on");
        thread::sleep(Duration::from_micros(200));
    }
    Ok(())
}

fn six() -> Result<[(&'static Member, u16); 6]> {
    let (a2, b1) = (named("pod-a2")?, named("pod-b1")?);
    Ok([(a2, 8080), (b1, 8080), (a2, 8081), (b1, 8081), (a2, 8082), (b1, 8082)])
}

fn strangers() -> Result<[(&'static Member, u16); 2]> {
    Ok([(named("pod-a2")?, 9000), (named("pod-b1")?, 9000)])
}

/// Both Services on node-a.
fn started<D: Dataplane>(lab: &Lab, six: &[(&Member, u16)], strangers: &[(&Member, u16)]) -> Result<Syncer<D::Kernel>> {
    lab.host("node-a")?.enter(|| -> Result<_> {
        let mut syncer = Syncer::new(D::kernel()?);
        syncer.set_policy(&policy());
        syncer.update(&service("strangers", STRANGERS_IP, strangers));
        syncer.update(&service("web", CLUSTER_IP, six));
        syncer.sync()?;
        Ok(syncer)
    })?
}

fn moving<D: Dataplane>() -> Result<()> {
    let lab = Lab::new(&Options::default())?;
    let (six, strangers) = (six()?, strangers()?);
    let _servers = lab.serve(tcp_targets(&six).chain(tcp_targets(&strangers)))?;
    let mut syncer = started::<D>(&lab, &six, &strangers)?;
    let (met, took) = flood(&lab, |count| {
        let mut seed = Seed::new(9);
        for _ in 0..MOVES {
            let size = seed.pick(&[1, 2, 3, 5, 6]).copied().unwrap_or(1);
            let first = seed.below(six.len());
            let chosen: Vec<_> = six.iter().cycle().skip(first).take(size).copied().collect();
            syncer.update(&service("web", CLUSTER_IP, &chosen));
            syncer.sync()?;
            more_connections(count, BETWEEN)?;
        }
        Ok(())
    })?;
    let connections: u32 = met.values().sum();
    println!("{MOVES} moves in {took:.1?}, {connections} connections: {met:?}");
    // One in fifteen moves chooses the endpoints that are there already.
    ensure!(syncer.stats().batches > u64::from(MOVES) * 7 / 8, "too few moves: {:?}", syncer.stats());
    let known = |what: &str| tcp_targets(&six).any(|target| target.to_string() == what);
    ensure!(met.keys().all(|what| known(what)), "lost connections, or strangers, among {connections}: {met:?}");
    ensure!(met.len() == six.len() && connections >= MOVES * BETWEEN);
    Ok(())
}

/// What a rebuild costs: nothing is promised but that connections that are refused or lost are few, and that no stranger
/// is met.
fn rebuilding() -> Result<()> {
    const REBUILDS: u32 = 100;
    let lab = Lab::new(&Options::default())?;
    let (six, strangers) = (six()?, strangers()?);
    let _servers = lab.serve(tcp_targets(&six).chain(tcp_targets(&strangers)))?;
    let (met, took) = flood(&lab, |count| {
        let mut syncer = Syncer::new(Nftables::watching()?);
        syncer.set_policy(&policy());
        syncer.update(&service("strangers", STRANGERS_IP, &strangers));
        syncer.update(&service("web", CLUSTER_IP, &six));
        syncer.sync()?;
        let table = Key::Table(Family::V4);
        let of_table = |key: &Key| key.family() == Family::V4;
        let wanted = syncer.tracker().all_wanted().filter(|(key, _)| of_table(key));
        let mut adds: Vec<Op<Nft>> = wanted.map(|(key, value)| Op::Add(key.clone(), value.clone())).collect();
        adds.sort_by_key(|op| Nft::rank(op.key()));
        let batch = Batch { ops: std::iter::once(Op::Rebuild(table)).chain(adds).collect() };
        for _ in 0..REBUILDS {
            syncer.backend_mut().apply(&batch).context("a rebuild")?;
            more_connections(count, BETWEEN)?;
        }
        Ok(())
    })?;
    let connections: u32 = met.values().sum();
    let known = |what: &str| tcp_targets(&six).any(|target| target.to_string() == what);
    let others: Met = met.into_iter().filter(|(what, _)| !known(what)).collect();
    println!("{REBUILDS} rebuilds in {took:.1?}, {connections} connections, of which met no endpoint: {others:?}");
    ensure!(!tcp_targets(&strangers).any(|target| others.contains_key(&target.to_string())), "strangers: {others:?}");
    Ok(())
}

/// Every set is replaced again and again, with the rules that read it, as one that is full is.
fn growing() -> Result<()> {
    const ROUNDS: u32 = 40;
    let lab = Lab::new(&Options::default())?;
    let (six, strangers) = (six()?, strangers()?);
    let _servers = lab.serve(tcp_targets(&six).chain(tcp_targets(&strangers)))?;
    let mut syncer = started::<Nft>(&lab, &six, &strangers)?;
    let mut replaced = 0;
    let (met, took) = flood(&lab, |count| {
        for round in 0..ROUNDS {
            // In a `pick` chain, and in a map of its own.
            let size = if round.is_multiple_of(2) { 6 } else { 3 };
            let chosen: Vec<_> = six.iter().take(size).copied().collect();
            syncer.update(&service("web", CLUSTER_IP, &chosen));
            syncer.sync()?;
            let batches = replacements(&syncer);
            for batch in &batches {
                syncer.backend_mut().apply(batch).context("a replacement")?;
                replaced += 1;
                more_connections(count, BETWEEN / 10)?;
            }
            let report = syncer.resync()?;
            ensure!(report.operations == 0, "something is not as it was: {report:?}");
        }
        // Chains that nobody needs any more go when the kernel is read.
        syncer.look_again();
        let report = syncer.resync()?;
        ensure!(report.drift.is_empty(), "the kernel holds something else: {report:?}");
        Ok(())
    })?;
    let connections: u32 = met.values().sum();
    println!("{replaced} sets replaced in {took:.1?}, {connections} connections: {met:?}");
    let known = |what: &str| tcp_targets(&six).any(|target| target.to_string() == what);
    let lost: Met = met.into_iter().filter(|(what, _)| !known(what)).collect();
    ensure!(lost.is_empty(), "lost connections, or strangers, among {connections}: {lost:?}");
    Ok(())
}

/// For each set of one family: itself, what it holds, and the rules that read it.
fn replacements(syncer: &Syncer<Nftables>) -> Vec<Batch<Nft>> {
    let add = |(key, value): (&Key, &Value)| Op::Add(key.clone(), value.clone());
    let all = || syncer.tracker().all_wanted().filter(|(key, _)| key.family() == Family::V4);
    // One that is empty, or that packets fill, is never full of ours.
    let holds = |set: &Key| syncer.tracker().wanted_members(set) > 0;
    let sets = all().filter(|(key, value)| matches!(value, Value::Set { size: Some(_), .. }) && holds(key));
    sets.map(|(set, value)| {
        let members = all().filter(|(key, _)| Nft::parent(key).as_ref() == Some(set)).map(add);
        let reads = |key: &Key, value: &Value| {
            let mut reads = false;
            Nft::references(key, value, &mut |named| reads |= named == *set);
            reads
        };
        // Chains that nobody needs any more read it too, while they are there.
        let readers =
            syncer.tracker().present_rules().filter(|(key, value)| key.family() == Family::V4 && reads(key, value));
        let readers = readers.map(|(key, value)| Op::Replace(key.clone(), value.clone(), Box::new(value.clone())));
        let ops = [Op::Rebuild(set.clone()), add((set, value))].into_iter().chain(members).chain(readers).collect();
        Batch { ops }
    })
    .collect()
}
