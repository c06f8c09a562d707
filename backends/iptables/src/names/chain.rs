//! The chains of the layout.

use std::fmt;

use ipnet::{IpNet, Ipv4Net};

use super::Hash;

/// A chain of ours. All other chains are other programs' and none of our business.
///
/// The names of what a Service or a level needs begin as the names of kube-proxy's chains for Services do: a kube-proxy that
/// takes our place removes all such chains that it does not use in its first sync. Were they called otherwise, they would
/// stay, their rules would lead to KUBE-SVC- chains, and each sync in which it wants to remove one of these would fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChainName {
    /// Where the addresses of Services are looked up: in nat to send connections on, in filter to refuse those to cluster IPs.
    Services,
    /// filter: refuses connections to external and load-balancer IPs and NodePorts that have no endpoint.
    ExternalServices,
    /// In nat NodePorts, in filter the ports of health checks.
    NodePorts,
    /// filter: refuses connections to NodePorts that have no endpoint.
    ExternalNodePorts,
    /// filter: refuses connections to a port that a cluster IP does not have.
    NoSuchPort,
    /// filter: drops clients that the source ranges of a load-balancer IP keep out.
    ProxyFirewall,
    /// filter: what is accepted on its way through the node.
    Forward,
    /// filter: keeps loopback addresses from others. kubelet has the same chain with the same rule.
    Firewall,
    /// nat: marks a connection for masquerade. CNI plugins jump there too.
    MarkMasquerade,
    /// nat: masquerades what is marked.
    Postrouting,
    /// Addresses of Services inside one prefix.
    Level(Tree, Level),
    /// A part of one ServicePort, or of one of its endpoints.
    Of(Part, Hash),
}

/// The lookup that a level belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tree {
    /// Below [`ChainName::Services`].
    Services,
    /// Below [`ChainName::ExternalServices`].
    External,
    /// Below [`ChainName::ProxyFirewall`].
    Firewall,
}

/// Which addresses a level is for. IPv6 prefixes are too long for the name of a chain; the rules that lead there have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// `10.96.5.0/24`
    V4(Ipv4Net),
    /// A hash of the prefix.
    V6(Hash),
}

/// What a chain does for its ServicePort.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Picks one of all endpoints.
    Cluster,
    /// Picks one of the endpoints of this node.
    Local,
    /// What comes from outside: masquerade, or the short-cuts past policy Local.
    External,
    /// Who may connect by a load-balancer IP.
    Sources,
    /// Sends the connection to one endpoint.
    Endpoint,
}

impl ChainName {
    /// `XT_EXTENSION_MAXNAMELEN` of linux/netfilter/x_tables.h, without the zero at the end.
    pub const MAX: usize = 28;

    /// Those that have one name.
    pub const FIXED: [Self; 10] = [
        Self::Services,
        Self::ExternalServices,
        Self::NodePorts,
        Self::ExternalNodePorts,
        Self::NoSuchPort,
        Self::ProxyFirewall,
        Self::Forward,
        Self::Firewall,
        Self::MarkMasquerade,
        Self::Postrouting,
    ];

    /// The chain with this name; `None` for a chain that is not ours.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let fixed = || Self::FIXED.into_iter().find(|chain| chain.fixed() == Some(name));
        let level = |tree: Tree| {
            let prefix = name.strip_prefix(tree.prefix())?;
            let v6 = prefix.strip_prefix(Level::V6_PREFIX).and_then(Hash::parse).map(Level::V6);
            // One spelling alone is ours: `/024` and host bits are read, too.
            let v4 = || prefix.parse().ok().map(Level::V4).filter(|level| level.to_string() == prefix);
            Some(Self::Level(tree, v6.or_else(v4)?))
        };
        let of = |part: Part| Some(Self::Of(part, Hash::parse(name.strip_prefix(part.prefix())?)?));
        fixed().or_else(|| Part::ALL.into_iter().find_map(of)).or_else(|| Tree::ALL.into_iter().find_map(level))
    }

    /// Whether its rules are objects of their own.
    #[must_use]
    pub const fn dispatches(self) -> bool {
        match self {
            Self::Services
            | Self::ExternalServices
            | Self::NodePorts
            | Self::ExternalNodePorts
            | Self::ProxyFirewall
            | Self::Firewall
            | Self::Level(..) => true,
            Self::NoSuchPort | Self::Forward | Self::MarkMasquerade | Self::Postrouting | Self::Of(..) => false,
        }
    }

    /// Whether packets come from a built-in chain.
    #[must_use]
    pub const fn is_entered(self) -> bool {
        match self {
            Self::Services
            | Self::ExternalServices
            | Self::NodePorts
            | Self::ProxyFirewall
            | Self::Forward
            | Self::Firewall
            | Self::Postrouting => true,
            Self::ExternalNodePorts | Self::NoSuchPort | Self::MarkMasquerade | Self::Level(..) | Self::Of(..) => false,
        }
    }

    const fn fixed(&self) -> Option<&'static str> {
        Some(match self {
            Self::Services => "KUBE-SERVICES",
            Self::ExternalServices => "KUBE-EXTERNAL-SERVICES",
            Self::NodePorts => "KUBE-NODEPORTS",
            Self::ExternalNodePorts => "KUBE-EXTERNAL-NODEPORTS",
            Self::NoSuchPort => "KUBE-NO-SUCH-PORT",
            Self::ProxyFirewall => "KUBE-PROXY-FIREWALL",
            Self::Forward => "KUBE-FORWARD",
            Self::Firewall => "KUBE-FIREWALL",
            Self::MarkMasquerade => "KUBE-MARK-MASQ",
            Self::Postrouting => "KUBE-POSTROUTING",
            Self::Level(..) | Self::Of(..) => return None,
        })
    }
}

