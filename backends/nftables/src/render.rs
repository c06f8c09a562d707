//! From one ServicePort to the elements that make it work.

use portolan_core::desired::{DesiredPort, FrontendKind, Masquerade, Vip};

use crate::{
    element::ElementKey,
    key::Key,
    layout,
    names::{ChainName, DIRECT, SetName},
    value::{Comment, Data, Value},
};

/// Appends the objects of one ServicePort; no key twice.
pub(crate) fn render(port: &DesiredPort, objects: &mut Vec<(Key, Value)>) {
    let family = port.family;
    let comment = Comment::new(&port.name);
    let mut add = |set, key, data, comment: Option<&Comment>| {
        objects.push((Key::Element(family, set, key), Value::Element(data, comment.cloned())));
    };

    for frontend in &port.frontends {
        let vip = frontend.vip;
        if frontend.kind == FrontendKind::ClusterIp {
            add(SetName::ClusterIps, ElementKey::address(vip.addr), Data::None, None);
        }
        if port.endpoints.is_empty() {
            add(SetName::NoEndpoints, ElementKey::vip(vip), Data::None, Some(&comment));
            continue;
        }
        add(SetName::Services, ElementKey::vip(vip), Data::None, Some(&comment));
        if frontend.masquerade == Masquerade::Always {
            add(SetName::ServicePolicies, ElementKey::vip(vip), Data::Jump(ChainName::MasqueradeAlways), None);
        }
        let (set, large) = endpoints_set(port.endpoints.len());
        if let Some(count) = large {
            add(SetName::ServicesLarge, ElementKey::vip(vip), Data::Goto(ChainName::Pick(count)), None);
        }
        for (slot, endpoint) in (0..).zip(&port.endpoints) {
            add(set, endpoint_key(set, vip, slot), Data::Endpoint(endpoint.addr, endpoint.port), None);
        }
    }

    if !port.frontends.is_empty() {
        let mut local: Vec<_> = port.endpoints.iter().filter(|endpoint| endpoint.local).map(|e| e.addr).collect();
        local.dedup();
        for addr in local {
            add(SetName::Hairpin, ElementKey::pair(addr, addr), Data::None, None);
        }
        if let (_, Some(count)) = endpoints_set(port.endpoints.len()) {
            objects.extend(layout::pick(family, count));
        }
    }
}

/// Which map holds the endpoints of a Service with so many, and the `pick` chain that it needs if it is a large one.
fn endpoints_set(count: usize) -> (SetName, Option<u32>) {
    match u8::try_from(count) {
        Ok(direct) if direct <= DIRECT => (SetName::Direct(direct), None),
        _ => (SetName::Endpoints, Some(u32::try_from(count).unwrap_or(u32::MAX))),
    }
}

fn endpoint_key(set: SetName, vip: Vip, slot: u32) -> ElementKey {
    match set {
        SetName::Direct(1) => ElementKey::vip(vip),
        _ => ElementKey::slot(vip, slot),
    }
}
