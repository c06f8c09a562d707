//! A cluster with two nodes, one of which changes its proxy: its objects, as manifests for Portolan, and what clients meet at
//! Services.

use std::{
    collections::BTreeSet,
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    thread,
    time::Duration,
};

use anyhow::{Result, bail, ensure};
use portolan_core::addr::{Family, Protocol};
use portolan_e2e::{
    Lab,
    cast::{Target, named},
    daemon::until,
    host::Host,
    http::Request,
    probe::Outcome,
    scenario::{ObjectName, manifest},
    server::{Listener, Servers},
};
use portolan_iptables::Variant;
use serde_json::{Value, json};

use super::{cni, traffic::Destinations};

/// A refusal over IPv6 is heard a second late.
const PATIENCE: Duration = Duration::from_secs(3);

/// Long enough to be sure that nobody answers.
const SILENCE: Duration = Duration::from_millis(300);

/// What is met then.
pub(crate) const SILENT: &str = "Silent";

/// What is met where a Service has no endpoint.
const REFUSED: &str = "Refused";

/// Who connects: a pod, somebody outside, and the node itself.
pub(crate) const CLIENTS: [&str; 3] = ["pod-a1", "outside", "node-a"];

/// Where servers answer and close, and where they echo.
const ANSWER: u16 = 8080;
const ECHO: u16 = 8081;

/// Where both can be.
const SERVERS: [&str; 2] = ["pod-a2", "pod-b1"];

/// The NodePorts of the Services that nobody changes.
const NODE_PORT: u16 = 30080;
const ECHO_NODE_PORT: u16 = 30081;

/// The load balancer's IP of the Service that has one.
pub(crate) const LOAD_BALANCER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 16)), 80);

/// The addresses of a Service: `10.96.0.x`, `fd00:10:96::x`.
fn vip(number: u8, family: Family) -> SocketAddr {
    let ip = match family {
        Family::V4 => IpAddr::from([10, 96, 0, number]),
        Family::V6 => IpAddr::from([0xfd00, 0x10, 0x96, 0, 0, 0, 0, u16::from(number)]),
    };
    SocketAddr::new(ip, 80)
}

/// The address of node-a with a port.
fn at_node(port: u16, family: Family) -> Result<SocketAddr> {
    Ok(SocketAddr::new(named("node-a")?.address(family), port))
}

/// A dual-stack Service and its slices.
pub(crate) fn service(name: &str, number: u8, endpoints: &[&str]) -> Result<Vec<Value>> {
    let ips = Family::ALL.map(|family| vip(number, family).ip().to_string());
    let mut objects = vec![json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "clusterIP": ips[0], "clusterIPs": ips, "ipFamilies": ["IPv4", "IPv6"],
            "ipFamilyPolicy": "RequireDualStack", "ports": [{"port": 80}],
        },
    })];
    for family in Family::ALL {
        let labels = json!({"kubernetes.io/service-name": name});
        let metadata = json!({"name": slice(name, family), "namespace": "default", "labels": labels});
        let addresses = endpoints.iter().map(|pod| Ok(json!({"addresses": [named(pod)?.address(family)]})));
        objects.push(json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata,
            "addressType": family.to_string(), "ports": [{"name": "", "port": ANSWER, "protocol": "TCP"}],
            "endpoints": addresses.collect::<Result<Vec<_>>>()?,
        }));
    }
    Ok(objects)
}

/// The same, of type NodePort.
fn node_port(objects: Vec<Value>, port: u16) -> Vec<Value> {
    with_spec(objects, &json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": port}]}))
}

/// The same, with endpoints that echo.
fn echoing(mut objects: Vec<Value>) -> Vec<Value> {
    for port in objects.iter_mut().filter_map(|slice| slice.pointer_mut("/ports/0/port")) {
        *port = ECHO.into();
    }
    objects
}

/// The same, of type LoadBalancer, for clients from these ranges; for all where there are none.
fn load_balancer(objects: Vec<Value>, ranges: &[&str]) -> Vec<Value> {
    let spec =
        json!({"type": "LoadBalancer", "allocateLoadBalancerNodePorts": false, "loadBalancerSourceRanges": ranges});
    let mut objects = with_spec(objects, &spec);
    if let Some(service) = objects.first_mut() {
        service["status"] = json!({"loadBalancer": {"ingress": [{"ip": LOAD_BALANCER.ip()}]}});
    }
    objects
}

fn with_spec(mut objects: Vec<Value>, more: &Value) -> Vec<Value> {
    let spec = objects.first_mut().and_then(|service| service.pointer_mut("/spec")).and_then(Value::as_object_mut);
    if let (Some(spec), Some(more)) = (spec, more.as_object()) {
        spec.extend(more.clone());
    }
    objects
}

/// The name of a slice.
fn slice(service: &str, family: Family) -> String {
    format!("{service}-{family}").to_lowercase()
}

/// The Node objects.
fn nodes() -> Result<Vec<Value>> {
    let node = |name: &str| -> Result<Value> {
        let member = named(name)?;
        let addresses = Family::ALL.map(|family| json!({"type": "InternalIP", "address": member.address(family)}));
        Ok(json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "status": {"addresses": addresses},
        }))
    };
    Ok(vec![node("node-a")?, node("node-b")?])
}

