//! What is new goes ahead of a repair: others have removed what a change needs, and to look what else they did, and to plan
//! how all of it is put right, takes the longer the more Services there are.
//!
//! ```text
//!   a flush          a change                               written: what all Services need, and what is new
//!      |                |                                      |
//!      v                v                                      v
//!   ......... repair: look, plan, batch ......................ahead, look, plan, batch, batch ...
//! ```

use std::iter;

use super::Syncer;
use crate::object::{Backend, Batch, Claimant, Dialect, Limits, Plan};

/// How often it is tried: two transactions, between which others may come, and then one.
const TRIES: u32 = 3;

/// More ServicePorts than so many at once are a sync like any other.
const MANY: usize = 256;

/// Bytes of a batch, but for the first, which has what all Services need.
const BYTES: usize = 64 << 10;

impl<B: Backend> Syncer<B> {
    /// Writes what is new beside what others did, and nothing of what they did otherwise: where that is in the way, together
    /// with what all Services need, whatever is there of it. Where that cannot be it is left to the next sync, as is all that
    /// is to be removed.
    pub fn go_ahead(&mut self) {
        if self.new.is_empty() || self.new.len() > MANY || !B::Dialect::ADDS_OVER {
            return;
        }
        if self.contested && self.observed {
            let pending = self.tracker.pending_of(&self.new);
            let plan = Plan::of(&self.tracker, pending, self.limits_ahead(), |_| true);
            if self.write_ahead(&plan) == plan.additions {
                return;
            }
            self.others_came();
        }
        let mut at_once = false;
        for _ in 0..TRIES {
            if !self.displaced {
                return;
            }
            let pending = self.tracker.unknown_of(iter::once(Claimant::BASE).chain(self.new.iter().copied()));
            let mut plan = Plan::of(&self.tracker, pending, self.limits_ahead(), |_| true);
            if at_once {
                plan = plan.joined(Limits { bytes: usize::MAX, ..self.limits_ahead() });
            }
            let written = self.write_ahead(&plan);
            if written == plan.additions {
                let first = plan.ops().next().map(|op| op.key().clone());
                let root = first.and_then(|key| iter::successors(Some(key), B::Dialect::parent).last());
                self.ahead = root.map(|root| root.to_string());
                return;
            }
            // What was made of it is gone already, so nothing is on its way through that, and all of it may come at once.
            at_once |= written > 0;
        }
    }

    const fn limits_ahead(&self) -> Limits {
        Limits { bytes: BYTES, rebuilds_in_parts: false, ports: usize::MAX, additions_only: self.additions_only }
    }

    /// How many batches of a plan's additions are written. What was written before something went wrong is found when the
    /// kernel is next looked at.
    fn write_ahead(&mut self, plan: &Plan<B::Dialect>) -> usize {
        if plan.batches.iter().any(Batch::is_rebuild) {
            return 0;
        }
        for (written, batch) in plan.batches.iter().take(plan.additions).enumerate() {
            if self.backend.apply_beside(batch).is_err() {
                return written;
            }
            self.applied(&batch.ops);
        }
        self.new.clear();
        plan.additions
    }
}
