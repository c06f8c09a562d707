//! The dataplanes as tests need them: which crate is behind a mode, and which of its objects must be the same in the end.
//! No other file of the harness needs to know a backend to run histories.

use std::collections::BTreeMap;

use portolan_core::{
    inspect::Legible,
    object::{Backend, BackendError, Dialect, SyncError, Syncer, Unclaimed},
};
use portolan_iptables::Xtables;
use portolan_ipvs::{Key, Value};
use portolan_nftables::{Nftables, testing};

pub use portolan_iptables::Iptables;
pub use portolan_ipvs::Ipvs;
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

    /// The objects in which a kernel differs from what is wanted, if they do not [agree](Self::agree); objects may stay until
    /// the kernel is next read in full although nobody wants them any more.
    #[must_use]
    fn difference(wanted: &Objects<Self>, mut live: Vec<(Self::Key, Self::Value)>) -> Option<String> {
        live.retain(|(key, value)| Self::unclaimed(key, value) != Unclaimed::UntilNextLook || wanted.contains_key(key));
        if Self::agree(wanted, &live) {
            return None;
        }
        let (wanted, live) = (Self::in_order(wanted.clone()), Self::in_order(live.into_iter().collect()));
        let missing = wanted.iter().filter(|(key, _)| !live.contains_key(key));
        let missing = missing.map(|(key, value)| format!("missing is {key}: {value:?}"));
        let others = live.iter().filter_map(|(key, live)| match wanted.get(key) {
            None => Some(format!("there is {key}: {live:?}")),
            Some(wanted) if Self::serves(key, live, wanted) => None,
            Some(wanted) => Some(format!("{key} is {live:?}, not {wanted:?}")),
        });
        Some(missing.chain(others).collect::<Vec<_>>().join("\n"))
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

impl Dataplane for Iptables {
    const MODE: Mode = Mode::Iptables;
    type Kernel = Xtables;

    fn kernel() -> Result<Xtables, BackendError> {
        Xtables::watching(true).map_err(BackendError::new)
    }
}

impl Dataplane for Ipvs {
    const MODE: Mode = Mode::Ipvs;
    type Kernel = portolan_ipvs::Kernel;

    fn kernel() -> Result<portolan_ipvs::Kernel, BackendError> {
        portolan_ipvs::Kernel::watching().map_err(BackendError::new)
    }

    fn in_order(objects: Objects<Self>) -> Objects<Self> {
        let (mut others, beside) = apart(objects);
        others.extend(Nft::in_order(beside).into_iter().map(|(key, value)| (Key::Beside(key), Value::Beside(value))));
        others
    }

    fn agree(wanted: &Objects<Self>, live: &[(Key, Value)]) -> bool {
        let (wanted, wanted_beside) = apart(wanted.clone());
        let (live, live_beside) = apart(live.iter().cloned().collect());
        wanted == live && Nft::agree(&wanted_beside, &live_beside.into_iter().collect::<Vec<_>>())
    }
}

/// What is in the tables beside IPVS, apart from all else.
fn apart(objects: Objects<Ipvs>) -> (Objects<Ipvs>, Objects<Nft>) {
    let (mut others, mut beside) = (Objects::<Ipvs>::new(), Objects::<Nft>::new());
    for object in objects {
        match object {
            (Key::Beside(key), Value::Beside(value)) => drop(beside.insert(key, value)),
            (key, value) => drop(others.insert(key, value)),
        }
    }
    (others, beside)
}

/// Removes what drains, which has no connections here.
///
/// # Errors
/// When a sync fails.
pub fn drain<B: Backend>(syncer: &mut Syncer<B>) -> Result<(), SyncError> {
    while let Some(due) = syncer.due() {
        syncer.drain(due)?;
    }
    Ok(())
}