/// The cluster. node-a is the one that changes its proxy.
pub(crate) struct World<'lab> {
    pub(crate) lab: &'lab Lab,
    /// The kind of iptables that its kubelet and its CNI plugin use.
    pub(crate) variant: Variant,
    _servers: [Servers; 2],
    folder: tempfile::TempDir,
    /// All there are.
    pub(crate) objects: Vec<Value>,
}

impl<'lab> World<'lab> {
    /// With servers in two pods, what a CNI plugin needs, and no Services.
    pub(crate) fn new(lab: &'lab Lab, variant: Variant) -> Result<Self> {
        let answering = SERVERS.map(|host| Target { host, port: ANSWER, protocol: Protocol::Tcp });
        let mut echoing = Vec::new();
        for host in SERVERS {
            let at = |family| Ok::<_, anyhow::Error>(SocketAddr::new(named(host)?.address(family), ECHO));
            for family in Family::ALL {
                echoing.push(Listener { host, protocol: Protocol::Tcp, at: at(family)? });
            }
            // A port that comes again must not meet the end of its last connection.
            lab.host(host)?.enter(|| fs::write("/proc/sys/net/ipv4/tcp_max_tw_buckets", "0"))??;
        }
        let servers = [lab.serve(answering)?, lab.listen(echoing)?];
        let mut world = Self { lab, variant, _servers: servers, folder: tempfile::tempdir()?, objects: Vec::new() };
        cni::install(world.node()?, variant)?;
        world.apply(nodes()?)?;
        Ok(world)
    }

    /// node-a.
    pub(crate) fn node(&self) -> Result<&'lab Host> {
        Ok(self.lab.host("node-a")?)
    }

    /// The objects, for Portolan.
    pub(crate) fn manifests(&self) -> &Path {
        self.folder.path()
    }

    /// The Services to begin with: two that nobody changes, and what [`World::change`] changes.
    pub(crate) fn begin(&mut self) -> Result<()> {
        self.apply(node_port(service("web", 10, &SERVERS)?, NODE_PORT))?;
        self.apply(echoing(node_port(service("staying", 17, &SERVERS)?, ECHO_NODE_PORT)))?;
        self.change_back()
    }

    /// Changes Services in every way.
    pub(crate) fn change(&mut self) -> Result<()> {
        self.apply(service("moving", 11, &["pod-b1"])?)?;
        self.apply(service("emptied", 12, &[])?)?;
        self.delete("deleted")?;
        self.apply(service("filled", 14, &["pod-b1"])?)?;
        self.apply(service("new", 15, &["pod-b1"])?)?;
        self.apply(load_balancer(service("restricted", 16, &["pod-a2"])?, &["198.51.100.0/24"]))
    }

    /// Changes them back.
    pub(crate) fn change_back(&mut self) -> Result<()> {
        self.apply(service("moving", 11, &["pod-a2"])?)?;
        self.apply(service("emptied", 12, &["pod-a2"])?)?;
        self.apply(service("deleted", 13, &["pod-a2"])?)?;
        self.apply(service("filled", 14, &[])?)?;
        self.delete("new")?;
        self.apply(load_balancer(service("restricted", 16, &["pod-a2"])?, &[]))
    }

    /// The Services that nobody changes.
    pub(crate) fn destinations() -> Result<Destinations> {
        let (mut new, mut staying) = (Vec::new(), Vec::new());
        for family in Family::ALL {
            new.extend([vip(10, family), at_node(NODE_PORT, family)?]);
            staying.extend([vip(17, family), at_node(ECHO_NODE_PORT, family)?]);
        }
        Ok(Destinations { new, staying })
    }

    /// Brings objects into the cluster, or changes them.
    pub(crate) fn apply(&mut self, objects: Vec<Value>) -> Result<()> {
        for object in objects {
            self.objects.retain(|old| ObjectName::of(old) != ObjectName::of(&object));
            self.objects.push(object);
        }
        self.write()
    }

    /// Takes a Service and its slices out of the cluster.
    fn delete(&mut self, service: &str) -> Result<()> {
        let slices = Family::ALL.map(|family| slice(service, family));
        let names: BTreeSet<_> = slices.iter().map(String::as_str).chain([service]).collect();
        let name = |object: &Value| object.pointer("/metadata/name").and_then(Value::as_str).map(ToOwned::to_owned);
        self.objects.retain(|object| name(object).is_none_or(|name| !names.contains(name.as_str())));
        self.write()
    }

    /// Renamed into place, so that Portolan never reads half of it.
    fn write(&self) -> Result<()> {
        let path = self.manifests().join("all");
        fs::write(&path, manifest(&self.objects))?;
        Ok(fs::rename(&path, path.with_extension("json"))?)
    }
}

