//! From one ServicePort to the elements that make it work.
//!
//! ```text
//!   frontend without any endpoint       no-endpoints
//!   every other one                     services, and, where it is special, service-policies:
//!     internalTrafficPolicy Local           no local endpoint: no-local-endpoints
//!     externalTrafficPolicy Cluster         masquerade-always, or masquerade-affinity -> affinities
//!     externalTrafficPolicy Local           external-local -> local-affinities, local-services -> local-endpoints
//!     session affinity                      its affinity chain
//!     source ranges                         its chain of sources -> one of these in restricted-policies
//! ```

use std::{borrow::Cow, collections::BTreeSet};

use portolan_core::{
    desired::{DesiredPort, Endpoint, Frontend, FrontendKind, Vip},
    model::TrafficPolicy,
};

use super::{
    Data, Key, Value, affinity, chains,
    names::{ChainName, DIRECT, PortName, SetName},
    sender::Sender,
};
use crate::table::{element::ElementKey, field::Scope, value::Comment};

/// Appends the objects of one ServicePort; no key twice.
pub(crate) fn render(port: &DesiredPort, sender: Sender, objects: &mut Vec<(Key, Value)>) {
    let mut out = Rendering { port, sender, comment: Comment::new(&port.name), shared: BTreeSet::new(), objects };
    for frontend in &port.frontends {
        out.frontend(frontend);
    }
    out.shared();
}

/// A ServicePort on its way into objects.
struct Rendering<'a> {
    port: &'a DesiredPort,
    sender: Sender,
    comment: Comment,
    /// What several of its frontends need, once.
    shared: BTreeSet<Shared>,
    objects: &'a mut Vec<(Key, Value)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Shared {
    Pick(Scope, u32),
    PickLocal(Scope, u32),
    Affinity(TrafficPolicy),
    Sources,
    /// The endpoints of a list that are on this node may be asked by themselves.
    Hairpin(TrafficPolicy),
}

impl<'a> Rendering<'a> {
    fn frontend(&mut self, frontend: &Frontend) {
        let (vip, scope) = (frontend.vip, scope(frontend.vip));
        if frontend.kind == FrontendKind::ClusterIp {
            self.add(SetName::ClusterIps, ElementKey::address(vip.addr), Data::None);
        }
        if self.sender.has_address(frontend) {
            self.add(SetName::Scheduled, ElementKey::address(vip.addr), Data::None);
        }
        if frontend.restricted {
            self.restrict(vip);
        }
        if self.port.endpoints.is_empty() {
            self.add_named(SetName::NoEndpoints(scope), vip);
            if !frontend.restricted {
                return;
            }
        }
        self.add_named(SetName::Services(scope), vip);
        if self.port.endpoints.is_empty() {
            return;
        }
        let policies = if frontend.restricted { SetName::RestrictedPolicies } else { SetName::Policies(scope) };
        if let Some(chain) = self.policy(frontend) {
            self.add(policies, ElementKey::frontend(scope, vip), Data::Jump(chain));
        }
        // Behind the short-cut of an external frontend the whole list is asked too.
        let list = if frontend.is_external() { TrafficPolicy::Cluster } else { frontend.policy };
        self.endpoints(vip, list);
        if frontend.is_external() && frontend.policy == TrafficPolicy::Local {
            self.local_endpoints(vip);
        }
    }

    /// The chain that a connection goes through first, if its frontend is special.
    fn policy(&mut self, frontend: &Frontend) -> Option<ChainName> {
        let scope = scope(frontend.vip);
        if !frontend.is_external() {
            if self.port.endpoints_for(frontend.policy).is_empty() {
                self.add_named(SetName::NoLocalEndpoints(scope), frontend.vip);
                return Some(ChainName::NoLocalEndpoints);
            }
            return self.affinity(frontend.policy).map(ChainName::OfPort);
        }
        let affinity = self.affinity(TrafficPolicy::Cluster);
        if let Some(chain) = affinity.clone() {
            let key = ElementKey::frontend(scope, frontend.vip);
            self.add(SetName::Affinities(scope), key, Data::Jump(ChainName::OfPort(chain)));
        }
        Some(match (frontend.policy, affinity) {
            (TrafficPolicy::Local, _) => ChainName::ExternalLocal(scope),
            (TrafficPolicy::Cluster, None) => ChainName::MasqueradeAlways,
            (TrafficPolicy::Cluster, Some(_)) => ChainName::MasqueradeAffinity(scope),
        })
    }

    fn endpoints(&mut self, vip: Vip, list: TrafficPolicy) {
        self.shared.insert(Shared::Hairpin(list));
        let Some(endpoints) = self.sent_to(vip, list) else { return };
        let endpoints = &*endpoints;
        let scope = scope(vip);
        let (set, large) = endpoints_set(scope, endpoints.len());
        if let Some(count) = large {
            self.add(
                SetName::Large(scope),
                ElementKey::frontend(scope, vip),
                Data::Goto(ChainName::Pick(scope, count)),
            );
            self.shared.insert(Shared::Pick(scope, count));
        }
        self.slots(set, vip, endpoints);
    }

