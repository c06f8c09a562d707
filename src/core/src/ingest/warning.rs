//! What is served otherwise than written: settings that have no effect, addresses in an unusual form, Services that lose
//! an address to another one.

use std::{fmt, net::IpAddr};

use ipnet::IpNet;

use super::reference::ObjectRef;
use crate::{desired::FrontendKind, name::ServicePortName};

/// A part of an object that is served, but not as its author may expect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Whose part.
    pub object: ObjectRef,
    /// The field's path in the object: `spec.sessionAffinity`.
    pub field: String,
    /// The value, escaped and bounded; empty where there is none.
    pub value: String,
    /// What is special about it.
    pub reason: WarningReason,
}

/// One line: object, field, value, what about it, what still works, what to do.
impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let object = (&self.object, self.field.as_str(), self.value.as_str());
        super::finding::line(f, object, &self.reason, &self.reason.effect(), self.reason.advice())
    }
}

/// What is special about a value. The text follows the field and its value: "`spec.type` = `x` is ...".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WarningReason {
    /// `externalTrafficPolicy: Local` of a Service that nobody outside the cluster is meant to reach.
    #[error("has no effect on a Service of type ClusterIP without external IPs")]
    NotExternallyAccessible,
    /// No `healthCheckNodePort` where a load balancer needs one.
    #[error("is missing in a Service of type LoadBalancer with `externalTrafficPolicy: Local`")]
    NoHealthCheckNodePort,
    /// An address with leading zeros, or an IPv4 address written as IPv6.
    #[error("is read as {to}")]
    Normalised {
        /// The address that is used.
        to: IpAddr,
    },
    /// A CIDR with leading zeros, with host bits, or an IPv4 one written as IPv6.
    #[error("is read as {to}")]
    NormalisedCidr {
        /// The CIDR that is used.
        to: IpNet,
    },
    /// An address, protocol and port that another ServicePort has with more right.
    #[error("belongs to {winner}: {right}")]
    Conflict {
        /// Who is served there.
        winner: ServicePortName,
        /// By what right.
        right: Right,
        /// Whether the loser has another frontend.
        elsewhere: bool,
    },
}

/// Why one of two ServicePorts has an address, protocol and port that both claim. The first that tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// Cluster IP before external and load-balancer IP before NodePort.
    Kind {
        /// What the address is to the one who has it.
        winner: FrontendKind,
        /// What it is to the other.
        loser: FrontendKind,
    },
    /// It has usable endpoints, and the other has none.
    Endpoints,
    /// It has the older creationTimestamp.
    Age,
    /// The order of namespaces, names and port names.
    Name,
}

/// The rule as a sentence about the winner.
impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = |kind: &FrontendKind| match kind {
            FrontendKind::ClusterIp => "a cluster IP",
            FrontendKind::ExternalIp => "an external IP",
            FrontendKind::LoadBalancerIp => "a load-balancer IP",
            FrontendKind::NodePort => "a NodePort",
        };
        match self {
            Self::Kind { winner, loser } => write!(f, "{} goes before {}", kind(winner), kind(loser)),
            Self::Endpoints => f.write_str("it has endpoints and this one has none"),
            Self::Age => f.write_str("it is older"),
            Self::Name => f.write_str("its name comes first"),
        }
    }
}

impl WarningReason {
    /// What is served nevertheless.
    #[must_use]
    pub const fn effect(&self) -> &'static str {
        match self {
            Self::NotExternallyAccessible => "the Service is served as with Cluster",
            Self::NoHealthCheckNodePort => {
                "the load balancer cannot ask which nodes have endpoints, the Service is served"
            }
            Self::Normalised { .. } => "the address is used",
            Self::NormalisedCidr { .. } => "the CIDR is used",
            Self::Conflict { elsewhere: true, .. } => "it leads there, at its other addresses this Service is served",
            Self::Conflict { elsewhere: false, .. } => "it leads there, this port has no other address",
        }
    }

    /// What to do about it.
    #[must_use]
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::NotExternallyAccessible => "set `spec.type`, or leave the policy out",
            Self::NoHealthCheckNodePort => "let the load balancer check the NodePort itself",
            Self::Normalised { .. } | Self::NormalisedCidr { .. } => {
                "write it in this form: other programs read it otherwise or not at all"
            }
            Self::Conflict { .. } => "give one of the two another address or port",
        }
    }
}
