//! A scripted API server, what it tells a client, and the cluster that comes of it.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    io::Write,
    ops::ControlFlow,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use portolan_core::{
    ingest::{Kind, ObjectRef},
    model::{Cluster, NodeConfig},
};
use portolan_kube::{Client, ClientOptions, Event, Pace, WatchOptions, watch};
use portolan_scripted::{Answer, Server, Verb, list};
use serde_json::Value;

pub(crate) const SERVICES: &str = "/api/v1/services";
pub(crate) const SLICES: &str = "/apis/discovery.k8s.io/v1/endpointslices";
pub(crate) const NODES: &str = "/api/v1/nodes";
pub(crate) const CIDRS: &str = "/apis/networking.k8s.io/v1/servicecidrs";
pub(crate) const KINDS: [&str; 4] = [SERVICES, SLICES, NODES, CIDRS];

/// Fast enough for tests, slow enough not to spin.
pub(crate) const PACE: Pace = Pace {
    first: Duration::from_millis(1),
    longest: Duration::from_millis(20),
    calm: Duration::from_secs(60),
    absent: Duration::from_millis(20),
};

/// Log lines at info and above, on this thread, while the guard lives.
pub(crate) fn log() -> (Arc<Mutex<Vec<u8>>>, tracing::subscriber::DefaultGuard) {
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let lines = Arc::new(Mutex::new(Vec::new()));
    let written = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing::Level::INFO)
        .with_writer(move || Lines(written.clone()))
        .finish();
    (lines, tracing::subscriber::set_default(subscriber))
}

/// A server with nothing in it.
pub(crate) fn server() -> Server {
    with_empty_lists(Server::start().unwrap())
}

pub(crate) fn with_empty_lists(server: Server) -> Server {
    for path in KINDS {
        server.on(path, Verb::List, [Answer::json(&list(1, &[]))]);
        server.on(path, Verb::Watch, [Answer::watch(&[])]);
    }
    server
}

pub(crate) async fn client(server: &Server) -> Client {
    let options = ClientOptions { master: Some(server.url()), qps: -1.0, ..ClientOptions::default() };
    Client::connect(options, None).await.unwrap()
}

/// A kubeconfig in a folder of its own, for a server and with what more the cluster and the user have.
pub(crate) fn kubeconfig(folder: &Path, server: &str, cluster: &str, user: &str) -> ClientOptions {
    let path = folder.join("kubeconfig.conf");
    let text = format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: default\n  cluster: {{server: '{server}'{cluster}}}\n\
         contexts:\n- name: default\n  context: {{cluster: default, namespace: default, user: default}}\n\
         current-context: default\nusers:\n- name: default\n  user: {{{user}}}\n"
    );
    std::fs::write(&path, text).unwrap();
    ClientOptions { kubeconfig: Some(path), qps: -1.0, ..ClientOptions::default() }
}

/// What was told, and the cluster that came of it.
pub(crate) struct Told {
    /// A line for each event; a list with the number of its names, `all` where it has none.
    pub(crate) lines: Vec<String>,
    pub(crate) cluster: Cluster,
}

impl Told {
    fn new() -> Self {
        Self { lines: Vec::new(), cluster: Cluster::new(NodeConfig::of("node-a")) }
    }

    fn take(&mut self, event: Event) {
        let line = match event {
            Event::Applied(object) => {
                let line = format!("applied {}", object.reference());
                self.cluster.apply(&object);
                line
            }
            Event::Deleted(reference) => {
                self.cluster.delete(&reference);
                format!("deleted {reference}")
            }
            Event::Listed { kind, names } => {
                let count = names.as_ref().map_or("all".to_owned(), |names| names.len().to_string());
                if let Some(names) = names {
                    self.cluster.retain(kind, &names);
                }
                format!("listed {kind} {count}")
            }
        };
        self.lines.push(line);
    }

    /// The lines about one kind.
    pub(crate) fn of(&self, kind: Kind) -> Vec<&str> {
        let word = kind.to_string();
        self.lines.iter().map(String::as_str).filter(|line| line.split(' ').nth(1) == Some(&word)).collect()
    }

    /// How many lines begin so.
    pub(crate) fn count(&self, prefix: &str) -> usize {
        self.lines.iter().filter(|line| line.starts_with(prefix)).count()
    }

    /// The ServicePorts that are served, with their endpoints.
    pub(crate) fn served(&mut self) -> BTreeSet<String> {
        let mut cluster = std::mem::replace(&mut self.cluster, Cluster::new(NodeConfig::of("node-a")));
        let changes = cluster.take_changes();
        let desired = changes.filter_map(|change| change.desired);
        desired.map(|port| format!("{} {}", port.name, port.endpoints.len())).collect()
    }
}

/// Listens until `done`, which is asked after each event and may change the script.
pub(crate) async fn listen(client: &Client, done: impl FnMut(&Told) -> bool) -> Told {
    listen_with(client, false, done).await
}

pub(crate) async fn listen_with(client: &Client, streaming: bool, done: impl FnMut(&Told) -> bool) -> Told {
    let (told, done) = (RefCell::new(Told::new()), RefCell::new(done));
    let options = WatchOptions { node: "node-a".to_owned(), streaming, pace: PACE };
    let sink = async |event| {
        let told = &mut *told.borrow_mut();
        told.take(event);
        if done.borrow_mut()(told) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let ended = tokio::time::timeout(Duration::from_secs(30), watch(client, &options, sink)).await;
    let told = told.into_inner();
    assert!(ended.is_ok(), "nothing more came after {:#?}", told.lines);
    told
}

/// Whether all four kinds are listed.
pub(crate) fn all_listed(told: &Told) -> bool {
    [Kind::Service, Kind::EndpointSlice, Kind::Node, Kind::ServiceCidr].into_iter().all(|kind| is_listed(told, kind))
}

pub(crate) fn is_listed(told: &Told, kind: Kind) -> bool {
    told.count(&format!("listed {kind} ")) > 0
}

/// The name of the i-th Service of the scripts.
pub(crate) fn web(i: u32) -> ObjectRef {
    ObjectRef { kind: Kind::Service, namespace: format!("ns-{}", i / 100).into(), name: format!("web-{i}").into() }
}

/// The same object at another version.
pub(crate) fn at(version: u32, mut object: Value) -> Value {
    object["metadata"]["resourceVersion"] = version.to_string().into();
    object
}
