//! The machinery of tables: rules, sets, chains and elements as words, as nft syntax and as the kernel's instructions; how
//! they are observed and written.
//!
//! | module | what |
//! | --- | --- |
//! | `layout` | what a layout must say of itself to stand on this |
//! | `key`, `value`, `element`, `rule`, `field`, `shape` | the objects of a table, as words |
//! | `dialect` | what every layout answers alike when the engine asks |
//! | `text` | as nft syntax |
//! | `lower`, `raise` | rules as instructions, and back |
//! | `encode`, `userdata` | a batch as netlink messages |
//! | `observe`, `second` | the kernel's tables as objects; the other name that a set may have there |
//! | `backend`, `error` | transactions, what others change, and what goes wrong |
//! | `figures` | what is counted for this backend alone |

pub(crate) mod backend;
pub(crate) mod dialect;
pub(crate) mod element;
pub(crate) mod encode;
pub(crate) mod error;
pub(crate) mod field;
mod figures;
pub(crate) mod key;
pub(crate) mod layout;
pub(crate) mod lower;
pub(crate) mod observe;
pub(crate) mod raise;
pub(crate) mod rule;
pub(crate) mod second;
pub(crate) mod shape;
pub(crate) mod shorten;
pub(crate) mod text;
pub(crate) mod userdata;
pub(crate) mod value;
