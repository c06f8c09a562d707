//! The HTTP servers over real sockets: all answers as goldens, and how ports are opened and closed.
//!
//! `UPDATE_GOLDEN=1` writes the goldens instead of comparing them. That the answers are kube-proxy's is for
//! `e2e/tests/http_parity.rs` to say.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code as a whole")]

#[path = "http/client.rs"]
mod client;

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use portolan::{
    http::{About, Addresses, Health, HealthCheckServers, HttpServers, Now, StartError},
    metrics::{Change, Counted, Feature, Metrics, Rival, SyncKind},
};
use portolan_core::{
    addr::{Family, PerFamily, Protocol},
    model::{AtLoopback, Counts, HealthCheck},
    name::{ServiceName, ServicePortName},
    object::{Figure, FigureKind, FrontendCounts, SyncReport},
};
use serde_json::json;

use self::client::{ask, masked};

/// Everything that the servers need, and the servers.
struct Fixture {
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    verbosity: Arc<AtomicU32>,
    servers: HttpServers,
}

fn about(profiling: bool, verbosity: &Arc<AtomicU32>) -> About {
    let verbosity = Arc::clone(verbosity);
    About {
        mode: "nftables",
        profiling,
        statusz: true,
        flagz: true,
        configuration: Arc::new(
            || json!({"kind": "KubeProxyConfiguration", "apiVersion": "kubeproxy.config.k8s.io/v1alpha1"}),
        ),
        flags: Arc::new(|| vec![("v".to_owned(), "2".to_owned()), ("cleanup".to_owned(), "false".to_owned())]),
        set_verbosity: Arc::new(move |level| verbosity.store(level, Ordering::SeqCst)),
    }
}

const fn local(port: u16) -> Option<SocketAddr> {
    Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
}

fn start(addresses: Addresses, profiling: bool) -> Result<Fixture, StartError> {
    let health = Arc::new(Health::new(&Family::ALL, Duration::from_secs(30)));
    let feature = Feature { name: "NFTablesProxyMode".to_owned(), stage: String::new(), enabled: true };
    let metrics = Metrics::new(vec![feature], AtLoopback::Listener).unwrap();
    let verbosity = Arc::default();
    let servers =
        HttpServers::start(addresses, Arc::clone(&health), Arc::clone(&metrics), about(profiling, &verbosity))?;
    Ok(Fixture { health, metrics, verbosity, servers })
}

fn fixture(profiling: bool) -> Fixture {
    start(Addresses { healthz: local(0), metrics: local(0), hard_fail: true }, profiling).unwrap()
}

/// An address of this process alone, so that fixed ports are free at it.
fn own_address() -> Ipv4Addr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 128 | high, middle, low)
}

fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/http").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, text).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap();
    assert!(expected == text, "{}: UPDATE_GOLDEN=1 writes it. It would be\n{text}", path.display());
}

/// Asks each, and writes down request and answer.
fn transcript(text: &mut String, heading: &str, server: Option<SocketAddr>, requests: &[&str]) {
    *text += &format!("# {heading}\n\n");
    for request in requests {
        let answer = masked(&ask(server.unwrap(), request));
        *text += &format!("> {}\n{answer}\n\n", request.replace("\r\n", "\n> "));
    }
}

#[test]
fn answers() {
    let Fixture { health, servers, .. } = fixture(true);
    let mut text = String::new();

    let all = ["GET /healthz", "GET /livez", "GET /readyz", "HEAD /healthz", "GET /", "POST /nope"];
    transcript(&mut text, "Health server: nothing was synced, there is no Node", servers.healthz(), &all);
    let three = ["GET /healthz", "POST /livez", "GET /readyz"];
    health.synced(Family::V4, Now::read());
    health.node_eligible(true);
    transcript(&mut text, "Health server: one family was synced", servers.healthz(), &three);
    health.synced(Family::V6, Now::read());
    transcript(&mut text, "Health server: both were", servers.healthz(), &three);
    health.node_eligible(false);
    transcript(&mut text, "Health server: the Node is about to be deleted", servers.healthz(), &three);
    health.sync_period(Duration::ZERO);
    health.queued(Family::V6, Now::read());
    transcript(&mut text, "Health server: and a change waits for too long", servers.healthz(), &three);

    let requests = [
        "GET /healthz",
        "GET /healthz?verbose&exclude=ping&exclude=x",
        "GET /healthz/ping",
        "GET /proxyMode",
        "GET /configz",
        "GET /statusz",
        "GET /statusz\r\nAccept: application/json;g=config.k8s.io;v=v1beta1;as=Statusz",
        "GET /statusz\r\nAccept: application/yaml;g=config.k8s.io;v=v1alpha1;as=Statusz",
        "GET /statusz\r\nAccept: application/json",
        "GET /statusz\r\nAccept: application/yaml",
        "GET /statusz\r\nAccept: text/html",
        "GET /flagz",
        "GET /flagz\r\nAccept: application/json;g=config.k8s.io;v=v1beta1;as=Flagz;pretty=1",
        "GET /metrics/slis",
        "DELETE /metrics/slis",
        "GET /metrics/slis",
        "GET /nope",
        "GET /debug/flags/v",
        "PUT /debug/flags/v\r\nContent-Length: 1\r\n\r\n4",
        "PUT /debug/flags/v\r\nContent-Length: 2\r\n\r\n+4",
        "PUT /debug/flags/v\r\nContent-Length: 10\r\n\r\n4294967295",
        "GET /debug/flags",
        "GET /debug/pprof/heap",
    ];
    transcript(&mut text, "Metrics server", servers.metrics(), &requests);
    golden("answers.golden", &text);
}

