//! What our tables, sets and chains are called.

use std::{fmt, sync::Arc};

use portolan_core::addr::Family;

/// The name of both our tables, `table ip portolan` and `table ip6 portolan`. Nothing outside them is ever touched.
pub const TABLE: &str = "portolan";

/// Services with up to this many endpoints find them through a map of their own size, without a verdict, so that
/// changing them makes the kernel validate nothing. Each such map costs every connection to a larger Service 113 ns.
pub(crate) const DIRECT: u8 = 4;

/// How nft names a family.
#[must_use]
pub(crate) const fn keyword(family: Family) -> &'static str {
    match family {
        Family::V4 => "ip",
        Family::V6 => "ip6",
    }
}

/// The sets and maps of the layout (docs/design/nftables.md). Their number is constant: the kernel finds a set by
/// walking the list of all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SetName {
    /// The gate: every VIP that has endpoints.
    Services,
    /// What happens to a connection before it is sent on, for the VIPs that need something.
    ServicePolicies,
    /// VIPs with exactly this many endpoints (1 to `DIRECT`), to their endpoints.
    Direct(u8),
    /// VIPs with more endpoints, to the chain that picks one of so many.
    ServicesLarge,
    /// The endpoints of those.
    Endpoints,
    /// VIPs that have no endpoint.
    NoEndpoints,
    /// Every cluster IP, whatever the port.
    ClusterIps,
    /// Endpoints on this node that may meet themselves.
    Hairpin,
}

impl SetName {
    /// All of them, in the order in which they are listed.
    pub const ALL: [Self; 11] = [
        Self::Services,
        Self::ServicePolicies,
        Self::Direct(1),
        Self::Direct(2),
        Self::Direct(3),
        Self::Direct(4),
        Self::ServicesLarge,
        Self::Endpoints,
        Self::NoEndpoints,
        Self::ClusterIps,
        Self::Hairpin,
    ];

    /// The set with this name; `None` for a set that is not ours.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|set| set.as_str() == name)
    }

    /// Its name in the kernel.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Services => "services",
            Self::ServicePolicies => "service-policies",
            Self::Direct(1) => "endpoints-1",
            Self::Direct(2) => "endpoints-2",
            Self::Direct(3) => "endpoints-3",
            Self::Direct(_) => "endpoints-4",
            Self::ServicesLarge => "services-large",
            Self::Endpoints => "endpoints",
            Self::NoEndpoints => "no-endpoints",
            Self::ClusterIps => "cluster-ips",
            Self::Hairpin => "hairpin",
        }
    }
}

impl fmt::Display for SetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The chains of the layout, and any other that turns up in our table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChainName {
    /// Picks one of this many endpoints; made when a Service needs it.
    Pick(u32),
    /// Marks the connection for masquerade.
    MasqueradeAlways,
    /// Finds the Service and translates.
    Services,
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
    /// A chain that somebody else put into our table.
    Foreign(Arc<str>),
}

impl ChainName {
    /// Those that are always there, in the order in which they are listed.
    pub const BASE: [Self; 8] = [
        Self::MasqueradeAlways,
        Self::Services,
        Self::NatPrerouting,
        Self::NatOutput,
        Self::NatPostrouting,
        Self::FilterInput,
        Self::FilterForward,
        Self::FilterOutput,
    ];

    /// The chain with this name.
    #[must_use]
    pub fn parse(name: &str) -> Self {
        let pick = || name.strip_prefix("pick-").and_then(|n| n.parse().ok()).map(Self::Pick);
        let known = Self::BASE.into_iter().chain(pick());
        known.into_iter().find(|chain| chain.to_string() == name).unwrap_or_else(|| Self::Foreign(name.into()))
    }
}

impl fmt::Display for ChainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pick(count) => return write!(f, "pick-{count}"),
            Self::MasqueradeAlways => "masquerade-always",
            Self::Services => "services",
            Self::NatPrerouting => "nat-prerouting",
            Self::NatOutput => "nat-output",
            Self::NatPostrouting => "nat-postrouting",
            Self::FilterInput => "filter-input",
            Self::FilterForward => "filter-forward",
            Self::FilterOutput => "filter-output",
            Self::Foreign(name) => name,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_again() {
        for set in SetName::ALL {
            assert_eq!(SetName::parse(set.as_str()), Some(set));
        }
        assert_eq!(SetName::parse("endpoints-5"), None);
        for chain in ChainName::BASE.into_iter().chain([ChainName::Pick(5)]) {
            assert_eq!(ChainName::parse(&chain.to_string()), chain);
        }
        for foreign in ["mine", "pick-", "pick-05", "pick-x", "pick-99999999999"] {
            assert_eq!(ChainName::parse(foreign), ChainName::Foreign(foreign.into()));
        }
    }
}
