//! `portolan run` on each node, and what it is asked.

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::Child,
    thread,
    time::{Duration, Instant},
};

use portolan_core::addr::Family;
use portolan_e2e::{Error, Lab, Mode, cast::CLUSTER_CIDR, host::Host, product::Portolan, repository};
use tempfile::TempDir;

use crate::{Failure, show};

/// In the folder of the demo, from which everything is started.
const MANIFESTS: &str = "cluster.yaml";

/// Virtual servers are read once in this time; of everything else Portolan is told.
const SYNC_PERIOD: &str = " --ipvs-sync-period=1s";

/// The limit of conntrack's table is the machine's, whatever the network namespace.
const NO_LIMIT: &str = "--conntrack-max-per-core=0";

/// What a lost packet would cost: far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// They end when this is dropped.
pub(crate) struct Agents<'lab> {
    lab: &'lab Lab,
    portolan: Portolan,
    children: Vec<Child>,
    _folder: TempDir,
}

impl<'lab> Agents<'lab> {
    /// Starts them, and waits until the Services are programmed.
    pub(crate) fn start(lab: &'lab Lab, portolan: Portolan) -> Result<Self, Failure> {
        let folder = TempDir::new()?;
        fs::copy(repository::root().join("e2e/demo").join(MANIFESTS), folder.path().join(MANIFESTS))?;
        env::set_current_dir(folder.path())?;
        let mut agents = Self { lab, portolan, children: Vec::new(), _folder: folder };
        for node in lab.nodes() {
            let period = if agents.mode() == Mode::Ipvs { SYNC_PERIOD } else { "" };
            let command = format!("{} {NO_LIMIT}{period}", agents.command("run", node));
            println!("\n{}$ portolan {command}", node.name());
            let mut agent = agents.portolan.on(node).args(command.split(' ')).spawn()?;
            if let Some(log) = agent.stderr.take() {
                let name = node.name();
                thread::spawn(move || {
                    BufReader::new(log).lines().map_while(Result::ok).for_each(|line| println!("  {name}: {line}"));
                });
            }
            agents.children.push(agent);
            agents.wait_for(node)?;
        }
        Ok(agents)
    }

    pub(crate) const fn mode(&self) -> Mode {
        self.portolan.mode()
    }

    /// A command of Portolan's about the manifests and a node.
    pub(crate) fn command(&self, name: &str, node: &Host) -> String {
        let (mode, node) = (self.mode(), node.name());
        format!("{name} --mode={mode} -f {MANIFESTS} --hostname-override {node} --cluster-cidr {CLUSTER_CIDR}")
    }

    /// Asks Portolan on a node, and shows what it says.
    pub(crate) fn ask(&self, node: &Host, command: &str) -> Result<(), Failure> {
        show(node, &format!("portolan {command}"), self.portolan.on(node).args(command.split(' ')))
    }

    /// Whether the kernel of a node holds what the manifests say.
    fn converged(&self, node: &Host) -> Result<bool, Error> {
        Ok(self.portolan.on(node).args(self.command("diff", node).split(' ')).output()?.status.success())
    }

    /// Waits until it does.
    pub(crate) fn wait_for(&self, node: &Host) -> Result<(), Failure> {
        let deadline = Instant::now() + PATIENCE;
        while !self.converged(node)? {
            if Instant::now() > deadline {
                return Err(format!("waited {PATIENCE:?} until {} is programmed, in vain", node.name()).into());
            }
        }
        Ok(())
    }

    /// Takes a pod out of the manifests, and waits until all nodes know.
    pub(crate) fn remove(&self, pod: &Host) -> Result<(), Failure> {
        let manifests = fs::read_to_string(MANIFESTS)?;
        let named =
            |line: &str| Family::ALL.iter().any(|family| line.contains(&pod.member().address(*family).to_string()));
        let rest: Vec<_> = manifests.lines().filter(|line| !named(line)).collect();
        // Whoever reads it meets the old file or the new one.
        let new = Path::new("new");
        fs::write(new, rest.join("\n"))?;
        fs::rename(new, MANIFESTS)?;
        self.lab.nodes().try_for_each(|node| self.wait_for(node))
    }
}

impl Drop for Agents<'_> {
    fn drop(&mut self) {
        for agent in &mut self.children {
            // One that has ended by itself has said why.
            let _ = agent.kill().and_then(|()| agent.wait());
        }
    }
}
