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
        (Table::Filter, _, Target::Drop | Target::Jump(ChainName::Of(Part::External, _))) => Says::Dropped,
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
            Says::KeptApart => {}
            Says::Rejected => drop(frontend.notes.insert(FrontendNote::Rejected)),
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
        Says::SentTo(_) => of_frontend.add_connections(Some(packets)),
        Says::KeptApart => {}
        Says::Rejected => of_frontend.no_endpoints += packets,
        // Without endpoints those come here as well who are not kept out.
        Says::Restricted if matches!(value, Value::Rule(_, Target::Jump(_))) => {}
        Says::Restricted => of_frontend.source_ranges += packets,
        Says::Dropped => {
            of_frontend.no_local_endpoints += packets;
            // At a cluster IP nothing else counts them.
            if matches!(key, Key::Rule(_, _, ChainName::Level(Tree::Services, _), _)) {
                of_frontend.add_connections(Some(packets));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listing::{self, Line};

    /// As iptables-save prints it with counters: a cluster IP with affinity, an external IP with policy Local and one endpoint on
    /// another node, a restricted IP without endpoints, and a NodePort.
    const LISTING: &str = "\
*filter
:KUBE-EXTERNAL-SERVICES - [0:0]
:KUBE-PROXY-FIREWALL - [0:0]
:KUBE-EXT-203.0.0.0/12 - [0:0]
:KUBE-FW-203.0.0.0/12 - [0:0]
:KUBE-FW-NUKIZ6OKUXPJNT4C - [0:0]
[2:80] -A KUBE-EXT-203.0.0.0/12 -d 203.0.113.1/32 -p tcp -m comment --comment \"a/local:http has no local endpoints\" -m tcp --dport 80 -m conntrack ! --ctstate DNAT -j DROP
[3:80] -A KUBE-EXT-203.0.0.0/12 -d 203.0.113.2/32 -p tcp -m comment --comment \"a/none has no endpoints\" -m tcp --dport 80 -m conntrack ! --ctstate DNAT -j REJECT --reject-with tcp-reset
[4:80] -A KUBE-FW-203.0.0.0/12 -d 203.0.113.2/32 -p tcp -m comment --comment \"a/none traffic not accepted by KUBE-FW-NUKIZ6OKUXPJNT4C\" -m tcp --dport 80 -m conntrack ! --ctstate DNAT -j KUBE-FW-NUKIZ6OKUXPJNT4C
COMMIT
*nat
:KUBE-SERVICES - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-SVC-10.96.0.0/12 - [0:0]
:KUBE-SVC-203.0.0.0/12 - [0:0]
:KUBE-EXT-GNZBNJ2PO5MGZ6GT - [0:0]
:KUBE-SVC-GNZBNJ2PO5MGZ6GT - [0:0]
:KUBE-SVC-NPX46M4PTMTKRN6Y - [0:0]
:KUBE-EXT-NPX46M4PTMTKRN6Y - [0:0]
:KUBE-SEP-SXIVWICOYRO3J4NJ - [0:0]
:KUBE-SEP-UKSFD7AGPMPPLUHC - [0:0]
[9:540] -A KUBE-SERVICES -d 10.96.0.0/12 -j KUBE-SVC-10.96.0.0/12
[5:300] -A KUBE-SVC-10.96.0.0/12 -d 10.96.0.1/32 -p tcp -m comment --comment \"default/kubernetes:https cluster IP\" -m tcp --dport 443 -j KUBE-SVC-NPX46M4PTMTKRN6Y
[6:300] -A KUBE-SVC-203.0.0.0/12 -d 203.0.113.1/32 -p tcp -m comment --comment \"a/local:http loadbalancer IP\" -m tcp --dport 80 -j KUBE-EXT-GNZBNJ2PO5MGZ6GT
[7:300] -A KUBE-SVC-203.0.0.0/12 -d 203.0.113.2/32 -p tcp -m comment --comment \"a/none loadbalancer IP\" -m tcp --dport 80 -j ACCEPT
[1:60] -A KUBE-NODEPORTS -p tcp -m comment --comment \"default/kubernetes:https\" -m tcp --dport 30443 -j KUBE-EXT-NPX46M4PTMTKRN6Y
[0:0] -A KUBE-EXT-GNZBNJ2PO5MGZ6GT -m addrtype --src-type LOCAL -j KUBE-SVC-GNZBNJ2PO5MGZ6GT
[0:0] -A KUBE-EXT-GNZBNJ2PO5MGZ6GT -j ACCEPT
[0:0] -A KUBE-SVC-GNZBNJ2PO5MGZ6GT -j KUBE-SEP-UKSFD7AGPMPPLUHC
[0:0] -A KUBE-EXT-NPX46M4PTMTKRN6Y -j KUBE-MARK-MASQ
[0:0] -A KUBE-EXT-NPX46M4PTMTKRN6Y -j KUBE-SVC-NPX46M4PTMTKRN6Y
[0:0] -A KUBE-SVC-NPX46M4PTMTKRN6Y -m recent --rcheck --seconds 10800 --reap --name KUBE-SEP-SXIVWICOYRO3J4NJ --mask 255.255.255.255 --rsource -j KUBE-SEP-SXIVWICOYRO3J4NJ
[0:0] -A KUBE-SVC-NPX46M4PTMTKRN6Y -j KUBE-SEP-SXIVWICOYRO3J4NJ
[0:0] -A KUBE-SEP-SXIVWICOYRO3J4NJ -p tcp -m tcp -j DNAT --to-destination 192.0.2.1:6443
[0:0] -A KUBE-SEP-UKSFD7AGPMPPLUHC -p tcp -m tcp -j DNAT --to-destination 10.244.2.1:8080
COMMIT
";

    #[test]
    fn frontends_are_named_although_chains_are_hashes() {
        let objects = listing::objects(Family::V4, LISTING, false).unwrap();
        let objects: Objects<'_> = objects.iter().map(|(key, value)| (key, value)).collect();
        let shown: Vec<_> = frontends(&objects)
            .iter()
            .map(|found| {
                let LiveFrontend { vip, port, endpoints, local_endpoints, notes } = found;
                format!("{vip} {port} {endpoints:?} {local_endpoints:?} {notes:?}")
            })
            .collect();
        assert_eq!(
            shown,
            [
                "0.0.0.0:30443/tcp default/kubernetes:https [192.0.2.1:6443] None {MasqueradeAlways, Affinity}",
                "10.96.0.1:443/tcp default/kubernetes:https [192.0.2.1:6443] None {Affinity}",
                "203.0.113.1:80/tcp a/local:http [10.244.2.1:8080] Some([]) {}",
                "203.0.113.2:80/tcp a/none [] None {Rejected, Restricted}",
            ]
        );
    }

    #[test]
    fn what_rules_counted_is_told_of_their_frontends() {
        let (mut counts, mut table) = (BTreeMap::new(), None);
        for line in listing::lines(LISTING) {
            match line.unwrap() {
                Line::Table(name) => table = Table::parse(name),
                Line::Rule { chain, rule, packets } => {
                    let rule = crate::parse::rule(Family::V4, rule);
                    let (of, comment) = Match::of(Family::V4, &rule);
                    let key = Key::Rule(Family::V4, table.unwrap(), ChainName::parse(chain).unwrap(), of);
                    count(&mut counts, &key, &Value::Rule(comment, rule.target), packets.unwrap());
                }
                Line::Chain(_) | Line::Commit => {}
            }
        }
        let shown: Vec<_> = counts
            .iter()
            .map(|(vip, counts)| {
                let FrontendCounts { connections, no_endpoints, no_local_endpoints, source_ranges } = counts;
                let connections = connections.unwrap();
                format!("{vip} {connections} {no_endpoints} {no_local_endpoints} {source_ranges}")
            })
            .collect();
        assert_eq!(
            shown,
            [
                "0.0.0.0:30443/tcp 1 0 0 0",
                "10.96.0.1:443/tcp 5 0 0 0",
                "203.0.113.1:80/tcp 6 0 2 0",
                "203.0.113.2:80/tcp 0 3 0 0",
            ]
        );
    }
}
