//! The cluster as this node has to know it: checked, compact, and updated one object at a time.
//!
//! ```text
//!   Object --apply, delete--> Cluster                          take_changes --> PortChange, PortChange, ...
//!                             | services: Service + its slices       ^          (only what may have changed)
//!                             | vips: who claims which VIP           |
//!                             | node: addresses for NodePorts        |
//!                             '--------> dirty ServicePorts ---------'
//! ```
//!
//! A change marks the ServicePorts that it can touch; only those are decided anew ([`crate::desired`]), so the cost of
//! a change does not grow with the cluster. Where two Services claim one VIP, `vips` knows all of them.

mod changes;
mod claims;
mod cluster;
mod config;
mod conflict;
mod counts;
mod endpoints;
mod flows;
mod health;
mod listed;
mod names;
mod node;
mod notes;
mod service;
mod slice;
#[cfg(test)]
mod tests;
mod vips;

pub use cluster::Cluster;
pub use config::{AtLoopback, DetectLocal, NodeConfig, NodePortAddresses};
pub use counts::Counts;
pub use endpoints::Lists;
pub use flows::{Flow, Touched};
pub use health::HealthCheck;
pub use node::{Node, NodeAddress, NodeAddressKind};
pub use notes::NodeNote;
pub use service::{Created, Service, ServicePort, TrafficPolicy, Uid};

pub(crate) use names::Names;
pub(crate) use slice::{EndpointState, Hints, NodeHint, Slice, SliceEndpoint, SlicePort};
