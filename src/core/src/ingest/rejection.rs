//! What was refused, and why: a bad object is data, not an error. It is refused in the smallest unit, and the refusal
//! says in one line which object and field, which value, the rule, what still works and what to do.

use std::fmt;

use super::reference::ObjectRef;
use crate::{
    addr::{Family, SpecialAddress},
    desired::BadScheduling,
};

/// A part of an object that is not served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Whose part.
    pub object: ObjectRef,
    /// The field's path in the object: `spec.ports[1].nodePort`.
    pub field: String,
    /// The value, escaped and bounded; empty where there is none.
    pub value: String,
    /// The rule that the value breaks.
    pub reason: RejectionReason,
    /// What is left out because of it.
    pub unit: Unit,
}

impl Rejection {
    /// What to do about it.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self.reason {
            RejectionReason::Missing => "set it",
            RejectionReason::NoClusterIp => "set it, to None for a headless Service",
            RejectionReason::SameName => "give each port a name of its own",
            RejectionReason::SamePort => "give each port a number or protocol of its own",
            RejectionReason::SecondOfFamily { .. } => "leave one cluster IP for each family",
            // People write the rest of an object; the status is written by programs.
            _ if self.field.starts_with("status.loadBalancer") => "correct the load balancer's controller",
            _ => "correct it",
        }
    }
}

/// One line: object, field, value, rule, what still works, what to do.
impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::finding::line(f, (&self.object, &self.field, &self.value), &self.reason, &self.unit, self.advice())
    }
}

/// The rule that a refused value breaks. The text follows the field and its value: "`spec.type` = `x` is not ...".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RejectionReason {
    /// A field without which the part cannot be served.
    #[error("is missing")]
    Missing,
    /// A Service without a cluster IP that is not headless: the API server has not given it one, or a manifest
    /// leaves it out.
    #[error("is missing")]
    NoClusterIp,
    /// A wrong type, or a value that the field cannot have.
    #[error("is not {expected}")]
    Not {
        /// What it should be, with its article.
        expected: &'static str,
    },
    /// Not of the form that names of namespaces, Services and ports have.
    #[error("is not a DNS label (1 to 63 of a-z, 0-9 and '-', which is neither first nor last)")]
    NotALabel,
    /// Not of the form that names of slices and Nodes have.
    #[error("is not a DNS subdomain (1 to 253 of a-z, 0-9, '-' and '.', which begins and ends with a letter or digit)")]
    NotASubdomain,
    /// Not of the form that values of labels have.
    #[error("is not a label's value (1 to 63 of letters, digits, '-', '_' and '.', a letter or digit first and last)")]
    NotALabelValue,
    /// Text that is no address.
    #[error("is not an IP address")]
    NotAnAddress,
    /// Text that is no CIDR.
    #[error("is not a CIDR (an address, '/' and the length of a prefix)")]
    NotACidr,
    /// A CIDR of all addresses where a part of them is meant.
    #[error("is every address of its family")]
    EveryAddress,
    /// An address that cannot be reached as the others are.
    #[error("is {0}, which can be neither a frontend nor an endpoint")]
    Special(SpecialAddress),
    /// An address of the other family than the object says.
    #[error("is not an {expected} address, as the object says")]
    WrongFamily {
        /// The family that the object says.
        expected: Family,
    },
    /// One family has two cluster IPs.
    #[error("is a second {family} cluster IP")]
    SecondOfFamily {
        /// The family.
        family: Family,
    },
    /// Two ports of a Service with one name.
    #[error("is the name of an earlier port too")]
    SameName,
    /// Two ports of a Service with one number and protocol.
    #[error("is the number of an earlier port of the same protocol too")]
    SamePort,
    /// How virtual servers are to pick an endpoint.
    #[error(transparent)]
    Scheduling(#[from] BadScheduling),
}