impl Tree {
    const ALL: [Self; 3] = [Self::Services, Self::External, Self::Firewall];

    /// The chain at its top.
    #[must_use]
    pub const fn root(self) -> ChainName {
        match self {
            Self::Services => ChainName::Services,
            Self::External => ChainName::ExternalServices,
            Self::Firewall => ChainName::ProxyFirewall,
        }
    }

    const fn prefix(self) -> &'static str {
        match self {
            Self::Services => Part::Cluster.prefix(),
            Self::External => Part::External.prefix(),
            Self::Firewall => Part::Sources.prefix(),
        }
    }
}

impl Level {
    const V6_PREFIX: &'static str = "V6-";

    /// The level of a prefix.
    #[must_use]
    pub fn of(prefix: IpNet) -> Self {
        match prefix {
            IpNet::V4(v4) => Self::V4(v4),
            IpNet::V6(v6) => Self::V6(Hash::of(format_args!("{v6}"))),
        }
    }
}

impl Part {
    const ALL: [Self; 5] = [Self::Cluster, Self::Local, Self::External, Self::Sources, Self::Endpoint];

    const fn prefix(self) -> &'static str {
        match self {
            Self::Cluster => "KUBE-SVC-",
            Self::Local => "KUBE-SVL-",
            Self::External => "KUBE-EXT-",
            Self::Sources => "KUBE-FW-",
            Self::Endpoint => "KUBE-SEP-",
        }
    }
}

impl fmt::Display for ChainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Level(tree, level) => write!(f, "{}{level}", tree.prefix()),
            Self::Of(part, hash) => write!(f, "{}{hash}", part.prefix()),
            fixed => f.write_str(fixed.fixed().unwrap_or_default()),
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(prefix) => write!(f, "{prefix}"),
            Self::V6(hash) => write!(f, "{}{hash}", Self::V6_PREFIX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_and_are_found_again() {
        let hash = Hash::of(format_args!("anything"));
        let levels = ["255.255.255.254/31", "10.96.0.0/12", "0.0.0.0/0", "fd00:10:96::ff00/120", "::/0"];
        let levels = levels.map(|prefix| Level::of(prefix.parse().unwrap()));
        let all = ChainName::FIXED
            .into_iter()
            .chain(Part::ALL.map(|part| ChainName::Of(part, hash)))
            .chain(Tree::ALL.into_iter().flat_map(|tree| levels.map(|level| ChainName::Level(tree, level))));
        for chain in all {
            let name = chain.to_string();
            assert!(name.len() <= ChainName::MAX, "{name}");
            assert_eq!(ChainName::parse(&name), Some(chain), "{name}");
        }
        assert_eq!(ChainName::Level(Tree::Services, levels[1]).to_string(), "KUBE-SVC-10.96.0.0/12");
    }

    #[test]
    fn others_chains_are_not_ours() {
        for name in [
            "",
            "INPUT",
            "DOCKER",
            "KUBE-",
            "KUBE-KUBELET-CANARY",
            "KUBE-HOSTPORTS",
            "KUBE-LOAD-BALANCER",
            "KUBE-SVC-",
            "KUBE-SVC-10.96.1.0/012",
            "KUBE-SVC-10.96.1.0/33",
            "KUBE-SVC-fd00::/120",
            "KUBE-SVC-V6-",
            "KUBE-SERVICES-",
            "KUBE-POLICY-1",
        ] {
            assert_eq!(ChainName::parse(name), None, "{name}");
        }
    }
}
