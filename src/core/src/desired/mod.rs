//! What this node must do for each ServicePort: which Frontends clients may connect to, which Endpoints they lead
//! to, and which connections are masqueraded. Everything a backend has to know, and nothing it has to decide.
//!
//! The unit is a [`DesiredPort`]: one ServicePort in one IP family. The families are independent of each other.

mod decide;

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use ipnet::IpNet;

use crate::{
    addr::{Family, PerFamily, Protocol},
    name::ServicePortName,
};

pub use decide::{claimed, decide};

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
    /// `spec.ports[].nodePort` on one of this node's addresses
    NodePort,
}

/// Whose connections get this node's address as their source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Masquerade {
    /// Clients that the local detector does not take for pods of this node; nobody where there is no detector.
    NonLocal,
    /// Every client.
    Always,
}

/// A [`Vip`] with what was decided for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Frontend {
    /// Where clients connect to.
    pub vip: Vip,
    /// Which field of the Service it comes from.
    pub kind: FrontendKind,
    /// Whose connections are masqueraded.
    pub masquerade: Masquerade,
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
/// Without endpoints its frontends are rejected, at once and visibly for the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredPort {
    /// Which ServicePort.
    pub name: ServicePortName,
    /// In which family; every address below is of it.
    pub family: Family,
    /// Sorted by VIP, each VIP once.
    pub frontends: Vec<Frontend>,
    /// Sorted by address and port, each pair once.
    pub endpoints: Vec<Endpoint>,
}

/// Names a [`DesiredPort`] over its life.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortId {
    /// Which ServicePort.
    pub name: ServicePortName,
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
}

/// What holds for every Service on this node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NodePolicy {
    /// The local detector ClusterCIDR: clients inside are pods, which keep their address when they connect to a
    /// cluster IP. Without a value no client of a cluster IP is masqueraded.
    pub pod_cidr: PerFamily<Option<IpNet>>,
}
