//! The layout of Services: which sets, chains and rules there are, what they are called, and what each Service adds to
//! them. It stands on the [tables](crate::table).
//!
//! | module | what |
//! | --- | --- |
//! | `names`, `sets` | what sets and chains are called, and what is in the sets |
//! | `layout` | the ruleset that is there whatever the Services are |
//! | `render`, `chains`, `affinity`, `places` | what a ServicePort adds |
//! | `sender`, `companion`, `closed` | what is otherwise where IPVS sends connections on, and what may be in its way |
//! | `dialect` | in which order things come and go |
//! | `predecessor` | what others have left in tables of theirs |
//! | `inspect`: `listing`, `counters`, `trace` | what the objects of a kernel say: Frontends, counts, a packet's way |

pub(crate) mod affinity;
pub(crate) mod chains;
pub(crate) mod closed;
pub mod companion;
pub(crate) mod counters;
pub(crate) mod dialect;
pub(crate) mod inspect;
pub(crate) mod layout;
pub(crate) mod listing;
pub(crate) mod names;
pub(crate) mod places;
pub(crate) mod predecessor;
pub(crate) mod render;
pub(crate) mod sender;
pub(crate) mod sets;
pub(crate) mod trace;

pub use dialect::Nft;

use crate::table;

/// Names an object in one of our tables.
pub type Key = table::key::Key<Nft>;
/// What an object in our tables is, apart from its name.
pub type Value = table::value::Value<Nft>;
/// What an element leads to.
pub type Data = table::value::Data<Nft>;
/// Our tables in the kernel.
pub type Nftables = table::backend::Tables<Nft>;
pub(crate) type Rule = table::rule::Rule<Nft>;
pub(crate) type Statement = table::rule::Statement<Nft>;

/// A rule without a comment.
pub(crate) fn rule<const N: usize>(statements: [Statement; N]) -> Rule {
    Rule { statements: Vec::from(statements), comment: None }
}

/// One with a comment, which tells people what it is for.
pub(crate) fn commented<const N: usize>(comment: &'static str, statements: [Statement; N]) -> Rule {
    Rule { comment: Some(comment), ..rule(statements) }
}
