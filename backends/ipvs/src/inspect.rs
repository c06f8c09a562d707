//! What virtual servers and the tables beside them hold, for people who ask.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use portolan_core::{
    addr::Family,
    desired::{LocalDetector, Vip},
    inspect::{Held, Inspect, Legible, Objects, Predecessor, Removal, Ruleset},
    object::{BackendError, FrontendCounts, LiveFrontend},
    trace::{Packet, Trace, World},
};
use portolan_nftables::{Nft, companion};

use crate::{
    dialect::Ipvs,
    kernel::{Error, Kernel},
    key::{Key, LINK},
    text,
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
            // By rules it leads to endpoints, or to the cluster IP of its ServicePort.
            let led_to = std::mem::take(&mut frontend.endpoints);
            frontend.endpoints.extend(servers.get(&frontend.vip).into_iter().flatten());
            for to in led_to {
                match servers.get(&Vip { addr: to.ip(), protocol, port: to.port() }) {
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

    fn remembered(&mut self, client: IpAddr, trace: &Trace) -> Result<BTreeMap<String, Duration>, BackendError> {
        self.tables.remembered(client, trace)
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
        Ok(Self { kernel: Kernel::if_there()? })
    }
}

impl Predecessor for Own {
    fn remove(&mut self, dry_run: bool) -> Removal {
        let mut removal = Removal::default();
        let Some(kernel) = &mut self.kernel else { return removal };
        match kernel.remove_servers(dry_run) {
            Ok(removed) => removal.removed = removed,
            Err(error) => removal.troubled(format!("virtual servers of link {LINK}: not removed"), error),
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

/// The destinations of each virtual server that get new connections. One without any refuses them, as rules do where there
/// is none (`ip_vs_leave`).
fn servers(objects: &Objects<'_, Ipvs>) -> BTreeMap<Vip, Vec<SocketAddr>> {
    let mut servers: BTreeMap<Vip, Vec<SocketAddr>> = BTreeMap::new();
    for (key, value) in objects {
        if let (Key::Destination(vip, endpoint), Value::Destination { weight: 1.. }) = (*key, *value) {
            servers.entry(*vip).or_default().push(*endpoint);
        }
    }
    servers
}
