//! A Service and its Pods, as a Deployment would have them: as many as wanted, replaced by others, gone again.
//!
//! The Pods are objects whose status the test writes; their addresses are those of pods of the lab, where real servers
//! answer. The slices come from the real controller.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    thread,
    time::Duration,
};

use portolan_core::addr::Protocol;
use serde_json::{Value, json};

use super::{Cluster, NODES, traffic::LOST};
use crate::{
    Lab,
    cast::{Member, OUTSIDE, Role, Target},
    controlplane::Error,
    host::Host,
    probe::Outcome,
    server::Servers,
};

/// The Service's own port.
const PORT: u16 = 80;

/// So many connections for each endpoint show all of them, nearly always.
const CONNECTIONS: usize = 8;

/// Longer than packets take through the lab, where nobody should answer.
const SOON: Duration = Duration::from_millis(100);

/// By which address a Service is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Front {
    /// clusterIP.
    ClusterIp,
    /// nodePort, at each node's addresses.
    NodePort,
    /// externalIPs.
    ExternalIp,
    /// status.loadBalancer.
    LoadBalancer,
}

/// A dual-stack Service of type LoadBalancer, with external IPs, and its Pods.
#[derive(Debug)]
pub struct App {
    name: String,
    /// Where its Pods serve.
    port: u16,
    fronts: BTreeMap<Front, Vec<SocketAddr>>,
    pods: BTreeMap<&'static str, Servers>,
}

