//! What is there whatever the Services are: the chains that packets enter, and how they get there.
//!
//! ```text
//!  in ---> PREROUTING --+--> KUBE-SERVICES --> levels --> KUBE-SVC- and others --> DNAT
//!  node --> OUTPUT -----+         |
//!                                 '--> KUBE-NODEPORTS --> KUBE-EXT-
//!  out <-- POSTROUTING -----> KUBE-POSTROUTING: masquerade what is marked
//!
//!  filter, new connections, which still have the address of a Service if they were not sent to an endpoint:
//!    KUBE-PROXY-FIREWALL      who is kept out by source ranges
//!    KUBE-SERVICES            cluster IPs: ports without endpoints, ports that are none, addresses that are none
//!    KUBE-EXTERNAL-SERVICES   external and load-balancer IPs, and NodePorts, without endpoints
//!  and KUBE-FORWARD, which accepts what a Service sends through the node, whatever the policy of FORWARD
//! ```

use std::sync::Arc;

use ipnet::IpNet;
use portolan_core::{
    addr::{Family, Protocol},
    desired::{NodePolicy, NodePortsAt},
};

use crate::{
    dispatch::loopback,
    key::{Key, Match},
    names::{BuiltIn, ChainName, Table},
    rule::{Condition, Is, RejectWith, Rule, State, Target},
    value::Value,
};

/// The objects that this node needs in one family.
pub(crate) fn objects(policy: &NodePolicy, family: Family) -> impl Iterator<Item = (Key, Value)> {
    [nat(policy, family), filter(policy, family)].into_iter().flatten()
}

/// Whether the chain that kubelet has too is ours to keep: where rules serve NodePorts at loopback addresses, the kernel
/// takes packets to them from other machines as well (`route_localnet`), which no program that listens there expects.
pub(crate) fn guards_loopback(policy: &NodePolicy, family: Family) -> bool {
    policy.node_ports_at_loopback && family == Family::V4
}

fn nat(policy: &NodePolicy, family: Family) -> Vec<(Key, Value)> {
    use ChainName::{MarkMasquerade, NodePorts, Postrouting, Services};
    let mark = policy.masquerade_mark;
    let chain = |chain, value| (Key::Chain(family, Table::Nat, chain), value);
    let masquerade = [
        Rule::new([Condition::Marked(Is::Not, mark, mark)], Target::Return),
        // So that it is not masqueraded again where the packet goes through the stack a second time.
        Rule::new([], Target::Mark(mark, 0)),
        Rule::new([comment("kubernetes service traffic requiring SNAT")], Target::Masquerade),
    ];
    let mut objects = vec![
        chain(Services, Value::Dispatch),
        chain(NodePorts, Value::Dispatch),
        chain(MarkMasquerade, rules([Rule::new([], Target::Mark(mark, mark))])),
        chain(Postrouting, rules(masquerade)),
    ];
    objects.extend(to_node_ports(policy, family).into_iter().map(|local| {
        let value = Value::Rule(Some(NODE_PORTS.into()), Target::Jump(NodePorts));
        (Key::Rule(family, Table::Nat, Services, local), value)
    }));
    let portals = || jump("kubernetes service portals", Services);
    for (built_in, jump) in [
        (BuiltIn::Prerouting, portals()),
        (BuiltIn::Output, portals()),
        (BuiltIn::Postrouting, jump("kubernetes postrouting rules", Postrouting)),
    ] {
        objects.push((Key::Jumps(family, Table::Nat, built_in), rules([jump])));
    }
    objects
}

