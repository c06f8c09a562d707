//! The way of a packet through hooks, chains and rules.
//!
//! A [`Branch`] is the packet with all that it has collected in one case. A [statement](super::statement) turns it into
//! others, each with what comes [`Next`] for it:
//!
//! ```text
//!   numgen random mod 3 in the key of a map with two of the three slots:
//!     branch 1/1 ---> 1/3 dnat to the first
//!                ---> 1/3 dnat to the second
//!                ---> 1/3 no such element: the next rule
//! ```

use std::{borrow::Cow, collections::BTreeSet};

use portolan_core::{
    addr::Family,
    desired::Vip,
    trace::{Asks, Branch, Ends, Origin, Packet, Policy, Reason, RefusedBy, RulePlace, Trace, Verdict, World},
};

use super::{Doubt, Objects, Servers};
use crate::{
    services::{
        Key, Rule, Statement, Value,
        names::{ChainName, SetName},
    },
    table::{
        field::{Field, Scope},
        raise::raise,
        text::Line,
        value::HookPoint,
    },
};

/// `NFT_JUMP_STACK_SIZE` of the kernel, which refuses rules that lead deeper.
const DEPTH: usize = 16;

/// What comes next for a packet that met a statement.
pub(super) enum Next {
    /// The statement behind it.
    Statement,
    /// The next rule: this one does not match.
    Rule,
    /// The end of the base chain: it is sent on.
    Accept,
    /// The chain that it came from.
    Return,
    /// Another chain, and back.
    Jump(ChainName),
    /// Another chain, and from there to where it came from.
    Goto(ChainName),
    /// Its end, and its sender hears of it.
    Reject,
    /// Its end.
    Drop,
}

/// A packet on its way.
pub(super) struct Walk<'a> {
    pub(super) objects: &'a Objects<'a>,
    pub(super) packet: &'a Packet,
    pub(super) world: &'a World<'a>,
    pub(super) family: Family,
    servers: &'a Servers<'a>,
    doubts: BTreeSet<Doubt>,
    ends: Ends,
    /// What needs no other rule of the base chain that it is in.
    accepted: Vec<Branch>,
}

