//! A scenario's lab while its steps are played, whatever programs the Services.
//!
//! ```text
//!   for each step:  Stage::enter        addresses come and go, servers start
//!                   (the caller programs the step's objects and waits until that is done)
//!                   Stage::play         connections of earlier steps echo; flows; new connections that stay
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{TcpStream, UdpSocket},
    thread,
    time::Duration,
};

use portolan_core::addr::Protocol;

use crate::{
    Error, Lab,
    flow::{self, Seen},
    probe,
    scenario::{Expected, Flow, Scenario, ServiceProxy, Step},
    server::{Listener, Servers},
};

/// How long a connection may take to be made: only reached when something is wrong.
const PATIENCE: Duration = Duration::from_secs(3);

/// A lab with a scenario's servers and open connections.
#[derive(Debug)]
pub struct Stage<'scenario> {
    scenario: &'scenario Scenario,
    lab: Lab,
    servers: Vec<Servers>,
    listening: BTreeSet<Listener>,
    open: BTreeMap<&'scenario str, TcpStream>,
    sockets: BTreeMap<&'scenario str, UdpSocket>,
    sctp: bool,
}

/// What came of one step.
#[derive(Debug, Default)]
pub struct Played {
    /// How many flows were sent as packets.
    pub flows: usize,
    /// In how many connections.
    pub connections: u32,
    /// What this kernel cannot carry.
    pub skipped: Vec<Flow>,
    /// What does not hold, in words.
    pub failures: Vec<String>,
}

impl<'scenario> Stage<'scenario> {
    /// Makes the lab.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(scenario: &'scenario Scenario) -> Result<Self, Error> {
        let lab = Lab::new(&scenario.lab)?;
        lab.stand_in(&scenario.stand_ins())?;
        let sctp = probe::kernel_speaks(Protocol::Sctp)?;
        let (servers, listening) = (Vec::new(), BTreeSet::new());
        Ok(Self { scenario, lab, servers, listening, open: BTreeMap::new(), sockets: BTreeMap::new(), sctp })
    }

    /// The lab.
    #[must_use]
    pub const fn lab(&self) -> &Lab {
        &self.lab
    }

    /// Changes addresses and starts the servers that this step adds. Those of earlier steps stay.
    ///
    /// # Errors
    /// When an address or a server is refused.
    pub fn enter(&mut self, step: usize) -> Result<(), Error> {
        if let Some(step) = self.scenario.steps.get(step) {
            self.lab.change_addresses(&step.addresses)?;
        }
        let mut listeners = self.scenario.listeners(step);
        listeners.retain(|listener| self.carries(Some(listener.protocol)) && !self.listening.contains(listener));
        self.servers.push(self.lab.listen(listeners.iter().copied())?);
        self.listening.extend(listeners);
        Ok(())
    }

    /// Sends the packets of a step, and judges them by what is expected of this proxy.
    ///
    /// # Errors
    /// When the lab does not work.
    pub fn play(&mut self, step: &'scenario Step, proxy: ServiceProxy) -> Result<Played, Error> {
        let mut played = Played::default();
        for name in &step.alive {
            if let Some(Err(error)) = self.open.get(name.as_str()).map(probe::still_echoes) {
                played.failures.push(format!("the open connection {name} does not echo any more: {error}\n"));
            }
        }
        let (flows, skipped) = step.flows.iter().partition::<Vec<_>, _>(|flow| self.carries(flow.to.protocol()));
        played.skipped = skipped.into_iter().cloned().collect();
        for flow in &flows {
            if let (Some(name), Some(to)) = (&flow.socket, flow.to.socket())
                && !self.sockets.contains_key(name.as_str())
            {
                self.sockets.insert(name, self.lab.host(flow.from.name)?.datagrams(to)?);
            }
        }
        for (flow, seen) in flows.iter().zip(self.run(&flows, proxy)) {
            let seen = seen?;
            played.flows += 1;
            played.connections += seen.connections;
            played.failures.extend(flow::mismatch(flow, proxy, &seen).map(|mismatch| mismatch.to_string()));
        }
        for opening in &step.open {
            match self.lab.host(opening.from.name)?.open(opening.to, PATIENCE)? {
                Ok(stream) => drop(self.open.insert(&opening.name, stream)),
                Err(error) => played.failures.push(format!("the connection {} is not made: {error}\n", opening.name)),
            }
        }
        Ok(played)
    }

    fn carries(&self, protocol: Option<Protocol>) -> bool {
        protocol != Some(Protocol::Sctp) || self.sctp
    }

    /// All flows together; but one after the other where it matters who came first.
    fn run(&self, flows: &[&Flow], proxy: ServiceProxy) -> Vec<Result<Seen, Error>> {
        let socket = |flow: &Flow| self.sockets.get(flow.socket.as_deref()?);
        let run = |flow: &&Flow| flow::run(&self.lab, flow, proxy, socket(flow));
        if flows.iter().any(|flow| matches!(flow.expected_of(proxy), Expected::Endpoints { sticky: true, .. })) {
            return flows.iter().map(run).collect();
        }
        thread::scope(|scope| {
            let running: Vec<_> = flows.iter().map(|flow| scope.spawn(move || run(flow))).collect();
            running
                .into_iter()
                .map(|flow| flow.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        })
    }
}
