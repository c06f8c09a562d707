//! Memory that the kernel takes for rules: by how much what is charged to a control group shrinks when they are flushed.
//!
//! ```text
//!   a process in a group of its own writes rules, and ends     the group is charged for all that it had the kernel keep
//!   flush ruleset                                              what is left is everything else: its files, its sockets
//! ```
//!
//! nf_tables and x_tables allocate with GFP_KERNEL_ACCOUNT, so the charge is exact for tables, sets and elements, whatever else the
//! machine does. The counters of x_tables are not charged: 16 bytes for each rule and processor. The kernel counts in steps of up to
//! 64 pages for each processor (MEMCG_CHARGE_BATCH), so a difference of two readings may be off by a quarter of a MiB.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{self, Command},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;

use crate::dataplane;

/// What is freed is freed by workers, after a grace period of RCU.
const A_LOOK: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(10);

/// A control group for memory, removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Group {
    folder: PathBuf,
    /// Of version 2, where one file tells all kinds of memory.
    unified: bool,
}

impl Group {
    /// Makes one.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let root = Path::new("/sys/fs/cgroup");
        let unified = root.join("cgroup.controllers").exists();
        let parent = if unified { root.to_owned() } else { root.join("memory") };
        let folder = parent.join(format!("portolan-bench-{}", process::id()));
        fs::create_dir(&folder).with_context(|| format!("no control group can be made: {}", folder.display()))?;
        Ok(Self { folder, unified })
    }

    /// Has a command run inside.
    pub(crate) fn wrap(&self, command: &Command) -> Command {
        let mut wrapped = Command::new("sh");
        wrapped.args(["-c", r#"echo $$ > "$0" && exec "$@""#]).arg(self.folder.join("cgroup.procs"));
        wrapped.arg(command.get_program()).args(command.get_args());
        wrapped.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        wrapped
    }

    /// Kernel memory that it is charged for, in bytes.
    fn charged(&self) -> anyhow::Result<u64> {
        let text = if self.unified {
            let stat = fs::read_to_string(self.folder.join("memory.stat"))?;
            stat.lines().find_map(|line| line.strip_prefix("kernel ")).context("no `kernel` in memory.stat")?.to_owned()
        } else {
            fs::read_to_string(self.folder.join("memory.kmem.usage_in_bytes"))?
        };
        Ok(text.trim().parse()?)
    }

    /// Reads until it stays the same.
    fn settled(&self) -> anyhow::Result<u64> {
        let (mut last, deadline) = (self.charged()?, Instant::now() + PATIENCE);
        loop {
            thread::sleep(A_LOOK);
            let now = self.charged()?;
            if now == last || Instant::now() > deadline {
                return Ok(now);
            }
            last = now;
        }
    }

    /// What the rules of the caller's network namespace take, in MiB; they are flushed by this. Whoever wrote them has ended.
    pub(crate) fn of_rules(&self) -> anyhow::Result<f64> {
        let with = self.settled()?;
        dataplane::flush()?;
        let without = self.settled()?;
        Ok(f64::from(u32::try_from(with.saturating_sub(without) >> 10)?) / 1024.0)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // It stays where a process is left in it.
        let _ = fs::remove_dir(&self.folder);
    }
}
