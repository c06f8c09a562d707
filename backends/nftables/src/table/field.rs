//! What the keys of sets are made of.

/// A part of a packet, or a number drawn for it: what the keys of sets are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// `ip saddr`
    Source,
    /// `ip daddr`
    Destination,
    /// `meta l4proto`
    Protocol,
    /// `th dport`
    Port,
    /// `ct original ip daddr`: where the connection was sent by the client, before any translation.
    Asked,
    /// `iif`: the link by which the packet came in.
    CameBy,
    /// `oif`: the link by which it leaves.
    LeavesBy,
    /// `numgen random mod N`: a number below N, another for each connection.
    Random(u32),
}

/// The key of every set of VIPs.
pub(crate) const VIP: [Field; 3] = [Field::Destination, Field::Protocol, Field::Port];

/// What the key of a set of frontends is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// A VIP: address, protocol and port.
    Vip,
    /// A NodePort at every address that is local to the node: protocol and port.
    NodePort,
}

impl Scope {
    /// Both, in the order in which packets meet them.
    pub const ALL: [Self; 2] = [Self::Vip, Self::NodePort];
}

/// The key of sets of frontends.
pub(crate) fn frontend(scope: Scope) -> Vec<Field> {
    match scope {
        Scope::Vip => VIP.to_vec(),
        Scope::NodePort => vec![Field::Protocol, Field::Port],
    }
}

/// The same with more fields behind.
pub(crate) fn frontend_and(scope: Scope, field: Field) -> Vec<Field> {
    frontend(scope).into_iter().chain([field]).collect()
}
