//! What people read, for each thing that a packet may meet: traces of rendered rules.

use std::{collections::BTreeMap, time::Duration};

use portolan_config::Mode;
use portolan_core::{
    addr::{Family, PerFamily, Protocol},
    desired::{DesiredPort, Endpoint, Frontend, FrontendKind, LocalDetector, NodePolicy, Scheduler, Scheduling, Vip},
    model::TrafficPolicy,
    name::{ServiceName, ServicePortName},
    trace::{Asks, Origin, Packet, World},
};

use super::*;
use crate::backends;

/// A cluster IP, an external IP, and a load-balancer IP for some sources only, all of one Service.
fn web(endpoints: &[&str], policy: TrafficPolicy) -> DesiredPort {
    let frontend = |addr: &str, kind, policy| Frontend {
        vip: Vip { addr: addr.parse().unwrap(), protocol: Protocol::Tcp, port: 80 },
        kind,
        policy,
        restricted: kind == FrontendKind::LoadBalancerIp,
    };
    let endpoints = endpoints.iter().map(|addr| Endpoint { addr: addr.parse().unwrap(), port: 8080, local: false });
    DesiredPort {
        name: ServicePortName {
            service: ServiceName { namespace: "default".into(), name: "web".into() },
            port: "http".into(),
            protocol: Protocol::Tcp,
        },
        family: Family::V4,
        frontends: vec![
            frontend("10.96.0.10", FrontendKind::ClusterIp, TrafficPolicy::Cluster),
            frontend("203.0.113.10", FrontendKind::ExternalIp, policy),
            frontend("203.0.113.11", FrontendKind::LoadBalancerIp, policy),
        ],
        endpoints: endpoints.clone().collect(),
        local_endpoints: endpoints.filter(|endpoint| endpoint.addr.to_string() == "10.244.1.11").collect(),
        affinity: None,
        scheduling: None,
        sources: vec!["198.51.100.0/24".parse().unwrap()],
        health_check_node_port: None,
    }
}

const BOTH: [&str; 2] = ["10.244.1.11", "10.244.2.11"];

/// What a packet to a port of these meets; `client` is remembered by the sets that it would be entered into.
fn traced(port: &DesiredPort, from: &str, to: &str, left: Option<u64>) -> [String; 2] {
    print(&trace(Mode::Nftables, Scheduler::default(), port, from, to, left))
}

fn trace(mode: Mode, scheduler: Scheduler, port: &DesiredPort, from: &str, to: &str, left: Option<u64>) -> Traced {
    let pods = Some(LocalDetector::Cidr("10.244.0.0/16".parse().unwrap()));
    let policy = NodePolicy {
        detector: PerFamily { v4: pods, v6: None },
        service_cidrs: PerFamily { v4: vec!["10.96.0.0/16".parse().unwrap()], v6: Vec::new() },
        scheduler,
        ..NodePolicy::default()
    };
    let rendered = backends::rendered(mode, &policy, std::slice::from_ref(port)).unwrap();
    let source = from.parse().unwrap();
    let origin = if from.starts_with("10.") { Origin::Pod } else { Origin::Outside };
    let (address, number) = to.split_once(':').unwrap();
    let asks = Asks::Port(Protocol::Tcp, number.parse().unwrap());
    let packet = Packet { source, origin, destination: address.parse().unwrap(), asks };
    let by = |remembered: &BTreeMap<_, _>| rendered.trace(&packet, &World { is_local: &|_| false, remembered });
    let stays = by(&BTreeMap::new()).outcomes.into_iter().find_map(|outcome| match outcome.verdict {
        Verdict::Endpoint { sticky, .. } => sticky,
        _ => None,
    });
    let remembered = stays.zip(left).map(|(sticky, left)| (sticky.clients, Duration::from_secs(left)));
    Traced {
        packet,
        assumed: None,
        trace: by(&remembered.into_iter().collect()),
        other_tables: vec!["inet fw".into()],
        frontends: rendered.frontends(),
        servers: BTreeMap::new(),
    }
}