#[test]
fn health_check_node_ports() {
    let Fixture { health, servers, .. } = fixture(false);
    let mut checks = HealthCheckServers::new(&servers, Some(Arc::clone(&health)));
    let own = own_address();
    let address = PerFamily { v4: vec![own.into()], v6: vec![Ipv6Addr::LOCALHOST.into()] };
    let check = |name: &str, port, local_endpoints| HealthCheck {
        service: ServiceName { namespace: "default".into(), name: name.into() },
        family: Family::V4,
        port,
        local_endpoints,
    };
    let at = |port| Some(SocketAddr::from((own, port)));
    let (mut text, all) = (String::new(), ["GET /", "POST /any/path?query", "HEAD /"]);

    assert!(checks.set(&[check("web", 32000, 2)], &address).is_empty());
    transcript(&mut text, "A health-check node port: two local endpoints", at(32000), &all);
    // A connection that is open stays: the port was not opened anew.
    let mut open = client::Connection::to(at(32000).unwrap());
    assert!(open.ask("GET /").contains("\"localEndpoints\": 2"));
    assert!(checks.set(&[check("web", 32000, 0)], &address).is_empty());
    assert!(open.ask("GET /").contains("\"localEndpoints\": 0"));
    transcript(&mut text, "A health-check node port: none", at(32000), &all);
    health.sync_period(Duration::ZERO);
    health.synced(Family::V6, Now::read());
    health.queued(Family::V6, Now::read());
    assert!(checks.set(&[check("web", 32000, 1)], &address).is_empty());
    transcript(&mut text, "A health-check node port: one, but a family is not healthy", at(32000), &all);

    // The port goes to another Service, and the Service to another port, in one step.
    assert!(checks.set(&[check("web", 32001, 1), check("other", 32000, 1)], &address).is_empty());
    assert!(ask(at(32000).unwrap(), "GET /").contains("\"name\": \"other\""));
    assert!(ask(at(32001).unwrap(), "GET /").contains("\"name\": \"web\""));
    assert!(checks.set(&[], &address).is_empty());
    assert!(TcpListener::bind(at(32000).unwrap()).is_ok() && TcpListener::bind(at(32001).unwrap()).is_ok());
    golden("health_checks.golden", &text);
}

