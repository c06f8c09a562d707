//! A node with the addresses of node-a and nothing else, and the API server that its Portolan follows: a scripted one on
//! the node's own loopback.

use std::{
    collections::BTreeMap,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
};

use anyhow::{Context as _, Result, ensure};
use portolan_core::addr::Protocol;
use portolan_e2e::{
    MODES,
    cluster::Volume,
    daemon::{Daemon, Rules as _, TooLate, lone, until},
    host::{Host, HostCommand},
    http::{Request, Response},
    product::Portolan,
};
use portolan_scripted::{Answer, Server, Step, Verb, endpoint_slice, event, list, service};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const SERVICES: &str = "/api/v1/services";
pub(crate) const SLICES: &str = "/apis/discovery.k8s.io/v1/endpointslices";
pub(crate) const NODES: &str = "/api/v1/nodes";
const CIDRS: &str = "/apis/networking.k8s.io/v1/servicecidrs";

/// kube-proxy's ports: the health server's and the metrics server's.
pub(crate) const HEALTH: u16 = 10256;
pub(crate) const METRICS: u16 = 10249;

/// The address of node-a, which is one of the node's own.
pub(crate) const NODE: [u8; 4] = [192, 168, 100, 11];

/// The node, its API server, and a folder for files.
pub(crate) struct World {
    pub(crate) node: Host,
    pub(crate) server: Server,
    pub(crate) portolan: Portolan,
    folder: TempDir,
}

impl World {
    /// The API server knows of the Node and of nothing else.
    pub(crate) fn new() -> Result<Self> {
        Self::with(Server::start)
    }

    pub(crate) fn with<E: Into<anyhow::Error> + Send>(
        start: impl FnOnce() -> Result<Server, E> + Send,
    ) -> Result<Self> {
        let node = lone()?;
        let address = format!("{}/32", Ipv4Addr::from(NODE));
        node.command("ip").args(["link", "set", "lo", "up"]).expect_exit(0)?;
        node.command("ip").args(["address", "add", &address, "dev", "lo"]).expect_exit(0)?;
        let server = node.enter(start)?.map_err(Into::into)?;
        fill(&server);
        Ok(Self { node, server, portolan: Portolan::find()?, folder: tempfile::tempdir()? })
    }

    /// What the API server lists from now on.
    pub(crate) fn lists(&self, services: &[Value], slices: &[Value]) {
        self.server.on(SERVICES, Verb::List, [Answer::json(&list(1, services))]);
        self.server.on(SLICES, Verb::List, [Answer::json(&list(1, slices))]);
    }

    /// `kube-proxy`, which is what the image calls Portolan, with arguments.
    pub(crate) fn kube_proxy(&self, arguments: &[&str]) -> Result<HostCommand> {
        let link = self.path("kube-proxy");
        if !link.is_symlink() {
            std::os::unix::fs::symlink(self.portolan.path(), &link)?;
        }
        Ok(self.node.command(link).args(arguments))
    }

    /// Starts the daemon with more arguments than it needs.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<Daemon> {
        let server = format!("--master={}", self.server.url());
        let needed = [server.as_str(), "--hostname-override=node-a"];
        Ok(Daemon::spawn(self.kube_proxy(&needed)?.args(arguments))?)
    }

    /// Starts it and waits until it is ready.
    pub(crate) fn run_until_ready(&self, arguments: &[&str]) -> Result<Daemon> {
        let daemon = self.run(arguments)?;
        self.until_code("/readyz", 200, &daemon)?;
        Ok(daemon)
    }

    /// Tells a watch of an object that was `ADDED`, `MODIFIED` or `DELETED`; waits for a watch where there is none yet.
    pub(crate) fn tell(&self, path: &str, type_: &str, object: &Value) -> Result<()> {
        until::<_, anyhow::Error>("a watch", || Ok((self.server.send(path, &event(type_, object)) > 0).then_some(())))
    }

    /// Breaks the watch of a path, or the list that is on its way.
    pub(crate) fn cut(&self, path: &str) -> Result<()> {
        until::<_, anyhow::Error>("a watch", || Ok((self.server.cut(path) > 0).then_some(())))
    }

    /// A file of the test's own.
    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// A ConfigMap with this configuration.
    pub(crate) fn config_map(&self, text: &str) -> Result<Volume> {
        let mut volume = Volume::new(self.path("config"))?;
        volume.write([("config.conf", text)])?;
        Ok(volume)
    }

    pub(crate) fn get(&self, port: u16, target: &str) -> Result<Response> {
        self.get_from([127, 0, 0, 1], port, target)
    }

    pub(crate) fn get_from(&self, address: [u8; 4], port: u16, target: &str) -> Result<Response> {
        let request = Request { method: "GET", target, headers: &[], body: "" };
        Ok(self.node.enter(|| request.send(SocketAddr::from((address, port))))??)
    }

    /// The status code of the health server.
    pub(crate) fn code(&self, path: &str) -> Result<u16> {
        code(&self.get(HEALTH, path)?)
    }

    /// Waits until the health server answers so.
    pub(crate) fn until_code(&self, path: &str, wanted: u16, daemon: &Daemon) -> Result<()> {
        self.until(&format!("{path} to be {wanted}"), daemon, || Ok(self.code(path).is_ok_and(|code| code == wanted)))
    }

    /// Waits for a condition; where it does not come the log is shown.
    pub(crate) fn until(&self, what: &str, daemon: &Daemon, mut is: impl FnMut() -> Result<bool>) -> Result<()> {
        let looked = until::<_, anyhow::Error>(what, || Ok(is()?.then_some(())));
        looked.map_err(|error| match error.downcast::<TooLate>() {
            Ok(late) => late.with_log(&daemon.log().join("\n")).into(),
            Err(other) => other,
        })
    }

    /// A sample of /metrics, by its name and labels as they stand there; 0 where there is none.
    pub(crate) fn metric(&self, name: &str) -> Result<f64> {
        let page = self.get(METRICS, "/metrics")?.body;
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(line.map(str::parse).transpose()?.unwrap_or_default())
    }

    /// The configuration in effect.
    pub(crate) fn configz(&self) -> Result<Value> {
        let page: Value = serde_json::from_str(&self.get(METRICS, "/configz")?.body)?;
        page.get("kubeproxy.config.k8s.io").cloned().context("/configz")
    }

    /// The TCP frontends that the kernel holds in any mode, with the number of their endpoints.
    pub(crate) fn frontends(&self) -> Result<BTreeMap<String, usize>> {
        let all = MODES.map(|mode| self.node.frontends(mode)).into_iter().collect::<Result<Vec<_>, _>>()?;
        let tcp = all.iter().flatten().filter(|frontend| frontend.vip.protocol == Protocol::Tcp);
        Ok(tcp.map(|one| (format!("{}:{}", one.vip.addr, one.vip.port), one.endpoints.len())).collect())
    }

    /// Waits until the kernel holds these and no others.
    pub(crate) fn until_frontends(&self, wanted: &[(&str, usize)], daemon: &Daemon) -> Result<()> {
        let wanted: BTreeMap<_, _> = wanted.iter().map(|(vip, count)| ((*vip).to_owned(), *count)).collect();
        self.until(&format!("the frontends {wanted:?}"), daemon, || Ok(self.frontends()? == wanted))
    }

    /// For how many seconds the node's kernel remembers an idle TCP connection.
    pub(crate) fn established(&self) -> Result<String> {
        let file = "/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established";
        Ok(self.node.enter(|| fs::read_to_string(file))??.trim().to_owned())
    }

    /// The Events that were written about objects of a namespace.
    pub(crate) fn events(&self, namespace: &str) -> Result<Vec<Value>> {
        let requests = self.server.requests_for(&events_path(namespace), Verb::Create);
        requests.iter().map(|request| Ok(serde_json::from_slice(&request.body)?)).collect()
    }

    /// Waits for an Event with this reason; gives it.
    pub(crate) fn event(&self, namespace: &str, reason: &str, daemon: &Daemon) -> Result<Value> {
        let find = || {
            let events = self.events(namespace)?;
            Ok::<_, anyhow::Error>(events.into_iter().find(|event| event["reason"] == reason))
        };
        self.until(&format!("the Event {reason}"), daemon, || Ok(find()?.is_some()))?;
        find()?.context("the Event is gone")
    }
}

