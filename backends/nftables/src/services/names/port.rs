//! Chains and sets that belong to one ServicePort, named after it.

use std::{fmt, sync::Arc};

use portolan_core::{
    desired::Endpoint,
    model::TrafficPolicy,
    name::{ServiceName, ServicePortName},
};

use crate::table::shorten::shorten;

/// A chain or a set that one ServicePort alone needs: `affinity-default/web/tcp/http`, `local-affinity-…`, for each
/// endpoint `affinity-default/web/tcp/http__10.244.1.11/8080`, and `sources-default/web/tcp/http`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortName(Arc<str>);

impl PortName {
    const AFFINITY: &str = "affinity-";
    // Not `affinity-local-`: a namespace may be called `local-x`.
    const LOCAL_AFFINITY: &str = "local-affinity-";
    const SOURCES: &str = "sources-";
    /// `NFT_NAME_MAXLEN` of linux/netfilter/nf_tables.h, which counts a final zero.
    const MAX: usize = 255;

    /// The chain of session affinity for clients whose traffic policy this is.
    #[must_use]
    pub(crate) fn affinity(port: &ServicePortName, policy: TrafficPolicy) -> Self {
        Self::of(
            match policy {
                TrafficPolicy::Cluster => Self::AFFINITY,
                TrafficPolicy::Local => Self::LOCAL_AFFINITY,
            },
            port,
        )
    }

    /// The chain that knows who may connect.
    #[must_use]
    pub(crate) fn sources(port: &ServicePortName) -> Self {
        Self::of(Self::SOURCES, port)
    }

    fn of(prefix: &str, port: &ServicePortName) -> Self {
        let ServiceName { namespace, name } = &port.service;
        Self::fitting(format!("{prefix}{namespace}/{name}/{}/{}", port.protocol, port.port))
    }

    /// The set of one endpoint's clients, for the chain of this name.
    #[must_use]
    pub(crate) fn clients_of(&self, endpoint: &Endpoint) -> Self {
        // nft takes no colon in names.
        let addr = endpoint.addr.to_string().replace(':', ".");
        Self::fitting(format!("{self}__{addr}/{}", endpoint.port))
    }

    /// The chain or set with this name, if it is called as ours are.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let ours = [Self::AFFINITY, Self::LOCAL_AFFINITY, Self::SOURCES].iter().any(|prefix| name.starts_with(prefix));
        ours.then(|| Self(name.into()))
    }

    /// Whether it is about session affinity.
    #[must_use]
    pub fn is_affinity(&self) -> bool {
        self.0.starts_with(Self::AFFINITY) || self.0.starts_with(Self::LOCAL_AFFINITY)
    }

    fn fitting(name: String) -> Self {
        Self(shorten(name, Self::MAX).into())
    }

    /// The name in the kernel.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PortName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use portolan_core::addr::Protocol;

    use super::*;
    use crate::services::names::ChainName;

    #[test]
    fn affinity_is_named_after_its_service_port() {
        let name = |port: usize| ServicePortName {
            service: ServiceName { namespace: "n".repeat(63).into(), name: "web".into() },
            port: "p".repeat(port).into(),
            protocol: Protocol::Udp,
        };
        let endpoint = Endpoint { addr: "fd00:10::1".parse().unwrap(), port: 8080, local: true };
        let chain = PortName::affinity(&name(2), TrafficPolicy::Local);
        assert_eq!(chain.to_string(), format!("local-affinity-{}/web/udp/pp", "n".repeat(63)));
        assert_eq!(chain.clients_of(&endpoint).to_string(), format!("{chain}__fd00.10..1/8080"));
        assert_eq!(ChainName::parse(chain.as_str()), ChainName::OfPort(chain));
        let (long, longer) = (160, 161);
        let of = |length| PortName::affinity(&name(length), TrafficPolicy::Cluster).clients_of(&endpoint);
        assert_eq!(of(long).as_str().len(), PortName::MAX);
        assert_ne!(of(long), of(longer));
    }

    #[test]
    fn no_namespace_makes_two_service_ports_one() {
        let name = |namespace: &str| ServicePortName {
            service: ServiceName { namespace: namespace.into(), name: "web".into() },
            port: "http".into(),
            protocol: Protocol::Tcp,
        };
        let both = |namespace| {
            [TrafficPolicy::Cluster, TrafficPolicy::Local].map(|of| PortName::affinity(&name(namespace), of))
        };
        let all: std::collections::BTreeSet<_> =
            ["x", "local-x", "local-affinity-x"].into_iter().flat_map(both).collect();
        assert_eq!(all.len(), 6);
    }
}