/// For people, and for programs.
fn print(traced: &Traced) -> [String; 2] {
    let print = |write: fn(&mut dyn Write, &Traced) -> io::Result<()>| {
        let mut out = Vec::new();
        write(&mut out, traced).unwrap();
        String::from_utf8(out).unwrap()
    };
    [print(trace_text), print(trace_json)]
}

fn text(port: &DesiredPort, from: &str, to: &str) -> String {
    let [text, _] = traced(port, from, to, None);
    text
}

/// What is between the first lines and the last one, which says whose rules were not asked.
fn body(text: &str, first: usize) -> Vec<String> {
    let mut lines: Vec<_> = text.lines().skip(first).map(ToOwned::to_owned).collect();
    assert_eq!(lines.pop().unwrap(), "not asked   the rules of table inet fw");
    lines
}

#[test]
fn endpoints_with_their_chances() {
    let web = web(&BOTH, TrafficPolicy::Cluster);
    let expected = "\
from        10.244.1.12, a pod
to          10.96.0.10:80/tcp
frontend    default/web:http, cluster IP
endpoints   10.244.1.11:8080  1/2
            10.244.2.11:8080  1/2
masquerade  no: the endpoint sees 10.244.1.12
not asked   the rules of table inet fw
";
    assert_eq!(text(&web, "10.244.1.12", "10.96.0.10:80"), expected);
    let expected = "\
from        192.168.100.1, another host
to          203.0.113.10:80/tcp
frontend    default/web:http, external IP, load-balancer IP or NodePort
endpoints   10.244.1.11:8080  1/2
            10.244.2.11:8080  1/2
masquerade  yes: the address is no cluster IP, and has externalTrafficPolicy Cluster
not asked   the rules of table inet fw
";
    assert_eq!(text(&web, "192.168.100.1", "203.0.113.10:80"), expected);
}

#[test]
fn an_endpoint_that_is_the_client_itself() {
    let mut web = web(&BOTH, TrafficPolicy::Cluster);
    web.endpoints.iter_mut().for_each(|endpoint| endpoint.local = true);
    let expected = "\
from        10.244.1.11, a pod
to          10.96.0.10:80/tcp
frontend    default/web:http, cluster IP
endpoints   10.244.1.11:8080  1/2  masqueraded: the endpoint is the client itself
            10.244.2.11:8080  1/2
not asked   the rules of table inet fw
";
    assert_eq!(text(&web, "10.244.1.11", "10.96.0.10:80"), expected);
}

#[test]
fn refusals_with_their_rule() {
    let lines = |port: &DesiredPort, from: &str, to: &str| body(&text(port, from, to), 2);
    let none = web(&[], TrafficPolicy::Cluster);
    assert_eq!(
        lines(&none, "10.244.1.12", "10.96.0.10:80"),
        [
            "frontend    default/web:http, cluster IP",
            "rejected    default/web:http has no endpoints",
            "rule        3 of chain filter-forward: meta l4proto tcp ip daddr . meta l4proto . th dport @no-endpoints reject \
             with tcp reset",
        ]
    );
    let local = web(&["10.244.2.11"], TrafficPolicy::Local);
    assert_eq!(
        lines(&local, "192.168.100.1", "203.0.113.10:80"),
        [
            "frontend    default/web:http, external IP, load-balancer IP or NodePort",
            "policy      externalTrafficPolicy Local: endpoints of this node only",
            "dropped     default/web:http has no endpoint on this node, and this client may use no other",
            "rule        5 of chain external-local: ip daddr . meta l4proto . th dport @no-local-endpoints drop",
        ]
    );
    assert_eq!(
        lines(&local, "192.168.100.1", "203.0.113.11:80"),
        [
            "frontend    default/web:http, external IP, load-balancer IP or NodePort",
            "policy      loadBalancerSourceRanges: only some sources may connect",
            "dropped     192.168.100.1 is not in the loadBalancerSourceRanges of default/web:http",
            "rule        2 of chain sources-default/web/tcp/http: ip daddr . meta l4proto . th dport @restricted drop",
        ]
    );
    assert_eq!(
        lines(&local, "192.168.100.1", "10.96.0.10:81"),
        [
            "rejected    10.96.0.10 is a cluster IP, but only of 80/tcp (default/web:http)",
            "rule        4 of chain filter-forward: meta l4proto tcp ip daddr @cluster-ips reject with tcp reset",
        ]
    );
    assert_eq!(
        lines(&local, "192.168.100.1", "10.96.0.11:80"),
        [
            "dropped     10.96.0.11 is in a range of cluster IPs, but no Service has it",
            "rule        7 of chain filter-forward: ip daddr 10.96.0.0/16 ip daddr . meta l4proto . th dport != @services drop",
        ]
    );
    assert_eq!(
        lines(&local, "192.168.100.1", "203.0.113.12:80"),
        ["untouched   no rule of Portolan's takes it: it goes where the routes say"]
    );
    let listened = lines(&local, "127.0.0.1", "127.0.0.1:30080");
    let start = "untouched   no rule of Portolan's takes it: it is for who listens there";
    assert!(matches!(&*listened, [line] if line.starts_with(start)), "{listened:?}");
}

