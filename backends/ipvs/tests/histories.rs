//! The sync engine with the vocabulary of ipvs mode, on kernels in memory: whatever goes wrong on the way, the end is what a fresh
//! start programs, and no connection is cut. And what is rendered of which ServicePort.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use std::collections::{BTreeMap, BTreeSet};

use portolan_core::{
    addr::Family,
    desired::{DesiredPort, NodePolicy, PortChange, PortId, Scheduler},
    model::TrafficPolicy,
    object::{Cause, Dialect as _, Moment, Syncer},
    testing::{Faults, Manner, MemoryKernel, Seed, Unit},
};
use portolan_ipvs::{Ipvs, Key, Value};
use portolan_nftables as nft;
use portolan_nftables::testing::{policy, port, random_change};

type Kernel = MemoryKernel<Ipvs>;
type Objects = BTreeMap<Key, Value>;

fn change(desired: &DesiredPort) -> PortChange {
    let id = PortId { name: desired.name.clone().into(), family: desired.family };
    PortChange { id, desired: Some(desired.clone()), loopback: None }
}

fn fresh<'a>(policy: &NodePolicy, changes: impl Iterator<Item = &'a PortChange>) -> Objects {
    let mut syncer = Syncer::new(Kernel::new());
    syncer.set_policy(policy);
    changes.for_each(|change| syncer.update(change));
    syncer.sync().unwrap();
    syncer.backend().objects().clone()
}

/// Without what may be one way or another: places of endpoints, sizes of sets.
fn in_order(objects: &Objects) -> (Objects, BTreeMap<nft::Key, nft::Value>) {
    let (mut own, mut beside) = (Objects::new(), BTreeMap::new());
    for (key, value) in objects.clone() {
        match (key, value) {
            (Key::Beside(key), Value::Beside(value)) => drop(beside.insert(key, value)),
            (key, value) => drop(own.insert(key, value)),
        }
    }
    let mut beside = nft::testing::in_order(&beside);
    for value in beside.values_mut() {
        if let nft::Value::Set { size: Some(size), .. } = value {
            *size = 0;
        }
    }
    (own, beside)
}

#[test]
fn whatever_goes_wrong_the_end_is_the_same_and_no_connection_is_cut() {
    // An address names an element of a table, which is another root.
    for manner in Manner::all().filter(|manner| manner.unit != Unit::Root) {
        for number in 0..60 {
            history(manner, number);
        }
    }
}

fn history(manner: Manner, number: u64) {
    let mut seed = Seed::new(number);
    let edit = if number.is_multiple_of(2) { 6 } else { 0 };
    let faults = Faults { forget: 6, edit, lose_notification: 3, hold_on: 2 };
    let mut syncer = Syncer::new(Kernel::with_faults(manner, faults, number));
    let mut policy = policy();
    syncer.set_policy(&policy);
    let mut wanted: BTreeMap<PortId, PortChange> = BTreeMap::new();
    let mut now = 0;
    for _ in 0..40 {
        let mut change = random_change(&mut seed);
        if let Some(port) = change.desired.as_mut().filter(|_| seed.one_in(3)) {
            port.scheduling = Some((*seed.pick(&Scheduler::ALL).unwrap()).into());
        }
        syncer.update(&change);
        wanted.insert(change.id.clone(), change);
        if seed.one_in(10) {
            policy.scheduler = *seed.pick(&Scheduler::ALL).unwrap();
            if syncer.set_policy(&policy) {
                wanted.values().for_each(|change| syncer.update(change));
            }
        }
        now += 1;
        // May fail for now: others edit faster than we write.
        let _ = match seed.below(6) {
            0..3 => syncer.sync(),
            3 => syncer.drain(Moment::default() + std::time::Duration::from_secs(now)),
            4 => syncer.resync(),
            _ => continue,
        };
    }
    let told = format!("seed {number}, {manner:?}");
    syncer.backend_mut().behave();
    syncer.resync().unwrap();
    while syncer.due().is_some() {
        now += 2;
        syncer.drain(Moment::default() + std::time::Duration::from_secs(now)).unwrap();
    }
    syncer.look_again();
    syncer.resync().unwrap();
    assert_eq!(syncer.resync().unwrap().operations, 0, "{told}");
    let (live, wanted) = (in_order(syncer.backend().objects()), in_order(&fresh(&policy, wanted.values())));
    assert_eq!(live, wanted, "{told}");
    assert_eq!(syncer.backend().cut(), [], "{told}");
}

