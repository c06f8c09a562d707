//! Rules of dispatching chains: from what one matches to its conditions, and back.

use std::{net::IpAddr, sync::Arc};

use ipnet::IpNet;
use portolan_core::{
    addr::{Family, Protocol},
    desired::Vip,
};

use crate::{
    key::Match,
    rule::{
        AddressSide::{Destination, Source},
        Condition::{self, Comment, Local, Port, State, Within},
        Is, Rule, State as Of, Target,
    },
    text::Text,
};

impl Match {
    /// The rule that matches this, with this comment and target.
    #[must_use]
    pub fn rule(&self, comment: Option<&Arc<str>>, target: &Target) -> Rule {
        if let Self::Other(text) = self {
            return Rule::new([], Target::Strange(text.clone()));
        }
        let (first, last) = self.conditions();
        let comment = comment.cloned().map(Comment);
        Rule::new(first.into_iter().chain(comment).chain(last), target.clone())
    }

    /// What a rule matches, and its comment.
    pub(crate) fn of(family: Family, rule: &Rule) -> (Self, Option<Arc<str>>) {
        let without_comment: Vec<_> =
            rule.conditions.iter().filter(|condition| !matches!(condition, Comment(_))).collect();
        let comment = rule.comment().cloned();
        let known = recognise(&without_comment).filter(|found| found.rule(comment.as_ref(), &rule.target) == *rule);
        match known {
            Some(found) => (found, comment),
            None => (Self::Other(Text(family, rule).to_string().into()), None),
        }
    }

    /// What stands before the comment, and what behind.
    fn conditions(&self) -> (Vec<Condition>, Vec<Condition>) {
        let to = |net: IpNet| Within(Destination, Is::In, net);
        let asked = || State(Is::Not, Of::Translated);
        let of = |protocol| Condition::Protocol(Is::In, protocol);
        match self {
            Self::Vip(Vip { addr, protocol, port }) => {
                (vec![to((*addr).into()), of(*protocol)], vec![Port(*protocol, Some(*port))])
            }
            Self::AskedVip(Vip { addr, protocol, port }) => {
                (vec![to((*addr).into()), of(*protocol)], vec![Port(*protocol, Some(*port)), asked()])
            }
            Self::LocalVip(Vip { addr, protocol, port }) => {
                let last = vec![Port(*protocol, Some(*port)), Local(Destination, Is::In)];
                (vec![to((*addr).into()), of(*protocol)], last)
            }
            Self::Port(protocol, port) => (vec![of(*protocol)], vec![Port(*protocol, Some(*port))]),
            Self::AskedPort(protocol, port) => (vec![of(*protocol)], vec![Port(*protocol, Some(*port)), asked()]),
            Self::Net(net) => (vec![to(*net)], vec![]),
            Self::Address(addr) => (vec![to((*addr).into())], vec![]),
            Self::AskedNet(net) => (vec![to(*net)], vec![asked()]),
            Self::Local(within) => {
                let within = within.map(|(is, net)| Within(Destination, is, net));
                (within.into_iter().collect(), vec![Local(Destination, Is::In)])
            }
            Self::NotLocal => (vec![], vec![Local(Destination, Is::Not)]),
            Self::Martian => {
                let loopback = |side, is| Within(side, is, loopback(Family::V4));
                let sides = vec![loopback(Source, Is::Not), loopback(Destination, Is::In)];
                (sides, vec![State(Is::Not, Of::KnownOrTranslated)])
            }
            Self::Other(_) => (vec![], vec![]),
        }
    }
}

fn recognise(conditions: &[&Condition]) -> Option<Match> {
    let vip = |net: &IpNet, protocol: Protocol, port: u16| Some(Vip { addr: address(net)?, protocol, port });
    Some(match conditions {
        [Within(Destination, Is::In, net), Condition::Protocol(Is::In, protocol), Port(_, Some(port))] => {
            Match::Vip(vip(net, *protocol, *port)?)
        }
        [Within(Destination, Is::In, net), Condition::Protocol(Is::In, protocol), Port(_, Some(port)), State(..)] => {
            Match::AskedVip(vip(net, *protocol, *port)?)
        }
        [Within(Destination, Is::In, net), Condition::Protocol(Is::In, protocol), Port(_, Some(port)), Local(..)] => {
            Match::LocalVip(vip(net, *protocol, *port)?)
        }
        [Condition::Protocol(Is::In, protocol), Port(_, Some(port))] => Match::Port(*protocol, *port),
        [Condition::Protocol(Is::In, protocol), Port(_, Some(port)), State(..)] => Match::AskedPort(*protocol, *port),
        [Within(Destination, Is::In, net)] => address(net).map_or(Match::Net(*net), Match::Address),
        [Within(Destination, Is::In, net), State(..)] => Match::AskedNet(*net),
        [Local(Destination, Is::In)] => Match::Local(None),
        [Within(Destination, is, net), Local(Destination, Is::In)] => Match::Local(Some((*is, *net))),
        [Local(Destination, Is::Not)] => Match::NotLocal,
        [Within(Source, ..), Within(Destination, ..), State(..)] => Match::Martian,
        _ => return None,
    })
}

/// The one address of a prefix that has no other.
fn address(net: &IpNet) -> Option<IpAddr> {
    (net.prefix_len() == net.max_prefix_len()).then(|| net.addr())
}

/// The addresses of a node's own that no packet to another host may have.
pub(crate) fn loopback(family: Family) -> IpNet {
    use std::net::{Ipv4Addr, Ipv6Addr};
    match family {
        Family::V4 => ipnet::Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8).into(),
        Family::V6 => ipnet::Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128).into(),
    }
}
