//! Scenarios without packets: what the rules that Portolan renders say to a flow's packets, and whether that is what the
//! flow expects.
//!
//! ```text
//!   a pod, a node    meet the rules of their own node, and if those leave them alone the rules of the node that is asked
//!   outside          those of the node that is asked; node-a for addresses of nobody
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::IpAddr,
    time::Duration,
};

use portolan::{
    backends,
    cli::{Command, parse},
    daemon::settings,
    load::load,
};
use portolan_core::{
    addr::Family,
    desired::{Scheduler, Scheduling},
    inspect::Ruleset,
    model::{Cluster, NodeConfig},
    object::Tracker,
    trace::{Asks, Origin, Outcome, Packet, Trace, Verdict, World},
};

use crate::{
    Mode,
    cast::{self, CAST, Member, Role},
    dataplane::Dataplane,
    destination::Destination,
    scenario::{self, Expected, Flow, Scenario, ServiceProxy, Step},
};

/// What Portolan programs on the nodes of a scenario in a mode, and what their kernels would remember of clients.
pub struct Rules<'scenario> {
    scenario: &'scenario Scenario,
    mode: Mode,
    owners: BTreeMap<IpAddr, &'static Member>,
    programmed: BTreeMap<&'static str, Box<dyn Ruleset>>,
    remembered: BTreeMap<(&'static str, IpAddr), Memory>,
}

/// What of one node knows a client, by its name in the rules.
type Memory = BTreeMap<String, Duration>;

/// A packet of a flow where it comes to a node.
#[derive(Debug, Clone, Copy)]
pub struct Hop {
    /// The node.
    pub node: &'static Member,
    /// As the node sees it.
    pub packet: Packet,
}

impl<'scenario> Rules<'scenario> {
    /// Before the first step.
    #[must_use]
    pub const fn new(scenario: &'scenario Scenario, mode: Mode) -> Self {
        Self { scenario, mode, owners: BTreeMap::new(), programmed: BTreeMap::new(), remembered: BTreeMap::new() }
    }

    /// Renders a step. A client is forgotten with what knows it.
    ///
    /// # Errors
    /// When the options or the objects cannot be read, in words.
    pub fn enter(&mut self, number: usize) -> Result<(), String> {
        self.owners = self.scenario.owners(number);
        let step = self.scenario.steps.get(number).ok_or("there is no such step")?;
        for node in CAST.iter().filter(|member| member.is_node()) {
            let rendered = rendered(self.scenario, step, node, self.mode)?;
            let text = rendered.text();
            for ((of, _), names) in &mut self.remembered {
                let knows = |name: &str| match self.mode {
                    // The list is there while a rule uses it. The endpoint's chain has the same name.
                    Mode::Iptables => text.contains(&format!("--name {name} ")),
                    Mode::Nftables => text.contains(name),
                    Mode::Ipvs => text.contains(name) || has_destination(&text, name),
                };
                names.retain(|name, _| *of != node.name || knows(name));
            }
            self.programmed.insert(node.name, rendered);
        }
        Ok(())
    }

    /// What a flow's packets meet at each node that they come to, the last of which ends their way or lets them pass.
    #[must_use]
    pub fn follow(&self, flow: &Flow) -> Vec<(Hop, Trace)> {
        let mut met = Vec::new();
        for hop in self.hops(flow) {
            let Some(programmed) = self.programmed.get(hop.node.name) else { break };
            let is_local = |address| self.is_local(hop.node, address);
            let nobody = Memory::new();
            let remembered = self.remembered.get(&(hop.node.name, hop.packet.source)).unwrap_or(&nobody);
            let trace = programmed.trace(&hop.packet, &World { is_local: &is_local, remembered });
            let passes = trace.outcomes.iter().all(|outcome| outcome.verdict == Verdict::Untouched);
            met.push((hop, trace));
            if !passes {
                break;
            }
        }
        met
    }

    /// Has nodes remember what they met, where only one endpoint was possible.
    pub fn remember(&mut self, met: &[(Hop, Trace)]) {
        for (hop, trace) in met {
            if let [Outcome { verdict: Verdict::Endpoint { sticky: Some(sticky), .. }, .. }] = trace.outcomes.as_slice()
            {
                let sets = self.remembered.entry((hop.node.name, hop.packet.source)).or_default();
                sets.insert(sticky.clients.clone(), Duration::from_secs(sticky.timeout.into()));
            }
        }
    }

