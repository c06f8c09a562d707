//! A program at work, and what it takes: time of the processor, and memory.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use nix::{
    sys::signal::{Signal, kill, killpg},
    time::{clock_getcpuclockid, clock_gettime},
    unistd::{Pid, SysconfVar, sysconf},
};
use portolan_e2e::http::Request;

/// Where kube-proxy tells how it is, and Portolan in its place.
const HEALTH: ([u8; 4], u16) = ([127, 0, 0, 1], 10256);

/// Where each of them has its metrics.
const METRICS: ([u8; 4], u16) = ([127, 0, 0, 1], 10249);

/// How long a start may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// A program with a log; it is killed when this is dropped, with what it runs.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it, with its log in a file.
    pub(crate) fn start(command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        command.env_remove("RUST_LOG").stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(log)?);
        // A group of its own.
        command.process_group(0);
        let child =
            command.spawn().with_context(|| format!("{} cannot be started", command.get_program().display()))?;
        Ok(Self { child, log: log.to_owned() })
    }

    /// Fails where it has ended.
    pub(crate) fn must_live(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{status}:\n{}", fs::read_to_string(&self.log)?),
        }
    }

    /// Waits until /readyz says 200.
    pub(crate) fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let readyz = Request { method: "GET", target: "/readyz", headers: &[], body: "" };
        let deadline = Instant::now() + PATIENCE;
        while !readyz.send(HEALTH.into()).is_ok_and(|answer| answer.status.starts_with("200")) {
            self.must_live()?;
            ensure!(Instant::now() < deadline, "not ready:\n{}", fs::read_to_string(&self.log)?);
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// CPU time of all its threads, and of the programs that it has run and waited for.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        let own: Duration = clock_gettime(clock_getcpuclockid(self.pid()?)?)?.into();
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The second field is a name in brackets; the 16th and 17th are cutime and cstime.
        let (_, fields) = stat.rsplit_once(") ").context("no name in its stat")?;
        let of_children = fields.split(' ').skip(13).take(2).map(str::parse::<u32>).sum::<Result<u32, _>>()?;
        let a_second = sysconf(SysconfVar::CLK_TCK)?.context("no CLK_TCK")?;
        Ok(own + Duration::from_secs(1) * of_children / u32::try_from(a_second)?)
    }

    /// A number among its metrics that has no labels.
    pub(crate) fn metric(&self, name: &str) -> anyhow::Result<f64> {
        let page = Request { method: "GET", target: "/metrics", headers: &[], body: "" }.send(METRICS.into())?;
        let value = page.body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(value.with_context(|| format!("no {name} among its metrics"))?.parse()?)
    }

    /// A size of its status, such as `VmRSS`, in MiB.
    pub(crate) fn memory(&self, name: &str) -> anyhow::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let size = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let size = size.with_context(|| format!("no {name} in its status"))?;
        Ok(size.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
    }

    /// Asks it to end; it must do so without an error.
    pub(crate) fn end(mut self) -> anyhow::Result<()> {
        kill(self.pid()?, Signal::SIGTERM)?;
        let ended = self.child.wait()?;
        ensure!(ended.success(), "{ended}:\n{}", fs::read_to_string(&self.log)?);
        Ok(())
    }

    fn pid(&self) -> anyhow::Result<Pid> {
        Ok(Pid::from_raw(i32::try_from(self.child.id())?))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail where it has ended already. A program that it runs may be at work for minutes and write rules in the end.
        let _ = self.pid().map(|group| killpg(group, Signal::SIGKILL));
        let _ = self.child.wait();
    }
}
