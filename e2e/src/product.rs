//! Portolan itself, run as people run it: the binary that was built beside the test binary, as a process on a node.

use std::{
    env, io,
    path::{Path, PathBuf},
};

use crate::{
    Error, Mode,
    cast::CLUSTER_CIDR,
    daemon::Daemon,
    host::{Host, HostCommand},
    scenario::Scenario,
};

/// What `run --once` and `render` exit with when they refused a part of the input.
const REFUSED_A_PART: i32 = 3;

/// What `diff` exits with when something is different.
const DRIFT: i32 = 2;

/// The binary, and the mode in which it is run.
#[derive(Debug, Clone)]
pub struct Portolan {
    binary: PathBuf,
    mode: Mode,
}

/// There is no binary to test.
#[derive(Debug, thiserror::Error)]
pub enum Missing {
    /// It was not built.
    #[error(
        "{0} is missing: `make test` builds it, and so does `cargo build -p portolan` (with --release for a release test)"
    )]
    NotBuilt(PathBuf),
    /// The test does not know where it is itself.
    #[error("the test binary's own path cannot be read")]
    OwnPath(#[source] io::Error),
}

impl Portolan {
    /// The binary in the folder of the build profile: a program is beside it, a test binary in `deps` there. In nftables
    /// mode, unless [`Self::in_mode`] says another.
    ///
    /// # Errors
    /// When it is not there.
    pub fn find() -> Result<Self, Missing> {
        let own = env::current_exe().map_err(Missing::OwnPath)?;
        let folders = own.ancestors().skip(1).take(2);
        let binary = folders.map(|folder| folder.join("portolan")).find(|binary| binary.is_file());
        binary
            .map(|binary| Self { binary, mode: Mode::Nftables })
            .ok_or_else(|| Missing::NotBuilt(own.with_file_name("portolan")))
    }

    /// The same in another mode.
    #[must_use]
    pub fn in_mode(self, mode: Mode) -> Self {
        Self { mode, ..self }
    }

    /// The mode.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// The binary's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.binary
    }

    /// A command of Portolan on a host; the arguments are up to the caller.
    #[must_use]
    pub fn on(&self, host: &Host) -> HostCommand {
        host.command(&self.binary)
    }

    /// Arguments of `run`, `render` and `diff` for manifests on a node of the lab.
    #[must_use]
    pub fn arguments(&self, manifests: &Path, node: &Host) -> Vec<String> {
        let (mode, manifests) = (format!("--mode={}", self.mode), manifests.to_string_lossy());
        [&*mode, "-f", &*manifests, "--hostname-override", node.name(), "--cluster-cidr", CLUSTER_CIDR]
            .map(ToOwned::to_owned)
            .to_vec()
    }

    /// Programs a node of the lab with manifests, once.
    #[must_use]
    pub fn once(&self, manifests: &Path, node: &Host) -> HostCommand {
        self.on(node).args(["run", "--once"]).args(self.arguments(manifests, node))
    }

    /// Programs a node's kernel with a scenario's objects as it begins, once.
    ///
    /// # Errors
    /// When Portolan's exit status is not the scenario's.
    pub fn run_once(&self, scenario: &Scenario, node: &Host) -> Result<(), Error> {
        let command = self.on(node).args(["run", "--once", "--manifests"]).arg(scenario.input());
        let refused = scenario.steps.first().is_some_and(|step| step.rejected);
        command.args(self.options(scenario, node)).expect_exit(exit(refused)).map(drop)
    }

    /// What Portolan would program on a node for these manifests, as text for the mode's own tool; `refused` says whether a part of them
    /// is refused.
    ///
    /// # Errors
    /// When Portolan's exit status is another.
    pub fn render(&self, scenario: &Scenario, manifests: &Path, refused: bool, node: &Host) -> Result<String, Error> {
        let command = self.on(node).args(["render", "--manifests"]).arg(manifests);
        command.args(self.options(scenario, node)).expect_exit(exit(refused))
    }

    /// Keeps a node's kernel programmed with these manifests.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub fn run(&self, scenario: &Scenario, manifests: &Path, node: &Host) -> Result<Daemon, Error> {
        Daemon::spawn(self.on(node).args(["run", "--manifests"]).arg(manifests).args(self.options(scenario, node)))
    }

    /// What is different between a node's kernel and these manifests, in Portolan's words; `None` when nothing is.
    ///
    /// # Errors
    /// When Portolan cannot tell.
    pub fn diff(&self, scenario: &Scenario, manifests: &Path, node: &Host) -> Result<Option<String>, Error> {
        let command = self.on(node).args(["diff", "--manifests"]).arg(manifests).args(self.options(scenario, node));
        let line = command.line();
        let output = command.output()?;
        match output.status.code() {
            Some(0) => Ok(None),
            Some(DRIFT) => Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned())),
            _ => {
                let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
                Err(Error::Ended { command: line, status: output.status, expected: 0, stderr })
            }
        }
    }

    fn options(&self, scenario: &Scenario, node: &Host) -> Vec<String> {
        let of_this_run = [format!("--mode={}", self.mode), format!("--hostname-override={}", node.name())];
        scenario.proxy.arguments().into_iter().chain(of_this_run).collect()
    }
}

const fn exit(refused: bool) -> i32 {
    if refused { REFUSED_A_PART } else { 0 }
}
