//! The ruleset: what is there whatever the Services are. No chain, rule or verdict belongs to a Service; only elements
//! of sets change (docs/design/nftables.md gives the reasons and the measurements).
//!
//! ```text
//!  in --> nat-prerouting --+--> services ----------------> DNAT --> routing --+--> nat-postrouting --> out
//!                          |    gate? mark? pick endpoint                     |    masquerade
//!  node -> nat-output -----+                                                  |
//!                                        what was not sent to an endpoint:    |
//!                                        filter-input, -forward, -output  <---+    reject
//! ```

use std::sync::Arc;

use ipnet::IpNet;
use portolan_core::{addr::Family, addr::Protocol, desired::NodePolicy};

use crate::{
    key::Key,
    names::{ChainName, DIRECT, SetName},
    rule::{
        Field, Rule, Statement,
        Statement::{
            In, Is, Jump, Lookup, Mark, Marked, Masquerade, New, NotIn, NotNew, Reject, RejectWithReset, Return,
            SourceOutside, Translate, Translated, Unmark,
        },
        VIP,
    },
    value::{Hook, HookKind, HookPoint, Value},
};

/// The mark that says "masquerade": kube-proxy's default bit 14, cleared again before the packet leaves, so that no
/// other program masquerades it twice.
pub(crate) const MASQUERADE: u32 = 1 << 14;

/// One behind kube-proxy's -100: whoever translates first wins, so a table of ours that was left behind loses to a
/// kube-proxy that is started later.
const DNAT_PRIORITY: i32 = -99;
/// NF_IP_PRI_NAT_SRC of linux/netfilter_ipv4.h, where kube-proxy masquerades too.
const SNAT_PRIORITY: i32 = 100;
/// Before every other firewall, so that a packet for nobody is answered rather than dropped by a policy.
const FILTER_PRIORITY: i32 = -110;
/// After `nat-output`, which must have had its chance to send the packet to an endpoint.
const FILTER_OUTPUT_PRIORITY: i32 = -90;

/// Elements that a set has room for at least. The kernel allocates and clears a hash table for them at once: for the
/// sets of both families 4 MB and 10 ms of the first sync, and of the repair after a flush, at this size; four times
/// that at 65,536. A cluster of up to 8,000 Services grows without a rebuild.
const MIN_SIZE: usize = 1 << 14;

/// All objects of the layout, for both families.
pub(crate) fn objects(policy: &NodePolicy, need: &dyn Fn(&Key) -> usize) -> Vec<(Key, Value)> {
    let mut objects = Vec::new();
    for family in Family::ALL {
        objects.push((Key::Table(family), Value::Table));
        for set in SetName::ALL {
            let key = Key::Set(family, set);
            let size = size_for(need(&key));
            objects.push((key, Value::Set { size }));
        }
        for chain in ChainName::BASE {
            let rules = rules(family, &chain, policy);
            objects.push((Key::Chain(family, chain.clone()), Value::Chain(hook(&chain))));
            objects.push((Key::Rules(family, chain), Value::Rules(rules)));
        }
    }
    objects
}

/// A power of two with room for twice what is needed: a set cannot be resized, and with a size the kernel uses a hash
/// table that never has to grow inside a transaction (0.65 us an element instead of up to 3).
fn size_for(need: usize) -> u32 {
    let size = need.saturating_mul(2).max(MIN_SIZE).checked_next_power_of_two().unwrap_or(usize::MAX);
    u32::try_from(size).unwrap_or(u32::MAX)
}

/// The chain that picks one of `count` endpoints of a large Service.
pub(crate) fn pick(family: Family, count: u32) -> [(Key, Value); 2] {
    let chain = ChainName::Pick(count);
    let rules = [rule([Translate(slot(count), SetName::Endpoints)])];
    [
        (Key::Chain(family, chain.clone()), Value::Chain(None)),
        (Key::Rules(family, chain), Value::Rules(Arc::new(rules))),
    ]
}

