//! Each statement, and each way between rules and hooks.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use portolan_core::{
    addr::Protocol,
    desired::{Endpoint, Vip},
    trace::{Asks, Chance, Origin, Outcome, RefusedBy, RulePlace, Sticky, Verdict},
};

use super::*;
use crate::{
    services::{
        Data, Rule, Value,
        names::{PortName, SetName},
        rule,
    },
    table::{
        element::ElementKey,
        field::{
            Field::{Destination, Random, Source},
            VIP, frontend_and,
        },
        rule::Statement::{
            Drop, FromPod, Goto, In, Is, Jump, Known, Local, Lookup, Mark, Marked, Masquerade as Snat, NotFromPod,
            NotNew, OneIn, Outside, Reject, RejectWithReset, Remember, Return, Translate, TranslateTo, Translated,
            Unmark, Within,
        },
        value::{Hook, HookKind, HookPoint},
    },
};

const CLIENT: &str = "10.244.1.11";
const NODE: &str = "192.168.100.11";
const SERVICE: &str = "10.96.0.10";
const POD: &str = "10.244.1.12:8080";

fn packet(origin: Origin) -> Packet {
    let asks = Asks::Port(Protocol::Tcp, 80);
    Packet { source: CLIENT.parse().unwrap(), origin, destination: SERVICE.parse().unwrap(), asks }
}

fn vip() -> Vip {
    Vip { addr: SERVICE.parse().unwrap(), protocol: Protocol::Tcp, port: 80 }
}

fn to(endpoint: &str) -> Data {
    let endpoint: SocketAddr = endpoint.parse().unwrap();
    Data::Endpoint(endpoint.ip(), endpoint.port())
}

fn clients(name: &str) -> PortName {
    PortName::parse(name).unwrap()
}

fn place(refused: &RefusedBy) -> String {
    let RulePlace { step, number } = refused.rule.as_ref().unwrap();
    format!("{step} {number}")
}

/// Chains with their rules, and elements.
#[derive(Default)]
struct Table {
    objects: Vec<(Key, Value)>,
    remembered: BTreeMap<String, Duration>,
}

impl Table {
    fn new() -> Self {
        Self { objects: vec![(Key::Table(Family::V4), Value::Table)], ..Self::default() }
    }

    fn chain(mut self, chain: ChainName, rules: Vec<Rule>) -> Self {
        let (kind, point) = match chain {
            ChainName::NatPrerouting => (HookKind::Nat, Some(HookPoint::Prerouting)),
            ChainName::NatOutput => (HookKind::Nat, Some(HookPoint::Output)),
            ChainName::NatPostrouting => (HookKind::Nat, Some(HookPoint::Postrouting)),
            ChainName::FilterInput => (HookKind::Filter, Some(HookPoint::Input)),
            ChainName::FilterForward => (HookKind::Filter, Some(HookPoint::Forward)),
            ChainName::FilterOutput => (HookKind::Filter, Some(HookPoint::Output)),
            _ => (HookKind::Filter, None),
        };
        let priority = if kind == HookKind::Nat { -99 } else { -90 };
        let hook = point.map(|point| Hook { kind, point, priority });
        self.objects.push((Key::Chain(Family::V4, chain.clone()), Value::Chain(hook)));
        self.objects.push((Key::Rules(Family::V4, chain), Value::Rules(rules.into())));
        self
    }

    fn element(mut self, set: SetName, key: ElementKey, data: Data) -> Self {
        self.objects.push((Key::Element(Family::V4, set, key), Value::Element(data, None)));
        self
    }

    fn trace(&self, packet: &Packet) -> Trace {
        let objects: Objects<'_> = self.objects.iter().map(|(key, value)| (key, value)).collect();
        let is_local = |addr: IpAddr| addr == NODE.parse::<IpAddr>().unwrap();
        let world = World { is_local: &is_local, remembered: &self.remembered };
        trace(&objects, packet, &world, &|_| None)
    }

