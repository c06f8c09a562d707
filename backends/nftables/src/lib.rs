//! The nftables backend: Services as elements of a constant set of maps, one dnat rule for each number of endpoints.
//!
//! ```text
//!   DesiredPort --render--> (Key, Value) --+--> text      nft syntax, for people, goldens and `nft -f`
//!   NodePolicy --layout-->                 +--> encode    netlink, for the kernel
//!                                          <--- observe   netlink, from the kernel
//! ```
//!
//! | module | what |
//! | --- | --- |
//! | `table` | the machinery: rules, sets and elements as words, as text, as instructions; observing and writing them |
//! | `services` | the layout of Services, which stands on it |
//!
//! docs/design/nftables.md explains the layout and what it costs.

mod services;
mod table;
#[cfg(feature = "testing")]
pub mod testing;

pub use services::{
    Data, Key, Nft, Nftables, Value, companion,
    names::{ChainName, PortName, SetName, TABLE},
    predecessor::Leftovers,
};
pub use table::{
    element::{ElementKey, Fields},
    error::Error,
    field::Scope,
    text::text,
    value::{Comment, Hook, HookKind, HookPoint},
};
