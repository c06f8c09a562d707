//! From Kubernetes objects to checked ones: the only place where foreign data is doubted.
//!
//! Reading never fails as a whole. What is bad is refused in the smallest unit (address before port before object) and
//! named in a [`Finding`]; the rest goes on. After this stage every name is bounded and printable, every port lies in
//! 1 to 65535, and every address can be reached.
//!
//! ```text
//!   JSON, YAML --serde--> ServiceObject, ... --service, slice, node, ...--> model::Service, Slice, Node, CIDRs
//!                         (any field may be wrong: field.rs)         |
//!                                                                    '--> Findings: Rejection or Warning
//! ```
//!
//! Not read on purpose, as in kube-proxy: `targetPort` (slices have the ports), topology annotations. Endpoints that
//! are neither ready nor serving while they end are never used, and dropped here.

mod check;
mod field;
mod finding;
mod node;
mod raw;
mod reference;
mod rejection;
mod service;
mod service_cidr;
mod settings;
mod slice;
#[cfg(test)]
mod tests;
mod version;
mod warning;

pub use finding::Finding;
pub use raw::{EndpointSliceObject, NodeObject, Object, ServiceCidrObject, ServiceObject};
pub use reference::{Kind, ObjectRef};
pub use rejection::{Rejection, RejectionReason, Unit};
pub use version::Version;
pub use warning::{Right, Warning, WarningReason};

pub(crate) use node::read_node;
pub(crate) use service::{depends_on_service_cidrs, read_service};
pub(crate) use service_cidr::read_service_cidr;
pub(crate) use slice::{ReadSlice, read_slice};

/// What reading an object gives: the object, unless it is refused or not for us, and what was found.
pub(crate) type Read<T> = (Option<T>, Vec<Finding>);
