//! What becomes of a packet: rules and elements, asked as the kernel asks them.
//!
//! `text` writes the objects, `encode` programs them, and this follows a packet through
//! them: through those that the kernel holds, to tell why a connection fails, and through those that are rendered, to
//! hold them against what packets must meet.
//!
//! ```text
//!   from a pod, from outside    from this node
//!            |                        |
//!       prerouting                 output      translated to an endpoint, or not
//!            |                        |        (output: rejected, dropped)
//!         routing                     |
//!     input     forward               |        rejected, dropped
//!       |          |                  |
//!       |     postrouting        postrouting   masqueraded, or not
//!       |          |              |       |
//!       |         out            out    input
//! ```
//!
//! | module | what |
//! | --- | --- |
//! | `walk` | hooks, chains, rules |
//! | `statement` | what a rule's statements ask and do |
//! | `live` | what the kernel remembers of clients, and who else has rules |
//!
//! What comes of it is told in the words of [`portolan_core::trace`]: which policy a chain stands for is known here.

mod live;
mod statement;
#[cfg(test)]
mod tests;
mod walk;

use std::fmt;

use portolan_core::{
    addr::Family,
    desired::{LocalDetector, Vip},
    inspect,
    trace::{Packet, Trace, VirtualServer, World},
};

use crate::{
    services::{Key, Nft, Statement, names::ChainName},
    table::field::Scope,
};

type Objects<'a> = inspect::Objects<'a, Nft>;

/// Why a trace may be wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Doubt {
    /// There is no table: nothing is programmed in this family.
    NoTable(Family),
    /// An object is not as Portolan makes it; what it does to packets is not known.
    Strange(Key),
    /// A rule is not one of those that Portolan writes; what it does to packets is not known.
    Rule {
        /// The chain that it is in.
        chain: ChainName,
        /// Its place in the chain, counted from 1.
        rule: usize,
    },
}

/// How a kernel's rules tell pods of this node in a family; `None` where nothing of ours tells them.
pub(super) fn detector(objects: &Objects<'_>, family: Family) -> Option<LocalDetector> {
    let chains = [ChainName::Services(Scope::Vip), ChainName::ExternalLocal(Scope::Vip)];
    let rules = chains.into_iter().flat_map(|chain| walk::rules(objects, family, &chain)).flatten();
    let statements: Vec<_> = rules.flat_map(|rule| rule.into_owned().statements).collect();
    statements.into_iter().find_map(|statement| match statement {
        Statement::FromPod(detector) | Statement::NotFromPod(detector) => Some(detector),
        _ => None,
    })
}

/// The virtual server of a VIP, if there is one.
pub type Servers<'a> = dyn Fn(&Vip) -> Option<VirtualServer> + 'a;

/// Follows a packet through objects, and virtual servers where there are any.
pub(super) fn trace(objects: &Objects<'_>, packet: &Packet, world: &World<'_>, servers: &Servers<'_>) -> Trace {
    walk::Walk::new(objects, packet, world, servers).run()
}

/// A sentence.
impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTable(family) => write!(f, "the kernel holds nothing of Portolan's for {family}"),
            Self::Strange(key) => write!(f, "{key} is not as Portolan makes it: what it does to packets is not known"),
            Self::Rule { chain, rule } => {
                write!(f, "rule {rule} of chain {chain} is not one that Portolan writes: what it does is not known")
            }
        }
    }
}
