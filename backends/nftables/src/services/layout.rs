//! The ruleset: what is there whatever the Services are. No chain, rule or verdict belongs to a Service that is nothing
//! special; only elements of sets change (docs/design/nftables.md gives the reasons and the measurements).
//!
//! ```text
//!  in --> nat-prerouting --+--> services ----------------> DNAT --> routing --+--> nat-postrouting --> out
//!                          |    mark? policy? pick endpoint                   |    masquerade
//!  node -> nat-output -----+                                                  |
//!                                        what was not sent to an endpoint:    |
//!                                        filter-input, -forward, -output  <---+    reject
//! ```

use std::iter;

use ipnet::IpNet;
use portolan_core::{
    addr::{Family, Protocol},
    desired::{LocalDetector, NodePolicy, NodePortsAt},
};

use super::{
    Key, Rule, Statement, Value, commented,
    names::{ChainName, DIRECT, SetName},
    rule,
    sender::{self, Sender},
    sets::{self, Counts},
};
use crate::table::{
    dialect::size_for,
    field::{
        Field::{self, Destination, Source},
        Scope, VIP, frontend, frontend_and,
    },
    rule::Statement::{
        Drop, FromPod, Goto, In, Is, Jump, LeavesAsItCame, Local, Lookup, Mark, Marked, Masquerade, NotFromPod, NotIn,
        NotNew, Outside, Reject, RejectWithReset, Return, Translate, Translated, Unmark, Within,
    },
    shape::{CLIENTS, DataKind},
    value::{Hook, HookKind, HookPoint},
};

/// One behind kube-proxy's -100: whoever translates first wins, so a table of ours that was left behind loses to a
/// kube-proxy that is started later.
const DNAT_PRIORITY: i32 = -99;
/// NF_IP_PRI_NAT_SRC of linux/netfilter_ipv4.h, where kube-proxy masquerades too.
const SNAT_PRIORITY: i32 = 100;
/// Before every other firewall, so that a packet for nobody is answered rather than dropped by a policy.
const FILTER_PRIORITY: i32 = -110;

/// After `nat-output`, which must have had its chance to send the packet to an endpoint.
const FILTER_OUTPUT_PRIORITY: i32 = -90;
/// After `nat-output`, too: all chains of the type `nat` are run by one hook at -100 (`nf_nat_ipv4_ops`). And before IPVS
/// (`ip_vs_local_request4` at -98), since in IPv6 a process of the node that IPVS itself turns away waits for its answer.
const BEFORE_IPVS: i32 = -99;

/// Elements that the sets of ordinary Services have room for at least. The kernel allocates and clears a hash table for
/// them at once, 16 KiB each at this size. What needs more gets a larger set, without anybody noticing.
const MIN_SIZE: u32 = 768;
/// The same for the sets of what is special.
const MIN_SIZE_SPECIAL: u32 = 192;

/// All objects of the layout, for both families.
pub(crate) fn objects(policy: &NodePolicy, sender: Sender, need: &dyn Fn(&Key) -> usize) -> Vec<(Key, Value)> {
    let mut objects = Vec::new();
    for family in Family::ALL {
        let in_use = |scope| scope == Scope::Vip || *policy.node_ports.get(family) != NodePortsAt::Frontends;
        let view = View { family, policy, sender };
        let is_needed = |set: &SetName| match set {
            SetName::Links => view.pods().is_some(),
            SetName::Scheduled => sender == Sender::Ipvs,
            _ => in_use(set.scope()),
        };
        objects.push((Key::Table(family), Value::Table));
        for set in SetName::ALL.into_iter().filter(is_needed) {
            let key = Key::Set(family, set);
            let value = set_value(set, need(&key), policy.count_connections);
            objects.push((key, value));
        }
        for chain in ChainName::BASE.into_iter().filter(|chain| in_use(chain.scope()) && sender.needs(chain)) {
            let rules = view.rules(&chain);
            objects.push((Key::Chain(family, chain.clone()), Value::Chain(hook(&chain))));
            objects.push((Key::Rules(family, chain), Value::Rules(rules.into())));
        }
    }
    objects
}

