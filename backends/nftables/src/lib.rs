//! The nftables backend: Services as elements of a constant set of maps, one dnat rule for each number of endpoints.
//!
//! ```text
//!   DesiredPort --render--> (Key, Value) --+--> text      nft syntax, for people, goldens and `nft -f`
//!   NodePolicy --layout-->                 +--> encode    netlink, for the kernel
//!                                          <--- observe   netlink, from the kernel
//! ```
//!
//! docs/design/nftables.md explains the layout and what it costs.

mod affinity;
mod backend;
mod counters;
mod dialect;
mod element;
mod encode;
mod key;
mod layout;
mod listing;
mod lower;
mod names;
mod observe;
mod places;
mod raise;
mod render;
mod rule;
mod sets;
#[cfg(feature = "testing")]
pub mod testing;
mod text;
pub mod trace;
mod userdata;
mod value;

pub use backend::{Error, Nftables};
pub use dialect::Nft;
pub use element::{ElementKey, Fields};
pub use key::Key;
pub use listing::frontends;
pub use names::{ChainName, PortName, Scope, SetName, TABLE};
pub use text::{Seconds, text};
pub use value::{Comment, Data, Hook, HookKind, HookPoint, Value};