impl App {
    /// Creates the Service, without Pods. No two have the same number.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub fn new(cluster: &mut Cluster, name: &str, number: u8) -> Result<Self, Error> {
        let address =
            |group: u8| [format!("203.0.113.{}", group + number), format!("2001:db8:113::{:x}", group + number)];
        let (external, balancer) = (address(0), address(100));
        let port = 8080 + u16::from(number);
        let service = json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata(name),
            "spec": {
                "type": "LoadBalancer",
                "selector": {"app": name},
                "ipFamilyPolicy": "RequireDualStack",
                "ipFamilies": ["IPv4", "IPv6"],
                "externalIPs": external,
                "ports": [{"port": PORT, "targetPort": port}],
            },
            "status": {"loadBalancer": {"ingress": balancer.each_ref().map(|ip| json!({"ip": ip}))}},
        });
        cluster.plane.api.apply(&service)?;
        let whole = cluster.plane.api.get(&path(name))?;
        let node_port = whole.pointer("/spec/ports/0/nodePort").and_then(Value::as_u64).unwrap_or_default();
        let node_port = u16::try_from(node_port).map_err(|_| Error::Object("a nodePort"))?;
        let cluster_ips = whole.pointer("/spec/clusterIPs").and_then(Value::as_array).cloned().unwrap_or_default();
        let nodes: Vec<_> = cluster.lab().nodes().map(Host::member).collect();
        let at = |ip: &str| ip.parse().map(|ip: IpAddr| SocketAddr::new(ip, PORT)).ok();
        let fronts = [
            (Front::ClusterIp, cluster_ips.iter().filter_map(|ip| at(ip.as_str()?)).collect()),
            (
                Front::NodePort,
                nodes.iter().flat_map(|node| node.addresses()).map(|ip| (ip, node_port).into()).collect(),
            ),
            (Front::ExternalIp, external.iter().filter_map(|ip| at(ip)).collect()),
            (Front::LoadBalancer, balancer.iter().filter_map(|ip| at(ip)).collect()),
        ];
        Ok(Self { name: name.to_owned(), port, fronts: fronts.into_iter().collect(), pods: BTreeMap::new() })
    }

    /// Its addresses of one kind.
    #[must_use]
    pub fn front(&self, front: Front) -> &[SocketAddr] {
        self.fronts.get(&front).map_or(&[], Vec::as_slice)
    }

    /// Has Pods run in these pods of the lab, and in no others, as a rolling update would: new ones are ready before old
    /// ones go, and old ones serve until every node knows. Returns when all nodes do.
    ///
    /// # Errors
    /// When the API server refuses something, or a node does not come to know in time.
    pub fn run_in(&mut self, cluster: &mut Cluster, hosts: &[&'static str]) -> Result<(), Error> {
        for host in hosts.iter().filter(|host| !self.pods.contains_key(**host)).copied().collect::<Vec<_>>() {
            let servers = cluster.lab().serve([Target { host, port: self.port, protocol: Protocol::Tcp }])?;
            let pod = self.pod(cluster.lab().host(host)?.member());
            cluster.plane.api.apply(&pod)?;
            self.pods.insert(host, servers);
        }
        let leaving: Vec<_> = self.pods.keys().copied().filter(|host| !hosts.contains(host)).collect();
        for host in &leaving {
            let pod = self.pod(cluster.lab().host(host)?.member());
            cluster.plane.api.delete(&pod)?;
        }
        self.until_served(cluster, hosts)?;
        for host in leaving {
            let pod = self.pod(cluster.lab().host(host)?.member());
            cluster.plane.api.remove(&pod)?;
            self.pods.remove(host);
        }
        Ok(())
    }

    fn until_served(&self, cluster: &mut Cluster, hosts: &[&'static str]) -> Result<(), Error> {
        let expected = hosts.iter().map(|host| format!("{host}:{}", self.port)).collect();
        let what = format!("{} at {}", self.name, hosts.join(", "));
        cluster.until(&what, |cluster| self.reaches(cluster.lab(), &expected))
    }

    fn until_nobodys(&self, cluster: &mut Cluster) -> Result<(), Error> {
        cluster.until(&format!("the end of {}", self.name), |cluster| self.reaches(cluster.lab(), &BTreeSet::new()))
    }

    /// Gives the Service the label by which it is another proxy's, or takes it away; and waits until every node knows.
    ///
    /// # Errors
    /// As [`App::run_in`].
    pub fn leave_to(&self, cluster: &mut Cluster, proxy: Option<&str>) -> Result<(), Error> {
        let path = path(&self.name);
        let mut service = cluster.plane.api.get(&path)?;
        if let Some(metadata) = service.get_mut("metadata").and_then(Value::as_object_mut) {
            let labels = proxy.map(|proxy| json!({"service.kubernetes.io/service-proxy-name": proxy}));
            metadata.insert("labels".to_owned(), labels.unwrap_or_else(|| json!({})));
        }
        cluster.plane.api.put(&path, &service)?;
        match proxy {
            Some(_) => self.until_nobodys(cluster),
            None => self.until_served(cluster, &self.pods.keys().copied().collect::<Vec<_>>()),
        }
    }

    /// Deletes Service and Pods, and waits until its cluster IPs and NodePorts are nobody's on every node.
    ///
    /// # Errors
    /// As [`App::run_in`].
    pub fn delete(self, cluster: &mut Cluster) -> Result<(), Error> {
        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata(&self.name)});
        cluster.plane.api.delete(&service)?;
        self.until_nobodys(cluster)?;
        for host in self.pods.keys() {
            let pod = self.pod(cluster.lab().host(host)?.member());
            cluster.plane.api.remove(&pod)?;
        }
        Ok(())
    }

    /// Whether the Service leads to all of these servers, and to no others, from every place and by every address; and
    /// what is different where it does not.
    ///
    /// # Errors
    /// When a client cannot make its socket.
    pub fn reaches(&self, lab: &Lab, expected: &BTreeSet<String>) -> Result<Result<(), String>, Error> {
        let places = [OUTSIDE, "pod-a3", "pod-b3", "pod-c3"].into_iter().chain(NODES);
        thread::scope(|scope| {
            let asking: Vec<_> =
                places.map(|place| scope.spawn(move || self.reaches_from(lab.host(place)?, expected))).collect();
            let answers =
                asking.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            answers.collect::<Result<Result<Vec<()>, String>, Error>>().map(|all| all.map(drop))
        })
    }

    fn reaches_from(&self, from: &Host, expected: &BTreeSet<String>) -> Result<Result<(), String>, Error> {
        let count = u32::try_from(CONNECTIONS * expected.len()).unwrap_or(u32::MAX).max(1);
        let timeout = if expected.is_empty() { SOON } else { LOST };
        // Where nobody is served, nobody takes the others, and a client would wait for them in vain.
        let asked = |front| !expected.is_empty() || matches!(front, Front::ClusterIp | Front::NodePort);
        for (front, addresses) in self.fronts.iter().filter(|(front, _)| asked(**front)) {
            for to in addresses {
                let outcomes = from.connections(Protocol::Tcp, *to, timeout, count)?;
                let met: BTreeSet<_> = outcomes.iter().filter_map(server).collect();
                let lost = outcomes.iter().find(|outcome| !expected.is_empty() && server(outcome).is_none());
                if met != *expected || lost.is_some() {
                    let from = from.name();
                    return Ok(Err(format!("{from} to {front:?} {to} met {met:?}, {lost:?}, not {expected:?}")));
                }
            }
        }
        Ok(Ok(()))
    }

    /// Runs and is ready.
    fn pod(&self, member: &Member) -> Value {
        let node = if let Role::Pod { node } = member.role { node } else { "" };
        let name = format!("{}-{}", self.name, member.name);
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "default", "labels": {"app": self.name}},
            "spec": {"nodeName": node, "containers": [{"name": "server", "image": "server"}]},
            "status": {
                "phase": "Running",
                "podIP": member.v4,
                "podIPs": [{"ip": member.v4}, {"ip": member.v6}],
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        })
    }
}

fn path(name: &str) -> String {
    format!("/api/v1/namespaces/default/services/{name}")
}

fn metadata(name: &str) -> Value {
    json!({"name": name, "namespace": "default"})
}

fn server(outcome: &Outcome) -> Option<String> {
    if let Outcome::Answered(answer) = outcome { Some(answer.server.clone()) } else { None }
}