fn set_value(set: SetName, need: usize, count_connections: bool) -> Value {
    let shape = sets::shape(set);
    let least = match set {
        SetName::Services(Scope::Vip)
        | SetName::Direct(_)
        | SetName::Endpoints(Scope::Vip)
        | SetName::NoEndpoints(Scope::Vip)
        | SetName::ClusterIps
        | SetName::Hairpin
        | SetName::Scheduled => MIN_SIZE,
        _ => MIN_SIZE_SPECIAL,
    };
    // For each verdict that is added the kernel looks at every place of the map, also at the empty ones, once for each
    // base chain: 180 us where there are 32,768. Without a size the map has as many places as it needs.
    let size = match shape.data {
        _ if shape.filled_by_packets => Some(CLIENTS),
        DataKind::Verdict => None,
        DataKind::None | DataKind::Endpoint => Some(size_for(need).max(least)),
    };
    let counts = sets::counts(set).is_some_and(|counts| count_connections || counts == Counts::Refusals);
    Value::Set { size, counts }
}

fn hook(chain: &ChainName) -> Option<Hook> {
    use HookKind::{Filter, Nat};
    let (kind, point, priority) = match chain {
        ChainName::NatPrerouting => (Nat, HookPoint::Prerouting, DNAT_PRIORITY),
        ChainName::NatOutput => (Nat, HookPoint::Output, DNAT_PRIORITY),
        ChainName::NatPostrouting => (Nat, HookPoint::Postrouting, SNAT_PRIORITY),
        ChainName::FilterInput => (Filter, HookPoint::Input, FILTER_PRIORITY),
        ChainName::FilterForward => (Filter, HookPoint::Forward, FILTER_PRIORITY),
        ChainName::FilterOutput => (Filter, HookPoint::Output, FILTER_OUTPUT_PRIORITY),
        ChainName::FilterOutputEarly => (Filter, HookPoint::Output, BEFORE_IPVS),
        _ => return None,
    };
    Some(Hook { kind, point, priority })
}

/// The rules of one family on this node.
struct View<'a> {
    family: Family,
    policy: &'a NodePolicy,
    sender: Sender,
}

