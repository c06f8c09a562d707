//! Who claims which VIP. Nearly every VIP has one claimant; only the others need a decision, and only when something
//! about them changed.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    sync::Arc,
};

use crate::{
    desired::{FrontendKind, Vip},
    name::ServicePortName,
};

/// That a ServicePort wants a VIP, and by which field of its Service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Claim {
    pub(super) port: Arc<ServicePortName>,
    pub(super) kind: FrontendKind,
}

/// A VIP with several claimants.
#[derive(Debug)]
pub(super) struct Contest {
    /// Who had it at the last decision.
    pub(super) winner: Arc<ServicePortName>,
    /// Two or more, sorted by claim.
    pub(super) contenders: Vec<Contender>,
}

/// One of the claimants of a contest.
#[derive(Debug)]
pub(super) struct Contender {
    pub(super) claim: Claim,
    /// Whether it lost already at an earlier decision, so that its loss is no news.
    pub(super) has_lost: bool,
}

impl Contender {
    const fn new(claim: Claim) -> Self {
        Self { claim, has_lost: false }
    }
}

/// All claims of the cluster on this node.
#[derive(Debug, Default)]
pub(super) struct Vips {
    /// VIPs with one claimant.
    sole: BTreeMap<Vip, Claim>,
    /// VIPs with several. A VIP is in one of the two maps.
    contests: BTreeMap<Vip, Contest>,
    /// Contests that must be decided anew.
    open: BTreeSet<Vip>,
}

impl Vips {
    /// Enters a claim that is not there yet.
    pub(super) fn claim(&mut self, vip: Vip, claim: Claim) {
        if let Some(contest) = self.contests.get_mut(&vip) {
            let place = contest.contenders.partition_point(|other| other.claim < claim);
            contest.contenders.insert(place, Contender::new(claim));
        } else {
            let first = match self.sole.entry(vip) {
                Entry::Vacant(place) => {
                    place.insert(claim);
                    return;
                }
                Entry::Occupied(first) => first.remove(),
            };
            let winner = first.port.clone();
            let claims = if first < claim { [first, claim] } else { [claim, first] };
            self.contests.insert(vip, Contest { winner, contenders: claims.map(Contender::new).into() });
        }
        self.open.insert(vip);
    }

    /// Removes a claim. Gives the ServicePort that has the VIP from now on without a contest, if it had lost it until
    /// now.
    pub(super) fn release(&mut self, vip: Vip, claim: &Claim) -> Option<Arc<ServicePortName>> {
        let Some(contest) = self.contests.get_mut(&vip) else {
            if self.sole.get(&vip) == Some(claim) {
                self.sole.remove(&vip);
            }
            return None;
        };
        contest.contenders.retain(|other| other.claim != *claim);
        if contest.contenders.len() > 1 {
            self.open.insert(vip);
            return None;
        }
        let contest = self.contests.remove(&vip)?;
        let last = contest.contenders.into_iter().next()?.claim;
        let heir = (contest.winner != last.port).then(|| last.port.clone());
        self.sole.insert(vip, last);
        heir
    }

    /// Says that something changed by which a VIP is decided, if several claim it.
    pub(super) fn reopen(&mut self, vip: Vip) {
        if self.contests.contains_key(&vip) {
            self.open.insert(vip);
        }
    }

    /// Whether any contest must be decided anew.
    pub(super) fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Whether any VIP has several claimants.
    pub(super) fn is_contested(&self) -> bool {
        !self.contests.is_empty()
    }

    /// Whether one of its claimants has a VIP. What is open must be decided first.
    pub(super) fn has(&self, vip: &Vip, port: &ServicePortName) -> bool {
        self.contests.get(vip).is_none_or(|contest| *contest.winner == *port)
    }

    /// Who has a VIP. What is open must be decided first.
    pub(super) fn owner(&self, vip: &Vip) -> Option<&Arc<ServicePortName>> {
        match self.contests.get(vip) {
            Some(contest) => Some(&contest.winner),
            None => self.sole.get(vip).map(|claim| &claim.port),
        }
    }

    /// The VIPs to be decided, which are then no longer open.
    pub(super) fn take_open(&mut self) -> BTreeSet<Vip> {
        std::mem::take(&mut self.open)
    }

    pub(super) fn contest_mut(&mut self, vip: &Vip) -> Option<&mut Contest> {
        self.contests.get_mut(vip)
    }

    pub(super) fn contest(&self, vip: &Vip) -> Option<&Contest> {
        self.contests.get(vip)
    }

    /// All contests, in the order of their VIPs.
    pub(super) fn contests(&self) -> impl Iterator<Item = (&Vip, &Contest)> {
        self.contests.iter()
    }
}
