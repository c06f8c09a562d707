//! What an object in our tables is, apart from its name.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use portolan_core::name::ServicePortName;
use portolan_netlink::wire::Expr;

use super::{layout::Layout, rule::Rule, shorten::shorten};

/// The value of a [`Key`](crate::Key).
#[derive(Debug, Clone, PartialEq)]
pub enum Value<L: Layout> {
    /// A table without flags.
    Table,
    /// A set or map of the kind that its name says.
    Set {
        /// The kernel's hard limit (ENFILE beyond it).
        size: Option<u32>,
        /// Whether each element counts how often a lookup found it.
        counts: bool,
    },
    /// A set of clients, whose elements packets make.
    Clients,
    /// A chain; where it has a hook, packets start there.
    Chain(Option<Hook>),
    /// Rules as we write them.
    Rules(Arc<[Rule<L>]>),
    /// Rules as the kernel lists them.
    LiveRules(Arc<[Vec<Expr>]>),
    /// An element of a set or map.
    Element(Data<L>, Option<Comment>),
    /// Something that we would never write. It is nobody's wish, so it is made anew or removed.
    Strange,
}

/// Where packets enter a base chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hook {
    /// `nat` or `filter`.
    pub kind: HookKind,
    /// At which point of a packet's way.
    pub point: HookPoint,
    /// Lower comes first.
    pub priority: i32,
}

/// The type of a base chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookKind {
    /// Sees the first packet of each connection.
    Nat,
    /// Sees every packet.
    Filter,
}

/// `enum nf_inet_hooks` of linux/netfilter.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookPoint {
    /// Before the routing decision.
    Prerouting,
    /// For this node.
    Input,
    /// Passing through.
    Forward,
    /// From this node.
    Output,
    /// About to leave.
    Postrouting,
}

/// What an element leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data<L: Layout> {
    /// Nothing: it is in a set.
    None,
    /// An endpoint.
    Endpoint(IpAddr, u16),
    /// A chain from which packets come back.
    Jump(L::Chain),
    /// A chain from which they do not.
    Goto(L::Chain),
}

impl<L: Layout> Data<L> {
    /// The endpoint, where it is one.
    #[must_use]
    pub const fn endpoint(&self) -> Option<SocketAddr> {
        match self {
            Self::Endpoint(addr, port) => Some(SocketAddr::new(*addr, *port)),
            Self::None | Self::Jump(_) | Self::Goto(_) => None,
        }
    }
}

/// What `nft list` shows beside an element: the ServicePort as `namespace/name:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment(Arc<str>);

impl Comment {
    /// What nft takes (`NFTNL_UDATA_COMMENT_MAXLEN`); it refuses a listing with one byte more.
    pub const MAX: usize = 128;

    /// The comment for a ServicePort. The API allows names that make 143 bytes: a longer one is cut, and ended with a
    /// hash of the whole, so that two of them stay different.
    #[must_use]
    pub fn new(port: &ServicePortName) -> Self {
        Self(shorten(port.to_string(), Self::MAX).into())
    }

    /// A comment that was found in the kernel, whoever wrote it.
    #[must_use]
    pub fn found(text: &str) -> Self {
        Self(text.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use portolan_core::{addr::Protocol, name::ServiceName};

    use super::*;

    fn comment(namespace: usize, name: usize, port: usize) -> Comment {
        let service = ServiceName { namespace: "n".repeat(namespace).into(), name: "s".repeat(name).into() };
        Comment::new(&ServicePortName { service, port: "p".repeat(port).into(), protocol: Protocol::Tcp })
    }

    #[test]
    fn comments_fit_and_stay_different() {
        assert_eq!(comment(1, 1, 1).as_str(), "n/s:p");
        assert_eq!(comment(1, 1, 0).as_str(), "n/s");
        assert_eq!(comment(63, 63, 0).as_str().len(), 127);
        assert_eq!(comment(62, 62, 2).as_str().len(), 128);
        assert!(!comment(62, 62, 2).as_str().contains('_'));
        let (cut, other) = (comment(63, 63, 14), comment(63, 63, 15));
        assert_eq!(cut.as_str().len(), Comment::MAX);
        assert_ne!(cut, other);
        assert_eq!(cut.as_str().get(..111), other.as_str().get(..111));
    }
}
