//! The dataplanes as tests need them: which crate is behind a mode, and which of its objects must be the same in the end.
//! No other file of the harness needs to know a backend to run histories.

use std::collections::BTreeMap;

use portolan_core::{
    inspect::Legible,
    object::{Backend, BackendError, Dialect, Unclaimed},
};
use portolan_nftables::{Nftables, testing};

pub use portolan_nftables::Nft;

use crate::Mode;

/// A dialect whose kernel is real.
pub trait Dataplane: Legible<Key: Send + Sync, Value: Send + Sync> + Default + Send {
    /// The mode that it is.
    const MODE: Mode;
    /// What programs the kernel.
    type Kernel: Backend<Dialect = Self> + Send;

    /// The kernel of the network namespace of this thread, which tells of the changes of others.
    ///
    /// # Errors
    /// When it cannot be used.
    fn kernel() -> Result<Self::Kernel, BackendError>;

    /// Objects as the mode's own tool takes them.
    #[must_use]
    fn written(objects: &Objects<Self>) -> String {
        Legible::text(&Self::default(), &objects.iter().collect())
    }

    /// What may be one way or another in two kernels with different pasts, put in one order.
    #[must_use]
    fn in_order(objects: Objects<Self>) -> Objects<Self> {
        objects
    }

    /// Whether a kernel holds what is wanted, but for such an order.
    #[must_use]
    fn agree(wanted: &Objects<Self>, live: &[(Self::Key, Self::Value)]) -> bool {
        let live: Objects<Self> = live.iter().cloned().collect();
        wanted.len() == live.len()
            && live.iter().all(|(key, live)| wanted.get(key).is_some_and(|wanted| Self::serves(key, live, wanted)))
    }

    /// The same where objects may stay until the kernel is next read in full although nobody wants them any more.
    #[must_use]
    fn agree_but_for_what_lingers(wanted: &Objects<Self>, mut live: Vec<(Self::Key, Self::Value)>) -> bool {
        live.retain(|(key, value)| Self::unclaimed(key, value) != Unclaimed::UntilNextLook || wanted.contains_key(key));
        Self::agree(wanted, &live)
    }
}

/// Objects of a dialect by their keys.
pub type Objects<D> = BTreeMap<<D as Dialect>::Key, <D as Dialect>::Value>;

impl Dataplane for Nft {
    const MODE: Mode = Mode::Nftables;
    type Kernel = Nftables;

    fn kernel() -> Result<Nftables, BackendError> {
        Nftables::watching().map_err(BackendError::new)
    }

    fn in_order(objects: Objects<Self>) -> Objects<Self> {
        testing::in_order(&objects)
    }

    fn agree(wanted: &Objects<Self>, live: &[(Self::Key, Self::Value)]) -> bool {
        testing::agree_but_for_places(wanted, live)
    }
}
