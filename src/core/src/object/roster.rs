//! Which number stands for which ServicePort.

use super::{
    Claimant,
    numbered::{Number, Numbered},
};
use crate::desired::PortId;

/// The ServicePorts that have objects, by number.
#[derive(Debug, Default)]
pub(super) struct Roster(Numbered<PortId, ()>);

impl Roster {
    /// The number of a ServicePort, which gets one if it has none.
    pub(super) fn number(&mut self, id: &PortId) -> Claimant {
        // The first number is the node's own.
        Claimant(self.0.number(id).0.saturating_add(1))
    }

    /// Whether no ServicePort has objects.
    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().next().is_none()
    }

    /// The ServicePort behind a number.
    pub(super) fn name(&self, claimant: Claimant) -> Option<&PortId> {
        self.0.key(place_of(claimant)?)
    }

    /// Gives up a number, which may then stand for another ServicePort.
    pub(super) fn forget(&mut self, claimant: Claimant) {
        if let Some(number) = place_of(claimant) {
            self.0.remove(number);
        }
    }
}

fn place_of(claimant: Claimant) -> Option<Number> {
    claimant.0.checked_sub(1).map(Number)
}
