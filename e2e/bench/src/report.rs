//! The table, and how a measurement hands its rows to the process that prints it.

use std::{fs, process::Command, thread, time::Duration};

use serde::{Deserialize, Serialize};

/// One line of the table.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) figure: String,
    pub(crate) measured: String,
    /// What is promised; empty where the figure is only shown.
    pub(crate) target: String,
    /// What the least takes that could be done, such as raw netlink or a connection by itself, measured in the same process.
    pub(crate) floor: String,
    /// Where the time goes, or under which conditions it was measured.
    pub(crate) beside: String,
}

/// What one process measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Report {
    /// By which the median of several runs is chosen.
    pub(crate) cost: Duration,
    pub(crate) rows: Vec<Row>,
}

impl Report {
    pub(crate) fn of(rows: Vec<Row>) -> Self {
        Self { cost: Duration::ZERO, rows }
    }
}

/// Prints the rows of measurements.
pub(crate) fn print_rows(rows: Vec<Row>) {
    let cells = |Row { figure, measured, target, floor, beside }| [figure, measured, target, floor, beside];
    let lines: Vec<_> = rows.into_iter().map(cells).collect();
    print_table(["figure", "measured", "target", "floor", "beside"], &lines);
}

/// Prints lines below each other, with columns as wide as their widest cell.
pub(crate) fn print_table<const N: usize>(heads: [&str; N], lines: &[[String; N]]) {
    let heads = heads.map(str::to_owned);
    let lines: Vec<_> = std::iter::once(&heads).chain(lines).collect();
    let mut widths = [0; N];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(*line) {
            *width = cell.chars().count().max(*width);
        }
    }
    for (number, line) in lines.into_iter().enumerate() {
        let padded: Vec<_> = line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        println!("| {} |", padded.join(" | "));
        if number == 0 {
            println!("|{}|", widths.map(|width| "-".repeat(width + 2)).join("|"));
        }
    }
}

/// What the figures depend on besides Portolan.
pub(crate) fn print_machine() {
    let said = |program: &str, argument: &str| {
        let output = Command::new(program).arg(argument).output().map(|output| output.stdout).unwrap_or_default();
        String::from_utf8_lossy(&output).lines().next().unwrap_or("unknown").to_owned()
    };
    let first_line = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let cpus = thread::available_parallelism().map_or(0, usize::from);
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
    println!(
        "{}; kernel {}, {cpus} x {}, {}, {}",
        said("date", "+%-d %B %Y"),
        first_line("/proc/sys/kernel/osrelease"),
        model.trim_start_matches([' ', '\t', ':']),
        said("nft", "--version"),
        said("iptables", "--version"),
    );
    print_load("before");
}

/// How busy the machine is with other things: shared caches and hyper-threads make CPU time dearer, too.
pub(crate) fn print_load(when: &str) {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load {when}: {}", load.split(' ').take(3).collect::<Vec<_>>().join(" "));
}

/// `12.3 ms`, `4.5 us`: three digits, in the unit that suits.
pub(crate) fn short(time: Duration) -> String {
    let nanos = time.as_secs_f64() * 1e9;
    let (value, unit) = match nanos {
        ..1e3 => (nanos, "ns"),
        ..1e6 => (nanos / 1e3, "us"),
        ..1e9 => (nanos / 1e6, "ms"),
        _ => (nanos / 1e9, "s"),
    };
    let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.digits$} {unit}")
}

/// `10k`, `100k`; smaller and odd numbers as they are.
pub(crate) fn count(number: u32) -> String {
    if number >= 1000 && number.is_multiple_of(1000) { format!("{}k", number / 1000) } else { number.to_string() }
}
