//! Random histories, the same for the kernel in memory and for the real one.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use portolan_core::{
    addr::{Family, PerFamily, Protocol},
    desired::{DesiredPort, Endpoint, Frontend, FrontendKind, LocalDetector, NodePolicy, PortChange, PortId, Vip},
    model::TrafficPolicy,
    name::{ServiceName, ServicePortName},
    object::{Batch, Dialect, Op},
    testing::Seed,
};

use crate::{
    Key, Nft, Value,
    services::{companion::Sender, layout, places},
    table::lower,
};

/// A policy with a local detector for both families.
///
/// # Panics
/// Never: the prefixes are constants.
#[must_use]
#[expect(clippy::unwrap_used, reason = "constants")]
pub fn policy() -> NodePolicy {
    let pods = |cidr: &str| Some(LocalDetector::Cidr(cidr.parse().unwrap()));
    NodePolicy {
        detector: PerFamily { v4: pods("10.244.0.0/16"), v6: pods("fd00:10:244::/48") },
        service_cidrs: PerFamily { v4: vec!["10.0.0.0/16".parse().unwrap()], v6: Vec::new() },
        ..NodePolicy::default()
    }
}

/// ServicePort number `number` in a family, with so many endpoints; one in three has a NodePort too.
#[must_use]
pub fn port(number: u16, family: Family, endpoints: u16) -> DesiredPort {
    let service = ServiceName { namespace: "ns".into(), name: format!("svc-{number}").into() };
    let name = ServicePortName { service, port: "http".into(), protocol: Protocol::Tcp };
    let mut frontends = vec![frontend(address(family, 10, number), 80, FrontendKind::ClusterIp)];
    if number.is_multiple_of(3) {
        frontends.push(frontend(address(family, 192, 1), 30_000 + number, FrontendKind::NodePort));
    }
    let endpoint =
        |n: u16| Endpoint { addr: address(family, 11, number / 2 + n), port: 8080, local: n.is_multiple_of(2) };
    DesiredPort {
        name,
        family,
        frontends,
        endpoints: (0..endpoints).map(endpoint).collect(),
        local_endpoints: Vec::new(),
        affinity: None,
        scheduling: None,
        sources: Vec::new(),
        health_check_node_port: None,
    }
}

/// The same with what makes it special: session affinity, traffic policy `Local`, a load-balancer address with source
/// ranges; each or none of it.
fn special_port(seed: &mut Seed, number: u16, family: Family, endpoints: u16) -> DesiredPort {
    let mut port = port(number, family, endpoints);
    if seed.one_in(3) {
        port.frontends.push(Frontend {
            restricted: true,
            ..frontend(address(family, 203, number), 80, FrontendKind::LoadBalancerIp)
        });
        port.sources = (0..seed.below(3)).map(|n| address(family, 198, u16::try_from(n).unwrap_or(0)).into()).collect();
    }
    if seed.one_in(3) {
        port.affinity = Some(10_800);
    }
    if seed.one_in(3) {
        port.frontends.iter_mut().for_each(|frontend| frontend.policy = TrafficPolicy::Local);
        port.local_endpoints = port.endpoints.iter().copied().filter(|endpoint| endpoint.local).collect();
    }
    port
}

const fn frontend(addr: IpAddr, port: u16, kind: FrontendKind) -> Frontend {
    let vip = Vip { addr, protocol: Protocol::Tcp, port };
    Frontend { vip, kind, policy: TrafficPolicy::Cluster, restricted: false }
}

/// A change to a random one of few ServicePorts, so that changes meet.
pub fn random_change(seed: &mut Seed) -> PortChange {
    let number = u16::try_from(seed.below(12)).unwrap_or_default();
    let family = if seed.one_in(2) { Family::V4 } else { Family::V6 };
    let endpoints = u16::try_from(seed.below(8)).unwrap_or_default();
    let desired = special_port(seed, number, family, endpoints);
    let id = PortId { name: desired.name.clone().into(), family };
    PortChange { id, desired: (!seed.one_in(4)).then_some(desired), loopback: None }
}

