//! What our tables, sets and chains are called.

mod chain;
mod port;
mod set;

pub use chain::ChainName;
pub use port::PortName;
pub use set::SetName;

/// The name of both our tables, `table ip portolan` and `table ip6 portolan`. Nothing outside them is ever touched.
pub const TABLE: &str = "portolan";

/// Services with up to this many endpoints find them through a map of their own size, without a verdict, so that
/// changing them makes the kernel validate nothing. Each such map costs every connection to a larger Service 113 ns.
pub(crate) const DIRECT: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::field::Scope;

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