impl World<'_> {
    /// Waits until a client's connections meet what they should, and then sees whether they go on doing so.
    pub(crate) fn expect(&self, what: &str, client: &str, to: SocketAddr, expected: &[&str]) -> Result<()> {
        let host = self.lab.host(client)?;
        let (patience, count) = match expected {
            [SILENT] => (SILENCE, 2),
            [REFUSED] => (PATIENCE, 2),
            _ => (PATIENCE, 20),
        };
        let mut met = Vec::new();
        let seen = until(what, || -> Result<_> {
            // A virtual server of IPVS has an endpoint and its successor for a moment, and takes them in turn.
            met = host.connections(Protocol::Tcp, to, patience, count)?.iter().map(outcome).collect();
            Ok(met.iter().all(|met| expected.contains(&met.as_str())).then_some(()))
        });
        if let Err(error) = seen {
            bail!("{what}: {client} -> {to}: {met:?} and not {expected:?}: {error}");
        }
        for outcome in host.connections(Protocol::Tcp, to, patience, count)?.iter().map(outcome) {
            ensure!(expected.contains(&outcome.as_str()), "{what}: {client} -> {to}: {outcome} and not {expected:?}");
        }
        Ok(())
    }

    /// The same from everywhere, in both families, at a Service's cluster IPs.
    pub(crate) fn everybody_meets(&self, what: &str, number: u8, expected: &[&str]) -> Result<()> {
        thread::scope(|scope| {
            let all = CLIENTS.into_iter().flat_map(|client| Family::ALL.map(|family| (client, vip(number, family))));
            let all: Vec<_> =
                all.map(|(client, to)| scope.spawn(move || self.expect(what, client, to, expected))).collect();
            all.into_iter().try_for_each(|one| one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })
    }

    /// What [`World::begin`] and [`World::change_back`] say is what everybody meets.
    pub(crate) fn is_as_begun(&self, what: &str) -> Result<()> {
        self.everybody_meets(what, 10, &["pod-a2:8080", "pod-b1:8080"])?;
        self.everybody_meets(what, 11, &["pod-a2:8080"])?;
        self.everybody_meets(what, 12, &["pod-a2:8080"])?;
        self.everybody_meets(what, 13, &["pod-a2:8080"])?;
        self.everybody_meets(what, 14, &[REFUSED])?;
        self.expect(what, "outside", LOAD_BALANCER, &["pod-a2:8080"])?;
        self.host_port_works()
    }

    /// What [`World::change`] has added or moved is what everybody meets.
    pub(crate) fn is_served_as_changed(&self, what: &str) -> Result<()> {
        self.everybody_meets(what, 11, &["pod-b1:8080"])?;
        self.everybody_meets(what, 14, &["pod-b1:8080"])?;
        self.everybody_meets(what, 15, &["pod-b1:8080"])?;
        self.host_port_works()
    }

    /// What it has taken away is not there.
    pub(crate) fn is_refused_as_changed(&self, what: &str) -> Result<()> {
        self.everybody_meets(what, 12, &[REFUSED])?;
        self.everybody_meets(what, 13, &[SILENT])?;
        self.expect(what, "outside", LOAD_BALANCER, &[SILENT])
    }

    /// hostPorts of the CNI plugin work, and see the client's address.
    fn host_port_works(&self) -> Result<()> {
        for family in Family::ALL {
            self.expect("the hostPort", "outside", at_node(cni::HOST_PORT, family)?, &["pod-a2:8080"])?;
        }
        Ok(())
    }
}

fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Answered(answer) => answer.server.clone(),
        other => format!("{other:?}"),
    }
}

const fn get(target: &str) -> Request<'_> {
    Request { method: "GET", target, headers: &[], body: "" }
}

/// Whether a proxy on this node has programmed everything, as it says itself; nobody may listen yet.
pub(crate) fn is_ready(node: &Host) -> Result<bool> {
    let at = SocketAddr::from(([127, 0, 0, 1], 10256));
    Ok(node.enter(|| get("/readyz").send(at))?.is_ok_and(|response| response.status == "200 OK"))
}

/// A number that Portolan shows on its node, summed over labels.
pub(crate) fn metric(node: &Host, at: SocketAddr, name: &str) -> Result<f64> {
    let page = node.enter(|| get("/metrics").send(at))??.body;
    let is_it = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']));
    let values =
        page.lines().filter(is_it).map(|line| Ok(line.rsplit(' ').next().unwrap_or_default().parse::<f64>()?));
    let values = values.collect::<Result<Vec<_>>>()?;
    ensure!(!values.is_empty(), "no {name} in {page}");
    Ok(values.iter().sum())
}