/// Where a rule is.
#[derive(Clone, Copy)]
struct Place<'a> {
    chain: &'a ChainName,
    rule: usize,
    depth: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        objects: &'a Objects<'a>,
        packet: &'a Packet,
        world: &'a World<'a>,
        servers: &'a Servers<'a>,
    ) -> Self {
        let family = packet.family();
        let (doubts, ends, accepted) = (BTreeSet::new(), Ends::default(), Vec::new());
        let mut walk = Self { objects, packet, world, family, servers, doubts, ends, accepted };
        match objects.get(&Key::Table(family)) {
            None => drop(walk.doubts.insert(Doubt::NoTable(family))),
            Some(Value::Table) => {}
            Some(_) => walk.doubt(&Key::Table(family)),
        }
        walk
    }

    /// From its origin to everything that may become of it.
    pub(super) fn run(mut self) -> Trace {
        let branch = Branch::of(self.packet);
        let arrived = match self.packet.origin {
            Origin::Node => self.leave(branch),
            Origin::Pod | Origin::Outside => self.come(branch),
        };
        arrived.into_iter().for_each(|branch| self.ends.arrive(branch));
        self.ends.trace(self.doubts.iter().map(ToString::to_string).collect())
    }

    /// What this node sends to itself comes in again by the loopback interface, but translation is over then: its
    /// connection went through that on the way out (`nf_nat_initialized`).
    fn leave(&mut self, branch: Branch) -> Vec<Branch> {
        let sent = self.hook(HookPoint::Output, vec![branch]);
        let sent = self.hook(HookPoint::Postrouting, sent);
        let (here, mut gone): (Vec<_>, Vec<_>) = sent.into_iter().partition(|branch| self.is_here(branch));
        gone.extend(self.hook(HookPoint::Input, here));
        gone
    }

    fn come(&mut self, branch: Branch) -> Vec<Branch> {
        let routed = self.hook(HookPoint::Prerouting, vec![branch]);
        let (here, passing): (Vec<_>, Vec<_>) = routed.into_iter().partition(|branch| self.is_here(branch));
        let (mut arrived, sent): (Vec<_>, Vec<_>) =
            self.hook(HookPoint::Input, here).into_iter().partition(|branch| self.is_here(branch));
        let mut passing = self.hook(HookPoint::Forward, passing);
        passing.extend(sent);
        arrived.extend(self.hook(HookPoint::Postrouting, passing));
        arrived
    }

    fn is_here(&self, branch: &Branch) -> bool {
        (self.world.is_local)(branch.destination)
    }

    /// All base chains of a hook, in the order of their priorities.
    fn hook(&mut self, point: HookPoint, branches: Vec<Branch>) -> Vec<Branch> {
        let (objects, family) = (self.objects, self.family);
        let first = Key::Chain(family, ChainName::Pick(Scope::Vip, 0));
        let mut chains = Vec::new();
        for (key, value) in objects.range::<Key, _>(&first..) {
            match (key, value) {
                (Key::Chain(of, chain), Value::Chain(hook)) if *of == family => {
                    chains.extend(hook.filter(|hook| hook.point == point).map(|hook| (hook.priority, chain)));
                }
                (Key::Chain(of, _), _) if *of == family => self.doubt(key),
                _ => break,
            }
        }
        chains.sort_unstable();
        let behind = chains.partition_point(|(priority, _)| *priority < ipvs_priority(point));
        let branches = chains.drain(..behind).fold(branches, |branches, (_, chain)| self.base_chain(chain, branches));
        let branches = branches.into_iter().flat_map(|branch| self.scheduled(point, branch)).collect();
        chains.into_iter().fold(branches, |branches, (_, chain)| self.base_chain(chain, branches))
    }

    fn base_chain(&mut self, chain: &ChainName, branches: Vec<Branch>) -> Vec<Branch> {
        let mut passed = self.chain(chain, 0, branches);
        passed.append(&mut self.accepted);
        passed
    }

    /// Has the virtual server that a packet is for pick an endpoint, at the hooks at which IPVS is asked.
    fn scheduled(&mut self, point: HookPoint, branch: Branch) -> Vec<Branch> {
        let asked = match self.packet.asks {
            Asks::Port(protocol, _) if matches!(point, HookPoint::Input | HookPoint::Output) => {
                let vip = Vip { addr: branch.destination, protocol, port: branch.port };
                (self.servers)(&vip).map(|server| (vip, server))
            }
            _ => None,
        };
        let Some((vip, server)) = asked else { return vec![branch] };
        if let Some((branch, by)) = server.refuse(vip, &branch) {
            self.ends.end(branch, Verdict::Rejected(by));
        }
        server.pick(vip, &branch, self.world.remembered)
    }

    /// Goes through a chain; gives what comes back from it.
    fn chain(&mut self, chain: &ChainName, depth: usize, mut branches: Vec<Branch>) -> Vec<Branch> {
        if depth == DEPTH || branches.is_empty() {
            return branches;
        }
        branches.iter_mut().for_each(|branch| enter(branch, chain));
        let mut back = Vec::new();
        for (rule, number) in rules(self.objects, self.family, chain).into_iter().zip(1..) {
            let place = Place { chain, rule: number, depth };
            match rule {
                Some(rule) => {
                    let on = |branch| self.rule(place, &rule, branch, &mut back);
                    branches = branches.into_iter().flat_map(on).collect();
                }
                None => drop(self.doubts.insert(Doubt::Rule { chain: chain.clone(), rule: number })),
            }
        }
        back.append(&mut branches);
        back
    }

    /// Goes through a rule; gives what goes on to the next one.
    fn rule(&mut self, place: Place<'_>, rule: &Rule, branch: Branch, back: &mut Vec<Branch>) -> Vec<Branch> {
        let (mut matching, mut on) = (vec![branch], Vec::new());
        for statement in &rule.statements {
            for branch in std::mem::take(&mut matching) {
                for (branch, next) in self.statement(rule, statement, branch) {
                    match next {
                        Next::Statement => matching.push(branch),
                        Next::Rule => on.push(branch),
                        Next::Accept => self.accepted.push(branch),
                        Next::Return => back.push(branch),
                        Next::Jump(chain) => on.extend(self.chain(&chain, place.depth + 1, vec![branch])),
                        Next::Goto(chain) => back.extend(self.chain(&chain, place.depth + 1, vec![branch])),
                        Next::Reject => self.ends.end(branch, Verdict::Rejected(refused_by(place, self.family, rule))),
                        Next::Drop => self.ends.end(branch, Verdict::Dropped(refused_by(place, self.family, rule))),
                    }
                }
            }
        }
        on.append(&mut matching);
        on
    }

    /// An object that we would not write was met.
    pub(super) fn doubt(&mut self, key: &Key) {
        self.doubts.insert(Doubt::Strange(key.clone()));
    }
}

