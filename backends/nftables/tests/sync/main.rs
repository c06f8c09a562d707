//! The sync engine on the kernel in memory: what is sent for a change, what happens when the kernel refuses, forgets or
//! is changed by others.
//!
//! | module | what |
//! | --- | --- |
//! | `changes` | what is sent, and in which order |
//! | `refusals` | what the kernel does not take |
//! | `room` | sets that are full |
//! | `places` | which number endpoints have |
//! | `others` | what other programs do in our tables |
//! | `turns` | syncs that give way, and what goes in first then |

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what is wrong by failing"
)]

mod changes;
mod others;
mod places;
mod refusals;
mod room;
mod turns;

use std::collections::BTreeMap;

use portolan_core::{
    addr::Family,
    desired::{DesiredPort, PortChange, PortId},
    model::TrafficPolicy,
    object::{
        ApplyError, Backend, Cause, Dataplane, Dialect, Difference, Limits, Op, Plan, Rank, SyncError, SyncReport,
        Syncer, Unclaimed,
    },
    testing::{Faults, Manner, MemoryKernel, Seed, Unit},
};
use portolan_nftables::{
    ChainName, Data, ElementKey, Key, Nft, Scope, SetName, Value,
    testing::{in_order, policy, port, random_change},
};

type Kernel = MemoryKernel<Nft>;

fn syncer(kernel: Kernel) -> Syncer<Kernel> {
    let mut syncer = Syncer::new(kernel);
    syncer.set_policy(&policy());
    syncer
}

fn change(desired: DesiredPort) -> PortChange {
    PortChange { id: id(&desired), desired: Some(desired), loopback: None }
}

fn id(desired: &DesiredPort) -> PortId {
    PortId { name: desired.name.clone().into(), family: desired.family }
}

fn gone(desired: &DesiredPort) -> PortChange {
    PortChange { id: id(desired), desired: None, loopback: None }
}

/// What a fresh start would program for these ServicePorts.
fn fresh(ports: &BTreeMap<PortId, DesiredPort>) -> BTreeMap<Key, Value> {
    let mut syncer = syncer(Kernel::new());
    ports.values().cloned().for_each(|port| syncer.update(&change(port)));
    syncer.sync().unwrap();
    syncer.backend().objects().clone()
}

/// In what they differ, but for the places of endpoints, and for sets that were made for more elements.
fn differences(live: &BTreeMap<Key, Value>, wanted: &BTreeMap<Key, Value>) -> Vec<String> {
    let (live, wanted) = (without_sizes(&in_order(live)), without_sizes(&in_order(wanted)));
    let keys: std::collections::BTreeSet<_> = live.keys().chain(wanted.keys()).collect();
    let differ = keys.into_iter().filter(|key| live.get(key) != wanted.get(key));
    differ.map(|key| format!("{key}: {:?} instead of {:?}", live.get(key), wanted.get(key))).collect()
}

fn without_sizes(objects: &BTreeMap<Key, Value>) -> BTreeMap<Key, Value> {
    let same_size = |value: &Value| match value {
        Value::Set { size, counts } => Value::Set { size: size.map(|_| 0), counts: *counts },
        value => value.clone(),
    };
    objects.iter().map(|(key, value)| (key.clone(), same_size(value))).collect()
}

/// A `pick` chain that nobody needs any more may stay.
fn without_unused_picks(objects: &BTreeMap<Key, Value>) -> BTreeMap<Key, Value> {
    let used = |key: &Key, chain: &ChainName| {
        objects.iter().any(|(element, value)| {
            element.family() == key.family()
                && matches!(value, Value::Element(Data::Goto(to) | Data::Jump(to), _) if to == chain)
        })
    };
    objects
        .iter()
        .filter(|(key, _)| match key {
            Key::Chain(_, chain @ (ChainName::Pick(..) | ChainName::PickLocal(..)))
            | Key::Rules(_, chain @ (ChainName::Pick(..) | ChainName::PickLocal(..))) => used(key, chain),
            _ => true,
        })
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// Whether a packet that has passed the gate finds an endpoint.
fn leads_somewhere(objects: &BTreeMap<Key, Value>, family: Family, vip: ElementKey) -> bool {
    let in_set = |set| {
        objects.keys().any(|key| {
            matches!(key, Key::Element(of, in_set, element)
                if *of == family && *in_set == set && element.as_slice().starts_with(vip.as_slice()))
        })
    };
    (1..=4).any(|count| in_set(SetName::Direct(count)))
        || in_set(SetName::Large(Scope::Vip)) && in_set(SetName::Endpoints(Scope::Vip))
        || in_set(SetName::NoLocalEndpoints(Scope::Vip))
        || in_set(SetName::Restricted)
}