    /// Each outcome in short.
    fn outcomes(&self, origin: Origin) -> Vec<String> {
        let trace = self.trace(&packet(origin));
        assert_eq!(trace.doubts, [""; 0]);
        let mut sum = Chance::CERTAIN.times(0, 1);
        let short = |outcome: &Outcome| {
            let chance = outcome.chance.unwrap();
            sum = sum.plus(chance);
            let what = match &outcome.verdict {
                Verdict::Endpoint { to, masqueraded: None, .. } => to.to_string(),
                Verdict::Endpoint { to, masqueraded: Some(why), .. } => format!("{to} {why:?}"),
                Verdict::Rejected(by) => format!("rejected {}", place(by)),
                Verdict::Dropped(by) => format!("dropped {}", place(by)),
                Verdict::Untouched => "untouched".to_owned(),
            };
            format!("{chance} {what}")
        };
        let outcomes = trace.outcomes.iter().map(short).collect();
        assert_eq!(sum, Chance::CERTAIN);
        outcomes
    }
}

/// Whether statements let a forwarded packet come to the statement behind them.
fn hold(statements: &[Statement], packet: &Packet) -> bool {
    let statements = statements.iter().cloned().chain([Drop]).collect();
    let table = Table::new().chain(ChainName::FilterForward, vec![Rule { statements, comment: None }]);
    let mut table = table.element(SetName::ClusterIps, ElementKey::address(packet.destination), Data::None);
    table.remembered.insert("affinity-known".to_owned(), Duration::from_secs(1));
    matches!(table.trace(packet).outcomes.first().unwrap().verdict, Verdict::Dropped(_))
}

#[test]
fn a_match_is_true_of_the_packets_that_it_is_about() {
    let tcp = packet(Origin::Pod);
    let from = |source: &str| Packet { source: source.parse().unwrap(), ..tcp };
    let echo = Packet { asks: Asks::Echo, ..tcp };
    let elsewhere = Packet { destination: "10.96.0.11".parse().unwrap(), ..tcp };
    let outside = packet(Origin::Outside);
    let cidr = |cidr: &str| cidr.parse().unwrap();
    let name = |name: &str| name.parse().unwrap();
    let cases: [(&str, Vec<Statement>, Packet, Packet); 10] = [
        ("Is", vec![Is(Protocol::Tcp)], tcp, echo),
        ("In", vec![In(vec![Destination], SetName::ClusterIps), Is(Protocol::Tcp)], tcp, echo),
        ("Within", vec![Within(Destination, cidr("10.96.0.10/32"))], tcp, elsewhere),
        ("Outside", vec![Outside(Source, cidr("10.244.0.0/16"))], from(NODE), tcp),
        ("Local", vec![Local(Source)], from(NODE), tcp),
        ("FromPod by address", vec![FromPod(LocalDetector::Cidr(cidr("10.244.0.0/16")))], tcp, from(NODE)),
        ("FromPod by interface", vec![FromPod(LocalDetector::Interface(name("cni0")))], tcp, outside),
        ("NotFromPod by address", vec![NotFromPod(LocalDetector::Cidr(cidr("10.244.0.0/16")))], from(NODE), tcp),
        ("NotFromPod by interface", vec![NotFromPod(LocalDetector::InterfacePrefix(name("veth")))], outside, tcp),
        ("Marked", vec![Mark(6), Marked(4), Unmark(4), Marked(2), Is(Protocol::Tcp)], tcp, echo),
    ];
    for (what, statements, yes, no) in cases {
        assert!(hold(&statements, &yes), "{what}");
        assert!(!hold(&statements, &no), "{what}");
    }
    assert!(hold(&[Known(clients("affinity-known"))], &tcp));
    for never in [
        vec![NotNew],
        vec![Marked(1)],
        vec![Mark(6), Unmark(2), Marked(2)],
        vec![Translated],
        vec![Known(clients("affinity-x"))],
    ] {
        assert!(!hold(&never, &tcp), "{never:?}");
    }
}

#[test]
fn jumps_come_back_and_gotos_do_not() {
    let table = |first: Statement| {
        Table::new()
            .chain(ChainName::FilterForward, vec![rule([first]), rule([Drop])])
            .chain(ChainName::RestrictedPolicies, vec![rule([Goto(ChainName::MasqueradeAlways)]), rule([Reject])])
            .chain(ChainName::NoLocalEndpoints, vec![rule([Return]), rule([Reject])])
            .chain(ChainName::MasqueradeAlways, vec![])
    };
    let outcomes = |first| table(first).outcomes(Origin::Pod);
    assert_eq!(outcomes(Jump(ChainName::RestrictedPolicies)), ["1 dropped filter-forward 2"]);
    assert_eq!(outcomes(Goto(ChainName::RestrictedPolicies)), ["1 untouched"]);
    assert_eq!(outcomes(Jump(ChainName::NoLocalEndpoints)), ["1 dropped filter-forward 2"]);
    assert_eq!(outcomes(Goto(ChainName::NoLocalEndpoints)), ["1 untouched"]);
    assert_eq!(outcomes(Return), ["1 untouched"]);
    // Nothing that the kernel takes, but nothing that may hang us either.
    assert_eq!(outcomes(Jump(ChainName::FilterForward)), ["1 dropped filter-forward 2"]);
}

