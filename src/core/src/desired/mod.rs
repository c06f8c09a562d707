//! What this node must do for each ServicePort: which Frontends clients may connect to, which Endpoints they lead
//! to, and by which policy. Everything a backend has to know, and nothing it has to decide.
//!
//! The unit is a [`DesiredPort`]: one ServicePort in one IP family. The families are independent of each other.

mod decide;
mod loopback;
mod node_policy;
mod scheduler;

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use ipnet::IpNet;

use crate::{
    addr::{Family, Protocol},
    model::TrafficPolicy,
    name::ServicePortName,
};

pub use decide::{Viewpoint, claimed, decide};
pub use loopback::{LoopbackNodePort, at_loopback};
pub use node_policy::{BadInterfaceName, InterfaceName, LocalDetector, NodePolicy, NodePortsAt};
pub use scheduler::{BadScheduling, HashFlags, NoSuchScheduler, Scheduler, Scheduling};

/// One (address, protocol, port) that clients connect to.
///
/// Ordered by address first, so that listings read like a phone book.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vip {
    /// The address that clients connect to. Never unspecified or multicast.
    pub addr: IpAddr,
    /// The protocol; the same number in two protocols is two different VIPs.
    pub protocol: Protocol,
    /// The port, 1 to 65535.
    pub port: u16,
}

/// `10.96.0.1:80/tcp`, `[fd00::1]:53/udp`.
impl fmt::Display for Vip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", SocketAddr::new(self.addr, self.port), self.protocol)
    }
}

/// Why a [`Vip`] leads to a Service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FrontendKind {
    /// `spec.clusterIPs`
    ClusterIp,
    /// `spec.externalIPs`
    ExternalIp,
    /// `status.loadBalancer.ingress[].ip`
    LoadBalancerIp,
    /// `spec.ports[].nodePort` on one of this node's addresses, or with the unspecified address on all that
    /// [`NodePortsAt::Local`] says
    NodePort,
}

/// A [`Vip`] with what was decided for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Frontend {
    /// Where clients connect to.
    pub vip: Vip,
    /// Which field of the Service it comes from.
    pub kind: FrontendKind,
    /// Which endpoints its clients may reach: `internalTrafficPolicy` for a cluster IP, `externalTrafficPolicy` for
    /// every other kind.
    pub policy: TrafficPolicy,
    /// Whether only [`DesiredPort::sources`] may connect.
    pub restricted: bool,
}

impl Frontend {
    /// Whether `externalTrafficPolicy` rules it: with `Cluster` every client is masqueraded, since an answer must come
    /// back through this node; with `Local` pods and the node itself still reach all endpoints (the short-cut).
    #[must_use]
    pub const fn is_external(&self) -> bool {
        !matches!(self.kind, FrontendKind::ClusterIp)
    }
}

/// A pod (or another target) that serves a ServicePort.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// The address that connections are sent to.
    pub addr: IpAddr,
    /// The port there, 1 to 65535.
    pub port: u16,
    /// Whether it runs on this node: only such an endpoint can be its own client here (hairpin).
    pub local: bool,
}

/// One ServicePort in one IP family, decided for this node.
///
/// Without any endpoint its frontends are rejected, at once and visibly for the client. A frontend that may only use
/// local endpoints is silent while there are others but no local one, so that a load balancer tries another node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredPort {
    /// Which ServicePort.
    pub name: ServicePortName,
    /// In which family; every address below is of it.
    pub family: Family,
    /// Sorted by VIP, each VIP once.
    pub frontends: Vec<Frontend>,
    /// For traffic policy `Cluster`. Empty only if there is no usable endpoint at all. Sorted by address and port, each
    /// pair once.
    pub endpoints: Vec<Endpoint>,
    /// For traffic policy `Local`: those of this node. Not always among `endpoints`: each list falls back to terminating
    /// endpoints on its own, and only the other one follows topology hints. Sorted, each once; empty where no frontend
    /// needs it.
    pub local_endpoints: Vec<Endpoint>,
    /// For how many seconds a client stays with its endpoint, from its last new connection on; 1 to 86400.
    pub affinity: Option<u32>,
    /// How virtual servers pick an endpoint, where there are any; `None`: as [`NodePolicy::scheduler`] says.
    pub scheduling: Option<Scheduling>,
    /// Who may connect to the frontends that are restricted: sorted, none inside another.
    pub sources: Vec<IpNet>,
    /// Where a load balancer asks whether this node has endpoints of the Service.
    pub health_check_node_port: Option<u16>,
}

impl DesiredPort {
    /// The endpoints that a traffic policy allows.
    #[must_use]
    pub fn endpoints_for(&self, policy: TrafficPolicy) -> &[Endpoint] {
        match policy {
            TrafficPolicy::Cluster => &self.endpoints,
            TrafficPolicy::Local => &self.local_endpoints,
        }
    }
}

/// Names a [`DesiredPort`] over its life.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortId {
    /// Which ServicePort.
    pub name: Arc<ServicePortName>,
    /// In which family.
    pub family: Family,
}

/// What became of one ServicePort in one family: its new state, or that it is gone from this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortChange {
    /// Whose state changed.
    pub id: PortId,
    /// The new state; `None` when there is nothing left to program.
    pub desired: Option<DesiredPort>,
    /// What is to be listened for beside the kernel's rules.
    pub loopback: Option<LoopbackNodePort>,
}
