//! node-a with Portolan in ipvs mode, one Service, and what the node's virtual servers are.

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use portolan_core::addr::{Family, Protocol};
use portolan_e2e::{
    Lab, Mode, Options,
    cast::{Member, named},
    daemon::{Daemon, until},
    host::Host,
    objects::{NODE_A, service},
    probe::Outcome,
    product::Portolan,
    server::{Listener, Servers},
};
use portolan_netlink::ipvs::{Ipvs, ServerId};
use tempfile::TempDir;

/// Those whose connections come to a virtual server by different ways.
pub(crate) const CLIENTS: [&str; 3] = ["pod-a1", "outside", "node-a"];

/// How long a client waits for an answer that must come: only reached when something is wrong.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// How long a client listens to silence.
const SILENCE: Duration = Duration::from_millis(500);

/// A member of the cast and a port of it.
pub(crate) type Endpoint = (&'static Member, u16);

/// Three endpoints in each of two pods.
pub(crate) fn six() -> Result<[Endpoint; 6]> {
    let (a2, b1) = (named("pod-a2")?, named("pod-b1")?);
    Ok([(a2, 8080), (b1, 8080), (a2, 8081), (b1, 8081), (a2, 8082), (b1, 8082)])
}

/// As its server calls itself.
pub(crate) fn name((member, port): Endpoint) -> String {
    format!("{}:{port}", member.name)
}

/// A destination of the virtual server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Destination {
    pub(crate) weight: u32,
    pub(crate) connections: u32,
}

pub(crate) struct World {
    pub(crate) lab: Lab,
    pub(crate) family: Family,
    pub(crate) protocol: Protocol,
    portolan: Portolan,
    manifests: TempDir,
    daemon: Option<Daemon>,
}

impl World {
    /// A lab whose node-a runs Portolan, which knows of no Service yet.
    pub(crate) fn new(family: Family, protocol: Protocol) -> Result<Self> {
        let (lab, portolan) = (Lab::new(&Options::default())?, Portolan::find()?.in_mode(Mode::Ipvs));
        let mut world = Self { lab, family, protocol, portolan, manifests: tempfile::tempdir()?, daemon: None };
        world.write(NODE_A)?;
        world.start()?;
        Ok(world)
    }

    pub(crate) fn node(&self) -> Result<&Host> {
        Ok(self.lab.host("node-a")?)
    }

    /// The cluster IP and its port.
    pub(crate) fn vip(&self) -> SocketAddr {
        let cluster_ip = match self.family {
            Family::V4 => IpAddr::from([10, 96, 0, 1]),
            Family::V6 => IpAddr::from([0xfd00, 0x10, 0x96, 0, 0, 0, 0, 1]),
        };
        SocketAddr::new(cluster_ip, 80)
    }

    /// Starts the server of an endpoint, which ends when what this returns is dropped.
    pub(crate) fn listen(&self, endpoint: Endpoint) -> Result<Servers> {
        let listener = Listener { host: endpoint.0.name, protocol: self.protocol, at: self.socket(endpoint) };
        Ok(self.lab.listen([listener])?)
    }

    /// Where the server of an endpoint is.
    pub(crate) fn socket(&self, (member, port): Endpoint) -> SocketAddr {
        SocketAddr::new(member.address(self.family), port)
    }

    /// The Service has these endpoints from now on, and the kernel does.
    pub(crate) fn want(&self, endpoints: &[Endpoint]) -> Result<()> {
        let service = service("web", &self.vip().ip().to_string(), endpoints);
        // Written as one of TCP.
        let protocol = self.protocol.to_string().to_uppercase();
        let service = service.replace("{name: http, ", &format!("{{name: http, protocol: {protocol}, "));
        self.write(&format!("{NODE_A}---\n{service}"))?;
        until("new connections to come to these endpoints alone", || {
            let takes = self.destinations()?.into_iter().filter(|(_, destination)| destination.weight > 0);
            let mut wanted: Vec<_> = endpoints.iter().map(|endpoint| self.socket(*endpoint)).collect();
            wanted.sort();
            let is_wanted = takes.map(|(socket, _)| socket).eq(wanted);
            Ok::<_, anyhow::Error>((is_wanted && self.is_open()?).then_some(()))
        })
    }

