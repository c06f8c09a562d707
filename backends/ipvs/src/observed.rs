//! What the kernel holds of ours: the link, its addresses, and the virtual servers there. All of it is read, or glanced at; and what
//! befalls link and addresses is heard of.

use std::{collections::BTreeSet, net::IpAddr};

use portolan_core::{addr::Protocol, desired::Vip};
use portolan_netlink::{
    ipvs::{ListedDestination, ListedServer, ServerId},
    links::{Address, Heard},
};

use crate::{
    glance::Glance,
    kernel::{DUMMY, Error, Kernel},
    key::{Key, LINK},
    run,
    value::Value,
};

/// A virtual server of ours, as the kernel has it.
#[derive(Debug)]
pub(crate) struct Ours {
    pub(crate) vip: Vip,
    pub(crate) server: ListedServer,
    pub(crate) destinations: Vec<ListedDestination>,
}

impl Kernel {
    /// What is seen without asking for each virtual server; nothing where it cannot be.
    pub(crate) fn seen(&mut self) -> Option<Glance> {
        let link = self.observe_link().ok()?;
        let mut glance = Glance::of(link.iter().map(|(key, value)| (key, value)));
        let addresses = glance.addresses.clone();
        glance.read_servers(|address| addresses.contains(&address) || self.addresses.contains(&address)).ok()?;
        Some(glance)
    }

    pub(crate) fn observe_servers(&mut self) -> Result<Vec<(Key, Value)>, Error> {
        // What was heard of before is in what is read now.
        self.hear()?;
        self.moved = false;
        let mut objects = self.observe_link()?;
        self.held = addresses(&objects).collect();
        for Ours { vip, server, destinations } in self.ours_at(&objects)? {
            objects.push((Key::Server(vip), run::known(&vip, &server.server).map_or(Value::Strange, Value::Server)));
            objects.extend(
                destinations
                    .iter()
                    .map(|listed| (Key::Destination(vip, listed.destination.socket), destination_value(listed))),
            );
        }
        Ok(objects)
    }

    /// The virtual servers of ours.
    pub(crate) fn listed(&mut self) -> Result<Vec<Ours>, Error> {
        let link = self.observe_link()?;
        self.ours_at(&link)
    }

    fn observe_link(&mut self) -> Result<Vec<(Key, Value)>, Error> {
        let mut objects = Vec::new();
        let link = self.links.link(LINK)?;
        self.link = link.as_ref().map(|link| link.index);
        if let Some(link) = link {
            let is_ours = link.kind.as_deref() == Some(DUMMY);
            objects.push((Key::Link, if is_ours { Value::Link } else { Value::Strange }));
            let listed = self.links.addresses(link.index)?;
            let single = listed.into_iter().filter(|address| *address == Address::alone(address.addr));
            objects.extend(single.map(|address| (Key::Address(address.addr), Value::Address)));
        }
        Ok(objects)
    }

    /// Those at these addresses of the link, and at those that it had.
    fn ours_at(&mut self, link: &[(Key, Value)]) -> Result<Vec<Ours>, Error> {
        let mut addresses: BTreeSet<_> = addresses(link).collect();
        let servers = self.ipvs.servers()?;
        let ours: Vec<_> = servers
            .into_iter()
            .filter_map(|server| Some((vip(&server)?, server)))
            .filter(|(vip, _)| addresses.contains(&vip.addr) || self.addresses.contains(&vip.addr))
            .collect();
        let ids: Vec<_> = ours.iter().map(|(_, server)| server.server.id).collect();
        addresses.extend(ours.iter().map(|(vip, _)| vip.addr));
        self.addresses = addresses;
        let with_destinations = ours.into_iter().zip(self.ipvs.destinations(&ids)?);
        Ok(with_destinations.map(|((vip, server), destinations)| Ours { vip, server, destinations }).collect())
    }

    /// Hears what befell the link and its addresses. What we did ourselves is as we know it; all else is somebody else's doing.
    pub(crate) fn hear(&mut self) -> Result<(), Error> {
        let Self { watch: Some(watch), link, held, moved, .. } = self else { return Ok(()) };
        let ours = |index, address: Address| *link == Some(index) && address == Address::alone(address.addr);
        watch.drain(|heard| {
            *moved |= match heard {
                Heard::Link(index, name) => (name == LINK) != (*link == Some(index)),
                Heard::LinkGone(index) => *link == Some(index),
                Heard::Address(index, address) => ours(index, address) && !held.contains(&address.addr),
                Heard::AddressGone(index, address) => ours(index, address) && held.contains(&address.addr),
                Heard::Lost => true,
            }
        })?;
        Ok(())
    }
}

/// Those among these objects.
fn addresses(objects: &[(Key, Value)]) -> impl Iterator<Item = IpAddr> {
    objects.iter().filter_map(|(key, _)| match key {
        Key::Address(address) => Some(*address),
        _ => None,
    })
}

/// What a virtual server is called here, if it could be ours.
fn vip(listed: &ListedServer) -> Option<Vip> {
    let ServerId::Address { protocol, socket } = listed.server.id else { return None };
    let protocol = Protocol::ALL.into_iter().find(|known| u16::from(known.number()) == protocol)?;
    (socket.port() != 0).then(|| Vip { addr: socket.ip(), protocol, port: socket.port() })
}

fn destination_value(listed: &ListedDestination) -> Value {
    let destination = &listed.destination;
    let is_plain = *destination == run::destination(destination.socket, destination.weight);
    if is_plain { Value::Destination { weight: destination.weight } } else { Value::Strange }
}