impl View<'_> {
    fn rules(&self, chain: &ChainName) -> Vec<Rule> {
        let mark = self.policy.masquerade_mark;
        match chain {
            ChainName::MasqueradeAlways => vec![rule([Mark(mark)])],
            ChainName::MasqueradeAffinity(scope) => {
                vec![rule([Mark(mark), Lookup(frontend(*scope), SetName::Affinities(*scope))])]
            }
            ChainName::ShortCut(scope) => vec![rule([Lookup(frontend(*scope), SetName::Affinities(*scope))])],
            ChainName::ExternalLocal(scope) => self.external_local(*scope),
            ChainName::NoLocalEndpoints => {
                vec![rule([In(VIP.to_vec(), SetName::NoLocalEndpoints(Scope::Vip)), Drop]), rule([Drop])]
            }
            ChainName::RestrictedPolicies => vec![rule([Lookup(VIP.to_vec(), SetName::RestrictedPolicies)])],
            ChainName::Services(Scope::Vip) => self.services(),
            ChainName::Services(Scope::NodePort) => node_ports(),
            ChainName::NatPrerouting | ChainName::NatOutput => self.gates(),
            // Most connections are neither marked nor translated.
            ChainName::NatPostrouting => {
                let marked = rule([Marked(mark), Goto(ChainName::Marked)]);
                let translated = self.sent_on().map(|sent| rule([sent, Goto(ChainName::Translated)]));
                iter::once(marked).chain(translated).collect()
            }
            ChainName::Marked => self.marked(),
            ChainName::Translated => self.translated(),
            ChainName::FilterInput => self.reject_input(),
            ChainName::FilterForward => self.reject_passing(),
            ChainName::FilterOutput | ChainName::FilterOutputEarly => self.reject_sent(),
            ChainName::Pick(..) | ChainName::PickLocal(..) | ChainName::OfPort(_) | ChainName::Foreign(_) => Vec::new(),
        }
    }

    /// Most connections are for no Service, so one lookup must tell. An address of the Service's own comes before
    /// NodePorts.
    fn gates(&self) -> Vec<Rule> {
        let vip = rule([In(VIP.to_vec(), SetName::Services(Scope::Vip)), Jump(ChainName::Services(Scope::Vip))]);
        let node_port = In(frontend(Scope::NodePort), SetName::Services(Scope::NodePort));
        let node_ports = self.at_node_ports(&[node_port], &[Jump(ChainName::Services(Scope::NodePort))]);
        iter::once(vip).chain(node_ports).collect()
    }

    /// Rules for packets to an address of the node's that has NodePorts, one for each way in which that can be; none where
    /// NodePorts are VIPs. The route, the dearest question, comes after `first`. Loopback addresses have none: what is sent there must not leave the node.
    fn at_node_ports(&self, first: &[Statement], last: &[Statement]) -> Vec<Rule> {
        let NodePortsAt::Local(cidrs) = self.policy.node_ports.get(self.family) else { return Vec::new() };
        let loopback = loopback(self.family);
        let not_loopback = || Outside(Destination, loopback);
        let cases = if cidrs.is_empty() {
            vec![vec![not_loopback()]]
        } else {
            let outside = cidrs.iter().filter(|cidr| !loopback.contains(*cidr));
            let guard = |cidr: &IpNet| cidr.contains(&loopback).then(not_loopback);
            outside.map(|cidr| iter::once(Within(Destination, *cidr)).chain(guard(cidr)).collect()).collect()
        };
        let no_cluster_ip = Vec::from_iter((self.sender == Sender::Ipvs).then(sender::not_scheduled));
        let whole = |case: Vec<Statement>| Rule {
            statements: [first, &no_cluster_ip, &case, &[Local(Destination)], last].concat(),
            comment: None,
        };
        cases.into_iter().map(whole).collect()
    }

    /// `externalTrafficPolicy: Local`: pods of this node and the node itself are inside the cluster already, and reach
    /// every endpoint; anybody else only those of this node, and keeps the source address.
    fn external_local(&self, scope: Scope) -> Vec<Rule> {
        let short_cut = || Goto(ChainName::ShortCut(scope));
        let pod = self.detector().map(|detector| rule([FromPod(detector.clone()), short_cut()]));
        pod.into_iter()
            .chain([
                rule([Local(Source), Mark(self.policy.masquerade_mark), short_cut()]),
                rule([Lookup(frontend(scope), SetName::LocalAffinities(scope))]),
                rule([Lookup(frontend(scope), SetName::LocalServices(scope))]),
                rule([In(frontend(scope), SetName::NoLocalEndpoints(scope)), Drop]),
                // Between two commits there may be none of the two: still not to an endpoint elsewhere.
                rule([Drop]),
            ])
            .collect()
    }

    /// The way of a connection to its endpoint. The policies come first, since they need the VIP; then one rule for each
    /// number of endpoints.
    fn services(&self) -> Vec<Rule> {
        let mut rules = Vec::new();
        let cluster_ip = In(vec![Destination], SetName::ClusterIps);
        let mark = Mark(self.policy.masquerade_mark);
        if self.policy.masquerade_all {
            rules.push(rule([cluster_ip, mark]));
        } else if let Some(detector) = self.detector() {
            rules.push(rule([cluster_ip, NotFromPod(detector.clone()), mark]));
        }
        rules.push(rule([Lookup(VIP.to_vec(), SetName::Policies(Scope::Vip))]));
        rules.push(rule([Translate(VIP.to_vec(), SetName::Direct(1))]));
        for count in 2..=DIRECT {
            let slot = frontend_and(Scope::Vip, Field::Random(u32::from(count)));
            rules.push(rule([Translate(slot, SetName::Direct(count))]));
        }
        rules.push(rule([Lookup(VIP.to_vec(), SetName::Large(Scope::Vip))]));
        rules
    }

    /// Masquerades what a Service sent somewhere, and nothing that only has the mark of another program. An endpoint may be
    /// at the frontend's own address and port: the connection is then translated by us, but the kernel does not call it
    /// so (`nf_nat_setup_info` sets `IPS_DST_NAT` where the tuple changes), and it still has the frontend's address. Such a
    /// frontend is looked for by a lookup that does not count connections.
    fn marked(&self) -> Vec<Rule> {
        let done = [Unmark(self.policy.masquerade_mark), Masquerade];
        let node_port = In(frontend(Scope::NodePort), SetName::Services(Scope::NodePort));
        let masquerade = |sent| Rule { statements: [&[sent][..], &done].concat(), comment: None };
        let mut rules: Vec<_> = self.sent_on().map(masquerade).collect();
        rules.extend(self.at_node_ports(&[node_port], &done));
        rules.extend([rule([NotIn(VIP.to_vec(), SetName::Services(Scope::Vip)), Return]), rule(done)]);
        rules
    }

    /// Masquerades two kinds of connections that no frontend marks for it, because the client would never see an answer.
    fn translated(&self) -> Vec<Rule> {
        // A pod that is sent to itself would answer itself directly, and drop the answer.
        let mut rules = vec![rule([In(vec![Source, Destination], SetName::Hairpin), Masquerade])];
        rules.extend(self.companion(sender::masquerade));
        // A pod of another node takes the short-cut past policy Local too, since its address does not tell it from a pod of
        // this node; an endpoint elsewhere would answer it past this node. The link does tell: its packet leaves by the one
        // by which it came. Cluster IPs are left out, because a pod's own node translates those. Endpoints of this node are
        // left out, because they answer through it; `hairpin` has each of them beside itself.
        rules.extend(self.pods().map(|pods| {
            rule([
                FromPod(pods.clone()),
                NotIn(vec![Field::Asked], SetName::ClusterIps),
                NotIn(vec![Destination; 2], SetName::Hairpin),
                LeavesAsItCame(SetName::Links),
                Masquerade,
            ])
        }));
        rules
    }

    /// What says of a packet that a frontend sent it on, and changed where to: each is asked by a rule of its own.
    fn sent_on(&self) -> impl Iterator<Item = Statement> {
        iter::once(Translated).chain((self.sender == Sender::Ipvs).then(sender::scheduled))
    }

    /// Rules for what IPVS sends on, where it does.
    fn companion<const N: usize>(&self, rules: fn() -> [Rule; N]) -> impl Iterator<Item = Rule> {
        (self.sender == Sender::Ipvs).then(rules).into_iter().flatten()
    }

    fn detector(&self) -> Option<&LocalDetector> {
        self.policy.detector.get(self.family).as_ref()
    }

    /// The detector, where it knows pods by their addresses, and so possibly those of other nodes too.
    fn pods(&self) -> Option<&LocalDetector> {
        self.detector().filter(|detector| matches!(detector, LocalDetector::Cidr(_)))
    }

    fn reject_input(&self) -> Vec<Rule> {
        let mut rules = vec![rule([NotNew, Return]), rule([Translated, Return])];
        rules.extend(self.companion(sender::on_its_way));
        rules.extend([
            rule([Is(Protocol::Tcp), In(VIP.to_vec(), SetName::NoEndpoints(Scope::Vip)), RejectWithReset]),
            rule([In(VIP.to_vec(), SetName::NoEndpoints(Scope::Vip)), Reject]),
        ]);
        rules.extend(self.companion(sender::refuse));
        // It counts, so it is asked last.
        let node_port = || In(frontend(Scope::NodePort), SetName::NoEndpoints(Scope::NodePort));
        // What a VIP sent on to its own address is not for a NodePort.
        let no_vip = || NotIn(VIP.to_vec(), SetName::Services(Scope::Vip));
        let tcp = vec![Is(Protocol::Tcp), no_vip(), node_port(), RejectWithReset];
        for last in [tcp, vec![no_vip(), node_port(), Reject]] {
            rules.extend(self.at_node_ports(&[], &last));
        }
        rules
    }

    fn reject_passing(&self) -> Vec<Rule> {
        [Vec::from(unless_on_its_way()), Vec::from(refuse()), self.no_such_cluster_ip(&[])].concat()
    }

    /// What the node sends to itself is refused where it arrives, by `filter-input`: a packet that is refused here fails the
    /// send(2) of a UDP socket with EPERM, whatever is answered (`nf_hook_slow`), and the program does not learn that
    /// nobody is there. Inverted lookups do not count what is counted there. A cluster IP is refused here in any case,
    /// since input lets pass what is translated.
    fn reject_sent(&self) -> Vec<Rule> {
        let no_cluster_ip = || NotIn(vec![Destination], SetName::ClusterIps);
        let served = || NotIn(VIP.to_vec(), SetName::NoEndpoints(Scope::Vip));
        let not_refused =
            [rule([no_cluster_ip(), served(), Return]), rule([no_cluster_ip(), Local(Destination), Return])];
        let mut rules = Vec::from(unless_on_its_way());
        rules.extend(self.companion(sender::on_its_way));
        rules.extend(self.no_such_cluster_ip(&[no_cluster_ip(), served()]));
        rules.extend(not_refused);
        match self.sender {
            Sender::Rules => rules.extend(refuse()),
            Sender::Ipvs => rules.extend(sender::refuse_sent()),
        }
        rules
    }

    /// Drops what is sent to an address inside a ServiceCIDR, where `known` says that no Service has it.
    fn no_such_cluster_ip(&self, known: &[Statement]) -> Vec<Rule> {
        // An external IP inside may be its own endpoint.
        let no_vip = NotIn(VIP.to_vec(), SetName::Services(Scope::Vip));
        let last = [known, &[no_vip, Drop]].concat();
        let cidrs = self.policy.service_cidrs.get(self.family).iter();
        let whole = |cidr: &IpNet| Rule {
            statements: iter::once(Within(Destination, *cidr)).chain(last.iter().cloned()).collect(),
            comment: Some("no such cluster IP"),
        };
        cidrs.map(whole).collect()
    }
}

