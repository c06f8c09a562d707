//! Portolan itself, run as people run it: the binary that was built beside the test binary, as a process on a node.

use std::{env, io, path::PathBuf};

use crate::{
    Error,
    host::{Host, HostCommand},
    scenario::Scenario,
};

/// What `run --once` and `render` exit with when they refused a part of the input.
const REFUSED_A_PART: i32 = 3;

/// The binary.
#[derive(Debug, Clone)]
pub struct Portolan {
    binary: PathBuf,
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
    /// The binary in the folder of the build profile: a program is beside it, a test binary in `deps` there.
    ///
    /// # Errors
    /// When it is not there.
    pub fn find() -> Result<Self, Missing> {
        let own = env::current_exe().map_err(Missing::OwnPath)?;
        let folders = own.ancestors().skip(1).take(2);
        let binary = folders.map(|folder| folder.join("portolan")).find(|binary| binary.is_file());
        binary.map(|binary| Self { binary }).ok_or_else(|| Missing::NotBuilt(own.with_file_name("portolan")))
    }

    /// A command of Portolan on a host; the arguments are up to the caller.
    #[must_use]
    pub fn on(&self, host: &Host) -> HostCommand {
        host.command(&self.binary)
    }

    /// Programs a node's kernel with a scenario's objects, once.
    ///
    /// # Errors
    /// When Portolan's exit status is not the scenario's.
    pub fn run_once(&self, scenario: &Scenario, node: &Host) -> Result<(), Error> {
        let manifests = scenario.input();
        let command = self.on(node).args(["run", "--once", "--mode=nftables", "--manifests"]).arg(manifests);
        finish(command, scenario, node).map(drop)
    }

    /// What Portolan would program on a node, as nft text.
    ///
    /// # Errors
    /// When Portolan's exit status is not the scenario's.
    pub fn render(&self, scenario: &Scenario, node: &Host) -> Result<String, Error> {
        finish(self.on(node).args(["render", "-f"]).arg(scenario.input()), scenario, node)
    }
}

fn finish(command: HostCommand, scenario: &Scenario, node: &Host) -> Result<String, Error> {
    let mut command = command.args(["--hostname-override", node.name()]);
    if !scenario.cluster_cidr.is_empty() {
        command = command.args(["--cluster-cidr", &scenario.cluster_cidr]);
    }
    command.args(&scenario.args).expect_exit(if scenario.rejected { REFUSED_A_PART } else { 0 })
}
