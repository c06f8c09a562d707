//! Virtual servers as a kernel has them: what `ipvsadm -Ln` says.

use std::net::SocketAddr;

/// What sends the connections to a VIP on, where rules do not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveServer {
    /// The name of the scheduler, which chooses a destination for each connection.
    pub scheduler: String,
    /// The flags of the server, as its own tool names them.
    pub flags: Vec<&'static str>,
    /// For how many seconds a client stays with its destination, where it does.
    pub persistence: Option<u32>,
    /// Sorted by address and port.
    pub destinations: Vec<LiveDestination>,
}

/// Where a virtual server sends connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveDestination {
    /// The endpoint.
    pub to: SocketAddr,
    /// How packets get there, as the server's own tool names it.
    pub forwarding: &'static str,
    /// Its share of new connections. With 0 it gets none, and those that it has go on: it drains.
    pub weight: u32,
    /// Connections that are established.
    pub active: u32,
    /// Connections that are not, or no more: of UDP all are.
    pub inactive: u32,
    /// All that it got since it is there. The kernel sums them up every two seconds.
    pub connections: u64,
}
