//! Small nasty worlds, histories of changes, and the packets that are worth asking about.
//!
//! Everything is chosen from a handful of names, addresses and ports, so that Services conflict, slices name the same
//! endpoints, frontends are also the node's addresses, and about one text in eight is one that must be refused.
//!
//! ```text
//!  world()   ── a node, a configuration and the first objects ──► World
//!  history() ── objects that come, change and go ──► Change, Change, ...
//!  packets() ── every frontend × port with its protocol × client of one World ──► Packet, Packet, ...
//! ```
//!
//! The API server refuses two of one thing inside a Service (port name, port and protocol, nodePort and protocol), and
//! so do the generators; between Services nothing is unique.

mod configuration;
mod packets;
mod pool;
mod services;
mod slices;

use proptest::collection::vec;
use proptest::prelude::*;

pub use packets::packets;

use crate::objects::ServiceCidr;
use crate::world::{Change, Object, Reference, World};

/// A world as it may be when a proxy starts.
pub fn world() -> impl Strategy<Value = World> {
    let objects = (vec(services::service(), 0..10), vec(slices::slice(), 0..30), vec(service_cidr(), 0..=2));
    (configuration::node(), configuration::proxy(), objects).prop_map(|(node, proxy, (services, slices, cidrs))| {
        let mut world = World { node, proxy, services: Vec::new(), slices: Vec::new(), service_cidrs: Vec::new() };
        let services = services.into_iter().map(Object::Service);
        let slices = slices.into_iter().map(Object::Slice);
        let cidrs = cidrs.into_iter().map(Object::ServiceCidr);
        services.chain(slices).chain(cidrs).for_each(|object| world.apply(Change::Apply(object)));
        world
    })
}

/// Changes that a proxy may see, in their order. What is deleted may be there or not.
pub fn history() -> impl Strategy<Value = Vec<Change>> {
    vec(prop_oneof![3 => apply(), 1 => delete()], 1..10)
}

fn apply() -> impl Strategy<Value = Change> {
    let object = prop_oneof![
        6 => services::service().prop_map(Object::Service),
        10 => slices::slice().prop_map(Object::Slice),
        4 => configuration::node().prop_map(Object::Node),
        1 => service_cidr().prop_map(Object::ServiceCidr),
    ];
    object.prop_map(Change::Apply)
}

fn delete() -> impl Strategy<Value = Change> {
    let reference = prop_oneof![
        3 => (pool::namespace(), pool::service()).prop_map(|(namespace, name)| Reference::Service(namespace, name)),
        4 => (pool::namespace(), pool::text(pool::SLICES)).prop_map(|(namespace, name)| Reference::Slice(namespace, name)),
        1 => pool::text(pool::SERVICE_CIDR_NAMES).prop_map(Reference::ServiceCidr),
    ];
    reference.prop_map(Change::Delete)
}

fn service_cidr() -> impl Strategy<Value = ServiceCidr> {
    (pool::text(pool::SERVICE_CIDR_NAMES), pool::some_cidrs(pool::SERVICE_CIDRS))
        .prop_filter("the API requires a CIDR", |(_, cidrs)| !cidrs.is_empty())
        .prop_map(|(name, cidrs)| ServiceCidr { name, cidrs })
}
