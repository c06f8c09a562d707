//! What an object is, apart from its name.

use portolan_core::desired::Scheduling;
use portolan_nftables as nft;

/// The value of a [`Key`](crate::Key).
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A link of the kind `dummy`. It is down, as kube-proxy's: packets to its addresses are the node's own all the same.
    Link,
    /// An address of it, with the longest prefix.
    Address,
    /// A virtual server without persistence.
    Server(Scheduling),
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