/// Only the first packet of a connection is judged, and none that is on its way to an endpoint, whose address may be
/// somebody's frontend too. If that is a cluster IP nobody is there: what has been translated is not translated again.
fn unless_on_its_way() -> [Rule; 2] {
    [rule([NotNew, Return]), rule([Translated, NotIn(vec![Destination], SetName::ClusterIps), Return])]
}

fn refuse() -> [Rule; 4] {
    let cluster_ip = || In(vec![Destination], SetName::ClusterIps);
    let no_endpoints = || In(VIP.to_vec(), SetName::NoEndpoints(Scope::Vip));
    [
        rule([Is(Protocol::Tcp), no_endpoints(), RejectWithReset]),
        commented("no such port", [Is(Protocol::Tcp), cluster_ip(), RejectWithReset]),
        rule([no_endpoints(), Reject]),
        commented("no such port", [cluster_ip(), Reject]),
    ]
}

fn node_ports() -> Vec<Rule> {
    let scope = Scope::NodePort;
    vec![
        // An external IP that is one of the node's addresses comes first, also when it has no endpoint.
        rule([In(VIP.to_vec(), SetName::NoEndpoints(Scope::Vip)), Return]),
        rule([Lookup(frontend(scope), SetName::Policies(scope))]),
        rule([Lookup(frontend(scope), SetName::Large(scope))]),
    ]
}

fn loopback(family: Family) -> IpNet {
    match family {
        Family::V4 => ipnet::Ipv4Net::new_assert([127, 0, 0, 0].into(), 8).into(),
        Family::V6 => ipnet::Ipv6Net::new_assert(std::net::Ipv6Addr::LOCALHOST, 128).into(),
    }
}