#[test]
fn random_numbers_make_a_case_for_each_endpoint_and_one_for_none() {
    let slots = || frontend_and(Scope::Vip, Random(4));
    let slot = |n| ElementKey::slot(Scope::Vip, vip(), n);
    let table = Table::new()
        .chain(ChainName::NatPrerouting, vec![rule([Translate(slots(), SetName::Direct(4))]), rule([OneIn(2), Drop])])
        .element(SetName::Direct(4), slot(0), to("10.0.0.1:1"))
        .element(SetName::Direct(4), slot(1), to("10.0.0.2:1"))
        .element(SetName::Direct(4), slot(2), to("10.0.0.1:1"))
        .element(SetName::Direct(4), slot(7), to("10.0.0.3:1"))
        .element(SetName::Direct(3), slot(3), to("10.0.0.4:1"));
    let expected = ["1/2 10.0.0.1:1", "1/4 10.0.0.2:1", "1/8 dropped nat-prerouting 2", "1/8 untouched"];
    assert_eq!(table.outcomes(Origin::Pod), expected);
}

#[test]
fn a_client_is_sent_where_it_is_remembered_and_remembered_where_it_is_sent() {
    let endpoint = |text: &str| {
        let to: SocketAddr = text.parse().unwrap();
        TranslateTo(Endpoint { addr: to.ip(), port: to.port(), local: false })
    };
    let (a, b) = (clients("affinity-x__a"), clients("affinity-x__b"));
    let with = |clients: &PortName, at: &str| [Remember(clients.clone(), 60), endpoint(at)];
    let [remember_a, to_a] = with(&a, "10.0.0.1:1");
    let [remember_b, to_b] = with(&b, "10.0.0.2:1");
    let rules = vec![
        rule([Known(b.clone()), remember_b.clone(), to_b.clone()]),
        rule([OneIn(2), remember_a, to_a]),
        rule([remember_b, to_b]),
    ];
    let chain = ChainName::OfPort(clients("affinity-x"));
    let map = SetName::Policies(Scope::Vip);
    let mut table = Table::new()
        .chain(ChainName::NatPrerouting, vec![rule([Lookup(VIP.to_vec(), map)])])
        .chain(chain.clone(), rules)
        .element(map, ElementKey::vip(vip()), Data::Jump(chain));
    assert_eq!(table.outcomes(Origin::Pod), ["1/2 10.0.0.1:1", "1/2 10.0.0.2:1"]);
    let left = Duration::from_secs(7);
    table.remembered.insert(b.to_string(), left);
    assert_eq!(table.outcomes(Origin::Pod), ["1 10.0.0.2:1"]);
    let trace = table.trace(&packet(Origin::Pod));
    let Verdict::Endpoint { sticky, .. } = &trace.outcomes.first().unwrap().verdict else { panic!() };
    assert_eq!(sticky, &Some(Sticky { clients: b.to_string(), timeout: 60, left: Some(left) }));
}