#[test]
fn a_health_check_node_port_that_is_taken_is_told_and_tried_again() {
    let Fixture { servers, .. } = fixture(false);
    let mut checks = HealthCheckServers::new(&servers, None);
    let address = PerFamily { v4: vec![own_address().into()], v6: Vec::new() };
    let service = ServiceName { namespace: "default".into(), name: "taken".into() };
    let taken = TcpListener::bind((own_address(), 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let wanted = [HealthCheck { service, family: Family::V4, port, local_endpoints: 1 }];

    let failures = checks.set(&wanted, &address);
    let told: Vec<_> = failures.iter().map(ToString::to_string).collect();
    let expected = format!(
        "the health check node port {}:{port} of Service default/taken cannot be opened: Address already in use (os \
         error 98)",
        own_address()
    );
    assert_eq!(told, [expected]);
    assert_eq!(checks.set(&wanted, &address).len(), 1);
    drop(taken);
    assert!(checks.set(&wanted, &address).is_empty());
    // Without a health server the count alone decides.
    assert!(ask((own_address(), port).into(), "GET /").starts_with("HTTP/1.1 200 OK"));
}

#[test]
fn an_address_that_is_taken_is_an_error_only_where_that_is_wanted() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let healthz = Some(address);
    let failed = start(Addresses { healthz, metrics: None, hard_fail: true }, false).err().unwrap();
    let expected = format!("the health server cannot listen on {address}: Address already in use (os error 98)");
    assert_eq!(failed.to_string(), expected);

    let Fixture { servers, .. } = start(Addresses { healthz, metrics: local(0), hard_fail: false }, false).unwrap();
    assert_eq!(servers.healthz(), None);
    assert!(ask(servers.metrics().unwrap(), "GET /proxyMode").ends_with("nftables"));
    drop(taken);
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while std::net::TcpStream::connect(address).is_err() {
        assert!(std::time::Instant::now() < deadline, "it is not tried again");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(ask(address, "GET /livez").starts_with("HTTP/1.1 200 OK"));
}

#[test]
fn the_unspecified_address_means_both_families_and_any_other_itself() {
    for unspecified in ["0.0.0.0:0", "[::]:0"] {
        let healthz = Some(unspecified.parse().unwrap());
        let Fixture { servers, .. } = start(Addresses { healthz, metrics: local(0), hard_fail: true }, false).unwrap();
        let port = servers.healthz().unwrap().port();
        for address in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into(), own_address().into()] {
            assert!(ask((address, port).into(), "GET /livez").starts_with("HTTP/1.1 200 OK"), "{address}");
        }
        let metrics = servers.metrics().unwrap();
        assert!(std::net::TcpStream::connect((own_address(), metrics.port())).is_err());
    }
}

#[test]
fn ports_are_closed_with_the_servers_and_debug_is_off_by_default() {
    let Fixture { servers, verbosity, .. } = fixture(false);
    let (healthz, metrics) = (servers.healthz().unwrap(), servers.metrics().unwrap());
    assert!(ask(metrics, "PUT /debug/flags/v\r\nContent-Length: 1\r\n\r\n4").starts_with("HTTP/1.1 404"));
    assert!(ask(metrics, "GET /debug/pprof/heap").starts_with("HTTP/1.1 404"));
    assert_eq!(verbosity.load(Ordering::SeqCst), 0);
    let mut checks = HealthCheckServers::new(&servers, None);
    let service = ServiceName { namespace: "default".into(), name: "late".into() };
    let check = HealthCheck { service, family: Family::V4, port: 32002, local_endpoints: 1 };
    let address = PerFamily { v4: vec![own_address().into()], v6: Vec::new() };
    assert!(checks.set(std::slice::from_ref(&check), &address).is_empty());
    drop(servers);
    // Nobody serves them any more, and nobody waits for that.
    drop(checks);
    assert!(TcpListener::bind((own_address(), check.port)).is_ok());
    assert!([healthz, metrics].into_iter().all(|address| std::net::TcpStream::connect(address).is_err()));

    let Fixture { servers, verbosity, .. } = fixture(true);
    ask(servers.metrics().unwrap(), "PUT /debug/flags/v\r\nContent-Length: 1\r\n\r\n4");
    assert_eq!(verbosity.load(Ordering::SeqCst), 4);
}

#[test]
fn who_opens_connections_and_says_nothing_keeps_nobody_out() {
    let Fixture { servers, .. } = fixture(false);
    let server = servers.healthz().unwrap();
    let silent: Vec<_> = (0..600).map(|_| std::net::TcpStream::connect(server).unwrap()).collect();
    assert!(ask(server, "GET /livez").starts_with("HTTP/1.1 200 OK"));
    drop(silent);
}

#[test]
fn metrics() {
    let Fixture { metrics, servers, .. } = fixture(false);
    let moment = Duration::from_millis(20);
    for family in Family::ALL {
        metrics.change_queued(Change::Service);
        metrics.change_queued(Change::Endpoints);
        metrics.sync_queued(family);
        metrics.synced(family, SyncKind::Full, moment);
        metrics.synced(family, SyncKind::Partial, moment);
        metrics.network_programmed(family, 10 * moment);
        metrics.no_local_endpoints(family, 1, 2);
        metrics.conntrack_reconciled(family, moment, 3);
        metrics.loopback_listeners(family, 2);
    }
    metrics.loopback_listener_failed(Family::V6);
    metrics.sync_failed(Family::V6, SyncKind::Partial, moment);
    metrics.changes_synced();
    metrics.change_queued(Change::Service);
    metrics.client_made();
    metrics.request_answered("10.96.0.1:443", "GET", "200");
    metrics.request_answered("10.96.0.1:443", "GET", "<error>");
    metrics.request_took("10.96.0.1:443", "POST", moment, 200, 2_000_000);
    metrics.request_throttled("10.96.0.1:443", "POST", moment);
    metrics.plugin_called(1, "plugin_execution_error");
    metrics.request_retried("10.96.0.1:443", "GET", "429");
    metrics.sync_reported(&SyncReport { batches: 2, operations: 40, ..SyncReport::default() }, 1);
    metrics.sync_errored();
    metrics.first_sync_completed();
    metrics.rejected("Service", "Missing");
    metrics.serving(Counts { services: 3, endpoints: 6, frontends: 9 });
    metrics.config_read(true);
    metrics.conflicting_proxy(Rival::KubeProxy, true);
    metrics.sysctls_failed(1);
    metrics.events_dropped(1);
    metrics.count_with(|| {
        let service = ServiceName { namespace: "default".into(), name: "web".into() };
        let port = ServicePortName { service, port: "http".into(), protocol: Protocol::Tcp };
        vec![Counted {
            port,
            counts: FrontendCounts { connections: Some(7), source_ranges: 2, ..FrontendCounts::default() },
        }]
    });
    let figure = |name: &'static str, kind, labels: &[(&'static str, &str)]| {
        let labels = labels.iter().map(|(label, value)| (*label, (*value).to_owned())).collect();
        Figure { name, help: "[ALPHA] As its dataplane says", kind, samples: vec![(labels, 5)] }
    };
    let (by_family, by_table) = ([("ip_family", "IPv4")], [("table", "nat"), ("ip_family", "IPv4")]);
    // Of two modes, which no dataplane has together, so that all families are on the page.
    metrics.dataplane_counts(vec![
        figure("kubeproxy_sync_proxy_rules_nftables_sync_failures_total", FigureKind::Counter, &by_family),
        figure("kubeproxy_sync_proxy_rules_nftables_cleanup_failures_total", FigureKind::Counter, &by_family),
        figure("kubeproxy_sync_proxy_rules_iptables_total", FigureKind::Gauge, &by_table),
        figure("kubeproxy_sync_proxy_rules_iptables_last", FigureKind::Gauge, &by_table),
        figure("kubeproxy_sync_proxy_rules_iptables_restore_failures_total", FigureKind::Counter, &by_family),
        figure("kubeproxy_sync_proxy_rules_iptables_partial_restore_failures_total", FigureKind::Counter, &by_family),
    ]);
    metrics.kernel_counts_with(move || {
        vec![figure("kubeproxy_iptables_ct_state_invalid_dropped_packets_total", FigureKind::Counter, &[])]
    });
    ask(servers.healthz().unwrap(), "GET /healthz");
    ask(servers.healthz().unwrap(), "GET /livez");

    let answer = ask(servers.metrics().unwrap(), "GET /metrics");
    let (head, page) = answer.split_once("\r\n\r\n").unwrap();
    assert!(
        head.contains("Content-Type: text/plain; version=0.0.4; charset=utf-8; escaping=underscores\r\n"),
        "{head}"
    );
    let lines = page.lines().map(|line| {
        let (sample, value) = line.rsplit_once(' ').unwrap();
        let own = line.starts_with("process_") || line.contains("timestamp_seconds{");
        let line = if own { format!("{sample} *") } else { format!("{sample} {value}") };
        if line.starts_with("kubernetes_build_info") {
            line.replace(env!("CARGO_PKG_VERSION"), "*").replace("linux/arm64", "linux/amd64")
        } else {
            line
        }
    });
    golden("metrics.golden", &(lines.collect::<Vec<_>>().join("\n") + "\n"));
    every_family_is_explained(page);
}

