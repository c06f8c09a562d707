//! The engine on a dialect of its own, [`Servers`], whose destinations drain; what needs no dialect but any one is tested
//! with that of nftables.
//!
//! | module | what |
//! | --- | --- |
//! | `containers` | which of them a sync has to look at |
//! | `draining` | destinations that are retired, drain and go |
//! | `halving` | who is refused is found where the kernel does not say |
//! | `histories` | whatever goes wrong, the end is the same |

mod containers;
mod draining;
mod halving;
mod histories;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use super::{Moment, Syncer};
use crate::{
    addr::{Family, Protocol},
    desired::{DesiredPort, Endpoint, Frontend, FrontendKind, NodePolicy, PortChange, PortId, Vip},
    model::TrafficPolicy,
    name::{ServiceName, ServicePortName},
    testing::{Faults, Manner, MemoryKernel, ServerKey, ServerValue, Servers},
};

type Kernel = MemoryKernel<Servers>;
type Objects = BTreeMap<ServerKey, ServerValue>;

/// ServicePort number `number` with these endpoints. Two of them share an address.
fn port(number: u8, protocol: Protocol, endpoints: &[u8]) -> DesiredPort {
    let service = ServiceName { namespace: "ns".into(), name: format!("svc-{number}").into() };
    let endpoint = |number: &u8| Endpoint { addr: ip(11, *number), port: 8080, local: false };
    DesiredPort {
        name: ServicePortName { service, port: "http".into(), protocol },
        family: Family::V4,
        frontends: vec![Frontend {
            vip: Vip { addr: ip(10, number / 2), protocol, port: 80 + u16::from(number % 2) },
            kind: FrontendKind::ClusterIp,
            policy: TrafficPolicy::Cluster,
            restricted: false,
        }],
        endpoints: endpoints.iter().map(endpoint).collect(),
        local_endpoints: Vec::new(),
        affinity: None,
        scheduling: None,
        sources: Vec::new(),
        health_check_node_port: None,
    }
}

fn ip(net: u8, number: u8) -> IpAddr {
    Ipv4Addr::new(net, 0, 0, number).into()
}

fn id(port: &DesiredPort) -> PortId {
    PortId { name: Arc::new(port.name.clone()), family: port.family }
}

fn change(port: &DesiredPort) -> PortChange {
    PortChange { id: id(port), desired: Some(port.clone()), loopback: None }
}

fn gone(port: &DesiredPort) -> PortChange {
    PortChange { id: id(port), desired: None, loopback: None }
}

fn server(port: &DesiredPort) -> ServerKey {
    ServerKey::Server(port.frontends[0].vip)
}

fn address(port: &DesiredPort) -> ServerKey {
    ServerKey::Address(port.frontends[0].vip.addr)
}

fn destination(port: &DesiredPort, endpoint: u8) -> ServerKey {
    ServerKey::Destination(port.frontends[0].vip, (ip(11, endpoint), 8080).into())
}

const fn weight(weight: u32) -> ServerValue {
    ServerValue::Destination { weight }
}

/// So many seconds after the beginning.
const fn at(seconds: u64) -> Moment {
    Moment::after(Duration::from_secs(seconds))
}

/// What a fresh start programs for these ServicePorts.
fn fresh<'p>(policy: &NodePolicy, ports: impl IntoIterator<Item = &'p DesiredPort>) -> Objects {
    let mut syncer = Syncer::new(Kernel::new());
    syncer.set_policy(policy);
    ports.into_iter().for_each(|port| syncer.update(&change(port)));
    syncer.sync().unwrap();
    syncer.backend().objects().clone()
}

/// A kernel that holds these.
fn holding(objects: &Objects, manner: Manner, faults: Faults) -> Kernel {
    let mut kernel = Kernel::with_faults(manner, faults, 1);
    kernel.edit(|held| held.clone_from(objects));
    kernel
}
