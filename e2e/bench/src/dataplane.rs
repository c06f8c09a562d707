//! The dataplanes that are measured: nftables mode, iptables mode with either kind of iptables, and ipvs mode. How a proxy is made
//! to use one of them, and how what all of them have in the kernel is removed.

use std::{
    fmt, fs,
    io::Write as _,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};
use portolan_e2e::{Mode, has_kernel_for};
use portolan_iptables::Variant;

use crate::ipvs;

/// By which a kubelet tells others which kind of iptables it uses: a chain of table mangle.
const SIGN: &str = "KUBE-IPTABLES-HINT";

/// Where Debian has the programs of iptables.
const PROGRAMS: &str = "/usr/sbin";

/// What kube-proxy runs.
const RUN_BY_KUBE_PROXY: [&str; 3] = ["", "-restore", "-save"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dataplane {
    Nftables,
    Iptables(Variant),
    /// With iptables-nft, which kube-proxy uses beside.
    Ipvs,
}

pub(crate) const ALL: [Dataplane; 4] =
    [Dataplane::Nftables, Dataplane::Iptables(Variant::Nft), Dataplane::Iptables(Variant::Legacy), Dataplane::Ipvs];

impl Dataplane {
    /// `mode` of the configuration.
    pub(crate) const fn mode(self) -> &'static str {
        match self {
            Self::Nftables => "nftables",
            Self::Iptables(_) => "iptables",
            Self::Ipvs => "ipvs",
        }
    }

    /// Whether the kernel has what it takes.
    pub(crate) fn has_kernel(self) -> bool {
        self != Self::Ipvs || has_kernel_for(Mode::Ipvs)
    }

    /// The kind of iptables that is used.
    const fn variant(self) -> Option<Variant> {
        match self {
            Self::Nftables => None,
            Self::Iptables(variant) => Some(variant),
            Self::Ipvs => Some(Variant::Nft),
        }
    }

    /// Leaves the sign of a kubelet in the caller's network namespace, by which Portolan and others choose a kind of iptables.
    pub(crate) fn sign(self) -> anyhow::Result<()> {
        let Some(variant) = self.variant() else { return Ok(()) };
        for program in [format!("iptables-{variant}"), format!("ip6tables-{variant}")] {
            let made = Command::new(&program).args(["--wait", "--table=mangle", "--new-chain", SIGN]).status();
            let made = made.with_context(|| program.clone())?;
            ensure!(made.success(), "{program} cannot make a chain: {made}");
        }
        Ok(())
    }

    /// A folder in which `iptables` and so on are programs of this kind, to come first in PATH: kube-proxy looks there, and its
    /// image has a wrapper that asks for the sign.
    pub(crate) fn programs(self, folder: &Path) -> anyhow::Result<PathBuf> {
        let programs = folder.join("programs");
        fs::create_dir(&programs)?;
        if let Some(variant) = self.variant() {
            for family in ["iptables", "ip6tables"] {
                for what in RUN_BY_KUBE_PROXY {
                    let program = format!("{PROGRAMS}/{family}-{variant}{what}");
                    symlink(program, programs.join(format!("{family}{what}")))?;
                }
            }
        }
        Ok(programs)
    }
}

/// With the kind of iptables.
impl fmt::Display for Dataplane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nftables => f.write_str("nftables"),
            Self::Iptables(variant) => write!(f, "iptables-{variant}"),
            Self::Ipvs => f.write_str("ipvs"),
        }
    }
}

/// Removes all rules and chains of the caller's network namespace, and what ipvs mode has.
pub(crate) fn flush() -> anyhow::Result<()> {
    if has_kernel_for(Mode::Ipvs) {
        ipvs::flush()?;
    }
    let flushed = Command::new("nft").args(["flush", "ruleset"]).status().context("nft")?;
    ensure!(flushed.success(), "nft flush ruleset: {flushed}");
    for (names, program) in
        [("ip_tables_names", "iptables-legacy-restore"), ("ip6_tables_names", "ip6tables-legacy-restore")]
    {
        // Nobody has used iptables-legacy where there is no such file, or nothing in it.
        let names = fs::read_to_string(Path::new("/proc/thread-self/net").join(names)).unwrap_or_default();
        let empty: String = names.lines().map(|table| format!("*{table}\nCOMMIT\n")).collect();
        if !empty.is_empty() {
            let mut restore = Command::new(program).arg("--wait").stdin(Stdio::piped()).spawn().context(program)?;
            restore.stdin.take().context("no stdin")?.write_all(empty.as_bytes())?;
            let flushed = restore.wait()?;
            ensure!(flushed.success(), "{program}: {flushed}");
        }
    }
    Ok(())
}