    fn hops(&self, flow: &Flow) -> Vec<Hop> {
        let (own, asked) = (home(flow.from), self.owners.get(&flow.to.ip()).and_then(|owner| home(owner)));
        let first = own.or(asked).or_else(|| cast::named("node-a").ok());
        let later = asked.filter(|asked| Some(*asked) != first);
        let hop = |(node, origin)| Hop { node, packet: self.packet(flow, origin) };
        let first = first.map(|node| (node, self.origin(flow.from))).into_iter();
        first.chain(later.map(|node| (node, Origin::Outside))).map(hop).collect()
    }

    /// As the client's own node sees it: a pod is one that detectors know, and a node's link to it has its name.
    fn origin(&self, client: &Member) -> Origin {
        let proxy = &self.scenario.proxy;
        let prefix = proxy.pod_interface_name_prefix.as_deref().unwrap_or_default();
        match client.role {
            Role::Node { .. } => Origin::Node,
            Role::Pod { .. } if client.name.starts_with(prefix) => Origin::Pod,
            Role::Pod { .. } | Role::Outside | Role::ControlPlane => Origin::Outside,
        }
    }

    fn packet(&self, flow: &Flow, origin: Origin) -> Packet {
        let destination = flow.to.ip();
        // Who asks itself does so from the very address that it asks.
        let itself = Some(destination)
            .filter(|address| self.is_local(flow.from, *address) || self.is_of_services(flow.from, *address));
        let source = flow.source.or(itself).unwrap_or_else(|| flow.from.address(Family::of(destination)));
        let asks = match flow.to {
            Destination::Port(protocol, to) => Asks::Port(protocol, to.port()),
            Destination::Echo(_) => Asks::Echo,
        };
        Packet { source, origin, destination, asks }
    }

    /// Whether a node has the address on a link of Services, as its own.
    fn is_of_services(&self, node: &Member, address: IpAddr) -> bool {
        let line = format!("address add {address} dev ");
        self.mode == Mode::Ipvs && self.programmed.get(node.name).is_some_and(|rules| rules.text().contains(&line))
    }

    fn is_local(&self, node: &Member, address: IpAddr) -> bool {
        address.is_loopback() || self.owners.get(&address).is_some_and(|owner| *owner == node)
    }
}

/// What Portolan programs on a node in one step of a scenario.
fn rendered(scenario: &Scenario, step: &Step, node: &Member, mode: Mode) -> Result<Box<dyn Ruleset>, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let path = folder.path().join("objects.json");
    fs::write(&path, scenario::manifest(&step.objects)).map_err(|error| error.to_string())?;
    let mut loaded = load(&path, config(scenario, node, mode)?).map_err(|error| error.to_string())?;
    rules(mode, &mut loaded.cluster)
}

/// The rules of a new Portolan for a cluster that nobody has taken changes of.
///
/// # Errors
/// When there is no such mode, in words.
pub fn rules(mode: Mode, cluster: &mut Cluster) -> Result<Box<dyn Ruleset>, String> {
    let ports: Vec<_> = cluster.take_changes().filter_map(|change| change.desired).collect();
    backends::rendered(mode, &cluster.policy(), &ports).map_err(|error| error.to_string())
}

/// What Portolan is told at its start on a node of a scenario.
///
/// # Errors
/// When the options cannot be read, in words.
pub fn config(scenario: &Scenario, node: &Member, mode: Mode) -> Result<NodeConfig, String> {
    let mode = format!("--mode={mode}");
    let arguments = ["portolan", "render", &*mode, "--hostname-override", node.name].map(ToOwned::to_owned);
    node_config(arguments.into_iter().chain(scenario.proxy.arguments()))
}

/// What the flags of a command line say of the node.
///
/// # Errors
/// When they have mistakes, in words.
pub fn node_config(line: impl IntoIterator<Item = String>) -> Result<NodeConfig, String> {
    let cli = parse(line.into_iter().map(Into::into)).map_err(|error| error.to_string())?;
    let Command::Render(flags) = cli.command else { return Err("another command was read".to_owned()) };
    let (_, settings) = settings(&flags).map_err(|error| error.to_string())?;
    Ok(settings.node)
}