#[test]
fn a_client_that_stays_with_its_endpoint() {
    let web = DesiredPort { affinity: Some(10_800), ..web(&BOTH, TrafficPolicy::Local) };
    let lines = |from: &str, left| {
        let [text, _] = traced(&web, from, "203.0.113.10:80", left);
        body(&text, 3)
    };
    assert_eq!(
        lines("10.244.1.12", None),
        [
            "policy      externalTrafficPolicy Local, but pods of this node and the node itself reach all endpoints",
            "            session affinity: the client stays with its endpoint for 3h; it is not remembered yet",
            "endpoints   10.244.1.11:8080  1/2",
            "            10.244.2.11:8080  1/2",
            "masquerade  no: the endpoint sees 10.244.1.12",
        ]
    );
    assert_eq!(
        lines("192.168.100.1", Some(10_799)),
        [
            "policy      externalTrafficPolicy Local: endpoints of this node only",
            "            session affinity: the client stays with its endpoint for 3h; it is remembered, 2h59m59s left",
            "endpoints   10.244.1.11:8080  1",
            "masquerade  no: the endpoint sees 192.168.100.1",
        ]
    );
}

/// A packet to a cluster IP with two endpoints, which a virtual server chooses.
fn scheduled(scheduler: Scheduler) -> Traced {
    trace(Mode::Ipvs, scheduler, &web(&BOTH, TrafficPolicy::Cluster), "10.244.1.12", "10.96.0.10:80", None)
}

#[test]
fn a_virtual_server_that_takes_turns() {
    let [text, json] = print(&scheduled(Scheduler::RoundRobin));
    let expected = [
        "scheduler   rr of virtual server 10.96.0.10:80/tcp: one after the other",
        "endpoints   10.244.1.11:8080  1/2",
        "            10.244.2.11:8080  1/2",
        "masquerade  no: the endpoint sees 10.244.1.12",
    ];
    assert_eq!(body(&text, 3), expected);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let server = serde_json::json!({"address": "10.96.0.10:80/tcp", "scheduler": "rr", "flags": []});
    assert_eq!((&json["outcomes"][1]["chance"], &json["outcomes"][1]["virtualServer"]), (&"1/2".into(), &server));
}

