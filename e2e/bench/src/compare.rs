//! Portolan beside kube-proxy: one machine, one cluster, the real control plane, one proxy after the other.
//!
//! ```text
//!   control: etcd, kube-apiserver <--- as many clients as write the cluster
//!      |
//!   node-a: Portolan, then kube-proxy, then both in another mode ...; the kernel's rules are flushed in between
//!   node-b: the same with iptables-legacy
//!   node-c: with both, for ipvs mode
//! ```
//!
//! All proxies read the same configuration, but for what their row of the table says. A change is measured from the answer
//! to the PUT to a new TCP connection that reaches the new endpoint. The programs that a proxy runs, nft and
//! iptables-restore, are in its CPU time, but not in its memory. What the kernel takes for the rules is a figure of its own.

mod cluster;
mod rival;

use std::{
    ops::Range,
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use portolan_e2e::{
    Lab, Options,
    cluster::{CAST, CONTROL_PLANE, NODES},
    controlplane::{Api, Binary, ControlPlane},
};

use self::rival::Rival;
use crate::{
    clock::percentile,
    dataplane,
    kernel_memory::Group,
    process::Process,
    report::{count, print_load, print_machine, print_table, short},
    site,
};

const SIZES: [u32; 2] = [1000, 10_000];

/// Changes that are measured of each proxy, each of another Service; fewer where they take longer than [`TIME`], or where there are
/// not so many Services.
const ROUNDS: u32 = 100;

/// What all changes of one proxy may take together.
const TIME: Duration = Duration::from_secs(30);

/// What the first sync may take, and a change. Who needs longer has no figure.
const PATIENCE: Duration = Duration::from_secs(120);

/// In which a proxy ends what it has begun: the other family, memory that is given back.
const SETTLING: Duration = Duration::from_secs(5);

/// What one proxy took.
struct Figures {
    first_sync: Duration,
    changes: Vec<Duration>,
    cpu_a_change: Duration,
    /// In MiB.
    memory: f64,
    /// What the kernel takes for its rules, in MiB, where that is known.
    kernel_memory: Option<f64>,
}

/// What is compared: all of it, unless arguments say how many Services there are and what a proxy's name must contain.
pub(crate) fn run(binary: &Binary, arguments: &[String]) -> Result<()> {
    let sizes = match arguments.first() {
        Some(size) => vec![size.parse()?],
        None => SIZES.to_vec(),
    };
    let name = arguments.get(1).map_or("", String::as_str);
    print_machine();
    let lab = Lab::new(&Options { cast: &CAST, ..Options::default() })?;
    let mut plane = ControlPlane::start_on(binary, lab.host(CONTROL_PLANE)?)?;
    for node in NODES {
        let node = lab.host(node)?;
        plane.api.apply(&cluster::node(node.member()))?;
        node.enter(site::make)??;
    }
    let kubeconfig = plane.credentials().kubeconfig();
    let mut lines = Vec::new();
    // Service 0 has not moved but lives from the beginning.
    let (mut services, mut moved) = (0, 1);
    for size in sizes {
        eprintln!("creating Services {services} to {size}");
        cluster::grow(&plane, services..size)?;
        services = size;
        let rivals: Vec<_> = rival::all().filter(|rival| rival.to_string().contains(name)).collect();
        let rounds = ROUNDS.min(size.saturating_sub(1) / u32::try_from(rivals.len())?.max(1));
        let mut portolan = None;
        for rival in &rivals {
            eprintln!("measuring: {rival}, {} Services", count(size));
            let node = lab.host(rival.node())?;
            let folder = tempfile::tempdir()?;
            let log = folder.path().join("log");
            let group = if rival.is_charged() { Some(Group::new()?) } else { None };
            let mut command = rival.command(binary, &kubeconfig, folder.path())?;
            if let Some(group) = &group {
                command = group.wrap(&command);
            }
            node.enter(|| rival.prepare())??;
            let begin = Instant::now();
            let mut proxy = node.enter(|| Process::start(&mut command, &log))??;
            let measured = node.enter(|| measure(&mut proxy, begin, &mut plane.api, moved..moved + rounds))?;
            moved += rounds;
            proxy.must_live()?;
            drop(proxy);
            let kernel_memory = node.enter(|| match &group {
                Some(group) => group.of_rules().map(Some),
                None => dataplane::flush().map(|()| None),
            })??;
            let figures = match measured {
                Ok(figures) => Some(Figures { kernel_memory, ..figures }),
                // That one of them takes too long is a result, too.
                Err(error) if rival.is_kube_proxy() && error.is::<site::TooLate>() => {
                    eprintln!("{rival}: {error}");
                    None
                }
                Err(error) => return Err(error.context(rival.to_string())),
            };
            if !rival.is_kube_proxy() {
                portolan = None;
            }
            lines.push(cells(rival, size, figures.as_ref(), portolan.as_ref()));
            portolan = portolan.or(figures);
        }
    }
    print_load("after");
    println!();
    let heads = [
        "Services x 2",
        "proxy",
        "first sync (CPU)",
        "event -> packet, p50",
        "p99",
        "changes",
        "CPU a change",
        "RSS",
        "kernel",
    ];
    print_table(heads, &lines);
    Ok(())
}

/// In the network namespace of the node.
fn measure(proxy: &mut Process, begin: Instant, api: &mut Api, to_be_moved: Range<u32>) -> Result<Figures> {
    site::landed(cluster::front(0)?, begin, PATIENCE)?;
    thread::sleep(SETTLING);
    let (first_sync, memory) = (proxy.cpu()?, proxy.memory("VmRSS")?);
    let begin = Instant::now();
    let mut changes = Vec::new();
    for i in to_be_moved {
        let (path, slice) = cluster::moved(i);
        api.put(&path, &slice)?;
        changes.push(site::landed(cluster::front(i)?, Instant::now(), PATIENCE)?);
        if begin.elapsed() > TIME {
            break;
        }
    }
    // The programs of the last change have ended, too: who runs is counted when it has.
    thread::sleep(SETTLING);
    let cpu = proxy.cpu()?.saturating_sub(first_sync);
    Ok(Figures { first_sync, cpu_a_change: cpu / u32::try_from(changes.len())?, changes, memory, kernel_memory: None })
}

/// A line of the table, with ratios to Portolan's figures.
fn cells(rival: &Rival, size: u32, figures: Option<&Figures>, portolan: Option<&Figures>) -> [String; 9] {
    let Some(figures) = figures else {
        let late = format!("> {} s", PATIENCE.as_secs());
        let name = rival.to_string();
        return [&count(size), &name, &late, &late, &late, "0", "", "", ""].map(str::to_owned);
    };
    let ratio = |of: &dyn Fn(&Figures) -> f64| {
        portolan.map(|portolan| format!(" ({:.1} x)", of(figures) / of(portolan))).unwrap_or_default()
    };
    let time = |of: &dyn Fn(&Figures) -> Duration| short(of(figures)) + &ratio(&|figures| of(figures).as_secs_f64());
    let change = |percent| time(&move |figures| percentile(figures.changes.clone(), percent));
    [
        count(size),
        rival.to_string(),
        time(&|figures| figures.first_sync),
        change(50),
        change(99),
        figures.changes.len().to_string(),
        time(&|figures| figures.cpu_a_change),
        format!("{:.0} MiB", figures.memory) + &ratio(&|figures| figures.memory),
        figures.kernel_memory.map_or_else(String::new, |memory| {
            format!("{memory:.1} MiB") + &ratio(&|figures| figures.kernel_memory.unwrap_or_default())
        }),
    ]
}
