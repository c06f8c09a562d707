//! The network lab: a small cluster made of network namespaces, in which tests send real packets.
//!
//! ```text
//!   pod-a1  10.244.1.11 ---+                                        +--- pod-b1  10.244.2.11
//!                          +-- node-a                      node-b --+
//!   pod-a2  10.244.1.12 ---+   192.168.100.11      192.168.100.12
//!                                    |                  |
//!                                    +---- outside -----+
//!                                      192.168.100.1
//! ```
//!
//! A test binary first calls [`inside::enter`] ([`harness::run`] does): it goes on in namespaces of its own, where nothing
//! it does reaches the machine's rules and links. There it makes as many a [`lab::Lab`] as it likes, each with the same [`cast`].
//! Servers and clients are sockets of the test process itself ([`server`], [`probe`]); Portolan runs as a real process
//! ([`product`]). [`scenario`] reads what testdata/scenarios holds, [`stage`] plays it in a lab, and [`flow`] says whether
//! the packets did it.

pub mod built;
pub mod cast;
pub mod cluster;
pub mod controlplane;
pub mod daemon;
pub mod dataplane;
pub mod destination;
pub mod diff;
pub mod error;
pub mod flow;
pub mod harness;
pub mod host;
pub mod http;
pub mod inside;
pub mod lab;
pub mod objects;
pub mod probe;
pub mod product;
pub mod repository;
pub mod scenario;
pub mod server;
mod settle;
pub mod specified;
pub mod stage;
pub mod traced;
mod wiring;

pub use error::Error;
pub use lab::{Lab, Options};
pub use portolan_config::Mode;

/// The modes in which Portolan is tested.
pub const MODES: [Mode; 2] = [Mode::Nftables, Mode::Iptables];

/// The same, and the one for which not every kernel has what it takes.
pub const RENDERED_MODES: [Mode; 3] = [Mode::Nftables, Mode::Iptables, Mode::Ipvs];

/// Whether the kernel has what a mode takes.
#[must_use]
pub fn has_kernel_for(mode: Mode) -> bool {
    mode != Mode::Ipvs || portolan_netlink::ipvs::Ipvs::open().is_ok()
}

/// The modes for which the kernel has what they take.
#[must_use]
pub fn modes() -> Vec<Mode> {
    RENDERED_MODES.into_iter().filter(|mode| has_kernel_for(*mode)).collect()
}
