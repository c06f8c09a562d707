//! Virtual servers that another proxy left stay until the connections that they sent somewhere have ended.
//!
//! Once the rules of another mode are complete, these take every new connection before IPVS sees it. A connection that IPVS has
//! sent on lives by its virtual server, and by the address because of which it comes to this node: conntrack, for which it is not
//! translated, could not go on with it.

use std::{collections::BTreeSet, net::IpAddr};

use portolan_core::{
    addr::{Family, Protocol},
    desired::Vip,
};
use portolan_netlink::{
    conntrack::{Conntrack, Filter},
    links::{Address, AddressChange},
    uapi::{NFPROTO_IPV4, NFPROTO_IPV6},
};

use crate::{
    kernel::{Error, Kernel},
    key::Key,
    run::{self, Change},
    value::Value,
};

/// What is there of them.
#[derive(Debug)]
pub(crate) struct Left {
    objects: Vec<(Key, Value)>,
    /// Destinations that have connections which can be finished: a datagram has none.
    busy: BTreeSet<Key>,
}

impl Left {
    /// Whether somebody has new connections sent there.
    pub(crate) fn is_in_use(&self) -> bool {
        self.objects.iter().any(|(_, value)| matches!(value, Value::Destination { weight: 1.. }))
    }

    /// Whether all that is there waits for its connections to end.
    pub(crate) fn is_draining(&self) -> bool {
        !self.is_in_use() && self.objects.iter().any(|(_, value)| *value == Value::Destination { weight: 0 })
    }

    fn servers(&self) -> impl Iterator<Item = Vip> {
        self.objects.iter().filter_map(|(key, _)| if let Key::Server(vip) = key { Some(*vip) } else { None })
    }

    /// Those that stay.
    fn busy_servers(&self) -> BTreeSet<Vip> {
        self.busy.iter().filter_map(Key::server).collect()
    }

    /// The others go, and with them the destinations that have no connection. Those that have some get no new ones.
    fn changes(&self, busy: &BTreeSet<Vip>) -> Vec<Change> {
        let change = |(key, value): &(Key, Value)| match (key, value) {
            (Key::Server(vip), _) if !busy.contains(vip) => Some(Change::DeleteServer(run::id(vip))),
            (Key::Destination(vip, _), _) if !busy.contains(vip) => None,
            (Key::Destination(vip, to), _) if !self.busy.contains(key) => {
                Some(Change::DeleteDestination(run::id(vip), *to))
            }
            (Key::Destination(vip, to), Value::Destination { weight: 1.. }) => {
                Some(Change::SetDestination(run::id(vip), run::destination(*to, 0)))
            }
            _ => None,
        };
        self.objects.iter().filter_map(change).collect()
    }

    /// The addresses at which no virtual server stays.
    fn addresses(&self, busy: &BTreeSet<Vip>) -> Vec<IpAddr> {
        let needed: BTreeSet<_> = busy.iter().map(|vip| vip.addr).collect();
        let address = |key: &Key| if let Key::Address(address) = key { Some(*address) } else { None };
        self.objects.iter().filter_map(|(key, _)| address(key)).filter(|address| !needed.contains(address)).collect()
    }
}

impl Kernel {
    /// What is there at the addresses of the link.
    pub(crate) fn left(&mut self) -> Result<Left, Error> {
        let objects = self.observe_servers()?;
        let may_finish = |key: &Key| matches!(key, Key::Destination(vip, _) if vip.protocol != Protocol::Udp);
        let destinations: Vec<_> = objects.iter().map(|(key, _)| key).filter(|key| may_finish(key)).cloned().collect();
        let idle: BTreeSet<_> = self.without_connections(&destinations)?.into_iter().collect();
        let busy = destinations.into_iter().filter(|key| !idle.contains(key)).collect();
        Ok(Left { objects, busy })
    }

    /// Removes of it what has no connection, at last the link; how many virtual servers stay.
    pub(crate) fn drain_servers(&mut self, left: &Left) -> Result<usize, Error> {
        let Some(link) = self.link else { return Ok(0) };
        let busy = left.busy_servers();
        self.ipvs.change(left.changes(&busy).iter().map(Change::request))?;
        if busy.is_empty() {
            self.links.delete(link)?;
        } else {
            let addresses = left.addresses(&busy).into_iter().map(Address::alone).map(AddressChange::Delete);
            self.links.change_addresses(link, addresses)?;
        }
        forget_datagrams(&left.servers().filter(|vip| vip.protocol == Protocol::Udp).collect())?;
        Ok(busy.len())
    }
}

/// Has the next datagram of each client be a new flow, which rules send somewhere: for conntrack the old one goes on, and is not
/// translated.
fn forget_datagrams(servers: &BTreeSet<Vip>) -> Result<(), Error> {
    if servers.is_empty() {
        return Ok(());
    }
    let (mut conntrack, mut stale) = (Conntrack::open()?, Vec::new());
    for family in Family::ALL {
        let protocol = if family == Family::V4 { NFPROTO_IPV4 } else { NFPROTO_IPV6 };
        conntrack.list(&Filter::all(protocol, Protocol::Udp.number()), |entry| {
            let asked = entry.original.destination;
            if servers.contains(&Vip { addr: asked.ip(), protocol: Protocol::Udp, port: asked.port() }) {
                stale.push(entry);
            }
        })?;
    }
    conntrack.delete(&stale)?;
    Ok(())
}