/// docs/metrics.md has every family, with its type and labels, and no other.
fn every_family_is_explained(page: &str) {
    let mut families = BTreeMap::new();
    for line in page.lines().filter(|line| !line.starts_with("# HELP ")) {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|family| family.split_once(' ')) {
            families.insert(name.to_owned(), (kind.to_owned(), String::new()));
        } else if let Some((sample, labels)) = line.split_once('{') {
            let names = labels.split("\",").filter_map(|pair| pair.split_once("=\"")).map(|(name, _)| name);
            let names: Vec<_> = names.filter(|name| *name != "le").collect();
            let suffixes = ["_bucket", "_sum", "_count"];
            let family = suffixes.iter().find_map(|suffix| sample.strip_suffix(suffix)).unwrap_or(sample);
            if let Some((_, labels)) = families.get_mut(family) {
                *labels = names.join(", ");
            }
        }
    }
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    let document = fs::read_to_string(document).unwrap();
    let rows = document.lines().filter_map(|line| line.strip_prefix("| `")).filter_map(|row| row.split_once("` | "));
    let explained: BTreeMap<_, _> = rows
        .map(|(name, rest)| {
            let mut cells = rest.split(" | ");
            (name.to_owned(), (cells.next().unwrap().to_owned(), cells.next().unwrap().trim().replace('`', "")))
        })
        .collect();
    let families: BTreeMap<_, _> = families
        .into_iter()
        .map(|(name, (kind, labels))| (name, (kind, if labels.is_empty() { "-".to_owned() } else { labels })))
        .collect();
    assert_eq!(families, explained);
}
