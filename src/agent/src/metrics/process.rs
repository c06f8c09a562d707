//! `process_*`: what Prometheus' clients say of every process, read from /proc/self for each answer.

use std::{fs, str::FromStr};

use nix::unistd::{SysconfVar, sysconf};
use prometheus::proto::MetricFamily;

use super::family::{Kind, family};

/// Prometheus' clients say so where the limit is `unlimited`: the largest 64-bit number.
#[expect(clippy::cast_precision_loss, reason = "the nearest float is what is meant")]
const UNLIMITED: f64 = u64::MAX as f64;

/// Those that could be read.
pub(super) fn families() -> Vec<MetricFamily> {
    let found = [stat(), limits(), files(), network()];
    found
        .into_iter()
        .flatten()
        .flatten()
        .map(|(name, help, kind, value)| family(name, help, kind, vec![(Vec::new(), value)]))
        .collect()
}

/// Seconds since 1970 when this process started.
pub(super) fn started() -> Option<f64> {
    let since_boot = Stat::read()?.number::<f64>(21)? / ticks();
    let boot = fs::read_to_string("/proc/stat").ok()?;
    let boot: f64 = boot.lines().find_map(|line| line.strip_prefix("btime "))?.parse().ok()?;
    Some(boot + since_boot)
}

type Value = (&'static str, &'static str, Kind, f64);

fn stat() -> Option<Vec<Value>> {
    let stat = Stat::read()?;
    let cpu = (stat.number::<f64>(13)? + stat.number::<f64>(14)?) / ticks();
    let resident = stat.number::<f64>(23)? * page_size();
    Some(vec![
        ("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.", Kind::Counter, cpu),
        ("process_virtual_memory_bytes", "Virtual memory size in bytes.", Kind::Gauge, stat.number(22)?),
        ("process_resident_memory_bytes", "Resident memory size in bytes.", Kind::Gauge, resident),
        (
            "process_start_time_seconds",
            "Start time of the process since unix epoch in seconds.",
            Kind::Gauge,
            started()?,
        ),
    ])
}

fn limits() -> Option<Vec<Value>> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let soft = |name: &str| {
        let limit = limits.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?;
        if limit == "unlimited" { Some(UNLIMITED) } else { limit.parse().ok() }
    };
    Some(vec![
        ("process_max_fds", "Maximum number of open file descriptors.", Kind::Gauge, soft("Max open files")?),
        (
            "process_virtual_memory_max_bytes",
            "Maximum amount of virtual memory available in bytes.",
            Kind::Gauge,
            soft("Max address space")?,
        ),
    ])
}

fn files() -> Option<Vec<Value>> {
    let open = u32::try_from(fs::read_dir("/proc/self/fd").ok()?.count()).ok()?;
    Some(vec![("process_open_fds", "Number of open file descriptors.", Kind::Gauge, f64::from(open))])
}

/// Of the whole network namespace: so the clients have it.
fn network() -> Option<Vec<Value>> {
    let counters = fs::read_to_string("/proc/self/net/netstat").ok()?;
    let mut lines = counters.lines().filter_map(|line| line.strip_prefix("IpExt: "));
    let (names, values) = (lines.next()?.split(' '), lines.next()?.split(' '));
    let named: Vec<_> = names.zip(values).collect();
    let octets = |wanted: &str| named.iter().find(|(name, _)| *name == wanted)?.1.parse().ok();
    Some(vec![
        (
            "process_network_receive_bytes_total",
            "Number of bytes received by the process over the network.",
            Kind::Counter,
            octets("InOctets")?,
        ),
        (
            "process_network_transmit_bytes_total",
            "Number of bytes sent by the process over the network.",
            Kind::Counter,
            octets("OutOctets")?,
        ),
    ])
}

/// /proc/self/stat, behind the name of the program, which may hold anything.
struct Stat(String);

impl Stat {
    fn read() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        Some(Self(stat.rsplit_once(") ")?.1.to_owned()))
    }

    /// A field, counted from 0 as in proc_pid_stat(5) less one; the first two are the process id and the name.
    fn number<T: FromStr>(&self, field: usize) -> Option<T> {
        self.0.split_whitespace().nth(field.checked_sub(2)?)?.parse().ok()
    }
}

/// Of the clock that the kernel counts processors' time with, in a second.
#[expect(clippy::cast_precision_loss, reason = "it is 100")]
fn ticks() -> f64 {
    sysconf(SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100) as f64
}

/// In bytes.
#[expect(clippy::cast_precision_loss, reason = "it is a small power of two")]
fn page_size() -> f64 {
    sysconf(SysconfVar::PAGE_SIZE).ok().flatten().unwrap_or(4096) as f64
}
