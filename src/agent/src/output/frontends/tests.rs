//! What people and programs read, for frontends that rules serve and those that virtual servers do.

use portolan_core::{addr::Protocol, desired::Vip};

use super::*;

fn frontend(addr: &str, port: &str, endpoints: &[&str], notes: &[FrontendNote]) -> LiveFrontend {
    LiveFrontend {
        vip: Vip { addr: addr.parse().unwrap(), protocol: Protocol::Tcp, port: 80 },
        port: port.to_owned(),
        endpoints: endpoints.iter().map(|endpoint| endpoint.parse().unwrap()).collect(),
        local_endpoints: None,
        notes: notes.iter().copied().collect(),
    }
}

fn frontends() -> Vec<LiveFrontend> {
    use FrontendNote::{Affinity, MasqueradeAlways, Rejected};
    let local = |list: &[&str]| Some(list.iter().map(|endpoint| endpoint.parse().unwrap()).collect());
    vec![
        frontend("172.30.0.1", "default/kubernetes:https", &["10.0.0.1:6443", "10.0.0.2:6443"], &[]),
        frontend("fd00::1", "team-a/we\nb", &["[fd01::1]:8080"], &[MasqueradeAlways, Affinity]),
        frontend("172.30.0.2", "", &[], &[Rejected]),
        LiveFrontend {
            local_endpoints: local(&["10.0.0.1:80", "10.0.0.3:80"]),
            ..frontend("0.0.0.0", "ns/local", &["10.0.0.1:80", "10.0.0.2:80"], &[])
        },
        LiveFrontend { local_endpoints: local(&[]), ..frontend("::", "ns/local", &["10.0.0.1:80"], &[]) },
    ]
}

fn by_rules() -> Vec<Listed> {
    frontends().into_iter().map(|frontend| Listed { frontend, server: None }).collect()
}

/// Served by virtual servers, but for a NodePort.
fn by_servers() -> Vec<Listed> {
    let destination = |to: &str, weight, active| LiveDestination {
        to: to.parse().unwrap(),
        forwarding: "Masq",
        weight,
        active,
        inactive: 7,
        connections: 1234,
    };
    let drains = destination("10.0.0.3:80", 0, 1);
    let web = LiveServer {
        scheduler: "rr".to_owned(),
        flags: Vec::new(),
        persistence: None,
        destinations: vec![destination("10.0.0.1:80", 1, 3), destination("10.0.0.2:80", 1, 12), drains],
    };
    let gone = LiveServer {
        scheduler: "mh".to_owned(),
        flags: vec!["mh-fallback", "mh-port"],
        persistence: Some(10_800),
        destinations: vec![drains],
    };
    let both = ["10.0.0.1:80", "10.0.0.2:80"];
    vec![
        Listed { frontend: frontend("0.0.0.0", "ns/web", &both, &[]), server: None },
        Listed { frontend: frontend("172.30.0.1", "ns/web", &both, &[]), server: Some(web) },
        Listed { frontend: frontend("172.30.0.2", "ns/none", &[], &[FrontendNote::Rejected]), server: None },
        Listed { frontend: frontend("172.30.0.9", "", &[], &[FrontendNote::Gone]), server: Some(gone) },
    ]
}

#[test]
fn with_virtual_servers() {
    let mut out = Vec::new();
    frontends_table(&mut out, &by_servers()).unwrap();
    let expected = "\
FRONTEND       PROTO  SERVICE  SCHEDULER                               ENDPOINTS               FORWARD  WEIGHT  ACTIVE  INACTIVE  CONNECTIONS  NOTE
*:80           tcp    ns/web   -                                       10.0.0.1:80             -        -       -       -         -
                                                                       10.0.0.2:80             -        -       -       -         -
172.30.0.1:80  tcp    ns/web   rr                                      10.0.0.1:80             Masq     1       3       7         1234
                                                                       10.0.0.2:80             Masq     1       12      7         1234
                                                                       10.0.0.3:80 (draining)  Masq     0       1       7         1234
172.30.0.2:80  tcp    ns/none  -                                       -                       -        -       -       -         -            rejected: no endpoints
172.30.0.9:80  tcp             mh (mh-fallback,mh-port) persistent 3h  10.0.0.3:80 (draining)  Masq     0       1       7         1234         no Service: for connections that are left
";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn virtual_servers_as_json() {
    let mut out = Vec::new();
    frontends_json(&mut out, &by_servers()).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(json[0]["virtualServer"], serde_json::Value::Null);
    let drains = serde_json::json!({
        "endpoint": "10.0.0.3:80",
        "forwarding": "Masq",
        "weight": 0,
        "draining": true,
        "activeConnections": 1,
        "inactiveConnections": 7,
        "connections": 1234,
    });
    assert_eq!(json[1]["virtualServer"]["destinations"][2], drains);
    let gone = serde_json::json!({
        "scheduler": "mh",
        "flags": ["mh-fallback", "mh-port"],
        "persistenceSeconds": 10_800,
        "destinations": [drains],
    });
    assert_eq!((&json[3]["service"], &json[3]["virtualServer"]), (&"".into(), &gone));
}

#[test]
fn as_a_table() {
    let mut out = Vec::new();
    frontends_table(&mut out, &by_rules()).unwrap();
    let expected = "\
FRONTEND       PROTO  SERVICE                   ENDPOINTS                 NOTE
172.30.0.1:80  tcp    default/kubernetes:https  10.0.0.1:6443
                                                10.0.0.2:6443
[fd00::1]:80   tcp    team-a/we\\nb              [fd01::1]:8080            always masqueraded, session affinity
172.30.0.2:80  tcp                              -                         rejected: no endpoints
*:80           tcp    ns/local                  10.0.0.1:80 (local)       local endpoints from outside
                                                10.0.0.2:80
                                                10.0.0.3:80 (local only)
[*]:80         tcp    ns/local                  10.0.0.1:80               dropped from outside: no local endpoints
";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn as_json() {
    let mut out = Vec::new();
    frontends_json(&mut out, &by_rules()).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(json[1]["service"], "team-a/we\nb");
    assert_eq!(json[1]["endpoints"][0], "[fd01::1]:8080");
    assert_eq!(json[2]["rejected"], true);
    assert_eq!(json[0]["masqueradeAlways"], false);
}