impl RejectionReason {
    /// The rule as one word, for metrics.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Missing => "Missing",
            Self::NoClusterIp => "NoClusterIP",
            Self::Not { .. } => "WrongValue",
            Self::NotALabel => "NotALabel",
            Self::NotASubdomain => "NotASubdomain",
            Self::NotALabelValue => "NotALabelValue",
            Self::NotAnAddress => "NotAnAddress",
            Self::NotACidr => "NotACIDR",
            Self::EveryAddress => "EveryAddress",
            Self::Special(_) => "SpecialAddress",
            Self::WrongFamily { .. } => "WrongFamily",
            Self::SecondOfFamily { .. } => "SecondOfFamily",
            Self::SameName => "SameName",
            Self::SamePort => "SamePort",
            Self::Scheduling(BadScheduling::NoSuchScheduler) => "NoSuchScheduler",
            Self::Scheduling(BadScheduling::NoSuchFlag) => "NoSuchSchedulerFlag",
        }
    }
}

/// What is left out because of a bad value: the smallest part that cannot be served without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// One address of an object.
    Address,
    /// One of a Service's two cluster IPs, and with it the Service in that family.
    ClusterIp,
    /// All external IPs of a Service.
    ExternalIps,
    /// All load-balancer addresses of a Service.
    LoadBalancer,
    /// The NodePort of a Service's port.
    NodePort,
    /// One port of a Service.
    Port,
    /// A setting of a Service.
    Setting,
    /// One of the ranges that may connect to a Service's load-balancer addresses.
    SourceRange,
    /// The same, where a family in which the Service is served is left without ranges.
    SourceRanges,
    /// A Service.
    Service,
    /// One port of an EndpointSlice.
    SlicePort,
    /// One endpoint of an EndpointSlice.
    Endpoint,
    /// A hint of an endpoint.
    Hint,
    /// An EndpointSlice.
    Slice,
    /// A Node.
    Node,
    /// All addresses of a Node.
    NodeAddresses,
    /// A Node's zone.
    Zone,
    /// One CIDR of an object.
    Cidr,
    /// A taint of a Node.
    Taint,
    /// All taints of a Node.
    Taints,
    /// The CIDRs of a Node's pods.
    PodCidrs,
    /// A ServiceCIDR.
    ServiceCidr,
}

/// What is left out, and what still works.
impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Address => "this address is left out, the object's other addresses are used",
            Self::ClusterIp => "the Service is not served in this address's family, in the other it is",
            Self::ExternalIps => "no external IP of this Service is served, its other addresses are",
            Self::LoadBalancer => "no load-balancer address of this Service is served, its other addresses are",
            Self::NodePort => "this port has no NodePort, at its other addresses it is served",
            Self::Port => "this port is not served, the Service's other ports are",
            Self::Setting => "the Service is served as if this were not set",
            Self::Service => "this Service is not served, all others are",
            Self::SourceRange => "this range is left out, the others are used",
            Self::SourceRanges => {
                "this range is left out, and in an IP family that has no other range everybody may connect to the \
                 load-balancer addresses"
            }
            Self::SlicePort => "no endpoint is reached at this port, at the slice's other ports they are",
            Self::Endpoint => "this endpoint is not used, the slice's others are",
            Self::Hint => "this hint is left out, the endpoint is used",
            Self::Slice => "no endpoint of this slice is used, those of other slices are",
            Self::Node => {
                "nothing of the Node is used: `primary` NodePorts are closed and hints for its zone are not followed, \
                           everything else is served"
            }
            Self::NodeAddresses => {
                "no address of the Node is known: `primary` NodePorts are closed, everything else is served"
            }
            Self::Zone => "the Node counts as being in no zone, everything else is used",
            Self::Cidr => "this CIDR is left out, the object's others are used",
            Self::Taint => "this taint is not heeded, the Node's others are",
            Self::Taints => "no taint of this Node is heeded, everything else is used",
            Self::PodCidrs => "no pod CIDR of this Node is used, everything else is",
            Self::ServiceCidr => "no CIDR of this object is used, those of others are",
        })
    }
}
