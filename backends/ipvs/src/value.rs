//! What an object is, apart from its name.

use portolan_core::desired::Scheduling;
use portolan_nftables as nft;

/// How a virtual server picks a destination.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Server {
    /// For a new client, and each connection of a client is a new one where there is no affinity.
    pub scheduling: Scheduling,
    /// For how many seconds a client stays with its destination, from its last new connection on (`ipvsadm -p`).
    pub affinity: Option<u32>,
}

/// The value of a [`Key`](crate::Key).
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A link of the kind `dummy`. It is down, as kube-proxy's: packets to its addresses are the node's own all the same.
    Link,
    /// An address of it, with the longest prefix.
    Address,
    /// A virtual server.
    Server(Server),
    /// A destination that is masqueraded (`ipvsadm -m`).
    Destination {
        /// Its share of new connections. With 0 it gets none, and those that it has go on.
        weight: u32,
    },
    /// An object of the tables beside IPVS.
    Beside(nft::Value),
    /// Something that we would never write: it is written anew.
    Strange,
}