#[test]
fn a_service_port_has_one_virtual_server_and_that_is_at_its_cluster_ip() {
    let port = port(3, Family::V4, 2);
    let rendered = |port: &DesiredPort| {
        let mut objects = Vec::new();
        Ipvs.render(&policy(), port, &mut objects);
        let names = objects.iter().filter(|(key, _)| !matches!(key, Key::Beside(_)));
        names.map(|(key, _)| key.to_string()).collect::<BTreeSet<_>>()
    };
    // It has a NodePort, too.
    let served = rendered(&port);
    assert_eq!(
        Vec::from_iter(&served),
        [
            "address 10.0.0.3 of link kube-ipvs0",
            "destination 11.0.0.1:8080 of virtual server 10.0.0.3:80/tcp",
            "destination 11.0.0.2:8080 of virtual server 10.0.0.3:80/tcp",
            "virtual server 10.0.0.3:80/tcp",
        ]
    );
    let address_alone = ["address 10.0.0.3 of link kube-ipvs0".to_owned()];
    assert_eq!(Vec::from_iter(rendered(&DesiredPort { endpoints: Vec::new(), ..port.clone() })), address_alone);
    let mut local = port;
    local.frontends.iter_mut().for_each(|frontend| frontend.policy = TrafficPolicy::Local);
    assert_eq!(Vec::from_iter(rendered(&local)), address_alone, "there is no local endpoint");
    local.local_endpoints = local.endpoints.get(1..).unwrap().to_vec();
    assert_eq!(rendered(&local).len(), 3);
}

#[test]
fn a_service_has_its_own_scheduler_or_the_nodes() {
    let scheduled = |scheduling: Option<&str>| {
        let scheduling = scheduling.map(|text| text.parse().unwrap());
        let mut objects = Vec::new();
        let policy = NodePolicy { scheduler: Scheduler::LeastConnection, ..policy() };
        Ipvs.render(&policy, &DesiredPort { scheduling, ..port(1, Family::V4, 2) }, &mut objects);
        let servers = objects.into_iter().filter_map(|(_, value)| match value {
            Value::Server(server) => Some(server.scheduling.to_string()),
            _ => None,
        });
        servers.collect::<Vec<_>>()
    };
    assert_eq!(scheduled(None), ["lc"]);
    assert_eq!(scheduled(Some("sh,sh-port")), ["sh,sh-fallback,sh-port"]);
}

