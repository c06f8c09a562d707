//! Which backends there are, and which mode each of them is. No other file of the agent names their crates: everything else
//! holds a [`Dataplane`], or asks by [`Inspect`] and [`Ruleset`].

use portolan_config::{IpvsSettings, Mode};
use portolan_core::{
    desired::{DesiredPort, NodePolicy, Scheduler},
    inspect::{Held, Inspect, Predecessor, Ruleset, Running},
    object::{BackendError, Dataplane, Syncer},
};
use portolan_iptables::{Iptables, Xtables};
use portolan_ipvs::Ipvs;
use portolan_nftables::{Nft, Nftables};

use crate::sync_loop::ErrorChain;

/// In the order in which packets meet their rules, but that ipvs mode is asked before the tables that it shares with nftables
/// mode.
const BACKENDS: [Entry; 3] = [
    Entry {
        mode: Mode::Iptables,
        program: |policy| Ok(Box::new(Syncer::new(xtables(policy)?))),
        inspect: || Ok(Xtables::if_there().map(|kernel| Box::new(kernel) as _)),
        render: |policy, ports| Box::new(Held::rendered(Iptables::default(), policy, ports)),
        left: || Ok(Box::new(failing(portolan_iptables::Leftovers::of_portolan())?)),
    },
    Entry {
        mode: Mode::Ipvs,
        program: |_| Ok(Box::new(Syncer::new(failing(portolan_ipvs::Kernel::watching())?))),
        inspect: || Ok(failing(portolan_ipvs::Kernel::if_there())?.map(|kernel| Box::new(kernel) as _)),
        render: |policy, ports| Box::new(Held::rendered(Ipvs, policy, ports)),
        left: || Ok(Box::new(failing(portolan_ipvs::Own::find())?)),
    },
    Entry {
        mode: Mode::Nftables,
        program: |_| Ok(Box::new(Syncer::new(failing(Nftables::watching())?))),
        inspect: || {
            let mut tables = failing(Nftables::open())?;
            // In ipvs mode they are a part of what that holds.
            let beside = failing(portolan_nftables::companion::is_there(&mut tables))?;
            Ok((!beside).then(|| Box::new(tables) as _))
        },
        render: |policy, ports| Box::new(Held::rendered(Nft, policy, ports)),
        left: || Ok(Box::new(failing(portolan_nftables::Leftovers::of_portolan())?)),
    },
];

/// What is known of predecessors, in the order in which it goes: no ipset can go while a rule of iptables names it.
const PREDECESSORS: [(Mode, OpenLeft); 3] = [
    (Mode::Nftables, |running| Ok(Box::new(failing(portolan_nftables::Leftovers::open(running))?))),
    (Mode::Iptables, |running| Ok(Box::new(failing(portolan_iptables::Leftovers::open(running))?))),
    (Mode::Ipvs, |running| Ok(Box::new(portolan_ipvs::Leftovers::new(running)))),
];

/// Says which programs write the rules, and what these cannot do on this node.
fn xtables(policy: &NodePolicy) -> Result<Xtables, BackendError> {
    let kernel = failing(Xtables::watching(policy.node_ports_at_loopback))?;
    let programs = kernel.programs();
    tracing::info!("rules are written by iptables-{}, version {}", programs.variant(), programs.version());
    for (family, why) in programs.without() {
        tracing::warn!("nothing is programmed for {family}: {why}");
    }
    Ok(kernel)
}

/// The link that has the addresses of Services, in ipvs mode.
pub const LINK_OF_SERVICES: &str = portolan_ipvs::LINK;

struct Entry {
    mode: Mode,
    /// By what is known of the node at the start.
    program: fn(&NodePolicy) -> Result<Box<dyn Dataplane>, BackendError>,
    /// Nothing where the kernel holds nothing of ours for sure.
    inspect: OpenInspect,
    render: fn(&NodePolicy, &[DesiredPort]) -> Box<dyn Ruleset>,
    /// What a Portolan in this mode left.
    left: fn() -> Left,
}

/// A backend that is asked what it holds.
pub type Inspected = (Mode, Box<dyn Inspect>);

type OpenInspect = fn() -> Result<Option<Box<dyn Inspect>>, BackendError>;
type OpenLeft = fn(Running) -> Left;

/// What one backend knows of predecessors, or why it cannot tell.
pub type Left = Result<Box<dyn Predecessor>, BackendError>;