/// Scripts a server that knows of the Node alone, and takes Events.
pub(crate) fn fill(server: &Server) {
    for path in [SERVICES, SLICES, NODES, CIDRS] {
        server.on(path, Verb::List, [Answer::json(&list(1, &[]))]);
        server.on(path, Verb::Watch, [Answer::watch(&[])]);
    }
    server.on(NODES, Verb::List, [Answer::json(&list(1, &[node(&[Ipv4Addr::from(NODE)])]))]);
    for namespace in ["default", "ns-0"] {
        server.on(&events_path(namespace), Verb::Create, [Answer::json(&json!({}))]);
    }
}

pub(crate) fn events_path(namespace: &str) -> String {
    format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events")
}

/// The Node object of node-a.
pub(crate) fn node(addresses: &[Ipv4Addr]) -> Value {
    let addresses: Vec<_> =
        addresses.iter().map(|address| json!({"type": "InternalIP", "address": address.to_string()})).collect();
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "node-a", "uid": "node-a", "resourceVersion": "1"},
        "status": {"addresses": addresses},
    })
}

/// Services `ns-0/web-I` at 10.96.1.I:80, and their slices with two endpoints each.
pub(crate) fn webs(numbers: &[u32]) -> (Vec<Value>, Vec<Value>) {
    (numbers.iter().map(|i| service(*i)).collect(), numbers.iter().map(|i| endpoint_slice(*i, 2)).collect())
}

/// `ns-0/web-0` with a NodePort 30080, as a load balancer's if that is asked for.
pub(crate) fn exposed(type_: &str) -> Value {
    let mut service = service(0);
    service["spec"]["type"] = type_.into();
    service["spec"]["ports"][0]["nodePort"] = 30080.into();
    service
}

/// A list whose end does not come before the watch of the test breaks it off.
pub(crate) fn held(whole: &Value) -> Answer {
    let text = whole.to_string();
    let half = text.get(..text.len() / 2).unwrap_or_default().to_owned();
    Answer::Steps(vec![Step::Bytes(half.into()), Step::Live])
}

pub(crate) fn code(response: &Response) -> Result<u16> {
    Ok(response.status.split(' ').next().unwrap_or_default().parse()?)
}

/// The lines of a log that are no mere information. Nobody may write the machine's own settings in here, and `lab` is what
/// is said of that: the limit of conntrack belongs to the first network namespace, its hash table and the OOM score to the
/// machine.
pub(crate) fn complaints(daemon: &Daemon) -> Vec<String> {
    let lab = ["nf_conntrack_max", "nf_conntrack/parameters/hashsize", "/proc/self/oom_score_adj"];
    let bad = |line: &String| [" WARN ", "ERROR "].iter().any(|level| line.contains(level));
    daemon.log().into_iter().filter(|line| bad(line) && !lab.iter().any(|part| line.contains(part))).collect()
}

pub(crate) fn ensure_quiet(daemon: &Daemon) -> Result<()> {
    let complaints = complaints(daemon);
    ensure!(complaints.is_empty(), "{complaints:#?}");
    Ok(())
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}