/// What a new Portolan programs for a cluster that nobody has taken changes of.
#[must_use]
pub fn wanted<D: Dataplane>(cluster: &mut Cluster) -> Tracker<D> {
    let ports: Vec<_> = cluster.take_changes().filter_map(|change| change.desired).collect();
    Tracker::rendered(&D::default(), &cluster.policy(), &ports)
}

/// The node that a member is, or lives on.
fn home(member: &'static Member) -> Option<&'static Member> {
    match member.role {
        Role::Outside | Role::ControlPlane => None,
        Role::Node { .. } => Some(member),
        Role::Pod { node } => cast::named(node).ok(),
    }
}

/// What is wrong, if the rules of a mode do not say what the flow expects.
#[must_use]
pub fn mismatch(flow: &Flow, mode: Mode, trace: &Trace) -> Option<String> {
    let all = |holds: &dyn Fn(&Verdict) -> bool| trace.outcomes.iter().all(|outcome| holds(&outcome.verdict));
    // No rule takes what is sent to a loopback address, but for IPv4 in iptables mode: it is for who listens there.
    let is_served = mode == Mode::Iptables && flow.to.ip().is_ipv4();
    let expected = if flow.to.ip().is_loopback() && !is_served {
        &Expected::Untouched
    } else {
        match flow.expected_of(ServiceProxy::Portolan(mode)) {
            // What one of these modes alone drops is a later packet: conntrack calls it invalid, or another node forged. Rules are
            // asked of the first.
            Expected::Dropped { .. } if mode != Mode::Nftables => &flow.expected,
            expected => expected,
        }
    };
    let agree = match expected {
        Expected::Endpoints { sources, sticky } => {
            let (mut answer, mut chances) = (BTreeSet::new(), BTreeSet::new());
            let each = |Outcome { chance, verdict, chosen_by, .. }: &Outcome| {
                let Verdict::Endpoint { to, masqueraded, sticky: remembered } = verdict else { return false };
                answer.insert(*to);
                chances.insert(chance.map(|chance| chance.to_string()));
                // A node sees itself, masqueraded or not.
                let sees_client = sources.get(to).is_some_and(|seen| *seen == client(flow));
                let scheduling = chosen_by.as_ref().and_then(|by| by.scheduling);
                let stays = remembered.is_some() || scheduling.is_some_and(hashes_addresses_alone);
                (flow.from.is_node() || sees_client == masqueraded.is_none()) && (stays || !*sticky)
            };
            trace.outcomes.iter().map(each).filter(|agrees| !agrees).count() == 0
                && answer.iter().eq(sources.keys())
                && chances.len() == 1
        }
        Expected::Untouched => all(&|verdict| *verdict == Verdict::Untouched),
        // At a loopback address of which no rule knows, it is the kernel that says that nobody listens.
        Expected::Rejected { .. } if is_served && flow.to.ip().is_loopback() => {
            all(&|verdict| matches!(verdict, Verdict::Rejected(_) | Verdict::Untouched))
        }
        Expected::Rejected { .. } => all(&|verdict| matches!(verdict, Verdict::Rejected(_))),
        Expected::Dropped { .. } => all(&|verdict| matches!(verdict, Verdict::Dropped(_))),
        // It never comes to a rule.
        Expected::Unreachable => true,
    };
    (!agree || !trace.doubts.is_empty()).then(|| format!("{flow}\n  expected {expected:#?}\n  traced {trace:#?}\n"))
}

fn client(flow: &Flow) -> IpAddr {
    flow.source.unwrap_or_else(|| flow.from.address(Family::of(flow.to.ip())))
}

/// Whether a text for ipvsadm has a destination of this name, and clients stay with it.
fn has_destination(text: &str, name: &str) -> bool {
    let words: Vec<_> = name.split([' ', '/']).collect();
    let ["destination", to, "of", "virtual", "server", vip, _] = *words else { return false };
    let is_persistent = |line: &str| line.contains(&format!(" {vip} -s ")) && line.contains(" -p ");
    text.contains(&format!(" {vip} -r {to} ")) && text.lines().any(is_persistent)
}

/// Whether a client's connections go to one destination for as long as there are the same ones.
fn hashes_addresses_alone(scheduling: Scheduling) -> bool {
    matches!(scheduling.scheduler(), Scheduler::SourceHashing | Scheduler::Maglev) && !scheduling.flags().port
}