#[test]
fn masquerade_is_for_what_leaves_translated() {
    let policy = |marking: Rule| {
        let dnat = rule([Translate(VIP.to_vec(), SetName::Direct(1))]);
        let first = vec![marking, dnat];
        Table::new()
            .chain(ChainName::NatPrerouting, first.clone())
            .chain(ChainName::NatOutput, first)
            .chain(
                ChainName::NatPostrouting,
                vec![
                    rule([Translated, Marked(1), Unmark(1), Snat]),
                    rule([Translated, In(vec![Source, Destination], SetName::Hairpin), Snat]),
                ],
            )
            .element(SetName::ClusterIps, ElementKey::address(vip().addr), Data::None)
    };
    let detector = || LocalDetector::Cidr("10.0.0.0/16".parse().unwrap());
    let cluster_ip = || In(vec![Destination], SetName::ClusterIps);
    let marked = |marking: Rule, origin| {
        policy(marking).element(SetName::Direct(1), ElementKey::vip(vip()), to(POD)).outcomes(origin)
    };
    for origin in [Origin::Pod, Origin::Node, Origin::Outside] {
        assert_eq!(marked(rule([Mark(1)]), origin), [format!("1 {POD} External")]);
        assert_eq!(marked(rule([cluster_ip(), Mark(1)]), origin), [format!("1 {POD} All")]);
        assert_eq!(
            marked(rule([cluster_ip(), NotFromPod(detector()), Mark(1)]), origin),
            [format!("1 {POD} NotFromPod")]
        );
        assert_eq!(marked(rule([Is(Protocol::Tcp), Mark(1)]), origin), [format!("1 {POD} Other")]);
        assert_eq!(marked(rule([Local(Source), Mark(1)]), origin), [format!("1 {POD}")]);
    }
    // Nobody's: it is not translated.
    assert_eq!(policy(rule([Mark(1)])).outcomes(Origin::Pod), ["1 untouched"]);
    // To the node itself: what comes from elsewhere does not leave it.
    let here = |origin| {
        let own = to("192.168.100.11:8080");
        policy(rule([Mark(1)])).element(SetName::Direct(1), ElementKey::vip(vip()), own).outcomes(origin)
    };
    assert_eq!(here(Origin::Outside), ["1 192.168.100.11:8080"]);
    assert_eq!(here(Origin::Node), ["1 192.168.100.11:8080 External"]);
    // To where it goes anyway: the kernel does not call that a translation.
    let same = to(&format!("{SERVICE}:80"));
    let table = policy(rule([Mark(1)])).element(SetName::Direct(1), ElementKey::vip(vip()), same);
    assert_eq!(table.outcomes(Origin::Pod), [format!("1 {SERVICE}:80")]);
    // To itself.
    let (own, client) = (to("10.244.1.11:8080"), CLIENT.parse().unwrap());
    let table = policy(rule([NotNew])).element(SetName::Direct(1), ElementKey::vip(vip()), own);
    let table = table.element(SetName::Hairpin, ElementKey::pair(client, client), Data::None);
    assert_eq!(table.outcomes(Origin::Pod), ["1 10.244.1.11:8080 Hairpin"]);
}

#[test]
fn each_packet_meets_the_hooks_of_its_way() {
    let way = |origin, destination: &str| {
        let seen = |chain: ChainName| {
            let table = Table::new().chain(chain, vec![rule([RejectWithReset])]);
            let packet = Packet { destination: destination.parse().unwrap(), ..packet(origin) };
            matches!(table.trace(&packet).outcomes.first().unwrap().verdict, Verdict::Rejected(_))
        };
        ChainName::BASE
            .into_iter()
            .filter(|chain| seen(chain.clone()))
            .map(|chain| chain.to_string())
            .collect::<Vec<_>>()
    };
    for origin in [Origin::Pod, Origin::Outside] {
        assert_eq!(way(origin, SERVICE), ["nat-prerouting", "nat-postrouting", "filter-forward"]);
        assert_eq!(way(origin, NODE), ["nat-prerouting", "filter-input"]);
    }
    assert_eq!(way(Origin::Node, SERVICE), ["nat-output", "nat-postrouting", "filter-output"]);
    assert_eq!(way(Origin::Node, NODE), ["nat-output", "nat-postrouting", "filter-input", "filter-output"]);
}

#[test]
fn what_portolan_would_not_write_is_passed_over_and_named() {
    let mut table = Table::new()
        .chain(ChainName::FilterForward, vec![rule([In(vec![Destination], SetName::ClusterIps), Drop])])
        .chain(ChainName::RestrictedPolicies, vec![]);
    let element = Key::Element(Family::V4, SetName::ClusterIps, ElementKey::address(vip().addr));
    let other = Key::Element(Family::V4, SetName::ClusterIps, ElementKey::address(NODE.parse().unwrap()));
    let chain = Key::Chain(Family::V4, ChainName::Foreign("mine".into()));
    let set = Key::Set(Family::V4, SetName::ClusterIps);
    for key in [&element, &other, &chain, &set] {
        table.objects.push((key.clone(), Value::Strange));
    }
    let doubts = [set, chain, element].map(|key| Doubt::Strange(key).to_string());
    let trace = table.trace(&packet(Origin::Pod));
    assert_eq!((trace.doubts, trace.outcomes.first().unwrap().verdict.clone()), (doubts.to_vec(), Verdict::Untouched));
    let nothing = Table::default().trace(&packet(Origin::Pod));
    assert_eq!(nothing.doubts, [Doubt::NoTable(Family::V4).to_string()]);
}
