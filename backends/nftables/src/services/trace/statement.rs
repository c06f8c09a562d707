//! What a statement does to a packet, and what it asks: the packet itself, the elements of sets, the world.

use std::net::{IpAddr, SocketAddr};

use portolan_core::{
    desired::LocalDetector,
    trace::{AddressKind, Asks, Branch, Masquerade, Origin, Sticky, TracedFrontend},
};

use super::walk::{Next, Walk};
use crate::{
    services::{Data, Key, Rule, Statement, Value, names::SetName},
    table::{
        element::{ElementKey, Fields},
        field::{Field, Scope},
        value::Comment,
    },
};

impl<'a> Walk<'a> {
    /// The cases that a statement makes of a packet; their chances add up to the packet's.
    pub(super) fn statement(&mut self, rule: &Rule, statement: &Statement, mut branch: Branch) -> Vec<(Branch, Next)> {
        let next = match statement {
            Statement::In(fields, set) => {
                return self.cases(&branch, fields, *set, |_, found| when(found.is_some()));
            }
            Statement::Lookup(fields, map) | Statement::Translate(fields, map) => {
                return self
                    .cases(&branch, fields, *map, |branch, found| found.map_or(Next::Rule, |to| follow(branch, to)));
            }
            Statement::OneIn(modulus) => {
                let others = branch.part(modulus.saturating_sub(1), *modulus);
                return vec![(branch.part(1, *modulus), Next::Statement), (others, Next::Rule)];
            }
            Statement::NotIn(fields, set) => {
                return self.cases(&branch, fields, *set, |_, found| when(found.is_none()));
            }
            Statement::LeavesAsItCame(_) => when(self.packet.origin == Origin::Outside),
            Statement::Is(protocol) => when(self.protocol() == protocol.number()),
            Statement::Within(field, net) => {
                when(self.address(&branch, *field).is_some_and(|addr| net.contains(&addr)))
            }
            Statement::Outside(field, net) => {
                when(self.address(&branch, *field).is_some_and(|addr| !net.contains(&addr)))
            }
            Statement::Local(field) => when(self.address(&branch, *field).is_some_and(self.world.is_local)),
            Statement::FromPod(detector) => when(self.is_pod(detector)),
            Statement::NotFromPod(detector) => when(!self.is_pod(detector)),
            Statement::NotNew => Next::Rule,
            Statement::Translated => when(branch.translated),
            Statement::Marked(bits) => when(branch.mark & bits == *bits),
            Statement::Mark(bits) => {
                branch.mark |= bits;
                branch.marked = Some(masquerade(rule, &branch));
                Next::Statement
            }
            Statement::Unmark(bits) => {
                branch.mark ^= bits;
                Next::Statement
            }
            Statement::Known(clients) => when(self.world.remembered.contains_key(clients.as_str())),
            // That the set is full is not looked at; the client would then be sent on without affinity.
            Statement::Remember(clients, timeout) => {
                let left = self.world.remembered.get(clients.as_str()).copied();
                branch.sticky = Some(Sticky { clients: clients.to_string(), timeout: *timeout, left });
                Next::Statement
            }
            Statement::TranslateTo(to) => translate(&mut branch, SocketAddr::new(to.addr, to.port)),
            Statement::Masquerade => {
                branch.masqueraded = Some(masquerade(rule, &branch));
                Next::Accept
            }
            Statement::Reject | Statement::RejectWithReset => Next::Reject,
            Statement::Drop => Next::Drop,
            Statement::Return => Next::Return,
            Statement::Jump(chain) => Next::Jump(chain.clone()),
            Statement::Goto(chain) => Next::Goto(chain.clone()),
        };
        vec![(branch, next)]
    }

