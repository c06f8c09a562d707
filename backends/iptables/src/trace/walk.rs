//! The way of a packet through built-in chains, chains of ours and rules.
//!
//! A [`Branch`] is the packet with all that it has collected in one case. A condition with a chance parts it in two, each with
//! what comes next for it.

use std::collections::BTreeSet;

use portolan_core::{
    addr::Family,
    trace::{
        AddressKind, Branch, Ends, Masquerade, Origin, Packet, Policy, Reason, RefusedBy, RulePlace, Trace,
        TracedFrontend, Verdict, World,
    },
};

use crate::{
    key::Match,
    names::{BuiltIn, ChainName, Part, Table, Tree},
    rule::{AddressSide, Condition, Is, Rule, Target},
    rules::{self, Objects},
    text::Text,
};

/// Deeper than any chain of ours leads.
const DEPTH: usize = 16;

/// What comes next for a packet that met a rule.
enum Next {
    /// The next rule.
    Rule,
    /// The end of the built-in chain: it is sent on.
    Accept,
    /// The chain that it came from.
    Return,
    /// Another chain, and back.
    Jump(ChainName),
    /// Its end.
    End(Verdict),
}

/// A packet on its way.
pub(super) struct Walk<'a> {
    objects: &'a Objects<'a>,
    pub(super) packet: &'a Packet,
    pub(super) world: &'a World<'a>,
    family: Family,
    doubts: BTreeSet<String>,
    ends: Ends,
    /// What needs no other rule of the built-in chain that it is in.
    accepted: Vec<Branch>,
}

/// Where a rule is.
#[derive(Clone, Copy)]
struct Place {
    table: Table,
    chain: ChainName,
    /// Counted from 1.
    rule: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn new(objects: &'a Objects<'a>, packet: &'a Packet, world: &'a World<'a>) -> Self {
        let family = packet.family();
        let mut doubts = BTreeSet::new();
        if !objects.keys().any(|key| key.family() == family) {
            doubts.insert(format!("the kernel holds nothing of Portolan's for {family}"));
        }
        Self { objects, packet, world, family, doubts, ends: Ends::default(), accepted: Vec::new() }
    }

    /// From its origin to everything that may become of it.
    pub(super) fn run(mut self) -> Trace {
        let branch = Branch::of(self.packet);
        let arrived = match self.packet.origin {
            Origin::Node => self.leave(branch),
            Origin::Pod | Origin::Outside => self.come(branch),
        };
        arrived.into_iter().for_each(|branch| self.ends.arrive(branch));
        self.ends.trace(self.doubts.into_iter().collect())
    }

    /// What this node sends to itself comes in again by the loopback interface, where it is not translated again.
    fn leave(&mut self, branch: Branch) -> Vec<Branch> {
        let sent = self.built_in(Table::Nat, BuiltIn::Output, vec![branch]);
        let sent = self.built_in(Table::Filter, BuiltIn::Output, sent);
        let sent = self.built_in(Table::Nat, BuiltIn::Postrouting, sent);
        let (here, mut gone): (Vec<_>, Vec<_>) = sent.into_iter().partition(|branch| self.is_here(branch));
        gone.extend(self.built_in(Table::Filter, BuiltIn::Input, here));
        gone
    }

    fn come(&mut self, branch: Branch) -> Vec<Branch> {
        let routed = self.built_in(Table::Nat, BuiltIn::Prerouting, vec![branch]);
        let (here, passing): (Vec<_>, Vec<_>) = routed.into_iter().partition(|branch| self.is_here(branch));
        let mut arrived = self.built_in(Table::Filter, BuiltIn::Input, here);
        let passing = self.built_in(Table::Filter, BuiltIn::Forward, passing);
        arrived.extend(self.built_in(Table::Nat, BuiltIn::Postrouting, passing));
        arrived
    }

    fn is_here(&self, branch: &Branch) -> bool {
        (self.world.is_local)(branch.destination)
    }

    fn built_in(&mut self, table: Table, chain: BuiltIn, mut branches: Vec<Branch>) -> Vec<Branch> {
        for rule in rules::of_built_in(self.objects, self.family, table, chain) {
            let Some(to) = rule.chain() else { continue };
            let mut on = Vec::new();
            for branch in branches {
                let (matching, others) = self.ask(&rule, branch);
                on.extend(others);
                on.extend(self.chain(table, to, 0, matching));
            }
            branches = on;
        }
        branches.append(&mut self.accepted);
        branches
    }

    /// Goes through a chain; gives what comes back from it.
    fn chain(&mut self, table: Table, chain: ChainName, depth: usize, mut branches: Vec<Branch>) -> Vec<Branch> {
        if depth == DEPTH || branches.is_empty() {
            return branches;
        }
        branches.iter_mut().for_each(|branch| branch.steps.push(chain.to_string()));
        let mut back = Vec::new();
        let rules = rules::of_chain(self.objects, self.family, table, chain);
        for ((of, rule), number) in rules.into_iter().zip(1..) {
            let place = Place { table, chain, rule: number };
            let mut on = Vec::new();
            for branch in branches {
                let (matching, others) = self.ask(&rule, branch);
                on.extend(others);
                for mut branch in matching {
                    match self.act(place, of, &rule, &mut branch) {
                        Next::Rule => on.push(branch),
                        Next::Accept => self.accepted.push(branch),
                        Next::Return => back.push(branch),
                        Next::Jump(to) => on.extend(self.chain(table, to, depth + 1, vec![branch])),
                        Next::End(verdict) => self.ends.end(branch, verdict),
                    }
                }
            }
            branches = on;
        }
        back.append(&mut branches);
        back
    }