/// Which one it will be nobody can tell; how many connections each has the kernel tells, where it is asked.
#[test]
fn a_virtual_server_that_chooses_by_connections() {
    let mut traced = scheduled(Scheduler::LeastConnection);
    let [text, json] = print(&traced);
    let line = "scheduler   lc of virtual server 10.96.0.10:80/tcp: the one with the fewest connections";
    assert_eq!(body(&text, 3)[..3], [line, "endpoints   10.244.1.11:8080", "            10.244.2.11:8080"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["outcomes"][0]["chance"], serde_json::Value::Null);
    let vip = Vip { addr: "10.96.0.10".parse().unwrap(), protocol: Protocol::Tcp, port: 80 };
    let destination = |addr: &str, active| LiveDestination {
        to: SocketAddr::new(addr.parse().unwrap(), 8080),
        forwarding: "Masq",
        weight: 1,
        active,
        inactive: 5,
        connections: 99,
    };
    let destinations = vec![destination(BOTH[0], 3), destination(BOTH[1], 0)];
    let server = LiveServer { scheduler: "lc".to_owned(), flags: Vec::new(), persistence: None, destinations };
    traced.servers.insert(vip, server);
    let [text, _] = print(&traced);
    let expected = [
        "endpoints   10.244.1.11:8080  connections: 3 active, 5 inactive",
        "            10.244.2.11:8080  connections: 0 active, 5 inactive",
    ];
    assert_eq!(body(&text, 3)[1..3], expected);
}

/// One endpoint is certain, however it is chosen.
#[test]
fn a_virtual_server_without_a_choice() {
    for scheduler in Scheduler::ALL.into_iter().filter(|scheduler| *scheduler != Scheduler::WeightedOverflow) {
        let one = web(&["10.244.1.11"], TrafficPolicy::Cluster);
        let [text, _] = print(&trace(Mode::Ipvs, scheduler, &one, "10.244.1.12", "10.96.0.10:80", None));
        let lines = body(&text, 3);
        let scheduling = Scheduling::from(scheduler).with_fallback();
        assert!(lines[0].starts_with(&format!("scheduler   {scheduling} of virtual server 10.96.0.10:80/tcp: ")));
        assert_eq!(lines[1], "endpoints   10.244.1.11:8080  1");
    }
}

#[test]
fn a_virtual_server_that_may_refuse() {
    let [text, json] = print(&scheduled(Scheduler::WeightedOverflow));
    let expected = [
        "endpoints   10.244.1.11:8080",
        "            10.244.2.11:8080",
        "rejected    where the endpoint that is chosen takes no new connection",
        "by          virtual server 10.96.0.10:80/tcp",
        "masquerade  no: the endpoint sees 10.244.1.12",
    ];
    assert_eq!(body(&text, 3)[1..], expected);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let refused = &json["outcomes"][2];
    assert_eq!((&refused["reason"], &refused["chain"]), (&"notTaken".into(), &serde_json::Value::Null));
    assert_eq!(refused["text"], "virtual server 10.96.0.10:80/tcp");
}

#[test]
fn as_json() {
    let web = DesiredPort { affinity: Some(60), ..web(&BOTH, TrafficPolicy::Cluster) };
    let [_, json] = traced(&web, "192.168.100.1", "10.96.0.10:80", Some(7));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let expected = serde_json::json!({
        "from": "192.168.100.1",
        "origin": "outside",
        "assumed": null,
        "to": "10.96.0.10:80/tcp",
        "service": "default/web:http",
        "frontend": "clusterIP",
        "outcomes": [{
            "chance": "1",
            "virtualServer": null,
            "verdict": "endpoint",
            "endpoint": "10.244.1.11:8080",
            "masqueraded": "notFromPod",
            "sessionAffinity": {"seconds": 60, "left": 7},
            "policies": [],
            "chains": ["nat-prerouting", "services", "affinity-default/web/tcp/http", "filter-forward", "nat-postrouting",
                       "marked"],
        }],
        "doubts": [],
        "otherTables": ["inet fw"],
    });
    assert_eq!(json, expected);
    let none = self::web(&[], TrafficPolicy::Cluster);
    let [_, json] = traced(&none, "192.168.100.1", "10.96.0.10:80", None);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["outcomes"][0]["verdict"], "rejected");
    assert_eq!((&json["outcomes"][0]["reason"], &json["outcomes"][0]["rule"]), (&"noEndpoints".into(), &3.into()));
    let local =
        DesiredPort { sources: vec!["10.244.0.0/16".parse().unwrap()], ..self::web(&BOTH, TrafficPolicy::Local) };
    let [_, json] = traced(&local, "10.244.1.12", "203.0.113.11:80", None);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["outcomes"][0]["policies"], serde_json::json!(["sourceRanges", "shortCut"]));
}
