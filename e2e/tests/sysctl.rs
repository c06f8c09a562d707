//! The kernel settings of connection tracking in a container's place: a network namespace of its own, and a /sys that
//! cannot be written, so that nothing here reaches the machine's hash table.

use std::{fs, path::Path, process::ExitCode, time::Duration};

use anyhow::{Context as _, Result, ensure};
use nix::mount::{MsFlags, mount};
use portolan::sysctl::{ServedBy, apply};
use portolan_config::ConntrackSettings;
use portolan_e2e::{
    daemon::{lone, test},
    harness::{self, Failure, Test},
};

const MAX: &str = "/proc/sys/net/netfilter/nf_conntrack_max";
const HASH_SIZE: &str = "/sys/module/nf_conntrack/parameters/hashsize";
const TCP: &str = "/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established";
const UDP: &str = "/proc/sys/net/netfilter/nf_conntrack_udp_timeout";
const LIBERAL: &str = "/proc/sys/net/netfilter/nf_conntrack_tcp_be_liberal";
const LOCALNET: &str = "/proc/sys/net/ipv4/conf/all/route_localnet";

fn main() -> ExitCode {
    harness::run(tests, || ())
}

fn tests() -> Result<Vec<Test>, Failure> {
    Ok(vec![test("a container keeps the host's limit", a_container_keeps_the_hosts_limit)])
}

fn read(path: &'static str) -> Result<u64> {
    let text = fs::read_to_string(path).context(path)?;
    text.trim().parse().context(path)
}

fn a_container_keeps_the_hosts_limit() -> Result<()> {
    let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    mount(Some("/sys"), "/sys", None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>).context("bind /sys")?;
    mount(None::<&str>, "/sys", None::<&str>, flags, None::<&str>).context("make /sys read-only")?;
    let written = fs::OpenOptions::new().write(true).open(HASH_SIZE);
    ensure!(written.is_err(), "{HASH_SIZE} can be opened for writing: the test would reach the machine");
    lone()?.enter(|| {
        // Only root may read the second.
        let (max, hash_size) = (read(MAX)?, read(HASH_SIZE).ok());
        let settings = ConntrackSettings {
            max_per_core: Some(1),
            min: u32::try_from(max)? + 4,
            tcp_established: Some(Duration::from_secs(4321)),
            tcp_close_wait: None,
            tcp_be_liberal: true,
            udp: Some(Duration::from_secs(31)),
            udp_stream: None,
            delete_syn_sent: false,
        };
        ensure!(
            apply(Some(&settings), ServedBy { rules_at_loopback: true, ..ServedBy::default() }, Path::new("/")) == 1,
            "only the limit cannot be set"
        );
        ensure!((read(MAX)?, read(HASH_SIZE).ok()) == (max, hash_size));
        ensure!((read(TCP)?, read(UDP)?, read(LIBERAL)?, read(LOCALNET)?) == (4321, 31, 1, 1));

        // A limit that is there already, and a hash table that is smaller than it should be, or not.
        let enough = ConntrackSettings { min: u32::try_from(max)?, ..settings };
        let failures = apply(Some(&enough), ServedBy::default(), Path::new("/"));
        ensure!(failures == usize::from(hash_size.is_none_or(|size| size < max / 4)), "{failures}");
        ensure!((read(MAX)?, read(HASH_SIZE).ok()) == (max, hash_size));
        ensure!(read(LOCALNET)? == 1, "what others may rely on is never unset");
        Ok(())
    })?
}
