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
//! `portolan-bench tables "ipvs mode"` makes the tables of this title alone.
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
mod ipvs;
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

use crate::dataplane::Dataplane;
use crate::report::{Report, Row, print_load, print_machine, print_rows};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    if let [comparison, arguments @ ..] = arguments.as_slice()
        && comparison == "compare"
    {
        let binary = Binary::build()?;
        inside::enter()?;
        return compare::run(&binary, arguments);
    }
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => {
            inside::enter()?;
            return measure_all("");
        }
        ["tables", part] => {
            inside::enter()?;
            return measure_all(part);
        }
        _ => {}
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
        Some("iptables-nft") => following::measure_mode(size()?, Dataplane::Iptables(Variant::Nft))?,
        Some("iptables-legacy") => following::measure_mode(size()?, Dataplane::Iptables(Variant::Legacy))?,
        Some("ipvs-daemon") => following::measure_mode(size()?, Dataplane::Ipvs)?,
        Some("ipvs") => ipvs::measure(size()?)?,
        Some("churn") => churn::measure(size()?)?,
        _ => bail!("no measurement of this name; without arguments all are made"),
    };
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

/// A table of docs/performance.md.
struct Section {
    title: &'static str,
    dataplane: Dataplane,
    /// Each a process, with these arguments.
    measurements: &'static [&'static [&'static str]],
    /// How often each is made; the median by cost is shown.
    runs: usize,
}

const SECTIONS: [Section; 9] = [
    Section {
        title: "Cold start of the engine",
        dataplane: Dataplane::Nftables,
        measurements: &[&["cold", "10000", "<= 0.2 s"], &["cold", "100000", "<= 2 s"]],
        runs: 3,
    },
    Section {
        title: "A change",
        dataplane: Dataplane::Nftables,
        measurements: &[
            &["usual", "1000"],
            &["usual", "10000"],
            &["usual", "100000"],
            &["node-ports", "1000"],
            &["node-ports", "10000"],
            &["large", "1000"],
            &["large", "10000"],
        ],
        runs: 1,
    },
    Section {
        title: "One endpoint of a large Service",
        dataplane: Dataplane::Nftables,
        measurements: &[&["many", "1000", "<= 1 ms"], &["many", "10000", "<= 5 ms"]],
        runs: 1,
    },
    Section { title: "A new connection", dataplane: Dataplane::Nftables, measurements: &[&["connections"]], runs: 1 },
    Section {
        title: "Kernel memory",
        dataplane: Dataplane::Nftables,
        measurements: &[
            &["kernel-memory", "0", "<= 1 MiB"],
            &["kernel-memory", "1000", "<= 3 MiB"],
            &["kernel-memory", "10000", "<= 8 MiB"],
        ],
        runs: 1,
    },
    Section {
        title: "The daemon in nftables mode",
        dataplane: Dataplane::Nftables,
        measurements: &[&["agent"], &["api-server-change", "1000"], &["api-server", "30000"], &["churn", "10000"]],
        runs: 1,
    },
    Section {
        title: "The daemon in iptables mode",
        dataplane: Dataplane::Iptables(Variant::Nft),
        measurements: &[
            &["iptables-nft", "1000"],
            &["iptables-nft", "10000"],
            &["iptables-legacy", "1000"],
            &["iptables-legacy", "10000"],
        ],
        runs: 1,
    },
    Section {
        title: "The engine in ipvs mode",
        dataplane: Dataplane::Ipvs,
        measurements: &[&["ipvs", "1000"], &["ipvs", "10000"]],
        runs: 3,
    },
    Section {
        title: "The daemon in ipvs mode",
        dataplane: Dataplane::Ipvs,
        measurements: &[&["ipvs-daemon", "1000"], &["ipvs-daemon", "10000"]],
        runs: 1,
    },
];

/// Measures those whose titles have this part, and prints them as docs/performance.md has them.
fn measure_all(part: &str) -> anyhow::Result<()> {
    print_machine();
    let mut measured = Vec::new();
    for section in SECTIONS.iter().filter(|section| section.title.contains(part)) {
        if section.dataplane.has_kernel() {
            measured.push((section.title, section.rows()?));
        } else {
            eprintln!("NOT MEASURED, for this kernel has no IPVS: {}", section.title);
        }
    }
    print_load("after");
    for (title, rows) in measured {
        println!("\n## {title}\n");
        print_rows(rows);
    }
    Ok(())
}

impl Section {
    fn rows(&self) -> anyhow::Result<Vec<Row>> {
        let mut rows = Vec::new();
        for arguments in self.measurements {
            let mut runs = (0..self.runs).map(|_| run(arguments)).collect::<anyhow::Result<Vec<_>>>()?;
            runs.sort_by_key(|run| run.cost);
            rows.extend(runs.into_iter().nth(self.runs / 2).map(|run| run.rows).unwrap_or_default());
        }
        Ok(rows)
    }
}

fn run(arguments: &[&str]) -> anyhow::Result<Report> {
    eprintln!("measuring: {}", arguments.join(" "));
    let mut command = Command::new(env::current_exe()?);
    let output = command.args(arguments).stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "{}: {}", arguments.join(" "), output.status);
    Ok(serde_json::from_slice(&output.stdout)?)
}
