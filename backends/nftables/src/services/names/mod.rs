//! What our tables, sets and chains are called.

mod chain;
mod port;
mod set;

use portolan_core::addr::Family;

pub use chain::ChainName;
pub use port::PortName;
pub use set::SetName;

pub(crate) use port::shorten;

/// The name of both our tables, `table ip portolan` and `table ip6 portolan`. Nothing outside them is ever touched.
pub const TABLE: &str = "portolan";

/// Services with up to this many endpoints find them through a map of their own size, without a verdict, so that
/// changing them makes the kernel validate nothing. Each such map costs every connection to a larger Service 113 ns.
pub(crate) const DIRECT: u8 = 4;

/// How nft names a family.
#[must_use]
pub(crate) const fn keyword(family: Family) -> &'static str {
    match family {
        Family::V4 => "ip",
        Family::V6 => "ip6",
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_again() {
        for set in SetName::ALL {
            assert_eq!(SetName::parse(set.as_str()), Some(set));
        }
        assert_eq!(SetName::parse("endpoints-5"), None);
        let scopes = Scope::ALL.into_iter();
        let made = scopes.flat_map(|scope| [ChainName::Pick(scope, 5), ChainName::PickLocal(scope, 1)]);
        for chain in ChainName::BASE.into_iter().chain(made) {
            assert_eq!(ChainName::parse(&chain.to_string()), chain);
        }
        for foreign in ["mine", "pick-", "pick-05", "pick-x", "pick-99999999999", "pick-local", "affinity"] {
            assert_eq!(ChainName::parse(foreign), ChainName::Foreign(foreign.into()));
        }
    }
}
