//! Two Services on one address, protocol and port: who is served, and what the others are told.
//!
//! Cluster IP before external and load-balancer IP before NodePort; then usable endpoints before none; then the older
//! creationTimestamp; then namespace and name. It depends on the objects only, never on the order in which they came,
//! so every node decides alike and a restart changes nothing.

use std::sync::Arc;

use super::{
    cluster::Cluster,
    endpoints,
    service::{Created, Uid},
    vips::Claim,
};
use crate::{
    addr::Family,
    desired::{self, FrontendKind, Vip},
    ingest::{Finding, Kind, ObjectRef, Right, Warning, WarningReason},
    name::{ServiceName, ServicePortName},
};

/// The smallest rank has the VIP.
type Rank<'a> = (u8, bool, Created, &'a ServicePortName);

impl Cluster {
    /// Which object a Service is, to tell it what it lost; `None` without a UID.
    #[must_use]
    pub fn uid(&self, service: &ServiceName) -> Option<Uid> {
        self.services.get(service)?.service.as_ref()?.uid
    }

    /// Decides the open contests: marks who wins or loses a VIP by it, and notes who lost one for the first time.
    pub(super) fn decide_contests(&mut self) {
        let mut lost: Vec<(Vip, Claim, Arc<Claim>)> = Vec::new();
        for vip in self.vips.take_open() {
            let Some(contest) = self.vips.contest(&vip) else { continue };
            let claims = contest.contenders.iter().map(|contender| &contender.claim);
            let Some(winner) = claims.min_by_key(|claim| self.rank(&vip, claim)) else { continue };
            let first = Arc::new(winner.clone());
            let winner = winner.port.clone();
            let Some(contest) = self.vips.contest_mut(&vip) else { continue };
            for contender in &mut contest.contenders {
                let loses = contender.claim.port != winner;
                if loses && !contender.has_lost {
                    lost.push((vip, contender.claim.clone(), first.clone()));
                }
                contender.has_lost = loses;
            }
            if contest.winner != winner {
                let before = std::mem::replace(&mut contest.winner, winner.clone());
                let family = Family::of(vip.addr);
                self.dirty.ports.extend([(before, family), (winner, family)]);
                self.dirty.vips.push(vip);
            }
        }
        // Only now is it known what is left to the losers.
        self.new_conflicts = lost.iter().map(|(vip, loser, winner)| self.conflict(*vip, loser, winner)).collect();
    }

    fn rank<'a>(&self, vip: &Vip, claim: &'a Claim) -> Rank<'a> {
        let kind = match claim.kind {
            FrontendKind::ClusterIp => 0,
            FrontendKind::ExternalIp | FrontendKind::LoadBalancerIp => 1,
            FrontendKind::NodePort => 2,
        };
        let entry = self.services.get(&claim.port.service);
        let usable = entry.is_some_and(|entry| endpoints::any(&entry.slices, &claim.port, Family::of(vip.addr)));
        let created =
            entry.and_then(|entry| entry.service.as_ref()).map_or(Created::UNKNOWN, |service| service.created);
        (kind, !usable, created, &claim.port)
    }

    /// The conflicts as they were last decided, each told to the one who lost.
    pub(super) fn conflicts(&self) -> Vec<Finding> {
        let mut all = Vec::new();
        for (vip, contest) in self.vips.contests() {
            let claims = || contest.contenders.iter().map(|contender| &contender.claim);
            let Some(winner) = claims().find(|claim| claim.port == contest.winner) else { continue };
            let losers = claims().filter(|claim| claim.port != contest.winner);
            all.extend(losers.map(|loser| self.conflict(*vip, loser, winner)));
        }
        all
    }

    fn conflict(&self, vip: Vip, loser: &Claim, winner: &Claim) -> Finding {
        let service = &loser.port.service;
        let field = match loser.kind {
            FrontendKind::ClusterIp => "spec.clusterIPs",
            FrontendKind::ExternalIp => "spec.externalIPs",
            FrontendKind::LoadBalancerIp => "status.loadBalancer.ingress",
            FrontendKind::NodePort => "spec.ports[].nodePort",
        };
        Finding::Warned(Warning {
            object: ObjectRef { kind: Kind::Service, namespace: service.namespace.clone(), name: service.name.clone() },
            field: field.to_owned(),
            value: vip.to_string(),
            reason: WarningReason::Conflict {
                winner: (*winner.port).clone(),
                right: self.right(&vip, winner, loser),
                elsewhere: self.has_frontend(&loser.port),
            },
        })
    }

    /// The part of the rank that tells two claims apart.
    fn right(&self, vip: &Vip, winner: &Claim, loser: &Claim) -> Right {
        let (first, second) = (self.rank(vip, winner), self.rank(vip, loser));
        if first.0 != second.0 {
            Right::Kind { winner: winner.kind, loser: loser.kind }
        } else if first.1 != second.1 {
            Right::Endpoints
        } else if first.2 != second.2 {
            Right::Age
        } else {
            Right::Name
        }
    }

    /// Whether clients reach a ServicePort at any address.
    fn has_frontend(&self, id: &ServicePortName) -> bool {
        let Some(service) = self.services.get(&id.service).and_then(|entry| entry.service.as_ref()) else {
            return false;
        };
        let Some(port) = service.port(id) else { return false };
        Family::ALL.into_iter().any(|family| {
            let frontends = desired::claimed(service, port, family, self.node_addrs.get(family));
            frontends.iter().any(|frontend| self.vips.has(&frontend.vip, id))
        })
    }
}