/// A batch of operations that may or may not be what the kernel allows now. Most fit what is there, so that histories go
/// far; one in eight is anything: objects are added that are there or whose container is not, and removed though others
/// need them or though they are gone.
///
/// Left out are operations on rules that do not fit what is there: rules have no key in the kernel, so it takes them. And
/// no object is replaced twice in a batch, which no plan does: elements that are replaced one after the other are sent as
/// one message that deletes them and one that adds them, and the kernel refuses to delete one twice (ENOENT).
pub fn random_batch(seed: &mut Seed, present: &BTreeMap<Key, Value>) -> Batch<Nft> {
    let universe = universe(seed);
    let mut present = present.clone();
    let mut ops = Vec::new();
    let length = 1 + seed.below(6);
    while ops.len() < length {
        let Some(op) = random_op(seed, &universe, &present) else { continue };
        let replaces = |other: &Op<Nft>| matches!(other, Op::Replace(key, ..) if key == op.key());
        if replaces(&op) && ops.iter().any(replaces) {
            continue;
        }
        // Removing a container empties chains as well, so what is known of rules ends here.
        let ends = matches!(&op, Op::Remove(Key::Table(_) | Key::Chain(..), _));
        match &op {
            Op::Remove(key, _) | Op::Rebuild(key) => drop(present.remove(key)),
            Op::Add(key, value) | Op::Replace(key, value, _) => drop(present.insert(key.clone(), value.clone())),
        }
        ops.push(op);
        if ends {
            break;
        }
    }
    Batch { ops }
}

fn random_op(seed: &mut Seed, universe: &[(Key, Value)], present: &BTreeMap<Key, Value>) -> Option<Op<Nft>> {
    let (key, value) = seed.pick(universe)?.clone();
    let is_rules = matches!(key, Key::Rules(..));
    let there = present.contains_key(&key);
    let mut fits = Nft::parent(&key).is_none_or(|container| present.contains_key(&container));
    Nft::references(&key, &value, &mut |named| fits &= present.contains_key(&named));
    let anything = !is_rules && seed.one_in(8);
    match seed.below(4) {
        0 | 1 if anything || !there && fits => Some(Op::Add(key, value)),
        2 if there && Nft::replaceable(&key) && (anything || fits) => {
            Some(Op::Replace(key, value.clone(), Box::new(value)))
        }
        3 if anything || there => Some(Op::Remove(key, value)),
        _ => None,
    }
}

/// Whether what one kernel holds is what the other holds.
#[must_use]
pub fn agree(memory: &BTreeMap<Key, Value>, live: &[(Key, Value)]) -> bool {
    let live: BTreeMap<_, _> = live.iter().cloned().collect();
    memory.len() == live.len()
        && memory.iter().zip(&live).all(|((key, value), (live_key, live))| {
            key == live_key
                && match (live, value) {
                    (Value::LiveRules(live), Value::Rules(rules)) => lower::is_same(key.family(), live, rules),
                    (live, value) => live == value,
                }
        })
}

/// The same with the endpoints of each frontend in the order of their addresses: places are the kernel's, so two
/// Portolans with different pasts agree on all else. No endpoint is left out or counted twice by this.
#[must_use]
pub fn in_order(objects: &BTreeMap<Key, Value>) -> BTreeMap<Key, Value> {
    let mut objects: Vec<_> = objects.clone().into_iter().collect();
    for frontend in objects.chunk_by_mut(|(one, _), (other, _)| places::are_places_of_one(one, other)) {
        let mut values: Vec<_> = frontend.iter().map(|(_, value)| value.clone()).collect();
        values.sort_by_key(|value| format!("{value:?}"));
        frontend.iter_mut().zip(values).for_each(|((_, place), value)| *place = value);
    }
    objects.into_iter().collect()
}

/// [`agree`] where only the places of endpoints may differ.
#[must_use]
pub fn agree_but_for_places(wanted: &BTreeMap<Key, Value>, live: &[(Key, Value)]) -> bool {
    let live: Vec<_> = in_order(&live.iter().cloned().collect()).into_iter().collect();
    agree(&in_order(wanted), &live)
}

/// The whole layout with sets of four elements, and the objects of some ServicePorts: containers a little oftener than
/// their number says, since everything hangs on them.
fn universe(seed: &mut Seed) -> Vec<(Key, Value)> {
    let mut objects = layout::objects(&policy(), Sender::Rules, &|_| 0);
    objects.retain(|(key, _)| key.family() == Family::V4);
    for (_, value) in &mut objects {
        if let Value::Set { size: Some(size), .. } = value {
            *size = 4;
        }
    }
    let containers = objects.clone();
    for number in 0..4 {
        let endpoints = u16::try_from(seed.below(7)).unwrap_or_default();
        Nft.render(&policy(), &special_port(seed, number, Family::V4, endpoints), &mut objects);
    }
    objects.extend(containers.into_iter().filter(|(key, _)| !matches!(key, Key::Rules(..))));
    objects
}

fn address(family: Family, net: u8, number: u16) -> IpAddr {
    let [high, low] = number.to_be_bytes();
    match family {
        Family::V4 => Ipv4Addr::new(net, 0, high, low).into(),
        Family::V6 => Ipv6Addr::new(0xfd00, net.into(), 0, 0, 0, 0, 0, number).into(),
    }
}
