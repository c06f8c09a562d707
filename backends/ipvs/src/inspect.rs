//! What virtual servers and the tables beside them hold, for people who ask.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use nix::net::if_::if_nametoindex;
use portolan_core::{
    addr::Family,
    desired::{LocalDetector, Vip},
    inspect::{Held, Inspect, Legible, LiveServer, Objects, Predecessor, Removal, Ruleset},
    object::{BackendError, FrontendCounts, LiveFrontend},
    trace::{Packet, Trace, VirtualServer, World},
};
use portolan_nftables::{Nft, companion};

use crate::{
    dialect::Ipvs,
    kernel::{Error, Kernel},
    key::{Key, LINK},
    listed, predecessor, remembered, text,
    value::Value,
};

impl Legible for Ipvs {
    fn text(&self, objects: &Objects<'_, Self>) -> String {
        text::text(objects)
    }

    fn frontends(&self, objects: &Objects<'_, Self>) -> Vec<LiveFrontend> {
        let mut frontends = Nft.frontends(&beside(objects));
        let servers = servers(objects);
        for frontend in &mut frontends {
            let Vip { protocol, .. } = frontend.vip;
            let open = |vip: &Vip| {
                let destinations = &servers.get(vip)?.destinations;
                Some(destinations.iter().filter(|(_, weight)| *weight > 0).map(|(to, _)| *to))
            };
            // By rules it leads to endpoints, or to the cluster IP of its ServicePort.
            let led_to = std::mem::take(&mut frontend.endpoints);
            frontend.endpoints.extend(open(&frontend.vip).into_iter().flatten());
            for to in led_to {
                match open(&Vip { addr: to.ip(), protocol, port: to.port() }) {
                    Some(endpoints) => frontend.endpoints.extend(endpoints),
                    None => frontend.endpoints.push(to),
                }
            }
        }
        frontends
    }

    fn detector(&self, objects: &Objects<'_, Self>, family: Family) -> Option<LocalDetector> {
        Nft.detector(&beside(objects), family)
    }

    fn trace(&self, objects: &Objects<'_, Self>, packet: &Packet, world: &World<'_>) -> Trace {
        let servers = servers(objects);
        let is_local = |address| objects.contains_key(&Key::Address(address)) || (world.is_local)(address);
        let world = World { is_local: &is_local, ..*world };
        companion::trace(&beside(objects), packet, &world, &|vip| servers.get(vip).cloned())
    }
}

impl Inspect for Kernel {
    fn is_present(&mut self) -> Result<bool, BackendError> {
        self.holds_ours().map_err(BackendError::new)
    }

    fn observed(&mut self) -> Result<Box<dyn Ruleset>, BackendError> {
        Ok(Box::new(Held::observed(self)?))
    }

    fn counts(&mut self) -> Result<BTreeMap<Vip, FrontendCounts>, BackendError> {
        self.tables.counts()
    }

    fn servers(&mut self) -> Result<BTreeMap<Vip, LiveServer>, BackendError> {
        let listed = self.listed().map_err(BackendError::new)?;
        Ok(listed.into_iter().map(|ours| (ours.vip, listed::server(ours))).collect())
    }

    fn remembered(&mut self, client: IpAddr, trace: &Trace) -> Result<BTreeMap<String, Duration>, BackendError> {
        let mut remembered = self.tables.remembered(client, trace)?;
        if trace.outcomes.iter().any(|outcome| outcome.chosen_by.is_some()) {
            remembered.extend(remembered::read(client).map_err(BackendError::new)?);
        }
        Ok(remembered)
    }

    fn other_tables(&mut self, family: Family) -> Result<Vec<String>, BackendError> {
        self.tables.other_tables(family)
    }
}

/// What a Portolan in ipvs mode has put into the kernel.
#[derive(Debug)]
pub struct Own {
    kernel: Option<Kernel>,
}

impl Own {
    /// In the network namespace of the calling thread.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub fn find() -> Result<Self, Error> {
        Ok(Self { kernel: Kernel::if_there()?.map_or_else(draining, |kernel| Ok(Some(kernel)))? })
    }
}

/// A Portolan in another mode lets virtual servers of this one drain, and then only these and the link are left of it.
fn draining() -> Result<Option<Kernel>, Error> {
    if if_nametoindex(LINK).is_err() {
        return Ok(None);
    }
    let mut kernel = Kernel::open()?;
    Ok(kernel.left()?.is_draining().then_some(kernel))
}

impl Predecessor for Own {
    fn remove(&mut self, dry_run: bool) -> Removal {
        let mut removal = Removal::default();
        let Some(kernel) = &mut self.kernel else { return removal };
        let not_removed = || format!("virtual servers of link {LINK}: not removed");
        match predecessor::is_back() {
            Ok(true) => removal.kept.push(format!("virtual servers of link {LINK}: kube-proxy's ipvs mode uses them")),
            Ok(false) => match kernel.remove_servers(dry_run) {
                Ok(removed) => removal.removed = removed,
                Err(error) => removal.troubled(not_removed(), error),
            },
            Err(error) => removal.troubled(not_removed(), error),
        }
        match portolan_nftables::Leftovers::beside_ipvs() {
            Ok(mut tables) => removal.append(tables.remove(dry_run)),
            Err(error) => removal.troubled("tables portolan: not removed".to_owned(), error),
        }
        removal
    }

    fn is_present(&mut self) -> Result<bool, BackendError> {
        Ok(self.kernel.is_some())
    }
}

/// The objects of our tables among these.
fn beside<'a>(objects: &Objects<'a, Ipvs>) -> Objects<'a, Nft> {
    let beside = objects.iter().filter_map(|(key, value)| match (*key, *value) {
        (Key::Beside(key), Value::Beside(value)) => Some((key, value)),
        _ => None,
    });
    beside.collect()
}

/// The virtual servers.
fn servers(objects: &Objects<'_, Ipvs>) -> BTreeMap<Vip, VirtualServer> {
    let mut servers: BTreeMap<Vip, VirtualServer> = BTreeMap::new();
    for (key, value) in objects {
        match (*key, *value) {
            (Key::Server(vip), Value::Server(server)) => {
                let known = servers.entry(*vip).or_default();
                (known.scheduling, known.affinity) = (Some(server.scheduling), server.affinity);
            }
            (Key::Server(vip), _) => drop(servers.entry(*vip).or_default()),
            (Key::Destination(vip, to), Value::Destination { weight }) => {
                servers.entry(*vip).or_default().destinations.push((*to, *weight));
            }
            _ => {}
        }
    }
    servers
}
