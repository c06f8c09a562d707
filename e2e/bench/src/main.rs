//! Speed and memory of Portolan, as one table, beside its targets and beside the floor: what raw netlink takes for the
//! least that could be done.
//!
//! ```text
//!   portolan-bench --in namespaces of its own--> portolan-bench cold 10000   each in a process and a network
//!                                                portolan-bench usual 1000   namespace of its own, one after the other
//!                                                ...
//! ```
//!
//! Never two at once: a process that listens to nf_tables makes commits dearer in every network namespace of the machine
//! (the kernel keeps one list of listeners for all of them: net/netlink/af_netlink.c, `netlink_has_listeners`). Where
//! the floor is the same watched and not watched, somebody else on the machine listens.
//!
//! `portolan-bench compare` is another program: Portolan beside the real kube-proxy ([`compare`]). `portolan-bench compare 1000
//! iptables-legacy` measures those rows alone.
//!
//! Nothing is asserted about times. Times are CPU time of the one thread that does the work, kernel and user, or of all
//! threads of an agent that runs, unless they say p50 and p99: those are wall time.

mod agent;
mod api_server;
mod change;
mod churn;
mod clock;
mod cluster;
mod cold;
mod compare;
mod connections;
mod daemon;
mod dataplane;
mod floor;
mod following;
mod kernel_memory;
mod many;
mod process;
mod report;
mod site;

use std::{
    env,
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail, ensure};
use nix::sched::{CloneFlags, unshare};
use portolan_e2e::{controlplane::Binary, inside};
use portolan_iptables::Variant;

use crate::report::{Report, Row, print_load, print_machine, print_rows};

/// How often a cold start is measured.
const COLD_STARTS: usize = 3;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    if let [comparison, arguments @ ..] = arguments.as_slice()
        && comparison == "compare"
    {
        let binary = Binary::build()?;
        inside::enter()?;
        return compare::run(&binary, arguments);
    }
    if arguments.is_empty() {
        inside::enter()?;
        return measure_all();
    }
    // Whoever calls, nothing happens in the caller's namespace.
    unshare(CloneFlags::CLONE_NEWNET)?;
    let size = || arguments.get(1).context("how many Services?").and_then(|text| Ok(text.parse()?));
    let report = match arguments.first().map(String::as_str) {
        Some("cold") => cold::measure(size()?, arguments.get(2).map_or("", String::as_str))?,
        Some("usual") => change::measure_usual(size()?)?,
        Some("node-ports") => change::measure_node_ports(size()?)?,
        Some("large") => change::measure_large(size()?)?,
        Some("many") => many::measure(size()?, arguments.get(2).map_or("", String::as_str))?,
        Some("connections") => connections::measure()?,
        Some("agent") => agent::measure()?,
        Some("kernel-memory") => agent::measure_kernel_memory(size()?, arguments.get(2).map_or("", String::as_str))?,
        Some("api-server") => following::measure(size()?)?,
        Some("api-server-change") => following::measure_change(size()?)?,
        Some("iptables-nft") => following::measure_iptables(size()?, Variant::Nft)?,
        Some("iptables-legacy") => following::measure_iptables(size()?, Variant::Legacy)?,
        Some("churn") => churn::measure(size()?)?,
        _ => bail!("no measurement of this name; without arguments all are made"),
    };
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

/// Measures all of it, and prints it as docs/performance.md has it.
fn measure_all() -> anyhow::Result<()> {
    print_machine();
    let mut cold = Vec::new();
    for (size, target) in [("10000", "<= 0.2 s"), ("100000", "<= 2 s")] {
        let mut runs = (0..COLD_STARTS).map(|_| run(&["cold", size, target])).collect::<anyhow::Result<Vec<_>>>()?;
        runs.sort_by_key(|run| run.cost);
        cold.extend(runs.into_iter().nth(COLD_STARTS / 2).map(|run| run.rows).unwrap_or_default());
    }
    let sections = [
        ("Cold start of the engine", cold),
        (
            "A change",
            rows(&[
                &["usual", "1000"],
                &["usual", "10000"],
                &["usual", "100000"],
                &["node-ports", "1000"],
                &["node-ports", "10000"],
                &["large", "1000"],
                &["large", "10000"],
            ])?,
        ),
        ("One endpoint of a large Service", rows(&[&["many", "1000", "<= 1 ms"], &["many", "10000", "<= 5 ms"]])?),
        ("A new connection", rows(&[&["connections"]])?),
        (
            "Kernel memory",
            rows(&[
                &["kernel-memory", "0", "<= 1 MiB"],
                &["kernel-memory", "1000", "<= 3 MiB"],
                &["kernel-memory", "10000", "<= 8 MiB"],
            ])?,
        ),
        (
            "The daemon in nftables mode",
            rows(&[&["agent"], &["api-server-change", "1000"], &["api-server", "30000"], &["churn", "10000"]])?,
        ),
        (
            "The daemon in iptables mode",
            rows(&[
                &["iptables-nft", "1000"],
                &["iptables-nft", "10000"],
                &["iptables-legacy", "1000"],
                &["iptables-legacy", "10000"],
            ])?,
        ),
    ];
    print_load("after");
    for (title, rows) in sections {
        println!("\n## {title}\n");
        print_rows(rows);
    }
    Ok(())
}

fn rows(measurements: &[&[&str]]) -> anyhow::Result<Vec<Row>> {
    let runs = measurements.iter().map(|arguments| run(arguments)).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(runs.into_iter().flat_map(|run| run.rows).collect())
}

fn run(arguments: &[&str]) -> anyhow::Result<Report> {
    eprintln!("measuring: {}", arguments.join(" "));
    let mut command = Command::new(env::current_exe()?);
    let output = command.args(arguments).stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "{}: {}", arguments.join(" "), output.status);
    Ok(serde_json::from_slice(&output.stdout)?)
}