#[test]
fn a_service_whose_scheduler_the_kernel_lacks_is_set_aside_alone() {
    let with = |number, scheduler: Option<Scheduler>| {
        change(&DesiredPort { scheduling: scheduler.map(Into::into), ..port(number, Family::V4, 2) })
    };
    let server = |number| Key::Server(port(number, Family::V4, 2).frontends[0].vip);
    let manner = Manner { unit: Unit::Operation, tells: false, names: true };
    let mut syncer = Syncer::new(Kernel::with_faults(manner, Faults::default(), 0));
    syncer.set_policy(&policy());
    [with(1, None), with(2, None)].iter().for_each(|change| syncer.update(change));
    syncer.sync().unwrap();

    syncer
        .backend_mut()
        .lack(|value| matches!(value, Value::Server(of) if of.scheduling.scheduler() == Scheduler::Maglev));
    let (maglev, hashing) = (Some(Scheduler::Maglev), Some(Scheduler::SourceHashing));
    // The second was served, the third is new.
    let changed = [with(1, hashing), with(2, maglev), with(4, maglev), with(5, hashing)];
    changed.iter().for_each(|change| syncer.update(change));
    let quarantined = syncer.sync().unwrap().quarantined;
    let told: Vec<_> = quarantined.iter().map(|set_aside| (&set_aside.port, &set_aside.cause)).collect();
    let cause = Cause::Other("refused by the test".to_owned());
    assert_eq!(told, [(&changed[1].id, &cause), (&changed[2].id, &cause)]);
    let held = syncer.backend().objects();
    let schedulers = [1, 2, 4, 5].map(|number| match held.get(&server(number)) {
        Some(Value::Server(server)) => server.scheduling.to_string(),
        other => format!("{other:?}"),
    });
    assert_eq!(schedulers, ["sh,sh-fallback", "rr", "None", "sh,sh-fallback"]);

    syncer.backend_mut().accept_all();
    assert_eq!(syncer.resync().unwrap().quarantined, []);
    assert_eq!(in_order(syncer.backend().objects()), in_order(&fresh(&policy(), changed.iter())));
}

#[test]
fn a_tcp_destination_is_retired_and_one_of_udp_removed() {
    let mut syncer = Syncer::new(Kernel::new());
    syncer.set_policy(&policy());
    let two = port(1, Family::V4, 2);
    syncer.update(&change(&two));
    syncer.sync().unwrap();
    let (gone, stays) = (two.endpoints[0], two.endpoints[1]);
    syncer.update(&change(&DesiredPort { endpoints: vec![stays], ..two.clone() }));
    syncer.sync().unwrap();
    let vip = two.frontends[0].vip;
    let key = |endpoint: portolan_core::desired::Endpoint| {
        Key::Destination(vip, std::net::SocketAddr::new(endpoint.addr, endpoint.port))
    };
    assert_eq!(syncer.backend().objects().get(&key(gone)), Some(&Value::Destination { weight: 0 }));
    syncer.update(&change(&two));
    syncer.sync().unwrap();
    assert_eq!(syncer.backend().objects().get(&key(gone)), Some(&Value::Destination { weight: 1 }), "it is back");
    syncer.update(&PortChange { desired: None, ..change(&two) });
    syncer.sync().unwrap();
    let held = syncer.backend().objects();
    assert!(held.contains_key(&Key::Server(vip)) && held.contains_key(&Key::Address(vip.addr)), "{held:#?}");
    assert!(syncer.due().is_some());
}

/// As long as connections go on at it.
#[test]
fn a_destination_drains_for_15_minutes_at_most_and_takes_server_and_address_with_it() {
    let full = Faults { hold_on: 1, ..Faults::default() };
    let mut syncer = Syncer::new(Kernel::with_faults(Manner::TRANSACTION, full, 1));
    syncer.set_policy(&policy());
    let gone = port(1, Family::V4, 1);
    let (vip, endpoint) = (gone.frontends[0].vip, gone.endpoints[0]);
    let destination = Key::Destination(vip, std::net::SocketAddr::new(endpoint.addr, endpoint.port));
    syncer.update(&change(&gone));
    syncer.sync().unwrap();
    syncer.update(&PortChange { desired: None, ..change(&gone) });
    syncer.sync().unwrap();
    let at = |seconds| Moment::after(std::time::Duration::from_secs(seconds));
    for now in [10, 12, 909] {
        syncer.drain(at(now)).unwrap();
        let held = syncer.backend().objects();
        for key in [&destination, &Key::Server(vip), &Key::Address(vip.addr)] {
            assert!(held.contains_key(key), "{key} after {now} s");
        }
    }
    assert_eq!(syncer.due(), Some(at(910)), "nobody asks any more whether it is empty, since its time is over then");
    syncer.drain(at(910)).unwrap();
    assert_eq!(syncer.backend().objects(), &fresh(&policy(), std::iter::empty()));
    assert_eq!(syncer.due(), None);
}
