//! What a packet to a Service must meet, as a program to be read beside the text of the specification.
//!
//! It answers one question, for one packet and the objects as they are now, with plain loops over plain lists:
//!
//! ```text
//!  World { Node, ProxyConfig, Services, Slices, ServiceCIDRs }   Packet
//!                    │                                             │
//!   services.rs  which ServicePorts exist, who claims ◄────────────┤
//!   endpoints.rs which endpoints a ServicePort may use             │
//!   node.rs      what is the node's own, a pod's, a NodePort's ◄───┤
//!                    │                                             │
//!                    └───────────────► verdict.rs ◄────────────────┘
//!                      Endpoints (masqueraded or not) │ Rejected │ Dropped │ Untouched
//! ```
//!
//! Nothing is remembered from one question to the next, so a world has one meaning, however it came to be. Nothing of
//! Portolan is used, so that the two can only agree by both being right. Each function names the promises that it states:
//! S4.2 is that of docs/specification.md.

mod addresses;
mod endpoints;
mod json;
mod node;
mod objects;
pub mod random;
mod services;
mod verdict;
mod world;

pub use objects::{
    AddressType, Endpoint, Family, Ingress, Labels, Node, NodeAddress, Policy, Port, Protocol, Service, ServiceCidr,
    ServiceType, Slice, SlicePort,
};
pub use verdict::{Verdict, verdict};
pub use world::{Change, Detector, Mode, NodePortAddresses, Object, Origin, Packet, ProxyConfig, Reference, World};
