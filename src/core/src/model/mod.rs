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
mod conflict;
mod names;
mod node;
mod node_ports;
mod service;
mod slice;
#[cfg(test)]
mod tests;
mod vips;

pub use cluster::Cluster;
pub use node::{Node, NodeAddress, NodeAddressKind, NodeConfig, NodePortAddresses};
pub use node_ports::NodePortNote;
pub use service::{Created, Service, ServicePort};

pub(crate) use names::Names;
pub(crate) use slice::{Slice, SliceEndpoint, SlicePort};
