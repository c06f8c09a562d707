//! Objects that can be read: what people see of them, and what packets meet.

use std::collections::BTreeMap;

use crate::{
    addr::Family,
    desired::{DesiredPort, LocalDetector, NodePolicy},
    object::{Backend, BackendError, Dialect, LiveFrontend, Tracker},
    trace::{Packet, Trace, World},
};

/// Objects of a dialect by their keys: those that a kernel holds, or that are rendered. Both families may be in it.
pub type Objects<'a, D> = BTreeMap<&'a <D as Dialect>::Key, &'a <D as Dialect>::Value>;

/// A dialect whose objects can be read.
pub trait Legible: Dialect {
    /// As the dataplane's own tool takes them.
    fn text(&self, objects: &Objects<'_, Self>) -> String;

    /// The Frontends among them, sorted by VIP.
    fn frontends(&self, objects: &Objects<'_, Self>) -> Vec<LiveFrontend>;

    /// How they tell pods of this node in a family; `None` where nothing of ours tells them.
    fn detector(&self, objects: &Objects<'_, Self>, family: Family) -> Option<LocalDetector>;

    /// Follows a packet through them.
    fn trace(&self, objects: &Objects<'_, Self>, packet: &Packet, world: &World<'_>) -> Trace;
}

/// The same with objects of any dialect.
pub trait Ruleset {
    /// [`Legible::text`]
    fn text(&self) -> String;

    /// [`Legible::frontends`]
    fn frontends(&self) -> Vec<LiveFrontend>;

    /// [`Legible::detector`]
    fn detector(&self, family: Family) -> Option<LocalDetector>;

    /// [`Legible::trace`]
    fn trace(&self, packet: &Packet, world: &World<'_>) -> Trace;
}

/// Objects with the dialect that they are in.
#[derive(Debug, Clone)]
pub struct Held<D: Dialect> {
    dialect: D,
    objects: BTreeMap<D::Key, D::Value>,
}

impl<D: Dialect> Held<D> {
    /// What a kernel holds.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn observed(backend: &mut impl Backend<Dialect = D>) -> Result<Self, BackendError> {
        let objects = backend.observe()?.into_iter().collect();
        Ok(Self { dialect: backend.dialect().clone(), objects })
    }

    /// What these ServicePorts want on this node, without a kernel.
    #[must_use]
    pub fn rendered(dialect: D, policy: &NodePolicy, ports: &[DesiredPort]) -> Self {
        let wanted = Tracker::rendered(&dialect, policy, ports);
        let objects = wanted.all_wanted().map(|(key, value)| (key.clone(), value.clone())).collect();
        Self { dialect, objects }
    }

    fn objects(&self) -> Objects<'_, D> {
        self.objects.iter().collect()
    }
}

impl<D: Legible> Ruleset for Held<D> {
    fn text(&self) -> String {
        self.dialect.text(&self.objects())
    }

    fn frontends(&self) -> Vec<LiveFrontend> {
        self.dialect.frontends(&self.objects())
    }

    fn detector(&self, family: Family) -> Option<LocalDetector> {
        self.dialect.detector(&self.objects(), family)
    }

    fn trace(&self, packet: &Packet, world: &World<'_>) -> Trace {
        self.dialect.trace(&self.objects(), packet, world)
    }
}