    /// Whether the last that a Service needs is there: until then a process of the node is refused.
    fn is_open(&self) -> Result<bool> {
        let table = if self.family == Family::V4 { "ip" } else { "ip6" };
        let gate = self.node()?.command("nft").args(["list", "set", table, "portolan", "services"]).expect_exit(0)?;
        Ok(gate.contains(&format!(" {} . ", self.vip().ip())))
    }

    /// There is no Service any more.
    pub(crate) fn delete_service(&self) -> Result<()> {
        self.write(NODE_A)
    }

    fn write(&self, manifests: &str) -> Result<()> {
        let folder = self.manifests.path();
        fs::write(folder.join("new"), manifests)?;
        fs::rename(folder.join("new"), folder.join("all.yaml"))?;
        Ok(())
    }

    fn start(&mut self) -> Result<()> {
        self.daemon = Some(Daemon::start(&self.portolan, self.node()?, self.manifests.path())?);
        Ok(())
    }

    /// Portolan ends by a signal, and is started again.
    pub(crate) fn restart(&mut self, signal: Signal) -> Result<()> {
        self.daemon.take().context("no daemon")?.end(signal)?;
        self.start()
    }

    /// The destinations of the virtual server, none where it is not there.
    pub(crate) fn destinations(&self) -> Result<BTreeMap<SocketAddr, Destination>> {
        let id = ServerId::Address { protocol: self.protocol.number().into(), socket: self.vip() };
        let listed = self.node()?.enter(|| Ipvs::open()?.destinations(&[id]))??;
        let destinations = listed.into_iter().flatten().map(|listed| {
            let connections = listed.active + listed.inactive;
            (listed.destination.socket, Destination { weight: listed.destination.weight, connections })
        });
        Ok(destinations.collect())
    }

    /// Whether IPVS has a virtual server at the cluster IP, and whether kube-ipvs0 has the cluster IP.
    pub(crate) fn is_served(&self) -> Result<(bool, bool)> {
        let id = ServerId::Address { protocol: self.protocol.number().into(), socket: self.vip() };
        let server = self.node()?.enter(|| Ipvs::open()?.server(&id))??;
        let addresses =
            self.node()?.command("ip").args(["-o", "address", "show", "dev", "kube-ipvs0"]).expect_exit(0)?;
        Ok((server.is_some(), addresses.contains(&format!(" {}/", self.vip().ip()))))
    }

    /// A connection of each client.
    pub(crate) fn connections(&self) -> Result<Vec<TcpStream>> {
        CLIENTS.iter().map(|client| Ok(self.lab.host(client)?.open(self.vip(), PATIENCE)??)).collect()
    }

    /// New connections of each client come to these endpoints, to each of them, and to no other.
    pub(crate) fn meets(&self, endpoints: &[Endpoint]) -> Result<()> {
        for client in CLIENTS {
            let outcomes = self.lab.host(client)?.connections(self.protocol, self.vip(), PATIENCE, 12)?;
            let mut met: Vec<_> = outcomes
                .into_iter()
                .map(|outcome| match outcome {
                    Outcome::Answered(answer) => answer.server,
                    other => format!("{other:?}"),
                })
                .collect();
            met.sort();
            met.dedup();
            let mut expected: Vec<_> = endpoints.iter().map(|endpoint| name(*endpoint)).collect();
            expected.sort();
            ensure!(met == expected, "{client} met {met:?} and not {expected:?}");
        }
        Ok(())
    }

    /// What a new connection of each client meets where nothing should answer.
    pub(crate) fn outcomes(&self) -> Result<Vec<Outcome>> {
        CLIENTS.iter().map(|client| Ok(self.lab.host(client)?.connect(self.protocol, self.vip(), SILENCE)?)).collect()
    }
}
