//! A flow: who asks what, and what must come of it.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, SocketAddr},
};

use portolan_core::addr::Protocol;

use crate::{Mode, cast::Member, destination::Destination};

/// Who asks what, and what must come of it.
#[derive(Debug, Clone)]
pub struct Flow {
    /// The client.
    pub from: &'static Member,
    /// The address that the client binds to; else the kernel chooses.
    pub source: Option<IpAddr>,
    /// The name of the UDP socket that it sends from, which is the same in all flows of the scenario that name it; else each
    /// connection has its own.
    pub socket: Option<String>,
    /// What it asks.
    pub to: Destination,
    /// What must happen, unless it is named otherwise for a mode.
    pub expected: Expected,
    /// What Portolan does instead in some modes, where it does.
    pub portolan: Option<Difference>,
    /// What the real kube-proxy does instead of Portolan in the same mode, where it does.
    pub kube_proxy: Option<Difference>,
}

/// What must come of a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// Endpoints answer, and no other.
    Endpoints {
        /// Where each is, and which source it sees.
        sources: BTreeMap<SocketAddr, IpAddr>,
        /// Whether one of them answers all connections; else every one of them answers some.
        sticky: bool,
    },
    /// The very destination answers, and sees the client.
    Untouched,
    /// Refused at once.
    Rejected {
        /// Whether send(2) succeeds: it fails with EPERM where the rule is met on the way out.
        sent: bool,
    },
    /// Silence.
    Dropped {
        /// The same.
        sent: bool,
    },
    /// No route: the packet never comes to a rule.
    Unreachable,
}

/// What programs Services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceProxy {
    /// This project.
    Portolan(Mode),
    /// The real kube-proxy.
    KubeProxy(Mode),
}

/// A known difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Why something else is done.
    pub reason: String,
    /// What it is, in each mode in which it is done.
    pub modes: Vec<(Mode, Expected)>,
}

impl Difference {
    fn in_mode(&self, mode: Mode) -> Option<&Expected> {
        self.modes.iter().find_map(|(of, expected)| (*of == mode).then_some(expected))
    }
}

impl Flow {
    /// What must come of it where this proxy programs the Services.
    #[must_use]
    pub fn expected_of(&self, proxy: ServiceProxy) -> &Expected {
        let (named, otherwise) = match proxy {
            ServiceProxy::Portolan(mode) => (self.portolan.as_ref().and_then(|by| by.in_mode(mode)), &self.expected),
            ServiceProxy::KubeProxy(mode) => {
                let portolan = self.expected_of(ServiceProxy::Portolan(mode));
                (self.kube_proxy.as_ref().and_then(|by| by.in_mode(mode)), portolan)
            }
        };
        named.unwrap_or(otherwise)
    }

    /// Who is named, and in which mode, for what holds there anyway.
    pub(super) fn named_for_nothing(&self) -> Option<(&'static str, Mode)> {
        let named = |by: &'static str, difference: &Option<Difference>, otherwise: &dyn Fn(Mode) -> Expected| {
            let mut modes = difference.iter().flat_map(|difference| &difference.modes);
            modes.find_map(|(mode, expected)| (*expected == otherwise(*mode)).then_some((by, *mode)))
        };
        named("portolan", &self.portolan, &|_| self.expected.clone()).or_else(|| {
            named("kube-proxy", &self.kube_proxy, &|mode| self.expected_of(ServiceProxy::Portolan(mode)).clone())
        })
    }

    /// Whether its client can be a socket that stays: every datagram then meets the same.
    pub(super) fn can_stay(&self) -> bool {
        let one = |expected: &Expected| match expected {
            Expected::Endpoints { sources, sticky } => *sticky || sources.len() == 1,
            _ => true,
        };
        self.to.protocol() == Some(Protocol::Udp) && self.source.is_none() && self.all_expected().all(one)
    }

    /// What must come of it, whoever programs the Services.
    pub(super) fn all_expected(&self) -> impl Iterator<Item = &Expected> {
        let others = self.portolan.iter().chain(&self.kube_proxy).flat_map(|other| &other.modes);
        others.map(|(_, expected)| expected).chain([&self.expected])
    }
}

impl Expected {
    /// The endpoints that may answer, and which source each sees.
    #[must_use]
    pub const fn endpoints(&self) -> Option<&BTreeMap<SocketAddr, IpAddr>> {
        match self {
            Self::Endpoints { sources, .. } => Some(sources),
            _ => None,
        }
    }
}

/// As flows.yaml writes it: `pod-a1 -> 10.96.0.10:80/tcp`.
impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.from.name)?;
        if let Some(source) = self.source {
            write!(f, " ({source})")?;
        }
        if let Some(socket) = &self.socket {
            write!(f, " (socket {socket})")?;
        }
        write!(f, " -> {}", self.to)
    }
}

/// A connection that stays open from one step to later ones.
#[derive(Debug, Clone)]
pub struct Opening {
    /// What `alive` calls it.
    pub name: String,
    /// The client.
    pub from: &'static Member,
    /// Where it connects to, with TCP.
    pub to: SocketAddr,
}
