//! The iptables backend: chains and rules as kube-proxy names and writes them, handed to iptables-restore as text, and
//! compared with what iptables-save prints.
//!
//! ```text
//!   DesiredPort --render--> (Key, Value) --+--> text     what iptables-restore takes
//!   NodePolicy --layout-->                 <--- parse    what iptables-save prints
//! ```
//!
//! All of that is pure. [`Xtables`] has the effects: `programs` finds and runs the programs of iptables, and `ears` hears of
//! what other programs do. [`Leftovers`] removes what others have left.

mod backend;
mod dialect;
mod dispatch;
mod ears;
mod endpoints;
mod frontends;
mod inspect;
mod key;
mod layout;
mod levels;
pub mod listing;
mod names;
mod parse;
mod predecessor;
mod presence;
mod programs;
mod render;
mod restore;
mod rule;
mod rules;
mod tally;
mod text;
mod trace;
mod value;

pub use backend::{Error, Xtables};
pub use dialect::Iptables;
pub use key::{Key, Match};
pub use names::{BuiltIn, ChainName, Hash, Level, Part, Table, Tree};
pub use parse::rule as parse;
pub use predecessor::{Leftovers, LeftoversError, legacy::closed_inputs};
pub use programs::{ChildError, Holder, NoFamily, ProgramError, Programs, ProgramsError, Variant, Version};
pub use rule::{AddressSide, Condition, Is, Link, RejectWith, Rule, State, Target};
pub use text::{Text, tables};
pub use value::Value;