/// Where among the base chains of a hook IPVS is (`ip_vs_ops4` of net/netfilter/ipvs/ip_vs_core.c: NF_IP_PRI_NAT_SRC - 1 and
/// NF_IP_PRI_NAT_DST + 2).
const fn ipvs_priority(point: HookPoint) -> i32 {
    match point {
        HookPoint::Output => -98,
        _ => 99,
    }
}

/// The rules of a chain; `None` stands for one that we would not write.
pub(super) fn rules<'a>(objects: &Objects<'a>, family: Family, chain: &ChainName) -> Vec<Option<Cow<'a, Rule>>> {
    match objects.get(&Key::Rules(family, chain.clone())) {
        Some(Value::Rules(rules)) => rules.iter().map(|rule| Some(Cow::Borrowed(rule))).collect(),
        Some(Value::LiveRules(rules)) => rules.iter().map(|rule| raise(family, rule).map(Cow::Owned)).collect(),
        _ => Vec::new(),
    }
}

/// A packet comes to a chain, which tells what its frontend asks for.
fn enter(branch: &mut Branch, chain: &ChainName) {
    branch.steps.push(chain.to_string());
    match chain {
        ChainName::OfPort(name) if !name.is_affinity() => drop(branch.policies.insert(Policy::SourceRanges)),
        ChainName::ExternalLocal(_) => drop(branch.policies.insert(Policy::LocalEndpoints)),
        // It leads past what comes with the policy.
        ChainName::ShortCut(_) => {
            branch.policies.remove(&Policy::LocalEndpoints);
            branch.policies.insert(Policy::ShortCut);
        }
        _ => {}
    }
}

fn refused_by(place: Place<'_>, family: Family, rule: &Rule) -> RefusedBy {
    let reason = rule.statements.iter().find_map(|statement| match statement {
        Statement::In(_, SetName::NoEndpoints(_)) => Some(Reason::NoEndpoints),
        Statement::In(_, SetName::NoLocalEndpoints(_)) => Some(Reason::NoLocalEndpoints),
        Statement::In(_, SetName::Restricted) => Some(Reason::SourceRanges),
        Statement::In(_, SetName::ClusterIps) => Some(Reason::NoSuchPort),
        Statement::Within(Field::Destination, _) => Some(Reason::NoSuchClusterIp),
        _ => None,
    });
    let unconditional = match place.chain {
        ChainName::NoLocalEndpoints | ChainName::ExternalLocal(_) => Reason::NoLocalEndpoints,
        ChainName::OfPort(_) => Reason::SourceRanges,
        _ => Reason::Other,
    };
    RefusedBy {
        reason: reason.unwrap_or(unconditional),
        rule: Some(RulePlace { step: place.chain.to_string(), number: place.rule }),
        // The kernel's rules are read without comments.
        text: Line(family, &Rule { comment: None, ..rule.clone() }).to_string(),
    }
}
