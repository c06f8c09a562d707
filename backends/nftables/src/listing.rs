//! Frontends and their endpoints, read back from objects: what `portolan list` shows.

use std::{collections::BTreeMap, net::SocketAddr};

use portolan_core::{desired::Vip, object::LiveFrontend};

use crate::{
    element::Fields,
    key::Key,
    names::SetName,
    value::{Data, Value},
};

/// The frontends among objects, sorted by VIP.
#[must_use]
pub fn frontends<'a>(objects: impl IntoIterator<Item = &'a (Key, Value)>) -> Vec<LiveFrontend> {
    let mut frontends: BTreeMap<Vip, LiveFrontend> = BTreeMap::new();
    let mut endpoints: BTreeMap<(Vip, u32), SocketAddr> = BTreeMap::new();
    let mut masquerade_always = Vec::new();
    for (key, value) in objects {
        let (Key::Element(family, set, element), Value::Element(data, comment)) = (key, value) else { continue };
        match (set, element.read(*family, *set)) {
            (SetName::Services | SetName::NoEndpoints, Fields::Vip(vip)) => {
                let port = comment.as_ref().map(|comment| comment.as_str().to_owned()).unwrap_or_default();
                let frontend = LiveFrontend { vip, port, endpoints: Vec::new(), masquerade_always: false };
                frontends.insert(vip, frontend);
            }
            (SetName::Direct(_) | SetName::Endpoints, Fields::Vip(vip)) => {
                data.endpoint().map(|endpoint| endpoints.insert((vip, 0), endpoint));
            }
            (SetName::Direct(_) | SetName::Endpoints, Fields::Slot(vip, slot)) => {
                data.endpoint().map(|endpoint| endpoints.insert((vip, slot), endpoint));
            }
            (SetName::ServicePolicies, Fields::Vip(vip)) if matches!(data, Data::Jump(_)) => {
                masquerade_always.push(vip);
            }
            _ => {}
        }
    }
    for ((vip, _), endpoint) in endpoints {
        if let Some(frontend) = frontends.get_mut(&vip) {
            frontend.endpoints.push(endpoint);
        }
    }
    for vip in masquerade_always {
        if let Some(frontend) = frontends.get_mut(&vip) {
            frontend.masquerade_always = true;
        }
    }
    frontends.into_values().collect()
}
