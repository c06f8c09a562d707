//! What the kernel refuses: who is to blame, what is set aside, and what was carried out all the same.
//!
//! ```text
//!   an operation of a ServicePort       that one goes back to what was last good for it
//!   of a container that is to grow      so do those that need the room; what is in it stays, and nobody else is blamed
//!   of what all Services need           the sync fails
//!   of what nobody wants                it is left, and told
//! ```

use std::collections::{BTreeMap, BTreeSet};

use super::Syncer;
use crate::object::{
    Backend, Batch, CarriedOut, Cause, Claimant, Dialect, Difference, Op, Quarantined, Refusal, Stuck, SyncError,
    Unclaimed,
};

impl<B: Backend> Syncer<B> {
    /// Puts the ServicePorts behind refused operations back to what was last good for them, and leaves alone what cannot
    /// be removed.
    pub(super) fn set_aside(&mut self, batch: &Batch<B::Dialect>, refusals: &[Refusal]) -> Result<(), SyncError> {
        let mut ports = BTreeMap::new();
        // Where something is disliked, what is missing for others may be just that: they are tried again.
        let is_consequence = |refusal: &Refusal| refusal.cause.is_stale_view();
        let all_alike = are_stale(refusals);
        let newcomers = batch.grown().map(|container| self.newcomers(container)).unwrap_or_default();
        for Refusal { op, cause } in refusals.iter().filter(|refusal| all_alike || !is_consequence(refusal)) {
            let refused = op.and_then(|op| batch.ops.get(op)).map_or(batch.ops.as_slice(), std::slice::from_ref);
            let refused = refused.iter().map(|op| op.key().clone()).filter(|_| newcomers.is_empty());
            for key in refused.chain(newcomers.iter().cloned()) {
                match self.tracker.wanted(&key) {
                    Some((Claimant::BASE, _)) => {
                        return Err(SyncError::Base { object: key.to_string(), cause: cause.clone() });
                    }
                    Some((who, _)) => {
                        if !self.last_good.contains_key(&who) {
                            // Nothing of it changed but by others: what is left of it is the best there is.
                            self.tracker.let_linger(&key);
                        }
                        ports.insert(who, cause.clone());
                    }
                    None => self.leave(&key, cause),
                }
            }
        }
        for (who, cause) in ports {
            let good = self.last_good.remove(&who);
            let refused = good.map(|good| self.tracker.claim(who, good));
            if !self.report.quarantined.iter().any(|known| self.roster.name(who) == Some(&known.port)) {
                let port = self.roster.name(who).cloned();
                self.report.quarantined.extend(port.map(|port| Quarantined { port, cause }));
            }
            if let Some(refused) = refused {
                self.quarantine.entry(who).or_insert(refused);
            }
        }
        Ok(())
    }

    /// What is to come into a container.
    fn newcomers(&self, container: &<B::Dialect as Dialect>::Key) -> Vec<<B::Dialect as Dialect>::Key> {
        let comes = |difference, key: &_| {
            difference == Difference::Missing && B::Dialect::parent(key).as_ref() == Some(container)
        };
        let pending = self.tracker.pending().filter(|pending| comes(pending.difference, pending.key));
        pending.map(|pending| pending.key.clone()).collect()
    }

    /// Leaves what cannot be removed, and tells of it unless it may stay.
    fn leave(&mut self, key: &<B::Dialect as Dialect>::Key, cause: &Cause) {
        self.tracker.let_linger(key);
        let unclaimed = self.tracker.present(key).map(|live| B::Dialect::unclaimed(key, live));
        if unclaimed != Some(Unclaimed::UntilNextLook) {
            self.report.stuck.push(Stuck { object: key.to_string(), cause: cause.clone() });
        }
    }
}

/// Whether all of these say that there is something else than we thought, and none that something is disliked.
pub(super) fn are_stale(refusals: &[Refusal]) -> bool {
    refusals.iter().all(|refusal| refusal.cause.is_stale_view())
}

/// What was carried out of a batch that was refused.
pub(super) fn carried_out_of<'b, D: Dialect>(
    batch: &'b Batch<D>,
    refusals: &[Refusal],
    carried_out: &CarriedOut,
) -> Vec<&'b Op<D>> {
    match carried_out {
        CarriedOut::Nothing => Vec::new(),
        CarriedOut::Others => {
            let refused: BTreeSet<_> = refusals.iter().filter_map(|refusal| refusal.op).collect();
            batch.ops.iter().enumerate().filter(|(number, _)| !refused.contains(number)).map(|(_, op)| op).collect()
        }
        CarriedOut::These(numbers) => numbers.iter().filter_map(|number| batch.ops.get(*number)).collect(),
    }
}
