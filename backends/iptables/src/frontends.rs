//! Frontends and their endpoints, read back from rules: what `portolan list` shows. Chains are called by hashes; the comments
//! of the rules that lead to them name the Service.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use portolan_core::{
    addr::Family,
    desired::Vip,
    object::{FrontendCounts, FrontendNote, LiveFrontend},
};

use crate::{
    key::{Key, Match},
    names::{ChainName, Part, Table, Tree},
    rule::{Condition, Rule, Target},
    rules::{self, Objects},
    value::Value,
};

/// What a rule says about a frontend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Says {
    /// Where its connections go.
    SentTo(ChainName),
    /// It has no endpoint, so nobody else's rule may send it on.
    KeptApart,
    /// It has no endpoint.
    Rejected,
    /// It has none that its clients may use.
    Dropped,
    /// Some clients are kept out.
    Restricted,
}

/// The frontend that a rule is about.
fn of_rule(key: &Key, value: &Value) -> Option<(Vip, Says)> {
    let (Key::Rule(family, table, chain, of), Value::Rule(_, target)) = (key, value) else { return None };
    let vip = match of {
        Match::Vip(vip) | Match::AskedVip(vip) => *vip,
        Match::Port(protocol, port) | Match::AskedPort(protocol, port) => {
            Vip { addr: unspecified(*family), protocol: *protocol, port: *port }
        }
        _ => return None,
    };
    let says = match (table, chain, target) {
        (Table::Nat, _, Target::Jump(to)) => Says::SentTo(*to),
        (Table::Nat, _, Target::Accept) => Says::KeptApart,
        (Table::Filter, ChainName::ProxyFirewall | ChainName::Level(Tree::Firewall, _), _) => Says::Restricted,
        (Table::Filter, _, Target::Reject(_)) => Says::Rejected,
        (Table::Filter, _, Target::Drop) => Says::Dropped,
        _ => return None,
    };
    Some((vip, says))
}

/// The frontends among objects, sorted by VIP.
pub(crate) fn frontends(objects: &Objects<'_>) -> Vec<LiveFrontend> {
    let mut found: BTreeMap<Vip, LiveFrontend> = BTreeMap::new();
    for (key, value) in objects {
        let Some((vip, says)) = of_rule(key, value) else { continue };
        let comment = match value {
            Value::Rule(Some(comment), _) => rules::service(comment),
            _ => "",
        };
        let frontend = found.entry(vip).or_insert_with(|| LiveFrontend {
            vip,
            port: comment.to_owned(),
            endpoints: Vec::new(),
            local_endpoints: None,
            notes: BTreeSet::new(),
        });
        match says {
            Says::SentTo(chain) => Reading { objects, family: key.family() }.enter(frontend, chain),
            Says::KeptApart | Says::Rejected => drop(frontend.notes.insert(FrontendNote::Rejected)),
            Says::Restricted => drop(frontend.notes.insert(FrontendNote::Restricted)),
            Says::Dropped => drop(frontend.notes.insert(FrontendNote::Dropped)),
        }
    }
    // Pods and the node itself still reach the endpoints of others there.
    for frontend in found.values_mut().filter(|frontend| frontend.local_endpoints.is_some()) {
        frontend.notes.remove(&FrontendNote::Dropped);
    }
    found.into_values().collect()
}

/// Chains of Services, read from the rule that leads to them.
struct Reading<'a, 'objects> {
    objects: &'a Objects<'objects>,
    family: Family,
}

impl Reading<'_, '_> {
    fn enter(&self, frontend: &mut LiveFrontend, chain: ChainName) {
        match chain {
            ChainName::Of(Part::Sources, _) => {
                frontend.notes.insert(FrontendNote::Restricted);
                if let Some(next) = self.rules(chain).iter().find_map(Rule::chain) {
                    self.enter(frontend, next);
                }
            }
            ChainName::Of(Part::External, _) => self.external(frontend, chain),
            ChainName::Of(Part::Cluster | Part::Local, _) => frontend.endpoints = self.endpoints(frontend, chain),
            _ => {}
        }
    }

    fn external(&self, frontend: &mut LiveFrontend, chain: ChainName) {
        let rules = self.rules(chain);
        let is_local = rules.iter().any(|rule| rule.conditions.iter().any(|of| matches!(of, Condition::Local(..))));
        if is_local {
            frontend.local_endpoints = Some(Vec::new());
        } else {
            frontend.notes.insert(FrontendNote::MasqueradeAlways);
        }
        for next in rules.iter().filter_map(Rule::chain) {
            match next {
                ChainName::Of(Part::Cluster, _) => frontend.endpoints = self.endpoints(frontend, next),
                ChainName::Of(Part::Local, _) => frontend.local_endpoints = Some(self.endpoints(frontend, next)),
                _ => {}
            }
        }
    }

    /// The endpoints that a chain picks from.
    fn endpoints(&self, frontend: &mut LiveFrontend, chain: ChainName) -> Vec<SocketAddr> {
        let mut endpoints = Vec::new();
        for rule in self.rules(chain) {
            let is_known = |condition: &Condition| matches!(condition, Condition::Known(..));
            if rule.conditions.iter().any(is_known) {
                frontend.notes.insert(FrontendNote::Affinity);
            } else if let Some(endpoint @ ChainName::Of(Part::Endpoint, _)) = rule.chain() {
                endpoints.extend(self.rules(endpoint).iter().find_map(|rule| match rule.target {
                    Target::SendTo(endpoint) => Some(endpoint),
                    _ => None,
                }));
            }
        }
        endpoints
    }

    fn rules(&self, chain: ChainName) -> Vec<Rule> {
        let rules = rules::of_chain(self.objects, self.family, Table::Nat, chain);
        rules.into_iter().map(|(_, rule)| rule).collect()
    }
}

/// Adds what one rule counted to its frontend.
pub(crate) fn count(counts: &mut BTreeMap<Vip, FrontendCounts>, key: &Key, value: &Value, packets: u64) {
    let Some((vip, says)) = of_rule(key, value) else { return };
    let of_frontend = counts.entry(vip).or_default();
    match says {
        Says::SentTo(_) => of_frontend.connections += packets,
        Says::KeptApart => {}
        Says::Rejected => of_frontend.no_endpoints += packets,
        Says::Restricted => of_frontend.source_ranges += packets,
        Says::Dropped => {
            of_frontend.no_local_endpoints += packets;
            // At a cluster IP nothing else counts them.
            if matches!(key, Key::Rule(_, _, ChainName::Level(Tree::Services, _), _)) {
                of_frontend.connections += packets;
            }
        }
    }
}

const fn unspecified(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Family::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}
