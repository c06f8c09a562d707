//! Frontends and their endpoints, read back from objects: what `portolan list` shows.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use portolan_core::{
    desired::Vip,
    inspect::Objects,
    object::{FrontendNote, LiveFrontend},
};

use super::{
    Data, Key, Nft, Value,
    names::{ChainName, SetName},
};
use crate::table::element::Fields;

/// The frontends among objects, sorted by VIP.
pub(super) fn frontends(objects: &Objects<'_, Nft>) -> Vec<LiveFrontend> {
    let mut found = Found::default();
    for (key, value) in objects {
        let (Key::Element(_, set, _), Value::Element(data, comment)) = (*key, *value) else { continue };
        let comment = comment.as_ref().map(|comment| comment.as_str());
        match key.fields() {
            Some(Fields::Vip(vip)) => found.vip(*set, vip, data, comment.unwrap_or_default()),
            Some(Fields::Slot(vip, slot)) => found.endpoint(*set, vip, slot, data),
            Some(Fields::Address(_) | Fields::Pair(..) | Fields::Strange(_)) | None => {}
        }
    }
    found.listed()
}

/// What was found of frontends, in the order of the sets.
#[derive(Default)]
struct Found {
    frontends: BTreeMap<Vip, LiveFrontend>,
    endpoints: BTreeMap<(Vip, u32), SocketAddr>,
    local_endpoints: BTreeMap<(Vip, u32), SocketAddr>,
    /// Those that have local endpoints of their own, or none but should have.
    external_local: BTreeSet<Vip>,
    notes: BTreeSet<(Vip, FrontendNote)>,
}

impl Found {
    fn vip(&mut self, set: SetName, vip: Vip, data: &Data, comment: &str) {
        match set {
            SetName::Services(_) | SetName::NoEndpoints(_) => {
                let frontend = || LiveFrontend {
                    vip,
                    port: comment.to_owned(),
                    endpoints: Vec::new(),
                    local_endpoints: None,
                    notes: BTreeSet::new(),
                };
                self.frontends.entry(vip).or_insert_with(frontend);
                if matches!(set, SetName::NoEndpoints(_)) {
                    self.notes.insert((vip, FrontendNote::Rejected));
                }
            }
            SetName::Policies(_) | SetName::RestrictedPolicies => {
                let Data::Jump(chain) = data else { return };
                match chain {
                    ChainName::ExternalLocal(_) => drop(self.external_local.insert(vip)),
                    chain => self.notes.extend(notes(chain).iter().map(|note| (vip, *note))),
                }
            }
            SetName::Affinities(_) => drop(self.notes.insert((vip, FrontendNote::Affinity))),
            SetName::Direct(_) => self.endpoint(set, vip, 0, data),
            _ => {}
        }
    }

    fn endpoint(&mut self, set: SetName, vip: Vip, slot: u32, data: &Data) {
        let list = match set {
            SetName::LocalEndpoints(_) => &mut self.local_endpoints,
            _ => &mut self.endpoints,
        };
        data.endpoint().map(|endpoint| list.insert((vip, slot), endpoint));
    }

    fn listed(mut self) -> Vec<LiveFrontend> {
        for vip in self.external_local {
            if let Some(frontend) = self.frontends.get_mut(&vip) {
                frontend.local_endpoints = Some(Vec::new());
            }
        }
        for ((vip, _), endpoint) in self.endpoints {
            if let Some(frontend) = self.frontends.get_mut(&vip) {
                frontend.endpoints.push(endpoint);
            }
        }
        for ((vip, _), endpoint) in self.local_endpoints {
            if let Some(local) = self.frontends.get_mut(&vip).and_then(|frontend| frontend.local_endpoints.as_mut()) {
                local.push(endpoint);
            }
        }
        for (vip, note) in self.notes {
            if let Some(frontend) = self.frontends.get_mut(&vip) {
                frontend.notes.insert(note);
            }
        }
        self.frontends.into_values().collect()
    }
}

/// What a policy's chain says about its frontend.
fn notes(chain: &ChainName) -> &'static [FrontendNote] {
    match chain {
        ChainName::OfPort(name) if name.is_affinity() => &[FrontendNote::Affinity],
        ChainName::OfPort(_) => &[FrontendNote::Restricted],
        ChainName::MasqueradeAlways => &[FrontendNote::MasqueradeAlways],
        ChainName::MasqueradeAffinity(_) => &[FrontendNote::MasqueradeAlways, FrontendNote::Affinity],
        ChainName::NoLocalEndpoints => &[FrontendNote::Dropped],
        _ => &[],
    }
}
