//! The sets and maps of the layout.

use std::fmt;

use crate::table::field::Scope;

/// The sets and maps of the layout (docs/design/nftables.md). Their number is constant: the kernel finds a set by
/// walking the list of all of them. Those of [`Scope::NodePort`] are there only where NodePorts are at all local
/// addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SetName {
    /// The gate: every frontend that a connection is looked up for.
    Services(Scope),
    /// What happens to a connection before it is sent on, for the frontends that need something.
    Policies(Scope),
    /// VIPs with exactly this many endpoints (1 to `DIRECT`), to their endpoints.
    Direct(u8),
    /// Frontends with more endpoints, to the chain that picks one of so many.
    Large(Scope),
    /// The endpoints of those.
    Endpoints(Scope),
    /// Frontends with `externalTrafficPolicy: Local`, to the chain that picks one of so many local endpoints.
    LocalServices(Scope),
    /// The local endpoints of those.
    LocalEndpoints(Scope),
    /// Frontends with session affinity, to the chain that knows the clients of their endpoints.
    Affinities(Scope),
    /// The same for clients that may only reach local endpoints.
    LocalAffinities(Scope),
    /// Frontends that have no endpoint.
    NoEndpoints(Scope),
    /// Frontends that may only use local endpoints, and have none but others.
    NoLocalEndpoints(Scope),
    /// VIPs that only some sources may connect to.
    Restricted,
    /// [`SetName::Policies`] of those VIPs, once the source is found to be allowed.
    RestrictedPolicies,
    /// Every cluster IP, whatever the port.
    ClusterIps,
    /// Endpoints on this node that may meet themselves.
    Hairpin,
    /// Addresses at which IPVS sends connections on to endpoints, in IPVS mode alone.
    Scheduled,
    /// Links, each beside itself: packets put them there (`Statement::LeavesAsItCame`), so its
    /// elements are no objects.
    Links,
}

impl SetName {
    /// All of them, in the order in which they are listed.
    pub const ALL: [Self; 30] = [
        Self::Services(Scope::Vip),
        Self::Services(Scope::NodePort),
        Self::Policies(Scope::Vip),
        Self::Policies(Scope::NodePort),
        Self::Direct(1),
        Self::Direct(2),
        Self::Direct(3),
        Self::Direct(4),
        Self::Large(Scope::Vip),
        Self::Large(Scope::NodePort),
        Self::Endpoints(Scope::Vip),
        Self::Endpoints(Scope::NodePort),
        Self::LocalServices(Scope::Vip),
        Self::LocalServices(Scope::NodePort),
        Self::LocalEndpoints(Scope::Vip),
        Self::LocalEndpoints(Scope::NodePort),
        Self::Affinities(Scope::Vip),
        Self::Affinities(Scope::NodePort),
        Self::LocalAffinities(Scope::Vip),
        Self::LocalAffinities(Scope::NodePort),
        Self::NoEndpoints(Scope::Vip),
        Self::NoEndpoints(Scope::NodePort),
        Self::NoLocalEndpoints(Scope::Vip),
        Self::NoLocalEndpoints(Scope::NodePort),
        Self::Restricted,
        Self::RestrictedPolicies,
        Self::ClusterIps,
        Self::Hairpin,
        Self::Scheduled,
        Self::Links,
    ];

    /// The set with this name; `None` for a set that is not ours.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|set| set.as_str() == name)
    }

    /// What its keys begin with, if it is one of the sets that are there for each scope.
    #[must_use]
    pub const fn scope(self) -> Scope {
        match self {
            Self::Services(scope)
            | Self::Policies(scope)
            | Self::Large(scope)
            | Self::Endpoints(scope)
            | Self::LocalServices(scope)
            | Self::LocalEndpoints(scope)
            | Self::Affinities(scope)
            | Self::LocalAffinities(scope)
            | Self::NoEndpoints(scope)
            | Self::NoLocalEndpoints(scope) => scope,
            Self::Direct(_)
            | Self::Restricted
            | Self::RestrictedPolicies
            | Self::ClusterIps
            | Self::Hairpin
            | Self::Scheduled
            | Self::Links => Scope::Vip,
        }
    }

    /// Its name in the kernel.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        use Scope::{NodePort, Vip};
        match self {
            Self::Services(Vip) => "services",
            Self::Services(NodePort) => "node-ports",
            Self::Policies(Vip) => "service-policies",
            Self::Policies(NodePort) => "node-port-policies",
            Self::Direct(1) => "endpoints-1",
            Self::Direct(2) => "endpoints-2",
            Self::Direct(3) => "endpoints-3",
            Self::Direct(_) => "endpoints-4",
            Self::Large(Vip) => "services-large",
            Self::Large(NodePort) => "node-ports-large",
            Self::Endpoints(Vip) => "endpoints",
            Self::Endpoints(NodePort) => "node-port-endpoints",
            Self::LocalServices(Vip) => "local-services",
            Self::LocalServices(NodePort) => "local-node-ports",
            Self::LocalEndpoints(Vip) => "local-endpoints",
            Self::LocalEndpoints(NodePort) => "node-port-local-endpoints",
            Self::Affinities(Vip) => "affinities",
            Self::Affinities(NodePort) => "node-port-affinities",
            Self::LocalAffinities(Vip) => "local-affinities",
            Self::LocalAffinities(NodePort) => "node-port-local-affinities",
            Self::NoEndpoints(Vip) => "no-endpoints",
            Self::NoEndpoints(NodePort) => "node-port-no-endpoints",
            Self::NoLocalEndpoints(Vip) => "no-local-endpoints",
            Self::NoLocalEndpoints(NodePort) => "node-port-no-local-endpoints",
            Self::Restricted => "restricted",
            Self::RestrictedPolicies => "restricted-policies",
            Self::ClusterIps => "cluster-ips",
            Self::Hairpin => "hairpin",
            Self::Scheduled => "scheduled",
            Self::Links => "links",
        }
    }
}

impl fmt::Display for SetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
