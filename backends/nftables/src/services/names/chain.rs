//! The chains of the layout.

use std::{fmt, sync::Arc};

use super::PortName;
use crate::table::field::Scope;

/// The chains of the layout, and any other that turns up in our table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChainName {
    /// Picks one of this many endpoints; made when a Service needs it.
    Pick(Scope, u32),
    /// Picks one of this many local endpoints; made when a Service needs it.
    PickLocal(Scope, u32),
    /// What one ServicePort alone needs: its session affinity, or its source ranges.
    OfPort(PortName),
    /// Marks the connection for masquerade.
    MasqueradeAlways,
    /// The same for a frontend with session affinity, which it then looks up.
    MasqueradeAffinity(Scope),
    /// Where pods and the node itself go although the frontend is for local endpoints only.
    ShortCut(Scope),
    /// `externalTrafficPolicy: Local`: the short-cut for pods and the node itself, local endpoints for others.
    ExternalLocal(Scope),
    /// Drops what may only go to local endpoints where there is none.
    NoLocalEndpoints,
    /// Where allowed sources go on to the policy of their frontend.
    RestrictedPolicies,
    /// Masquerades what is marked for that by us.
    Marked,
    /// Masquerades what was sent to an endpoint that could not answer otherwise.
    Translated,
    /// Finds the frontend's endpoint and translates.
    Services(Scope),
    /// Base chain: what comes from outside or from pods.
    NatPrerouting,
    /// Base chain: what this node itself sends.
    NatOutput,
    /// Base chain: masquerade.
    NatPostrouting,
    /// Base chain: rejects what is for this node.
    FilterInput,
    /// Base chain: rejects what is passing through.
    FilterForward,
    /// Base chain: rejects what this node itself sends.
    FilterOutput,
    /// Base chain: the same before IPVS, where that sends connections on.
    FilterOutputEarly,
    /// A chain that somebody else put into our table.
    Foreign(Arc<str>),
}

impl ChainName {
    /// Those that are there whatever the Services are, in the order in which they are listed; those of
    /// [`Scope::NodePort`] only where NodePorts are at all local addresses.
    pub const BASE: [Self; 20] = [
        Self::MasqueradeAlways,
        Self::MasqueradeAffinity(Scope::Vip),
        Self::MasqueradeAffinity(Scope::NodePort),
        Self::ShortCut(Scope::Vip),
        Self::ShortCut(Scope::NodePort),
        Self::ExternalLocal(Scope::Vip),
        Self::ExternalLocal(Scope::NodePort),
        Self::NoLocalEndpoints,
        Self::RestrictedPolicies,
        Self::Marked,
        Self::Translated,
        Self::Services(Scope::Vip),
        Self::Services(Scope::NodePort),
        Self::NatPrerouting,
        Self::NatOutput,
        Self::NatPostrouting,
        Self::FilterInput,
        Self::FilterForward,
        Self::FilterOutput,
        Self::FilterOutputEarly,
    ];

    /// The chain with this name.
    #[must_use]
    pub fn parse(name: &str) -> Self {
        let counted = |prefix: &str| name.strip_prefix(prefix).and_then(|n| n.parse().ok());
        let made = [
            counted("pick-").map(|count| Self::Pick(Scope::Vip, count)),
            counted("node-port-pick-").map(|count| Self::Pick(Scope::NodePort, count)),
            counted("pick-local-").map(|count| Self::PickLocal(Scope::Vip, count)),
            counted("node-port-pick-local-").map(|count| Self::PickLocal(Scope::NodePort, count)),
            PortName::parse(name).map(Self::OfPort),
        ];
        let known = Self::BASE.into_iter().chain(made.into_iter().flatten());
        known.into_iter().find(|chain| chain.to_string() == name).unwrap_or_else(|| Self::Foreign(name.into()))
    }

    /// Which frontends it is about, if there is one of its kind for each scope.
    #[must_use]
    pub const fn scope(&self) -> Scope {
        match self {
            Self::Pick(scope, _)
            | Self::PickLocal(scope, _)
            | Self::MasqueradeAffinity(scope)
            | Self::ShortCut(scope)
            | Self::ExternalLocal(scope)
            | Self::Services(scope) => *scope,
            _ => Scope::Vip,
        }
    }
}

impl fmt::Display for ChainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use Scope::{NodePort, Vip};
        f.write_str(match self {
            Self::Pick(Vip, count) => return write!(f, "pick-{count}"),
            Self::Pick(NodePort, count) => return write!(f, "node-port-pick-{count}"),
            Self::PickLocal(Vip, count) => return write!(f, "pick-local-{count}"),
            Self::PickLocal(NodePort, count) => return write!(f, "node-port-pick-local-{count}"),
            Self::OfPort(name) => return write!(f, "{name}"),
            Self::MasqueradeAlways => "masquerade-always",
            Self::MasqueradeAffinity(Vip) => "masquerade-affinity",
            Self::MasqueradeAffinity(NodePort) => "node-port-masquerade-affinity",
            Self::ShortCut(Vip) => "short-cut",
            Self::ShortCut(NodePort) => "node-port-short-cut",
            Self::ExternalLocal(Vip) => "external-local",
            Self::ExternalLocal(NodePort) => "node-port-local",
            Self::NoLocalEndpoints => "no-local-endpoints",
            Self::RestrictedPolicies => "restricted-policies",
            Self::Marked => "marked",
            Self::Translated => "translated",
            Self::Services(Vip) => "services",
            Self::Services(NodePort) => "node-ports",
            Self::NatPrerouting => "nat-prerouting",
            Self::NatOutput => "nat-output",
            Self::NatPostrouting => "nat-postrouting",
            Self::FilterInput => "filter-input",
            Self::FilterForward => "filter-forward",
            Self::FilterOutput => "filter-output",
            Self::FilterOutputEarly => "filter-output-early",
            Self::Foreign(name) => name,
        })
    }
}
