//! Which number stands for which ServicePort.

use std::collections::BTreeMap;

use super::Claimant;
use crate::desired::PortId;

/// The ServicePorts that have objects, by number. A number is not used again as long as there are others.
#[derive(Debug)]
pub(super) struct Roster {
    by_name: BTreeMap<PortId, Claimant>,
    by_number: BTreeMap<Claimant, PortId>,
    last: Claimant,
}

impl Roster {
    pub(super) const fn new() -> Self {
        Self { by_name: BTreeMap::new(), by_number: BTreeMap::new(), last: Claimant::BASE }
    }

    /// The number of a ServicePort, which gets one if it has none.
    pub(super) fn number(&mut self, id: &PortId) -> Claimant {
        if let Some(claimant) = self.by_name.get(id) {
            return *claimant;
        }
        loop {
            self.last = Claimant(self.last.0.wrapping_add(1));
            if self.last != Claimant::BASE && !self.by_number.contains_key(&self.last) {
                break;
            }
        }
        self.by_name.insert(id.clone(), self.last);
        self.by_number.insert(self.last, id.clone());
        self.last
    }

    /// The ServicePort behind a number.
    pub(super) fn name(&self, claimant: Claimant) -> Option<&PortId> {
        self.by_number.get(&claimant)
    }

    /// Gives up a number.
    pub(super) fn forget(&mut self, claimant: Claimant) {
        if let Some(id) = self.by_number.remove(&claimant) {
            self.by_name.remove(&id);
        }
    }
}