    fn local_endpoints(&mut self, vip: Vip) {
        let scope = scope(vip);
        if self.port.local_endpoints.is_empty() {
            self.add_named(SetName::NoLocalEndpoints(scope), vip);
            return;
        }
        let Some(endpoints) = self.sent_to(vip, TrafficPolicy::Local) else { return };
        let endpoints = &*endpoints;
        let key = ElementKey::frontend(scope, vip);
        if let Some(chain) = self.affinity(TrafficPolicy::Local) {
            self.add(SetName::LocalAffinities(scope), key, Data::Jump(ChainName::OfPort(chain)));
        }
        let count = u32::try_from(endpoints.len()).unwrap_or(u32::MAX);
        self.add(SetName::LocalServices(scope), key, Data::Jump(ChainName::PickLocal(scope, count)));
        self.slots(SetName::LocalEndpoints(scope), vip, endpoints);
        self.shared.extend([Shared::PickLocal(scope, count), Shared::Hairpin(TrafficPolicy::Local)]);
    }

    fn slots(&mut self, set: SetName, vip: Vip, endpoints: &[Endpoint]) {
        for (slot, endpoint) in (0..).zip(endpoints) {
            let key = match set {
                SetName::Direct(1) => ElementKey::vip(vip),
                _ => ElementKey::slot(set.scope(), vip, slot),
            };
            self.add(set, key, Data::Endpoint(endpoint.addr, endpoint.port));
        }
    }

    fn restrict(&mut self, vip: Vip) {
        let chain = ChainName::OfPort(PortName::sources(&self.port.name));
        self.add(SetName::Policies(Scope::Vip), ElementKey::vip(vip), Data::Jump(chain));
        self.add_named(SetName::Restricted, vip);
        self.shared.insert(Shared::Sources);
    }

    /// Where rules send the clients of a VIP that may use a list: to its endpoints, or to the virtual server that has them;
    /// `None` where the VIP is that server's.
    fn sent_to(&self, vip: Vip, list: TrafficPolicy) -> Option<Cow<'a, [Endpoint]>> {
        match self.sender.server(self.port, list).map(|frontend| frontend.vip) {
            None => Some(Cow::Borrowed(self.port.endpoints_for(list))),
            Some(server) if server == vip => None,
            Some(Vip { addr, port, .. }) => Some(Cow::Owned(vec![Endpoint { addr, port, local: false }])),
        }
    }

    /// The affinity chain of a list, if the ServicePort has affinity and rules see to it.
    fn affinity(&mut self, list: TrafficPolicy) -> Option<PortName> {
        self.port.affinity?;
        if self.sender.server(self.port, list).is_some() {
            return None;
        }
        self.shared.insert(Shared::Affinity(list));
        Some(PortName::affinity(&self.port.name, list))
    }

    fn shared(&mut self) {
        let (port, family) = (self.port, self.port.family);
        let mut meet_themselves = BTreeSet::new();
        for shared in std::mem::take(&mut self.shared) {
            match shared {
                Shared::Pick(scope, count) => self.objects.extend(chains::pick(family, scope, count)),
                Shared::PickLocal(scope, count) => self.objects.extend(chains::pick_local(family, scope, count)),
                Shared::Affinity(list) => affinity::render(port, list, self.objects),
                Shared::Sources => self.objects.extend(chains::sources(port)),
                Shared::Hairpin(list) => {
                    let local = port.endpoints_for(list).iter().filter(|endpoint| endpoint.local);
                    meet_themselves.extend(local.map(|endpoint| endpoint.addr));
                }
            }
        }
        for addr in meet_themselves {
            self.add(SetName::Hairpin, ElementKey::pair(addr, addr), Data::None);
        }
    }

    fn add_named(&mut self, set: SetName, vip: Vip) {
        let (key, comment) = (ElementKey::frontend(set.scope(), vip), Some(self.comment.clone()));
        self.objects.push((Key::Element(self.port.family, set, key), Value::Element(Data::None, comment)));
    }

    fn add(&mut self, set: SetName, key: ElementKey, data: Data) {
        self.objects.push((Key::Element(self.port.family, set, key), Value::Element(data, None)));
    }
}

/// Which sets a frontend is in: a NodePort at all of the node's addresses has the unspecified one.
fn scope(vip: Vip) -> Scope {
    if vip.addr.is_unspecified() { Scope::NodePort } else { Scope::Vip }
}

/// Which map holds the endpoints of a frontend with so many, and the number of the `pick` chain that it needs if they
/// are many. NodePorts have a verdict in any case, so their endpoints need no map for each number.
fn endpoints_set(scope: Scope, count: usize) -> (SetName, Option<u32>) {
    match u8::try_from(count) {
        Ok(direct) if scope == Scope::Vip && direct <= DIRECT => (SetName::Direct(direct), None),
        _ => (SetName::Endpoints(scope), Some(u32::try_from(count).unwrap_or(u32::MAX))),
    }
}