fn hook(chain: &ChainName) -> Option<Hook> {
    use HookKind::{Filter, Nat};
    let (kind, point, priority) = match chain {
        ChainName::NatPrerouting => (Nat, HookPoint::Prerouting, DNAT_PRIORITY),
        ChainName::NatOutput => (Nat, HookPoint::Output, DNAT_PRIORITY),
        ChainName::NatPostrouting => (Nat, HookPoint::Postrouting, SNAT_PRIORITY),
        ChainName::FilterInput => (Filter, HookPoint::Input, FILTER_PRIORITY),
        ChainName::FilterForward => (Filter, HookPoint::Forward, FILTER_PRIORITY),
        ChainName::FilterOutput => (Filter, HookPoint::Output, FILTER_OUTPUT_PRIORITY),
        ChainName::Pick(_) | ChainName::MasqueradeAlways | ChainName::Services | ChainName::Foreign(_) => return None,
    };
    Some(Hook { kind, point, priority })
}

fn rules(family: Family, chain: &ChainName, policy: &NodePolicy) -> Arc<[Rule]> {
    match chain {
        ChainName::MasqueradeAlways => vec![rule([Mark(MASQUERADE)])],
        ChainName::Services => services(*policy.pod_cidr.get(family)),
        ChainName::NatPrerouting | ChainName::NatOutput => vec![rule([Jump(ChainName::Services)])],
        ChainName::NatPostrouting => vec![
            rule([Translated, Marked(MASQUERADE), Unmark(MASQUERADE), Masquerade]),
            // A pod that is sent to itself would answer itself directly, and drop the answer.
            rule([Translated, In(vec![Field::Source, Field::Destination], SetName::Hairpin), Masquerade]),
        ],
        ChainName::FilterInput => vec![
            rule([New, Is(Protocol::Tcp), In(VIP.to_vec(), SetName::NoEndpoints), RejectWithReset]),
            rule([New, In(VIP.to_vec(), SetName::NoEndpoints), Reject]),
        ],
        ChainName::FilterForward | ChainName::FilterOutput => {
            let cluster_ip = || In(vec![Field::Destination], SetName::ClusterIps);
            vec![
                rule([NotNew, Return]),
                rule([Is(Protocol::Tcp), In(VIP.to_vec(), SetName::NoEndpoints), RejectWithReset]),
                commented("no such port", [Is(Protocol::Tcp), cluster_ip(), RejectWithReset]),
                rule([In(VIP.to_vec(), SetName::NoEndpoints), Reject]),
                commented("no such port", [cluster_ip(), Reject]),
            ]
        }
        ChainName::Pick(_) | ChainName::Foreign(_) => Vec::new(),
    }
    .into()
}

/// The way of a connection to its endpoint. The gate comes first, since most connections are for no Service; the
/// policies next, since they need the VIP; then one rule for each number of endpoints.
fn services(pod_cidr: Option<IpNet>) -> Vec<Rule> {
    let mut rules = vec![rule([NotIn(VIP.to_vec(), SetName::Services), Return])];
    if let Some(pods) = pod_cidr {
        rules.push(rule([In(vec![Field::Destination], SetName::ClusterIps), SourceOutside(pods), Mark(MASQUERADE)]));
    }
    rules.push(rule([Lookup(VIP.to_vec(), SetName::ServicePolicies)]));
    rules.push(rule([Translate(VIP.to_vec(), SetName::Direct(1))]));
    for count in 2..=DIRECT {
        rules.push(rule([Translate(slot(u32::from(count)), SetName::Direct(count))]));
    }
    rules.push(rule([Lookup(VIP.to_vec(), SetName::ServicesLarge)]));
    rules
}

fn slot(count: u32) -> Vec<Field> {
    VIP.into_iter().chain([Field::Random(count)]).collect()
}

fn rule<const N: usize>(statements: [Statement; N]) -> Rule {
    Rule { statements: Vec::from(statements), comment: None }
}

fn commented<const N: usize>(comment: &'static str, statements: [Statement; N]) -> Rule {
    Rule { comment: Some(comment), ..rule(statements) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_have_room_for_twice_what_is_needed() {
        for (need, size) in [(0, 16_384), (8_192, 16_384), (8_193, 32_768), (100_000, 262_144), (usize::MAX, u32::MAX)]
        {
            assert_eq!(size_for(need), size, "{need}");
        }
    }
}