fn filter(policy: &NodePolicy, family: Family) -> Vec<(Key, Value)> {
    use ChainName::{
        ExternalNodePorts, ExternalServices, Firewall, Forward, NoSuchPort, NodePorts, ProxyFirewall, Services,
    };
    let chain = |chain, value| (Key::Chain(family, Table::Filter, chain), value);
    let rule = |chain, of, comment: Option<&str>, target| {
        (Key::Rule(family, Table::Filter, chain, of), Value::Rule(comment.map(Into::into), target))
    };
    let dispatching = [Services, ExternalServices, NodePorts, ExternalNodePorts, ProxyFirewall];
    let mut objects: Vec<_> = dispatching.into_iter().map(|name| chain(name, Value::Dispatch)).collect();
    objects.push(chain(NoSuchPort, rules(reject())));
    objects.push(chain(Forward, rules(forward(policy))));
    // What the node sends to itself is refused where it arrives, so that a UDP client is told.
    objects.push(rule(Services, Match::NotLocal, Some(EXTERNAL), Target::Jump(ExternalServices)));
    for cidr in policy.service_cidrs.get(family).iter().filter(|cidr| cidr.prefix_len() > 0) {
        objects.push(rule(Services, Match::AskedNet(*cidr), Some("no such cluster IP"), Target::Drop));
    }
    for local in to_node_ports(policy, family) {
        objects.push(rule(ExternalServices, local, Some(NODE_PORTS), Target::Jump(ExternalNodePorts)));
    }
    let new = |text, chain| Rule::new([Condition::State(Is::In, State::New), comment(text)], Target::Jump(chain));
    let firewall = || new("kubernetes load balancer firewall", ProxyFirewall);
    let services = || new("kubernetes service portals", Services);
    let external = || new(EXTERNAL, ExternalServices);
    let mut input = vec![firewall(), jump("kubernetes health check service ports", NodePorts), external()];
    // What is sent to an endpoint that is a cluster IP is refused, before KUBE-FORWARD could accept it.
    let forwarded = vec![firewall(), services(), external(), jump("kubernetes forwarding rules", Forward)];
    let mut output = vec![firewall(), services()];
    if guards_loopback(policy, family) {
        objects.push(chain(Firewall, Value::Dispatch));
        objects.push(rule(Firewall, Match::Martian, Some("block incoming localnet connections"), Target::Drop));
        let guard = || Rule::new([], Target::Jump(Firewall));
        input.insert(0, guard());
        output.insert(0, guard());
    }
    for (built_in, jumps) in [(BuiltIn::Input, input), (BuiltIn::Forward, forwarded), (BuiltIn::Output, output)] {
        objects.push((Key::Jumps(family, Table::Filter, built_in), rules(jumps)));
    }
    objects
}

pub(crate) const NODE_PORTS: &str = "kubernetes service nodeports; NOTE: this must be the last rule in this chain";
const EXTERNAL: &str = "kubernetes externally-visible service portals";

/// What leads from an address of the node's to NodePorts: a rule for each way in which that can be.
fn to_node_ports(policy: &NodePolicy, family: Family) -> Vec<Match> {
    let NodePortsAt::Local(cidrs) = policy.node_ports.get(family) else { return Vec::new() };
    let loopback = (!guards_loopback(policy, family)).then(|| loopback(family));
    match (cidrs.as_slice(), loopback) {
        ([], None) => vec![Match::Local(None)],
        ([], Some(loopback)) => vec![Match::Local(Some((Is::Not, loopback)))],
        (cidrs, None) => cidrs.iter().map(|cidr| Match::Local(Some((Is::In, *cidr)))).collect(),
        (cidrs, Some(loopback)) => {
            let mut rest = Vec::new();
            cidrs.iter().for_each(|cidr| without(*cidr, loopback, &mut rest));
            rest.into_iter().map(|cidr| Match::Local(Some((Is::In, cidr)))).collect()
        }
    }
}

/// What a prefix has beside another one, since one rule cannot ask an address twice.
fn without(cidr: IpNet, hole: IpNet, rest: &mut Vec<IpNet>) {
    if hole.contains(&cidr) {
        return;
    }
    match cidr.subnets(cidr.prefix_len().saturating_add(1)) {
        Ok(halves) if cidr.contains(&hole) => halves.for_each(|half| without(half, hole, rest)),
        _ => rest.push(cidr),
    }
}

fn forward(policy: &NodePolicy) -> Vec<Rule> {
    let mark = policy.masquerade_mark;
    // A reset for a packet that conntrack has lost track of would end a connection that lives (kubernetes#74839).
    let invalid = Rule::new([Condition::State(Is::In, State::Invalid)], Target::Drop);
    let marked = [comment("kubernetes forwarding rules"), Condition::Marked(Is::In, mark, mark)];
    let known = [comment("kubernetes forwarding conntrack rule"), Condition::State(Is::In, State::Known)];
    let accepted = [Rule::new(marked, Target::Accept), Rule::new(known, Target::Accept)];
    policy.drop_invalid.then_some(invalid).into_iter().chain(accepted).collect()
}

/// Refuses at once: TCP by a reset, which a client notices in both families.
fn reject() -> [Rule; 2] {
    [
        Rule::new([Condition::Protocol(Is::In, Protocol::Tcp)], Target::Reject(RejectWith::Reset)),
        Rule::new([], Target::Reject(RejectWith::PortUnreachable)),
    ]
}

/// How a protocol is refused.
pub(crate) const fn reject_with(protocol: Protocol) -> Target {
    Target::Reject(match protocol {
        Protocol::Tcp => RejectWith::Reset,
        Protocol::Udp | Protocol::Sctp => RejectWith::PortUnreachable,
    })
}

fn jump(text: &str, chain: ChainName) -> Rule {
    Rule::new([comment(text)], Target::Jump(chain))
}

fn rules(rules: impl IntoIterator<Item = Rule>) -> Value {
    Value::Rules(rules.into_iter().collect::<Arc<[Rule]>>())
}

fn comment(text: &str) -> Condition {
    Condition::Comment(text.into())
}
