//! A step: what changes in the cluster, and what packets meet then.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, SocketAddr},
    path::Path,
};

use portolan_core::addr::Protocol;
use serde_json::Value;

use super::{
    file::{Addresses, StepEntry},
    flow::{Expected, Flow, Opening},
    objects::{self, ObjectName},
};
use crate::{
    Error,
    cast::{self, Member},
    destination::Destination,
};

/// One state of a scenario's cluster. A scenario begins with one; each of its later ones is reached from the one before,
/// while Portolan runs.
#[derive(Debug, Clone)]
pub struct Step {
    /// One or two sentences: what it shows.
    pub description: String,
    /// All objects of the cluster, in this state.
    pub objects: Vec<Value>,
    /// Whether Portolan refuses a part of them.
    pub rejected: bool,
    /// Addresses that hosts get or lose, in this order, before packets are sent.
    pub addresses: Vec<AddressChange>,
    /// Connections of earlier steps that must still echo.
    pub alive: Vec<String>,
    /// What packets must meet.
    pub flows: Vec<Flow>,
    /// Connections that are made after the flows, and stay.
    pub open: Vec<Opening>,
}

/// A host gets an address, or loses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressChange {
    /// The host.
    pub host: &'static Member,
    /// The address.
    pub address: IpAddr,
    /// The length of its network's prefix. An address that is a network by itself stands on `lo`.
    pub prefix: u8,
    /// Whether the host gets it.
    pub added: bool,
}

/// What is wrong in a step of flows.yaml.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// Not `Kind namespace/name`.
    #[error("`delete` has {0:?}, which is not like \"Service default/web\" or \"Node node-a\"")]
    NoName(String),
    /// Nothing to delete.
    #[error("`delete` names {0}, and there is no such object")]
    NoObject(ObjectName),
    /// Not an address with a prefix length.
    #[error("{0:?} is not like 192.168.100.77/24")]
    Address(String),
    /// No earlier step opens a connection of this name.
    #[error("`alive` names {0:?}, which no earlier step opens")]
    NotOpen(String),
}

impl Step {
    /// The step that follows `before`; `folder` holds the file that `change` names.
    pub(super) fn after(before: Option<&Self>, entry: StepEntry, folder: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Step { path: folder.join(super::FLOWS), step: entry.description.clone(), source };
        let mut objects = before.map(|step| step.objects.clone()).unwrap_or_default();
        for text in &entry.delete {
            let name: ObjectName = text.parse().map_err(|text| failed(StepError::NoName(text)))?;
            if !objects::delete(&mut objects, &name) {
                return Err(failed(StepError::NoObject(name)));
            }
        }
        if let Some(file) = &entry.change {
            objects::apply(&mut objects, objects::read(&folder.join(file))?);
        }
        let mut addresses = changes(&entry.remove_addresses, false, failed)?;
        addresses.extend(changes(&entry.add_addresses, true, failed)?);
        let wrong = |from, to, source| Error::Flow { path: folder.join(super::FLOWS), from, to, source };
        let flows = entry.flows.into_iter().map(|flow| {
            let (from, to) = (flow.from.clone(), flow.to.clone());
            flow.check().map_err(|source| wrong(from, to, source))
        });
        let open = entry.open.into_iter().map(|open| {
            let (from, to) = (open.from.clone(), open.to.clone());
            open.check().map_err(|source| wrong(from, to, source))
        });
        Ok(Self {
            flows: flows.collect::<Result<_, _>>()?,
            open: open.collect::<Result<_, _>>()?,
            description: entry.description,
            objects,
            rejected: entry.rejected,
            addresses,
            alive: entry.alive,
        })
    }

    /// Where somebody may ask in this step: endpoints, destinations.
    pub(super) fn places(&self) -> impl Iterator<Item = (Protocol, SocketAddr)> {
        let in_slices = self.objects.iter().flat_map(objects::endpoints);
        let in_flows = self.flows.iter().filter_map(|flow| match flow.to {
            Destination::Port(protocol, to) => Some((flow, protocol, to)),
            Destination::Echo(_) => None,
        });
        let in_flows = in_flows.flat_map(|(flow, protocol, to)| {
            let endpoints = flow.all_expected().filter_map(Expected::endpoints).flat_map(BTreeMap::keys).copied();
            endpoints.chain([to]).map(move |at| (protocol, at))
        });
        in_slices.chain(in_flows)
    }
}

fn changes(
    addresses: &Addresses,
    added: bool,
    failed: impl Fn(StepError) -> Error,
) -> Result<Vec<AddressChange>, Error> {
    let pairs = addresses.iter().flat_map(|(host, texts)| texts.iter().map(move |text| (host, text)));
    let change = |(host, text): (&String, &String)| {
        let host = cast::named(host)?;
        let parsed = text.split_once('/').and_then(|(address, prefix)| {
            let address: IpAddr = address.parse().ok()?;
            let prefix = prefix.parse().ok().filter(|prefix| *prefix <= bits(address))?;
            Some(AddressChange { host, address, prefix, added })
        });
        parsed.ok_or_else(|| failed(StepError::Address(text.clone())))
    };
    pairs.map(change).collect()
}

const fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl AddressChange {
    /// The link that has the address.
    #[must_use]
    pub const fn link(&self) -> &'static str {
        if self.prefix == bits(self.address) { "lo" } else { self.host.link() }
    }
}

/// As people write it: `192.168.100.77/24`.
impl fmt::Display for AddressChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}