    /// Looks for fields of the packet in a set or map. With a random number among them there is a case for each element
    /// that some number leads to, and one for all numbers that lead to none.
    fn cases(
        &mut self,
        branch: &Branch,
        fields: &[Field],
        set: SetName,
        next: impl Fn(&mut Branch, Option<&Data>) -> Next,
    ) -> Vec<(Branch, Next)> {
        let key = Key::Set(self.family, set);
        if self.objects.get(&key).is_some_and(|value| **value == Value::Strange) {
            self.doubt(&key);
        }
        let (found, of) = match fields {
            [fixed @ .., Field::Random(modulus)] => (self.slots(set, self.key(branch, fixed), *modulus), *modulus),
            _ => (Vec::from_iter(self.element(&Key::Element(self.family, set, self.key(branch, fields)))), 1),
        };
        let missing = of.saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX));
        let hits = found.into_iter().map(|(data, comment)| {
            let mut hit = branch.part(1, of);
            if let SetName::Services(scope) | SetName::NoEndpoints(scope) = set {
                let service = comment.map(|comment| comment.as_str().to_owned());
                hit.frontend = Some(TracedFrontend { service, address: self.address_kind(branch, scope) });
            }
            let next = next(&mut hit, Some(data));
            (hit, next)
        });
        let mut cases: Vec<_> = hits.collect();
        if missing > 0 {
            let mut miss = branch.part(missing, of);
            let next = next(&mut miss, None);
            cases.push((miss, next));
        }
        cases
    }

    fn element(&mut self, key: &Key) -> Option<Found<'a>> {
        let (key, value) = self.objects.get_key_value(key)?;
        let Value::Element(data, comment) = value else {
            self.doubt(key);
            return None;
        };
        Some((data, comment.as_ref()))
    }

    /// The elements of a frontend that numbers below `modulus` lead to.
    fn slots(&mut self, set: SetName, frontend: ElementKey, modulus: u32) -> Vec<Found<'a>> {
        let (objects, family) = (self.objects, self.family);
        let first = Key::Element(family, set, frontend);
        let keys = objects.range::<Key, _>(&first..).map(|(key, _)| *key).take_while(|key| match key {
            Key::Element(_, of, element) => *of == set && element.as_slice().starts_with(frontend.as_slice()),
            _ => false,
        });
        let led_to = keys.filter(|key| matches!(key.fields(), Some(Fields::Slot(_, slot)) if slot < modulus));
        led_to.filter_map(|key| self.element(key)).collect()
    }

    fn key(&self, branch: &Branch, fields: &[Field]) -> ElementKey {
        fields.iter().fold(ElementKey::EMPTY, |key, field| match field {
            Field::Source => key.put_address(self.packet.source),
            Field::Destination => key.put_address(branch.destination),
            Field::Protocol => key.put(&[self.protocol()]),
            Field::Port => key.put(&branch.port.to_be_bytes()),
            Field::Asked => key.put_address(self.packet.destination),
            // No element is asked for by a random number, which comes last in our keys, or by a link.
            Field::Random(_) | Field::CameBy | Field::LeavesBy => key,
        })
    }

    fn address(&self, branch: &Branch, field: Field) -> Option<IpAddr> {
        match field {
            Field::Source => Some(self.packet.source),
            Field::Destination => Some(branch.destination),
            Field::Asked => Some(self.packet.destination),
            Field::Protocol | Field::Port | Field::CameBy | Field::LeavesBy | Field::Random(_) => None,
        }
    }

    fn protocol(&self) -> u8 {
        const ICMP: u8 = 1;
        const ICMP_V6: u8 = 58;
        match self.packet.asks {
            Asks::Port(protocol, _) => protocol.number(),
            Asks::Echo if self.packet.source.is_ipv4() => ICMP,
            Asks::Echo => ICMP_V6,
        }
    }

    /// Whose interface is a pod's is known of the packet, whatever it is called.
    fn is_pod(&self, detector: &LocalDetector) -> bool {
        match detector {
            LocalDetector::Cidr(cidr) => cidr.contains(&self.packet.source),
            LocalDetector::Interface(_) | LocalDetector::InterfacePrefix(_) => self.packet.origin == Origin::Pod,
        }
    }

    fn address_kind(&self, branch: &Branch, scope: Scope) -> AddressKind {
        let address = Key::Element(self.family, SetName::ClusterIps, ElementKey::address(branch.destination));
        match scope {
            Scope::NodePort => AddressKind::NodePort,
            Scope::Vip if self.objects.contains_key(&address) => AddressKind::ClusterIp,
            Scope::Vip => AddressKind::External,
        }
    }
}

/// What an element leads to, and its comment.
type Found<'a> = (&'a Data, Option<&'a Comment>);

/// Does what an element of a map says.
fn follow(branch: &mut Branch, data: &Data) -> Next {
    match data {
        Data::None => Next::Statement,
        Data::Endpoint(addr, port) => translate(branch, SocketAddr::new(*addr, *port)),
        Data::Jump(chain) => Next::Jump(chain.clone()),
        Data::Goto(chain) => Next::Goto(chain.clone()),
    }
}

fn translate(branch: &mut Branch, to: SocketAddr) -> Next {
    branch.send_to(to);
    Next::Accept
}

const fn when(matches: bool) -> Next {
    if matches { Next::Statement } else { Next::Rule }
}

/// Why a rule masquerades a connection, or marks it for that.
fn masquerade(rule: &Rule, branch: &Branch) -> Masquerade {
    let last = rule.statements.iter().rev().find_map(|statement| match statement {
        // Who takes the mark away masquerades for the reason for which it was set.
        Statement::Unmark(_) => branch.marked,
        Statement::NotFromPod(_) => Some(Masquerade::NotFromPod),
        Statement::Local(Field::Source) => Some(Masquerade::Node),
        Statement::In(_, SetName::ClusterIps) => Some(Masquerade::All),
        Statement::In(_, SetName::Hairpin) => Some(Masquerade::Hairpin),
        Statement::LeavesAsItCame(_) => Some(Masquerade::PassingThrough),
        _ => None,
    });
    let unconditional = matches!(rule.statements.first(), Some(Statement::Mark(_)));
    last.unwrap_or(if unconditional { Masquerade::External } else { Masquerade::Other })
}