    /// Those for which all conditions of a rule hold, and those for which one does not.
    fn ask(&self, rule: &Rule, branch: Branch) -> (Vec<Branch>, Vec<Branch>) {
        let (mut matching, mut others) = (vec![branch], Vec::new());
        for condition in &rule.conditions {
            for branch in std::mem::take(&mut matching) {
                let (holds, fails) = self.question(condition, branch);
                matching.extend(holds);
                others.extend(fails);
            }
        }
        (matching, others)
    }

    fn act(&mut self, place: Place, of: Option<&Match>, rule: &Rule, branch: &mut Branch) -> Next {
        if let Some(frontend) = of.and_then(|of| frontend(place, of, rule)) {
            branch.frontend = Some(frontend);
        }
        match &rule.target {
            Target::Jump(to) => {
                enter(place.chain, rule, *to, branch);
                Next::Jump(*to)
            }
            Target::Accept => {
                if let ChainName::Of(Part::External, _) = place.chain {
                    branch.policies.insert(Policy::LocalEndpoints);
                }
                Next::Accept
            }
            Target::Drop => Next::End(Verdict::Dropped(self.refused_by(place, rule))),
            Target::Reject(_) => Next::End(Verdict::Rejected(self.refused_by(place, rule))),
            Target::Return => Next::Return,
            Target::SendTo(endpoint) => {
                branch.send_to(*endpoint);
                Next::Accept
            }
            Target::Mark(value, mask) => {
                branch.mark = branch.mark & !mask ^ value;
                Next::Rule
            }
            Target::Masquerade => {
                branch.masqueraded = branch.marked.or(Some(Masquerade::Other));
                Next::Accept
            }
            Target::None => Next::Rule,
            Target::Strange(_) => {
                let Place { chain, rule, .. } = place;
                self.doubts.insert(format!(
                    "rule {rule} of chain {chain} is not one that Portolan writes: what it does is not known"
                ));
                Next::Rule
            }
        }
    }

    fn refused_by(&self, place: Place, rule: &Rule) -> RefusedBy {
        RefusedBy {
            reason: reason(place.chain, rule),
            rule: Some(RulePlace { step: place.chain.to_string(), number: place.rule }),
            text: Text(self.family, rule).to_string(),
        }
    }
}

/// What a packet is found to be for by a rule of a dispatching chain.
fn frontend(place: Place, of: &Match, rule: &Rule) -> Option<TracedFrontend> {
    let address = match (of, place.table, place.chain) {
        (Match::Port(..), Table::Nat, _) | (Match::AskedPort(..), ..) => AddressKind::NodePort,
        (Match::Vip(_) | Match::AskedVip(_), Table::Filter, ChainName::Level(Tree::Services, _)) => {
            AddressKind::ClusterIp
        }
        (Match::AskedVip(_), ..) => AddressKind::External,
        (Match::Vip(_), Table::Nat, _) => match rule.comment() {
            Some(comment) if comment.ends_with(" cluster IP") => AddressKind::ClusterIp,
            _ => AddressKind::External,
        },
        _ => return None,
    };
    Some(TracedFrontend { service: rule.comment().map(|comment| rules::service(comment).to_owned()), address })
}

/// What it means that a packet goes from one chain to another.
fn enter(from: ChainName, rule: &Rule, to: ChainName, branch: &mut Branch) {
    let asks = |which: fn(&Condition) -> bool| rule.conditions.iter().any(which);
    let by_source = asks(|condition| matches!(condition, Condition::Local(AddressSide::Source, _)));
    let by_pods =
        asks(|condition| matches!(condition, Condition::Within(AddressSide::Source, ..) | Condition::CameBy(..)));
    match (from, to) {
        (_, ChainName::Of(Part::Sources, _)) => drop(branch.policies.insert(Policy::SourceRanges)),
        (ChainName::Of(Part::External, _), ChainName::Of(Part::Cluster, _)) if by_source || by_pods => {
            branch.policies.insert(Policy::ShortCut);
        }
        (ChainName::Of(Part::External, _), ChainName::Of(Part::Local, _)) => {
            branch.policies.insert(Policy::LocalEndpoints);
        }
        (ChainName::Of(part, _), ChainName::MarkMasquerade) => {
            let why = match part {
                Part::External if by_source => Masquerade::Node,
                Part::External => Masquerade::External,
                Part::Endpoint => Masquerade::Hairpin,
                Part::Cluster | Part::Local if by_pods => Masquerade::NotFromPod,
                Part::Cluster | Part::Local => Masquerade::All,
                Part::Sources => Masquerade::Other,
            };
            branch.marked.get_or_insert(why);
        }
        _ => {}
    }
}

/// Why a rule refuses a packet, as its chain tells.
fn reason(chain: ChainName, rule: &Rule) -> Reason {
    match (chain, &rule.target) {
        (ChainName::NoSuchPort, _) => Reason::NoSuchPort,
        (ChainName::Services, Target::Drop) => Reason::NoSuchClusterIp,
        (ChainName::Level(Tree::Firewall, _) | ChainName::Of(Part::Sources, _), _) => Reason::SourceRanges,
        (ChainName::Level(..) | ChainName::ExternalNodePorts, Target::Reject(_)) => Reason::NoEndpoints,
        (ChainName::Level(..) | ChainName::ExternalNodePorts | ChainName::Of(Part::External, _), Target::Drop) => {
            Reason::NoLocalEndpoints
        }
        _ => Reason::Other,
    }
}

/// Whether something holds, as it must or must not.
pub(super) const fn as_asked(is: Is, holds: bool) -> bool {
    match is {
        Is::In => holds,
        Is::Not => !holds,
    }
}