/// A mode that is not among the backends. What judges configurations refuses it, so nobody should come here with one.
#[derive(Debug, thiserror::Error)]
#[error("Portolan has no {0} mode")]
struct NoSuchMode(Mode);

/// The modes that there are.
pub fn modes() -> impl Iterator<Item = Mode> {
    BACKENDS.iter().map(|entry| entry.mode)
}

/// The sync engine of a mode, which hears of the changes of others. It knows nothing of the kernel yet.
///
/// # Errors
/// When the mode cannot be used on this node.
pub fn dataplane(mode: Mode, policy: &NodePolicy) -> Result<Box<dyn Dataplane>, BackendError> {
    (entry(mode)?.program)(policy)
}

/// Has the kernel load IPVS, whose settings can be made only then, and makes those that are no files. Nothing else is touched
/// before, so that a node that lacks something stays as it is.
///
/// # Errors
/// Everything that ipvs mode needs and this node has not.
pub fn prepare_ipvs(settings: &IpvsSettings, scheduler: Scheduler) -> Result<(), BackendError> {
    failing(portolan_ipvs::probe(scheduler))?;
    let IpvsSettings { tcp, tcp_fin, udp, .. } = *settings;
    let mut kernel = failing(portolan_ipvs::Kernel::open())?;
    if let Err(error) = kernel.set_timeouts(tcp, tcp_fin, udp) {
        tracing::warn!("the timeouts of IPVS are as before: {}", ErrorChain(&error));
    }
    Ok(())
}

/// The chains of other programs in which packets to Services may end in ipvs mode, where they are for the node itself; in words.
///
/// # Errors
/// When the kernel cannot be read.
pub fn closed_inputs() -> Result<Vec<String>, BackendError> {
    let mut closed = failing(portolan_nftables::companion::closed_inputs(&mut failing(Nftables::open())?))?;
    closed.extend(portolan_iptables::closed_inputs());
    Ok(closed)
}

/// What a mode would program, without a kernel.
///
/// # Errors
/// When there is no such mode.
pub fn rendered(mode: Mode, policy: &NodePolicy, ports: &[DesiredPort]) -> Result<Box<dyn Ruleset>, BackendError> {
    Ok((entry(mode)?.render)(policy, ports))
}

/// Every backend of which the kernel may hold something, in the order in which packets meet their rules.
///
/// # Errors
/// When one of them cannot be asked.
pub fn all() -> Result<Vec<Inspected>, BackendError> {
    let mut all = Vec::new();
    for entry in &BACKENDS {
        all.extend((entry.inspect)()?.map(|kernel| (entry.mode, kernel)));
    }
    Ok(all)
}

/// What the backend of a mode is asked by; nothing where the kernel holds nothing of ours for sure.
///
/// # Errors
/// When there is no such mode, or it cannot be used on this node.
pub fn inspected(mode: Mode) -> Result<Option<Box<dyn Inspect>>, BackendError> {
    (entry(mode)?.inspect)()
}

/// What service proxies have left that ran here before, in the network namespace of the calling thread; in the order in which it
/// is to be removed. Without a mode that runs it is everything.
pub fn predecessors(running: Option<Mode>) -> impl Iterator<Item = Left> {
    PREDECESSORS.into_iter().map(move |(mode, open)| {
        open(match running {
            None => Running::None,
            // In ipvs mode the tables of nftables mode are a part of it.
            Some(running) if running == mode || (running, mode) == (Mode::Ipvs, Mode::Nftables) => Running::Own,
            Some(_) => Running::Another,
        })
    })
}

/// What a Portolan in this mode has left, or in any, in the network namespace of the calling thread.
pub fn left_by_portolan(only: Option<Mode>) -> impl Iterator<Item = Left> {
    BACKENDS.iter().filter(move |entry| only.is_none_or(|only| only == entry.mode)).map(|entry| (entry.left)())
}

fn entry(mode: Mode) -> Result<&'static Entry, BackendError> {
    BACKENDS.iter().find(|entry| entry.mode == mode).ok_or_else(|| BackendError::new(NoSuchMode(mode)))
}

fn failing<T, E: std::error::Error + Send + Sync + 'static>(result: Result<T, E>) -> Result<T, BackendError> {
    result.map_err(BackendError::new)
}
