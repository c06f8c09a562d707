//! What a kernel holds, for people who ask: `portolan list`, `trace` and `render`, and counters. What `cleanup` removes is a
//! [`Predecessor`]'s.
//!
//! ```text
//!   Inspect ------ observed ------> Ruleset: as text, its Frontends, what becomes of a packet
//!   (a kernel)                         ^
//!                                      '---- rendered, without a kernel
//!      '---------- what else only a kernel knows: counts, virtual servers, remembered clients, others' rules
//! ```
//!
//! Both are faces without types of a backend, so that one asks every backend that there is.

mod predecessor;
mod ruleset;
mod server;

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

pub use self::{
    predecessor::{Predecessor, Removal, Running, Trouble},
    ruleset::{Held, Legible, Objects, Ruleset},
    server::{LiveDestination, LiveServer},
};
use crate::{
    addr::Family,
    desired::Vip,
    object::{BackendError, Figure, FrontendCounts},
    trace::Trace,
};

/// A dataplane that is asked what it holds. It programs nothing.
pub trait Inspect: Send {
    /// Whether the kernel holds anything of ours.
    ///
    /// # Errors
    /// When the kernel cannot be read.
    fn is_present(&mut self) -> Result<bool, BackendError>;

    /// What it holds of ours.
    ///
    /// # Errors
    /// When the kernel cannot be read.
    fn observed(&mut self) -> Result<Box<dyn Ruleset>, BackendError>;

    /// What the kernel counted for each Frontend that it holds.
    ///
    /// # Errors
    /// When the kernel cannot be read.
    fn counts(&mut self) -> Result<BTreeMap<Vip, FrontendCounts>, BackendError>;

    /// The virtual servers of ours, where there is such a thing. One may be there for connections to a Frontend that is gone.
    ///
    /// # Errors
    /// When the kernel cannot be read.
    fn servers(&mut self) -> Result<BTreeMap<Vip, LiveServer>, BackendError> {
        Ok(BTreeMap::new())
    }

    /// What the kernel counts beside that and only this backend has a word for.
    ///
    /// # Errors
    /// When the kernel cannot be read.
    fn kernel_figures(&mut self) -> Result<Vec<Figure>, BackendError> {
        Ok(Vec::new())
    }

    /// Where a client is known already, of all places where outcomes of a trace say that it stays with its endpoint: what a
    /// trace takes as [`World::remembered`](crate::trace::World::remembered).
    ///
    /// # Errors
    /// When the kernel cannot be read.
    fn remembered(&mut self, client: IpAddr, trace: &Trace) -> Result<BTreeMap<String, Duration>, BackendError>;

    /// The tables of other programs through whose rules the packets of a family go as well, as their own tools name them.
    ///
    /// # Errors
    /// When the kernel cannot be read.
    fn other_tables(&mut self, family: Family) -> Result<Vec<String>, BackendError>;
}
