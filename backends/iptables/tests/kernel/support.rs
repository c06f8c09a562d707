//! What the tests share: a shell, a few Services, and a node with each kind of iptables.

use std::{net::IpAddr, process::Command};

use portolan_core::{
    addr::{Family, PerFamily, Protocol},
    desired::{
        DesiredPort, Endpoint, Frontend, FrontendKind, LocalDetector, NodePolicy, NodePortsAt, PortChange, PortId, Vip,
    },
    model::TrafficPolicy,
    name::{ServiceName, ServicePortName},
    object::{Dialect, Syncer},
};
use portolan_iptables::{Iptables, Key, Value, Variant, Xtables};

/// A named test of this program.
pub(crate) type Test = (&'static str, fn());

/// A named test that is made with each kind of iptables.
pub(crate) type VariantTest = (&'static str, fn(Variant));

/// What a shell prints, in the namespaces of this thread; it has to succeed.
pub(crate) fn sh(script: &str) -> String {
    let output = Command::new("/bin/sh").args(["-ec", script]).output().expect("a shell starts");
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// From here on this test's thread finds only what is linked from here.
pub(crate) fn only(programs: &[(&str, &str)]) {
    sh("mkdir /run/real /run/empty; mount --bind /usr/sbin /run/real; mount -t tmpfs tmpfs /run/empty");
    sh("mount --bind /run/empty /usr/sbin; test -L /sbin || mount --bind /run/empty /sbin");
    for (name, target) in programs {
        sh(&format!("ln -s /run/real/{target} /usr/sbin/{name}"));
    }
}

/// From here on the runs of these programs of this kind are noted down: name and arguments, a line each. The programs of the
/// other kind are gone.
pub(crate) fn note_runs(variant: Variant) {
    only(&[]);
    for name in ["iptables", "ip6tables"].map(|stem| ["restore", "save"].map(|what| format!("{stem}-{variant}-{what}")))
    {
        for name in name {
            sh(&format!(
                "printf '#!/bin/sh\\necho {name} $* >> /run/runs\\nexec /run/real/xtables-{variant}-multi {name} \"$@\"\\n' \
                   > /usr/sbin/{name}; chmod +x /usr/sbin/{name}"
            ));
        }
    }
}

/// From here on iptables-legacy's restore of IPv4 is refused by the kernel where it is told of this: the tables before are
/// written, and it says as much as it does then, which is the line of `COMMIT`.
pub(crate) fn refuse_what_names(what: &str) {
    sh(&format!(
        "cat > /usr/sbin/iptables-legacy-restore <<'E'
#!/bin/sh
echo iptables-legacy-restore >> /run/runs
cat > /run/input
bad=$(grep -nm1 -- {what:?} /run/input | cut -d: -f1)
real='/run/real/xtables-legacy-multi iptables-legacy-restore'
[ -n \"$bad\" ] || exec $real \"$@\" < /run/input
head -n $bad /run/input | tac | sed '1,/^[*]/d' | tac | $real \"$@\"
line=$(grep -n ^COMMIT /run/input | cut -d: -f1 | while read n; do [ $n -lt $bad ] || {{ echo $n; break; }}; done)
echo \"iptables-legacy-restore: line $line failed\" >&2
exit 1
E
chmod +x /usr/sbin/iptables-legacy-restore"
    ));
}

/// The runs that were noted down since this was last asked.
pub(crate) fn runs() -> Vec<String> {
    sh("touch /run/runs; cat /run/runs; rm /run/runs").lines().map(|line| line.trim_end().to_owned()).collect()
}

/// A node with one kind of iptables, and the sync engine on it.
pub(crate) struct Node {
    pub(crate) variant: Variant,
    pub(crate) syncer: Syncer<Xtables>,
}

impl Node {
    /// In the namespaces of this thread.
    pub(crate) fn new(variant: Variant) -> Self {
        sh(&format!("iptables-{variant} -t mangle -N KUBE-IPTABLES-HINT"));
        Self { variant, syncer: syncer(false) }
    }

    /// The same node after a restart of ours.
    pub(crate) fn restart(&mut self) {
        self.syncer = syncer(false);
    }

    pub(crate) fn update(&mut self, port: DesiredPort) {
        self.syncer.update(&PortChange { id: id(&port), desired: Some(port), loopback: None });
    }

    pub(crate) fn remove(&mut self, port: &DesiredPort) {
        self.syncer.update(&PortChange { id: id(port), desired: None, loopback: None });
    }

    /// A script in which `ipt` and `ip6t` stand for the programs of this node's kind.
    pub(crate) fn sh(&self, script: &str) -> String {
        sh(&script
            .replace("ip6t ", &format!("ip6tables-{} ", self.variant))
            .replace("ipt ", &format!("iptables-{} ", self.variant)))
    }

    /// All rules of both families, without counters and dates.
    pub(crate) fn rules(&self) -> String {
        let variant = self.variant;
        let saved = sh(&format!("iptables-{variant}-save; ip6tables-{variant}-save"));
        let is_rule = |line: &&str| !line.starts_with('#');
        saved.lines().filter(is_rule).map(|line| format!("{}\n", line.split(" [").next().unwrap_or(line))).collect()
    }

    /// Differences of what is there from what is wanted, which there must not be.
    pub(crate) fn assert_converged(&mut self) {
        let plan = self.syncer.diff().expect("readable");
        let ops: Vec<_> = plan.ops().map(|op| format!("{op:?}")).collect();
        assert!(ops.is_empty(), "{}: {ops:#?}\n{}", self.variant, self.rules());
    }
}

pub(crate) fn syncer(guards_loopback: bool) -> Syncer<Xtables> {
    let mut syncer = Syncer::new(Xtables::watching(guards_loopback).expect("this namespace allows it"));
    syncer.set_policy(&NodePolicy { node_ports_at_loopback: guards_loopback, ..policy() });
    syncer
}

pub(crate) fn policy() -> NodePolicy {
    let pods = |net: &str| Some(LocalDetector::Cidr(net.parse().expect("a prefix")));
    NodePolicy {
        detector: PerFamily { v4: pods("10.244.0.0/16"), v6: pods("fd00:10:244::/48") },
        node_ports: PerFamily { v4: NodePortsAt::Local(vec![]), v6: NodePortsAt::Local(vec![]) },
        service_cidrs: PerFamily {
            v4: vec!["10.96.0.0/12".parse().expect("a prefix")],
            v6: vec!["fd00:10:96::/108".parse().expect("a prefix")],
        },
        ..NodePolicy::default()
    }
}

fn id(port: &DesiredPort) -> PortId {
    PortId { name: port.name.clone().into(), family: port.family }
}

fn address(family: Family, [a, b, c, d]: [u8; 4]) -> IpAddr {
    match family {
        Family::V4 => [a, b, c, d].into(),
        Family::V6 => [
            0xfd00,
            u16::from_str_radix(&a.to_string(), 16).unwrap_or(0),
            u16::from_str_radix(&b.to_string(), 16).unwrap_or(0),
            0,
            0,
            0,
            u16::from(c),
            u16::from(d),
        ]
        .into(),
    }
}

/// A Service with a cluster IP, a NodePort, and so many endpoints.
pub(crate) fn service(family: Family, number: u8, endpoints: u8) -> DesiredPort {
    let name = ServiceName { namespace: "default".into(), name: format!("service-{number}").as_str().into() };
    let frontend = |addr, port, kind| Frontend {
        vip: Vip { addr, protocol: Protocol::Tcp, port },
        kind,
        policy: TrafficPolicy::Cluster,
        restricted: false,
    };
    let unspecified = match family {
        Family::V4 => IpAddr::from([0_u8; 4]),
        Family::V6 => IpAddr::from([0_u8; 16]),
    };
    let mut frontends = vec![
        frontend(address(family, [10, 96, 5, number]), 80, FrontendKind::ClusterIp),
        frontend(unspecified, 30_000 + u16::from(number), FrontendKind::NodePort),
    ];
    frontends.sort();
    let endpoint = |last| Endpoint { addr: address(family, [10, 244, number, last]), port: 8080, local: false };
    DesiredPort {
        name: ServicePortName { service: name, port: "http".into(), protocol: Protocol::Tcp },
        family,
        frontends,
        endpoints: (1..=endpoints).map(endpoint).collect(),
        local_endpoints: Vec::new(),
        affinity: None,
        scheduling: None,
        sources: Vec::new(),
        health_check_node_port: None,
    }
}

/// What a ServicePort renders to.
pub(crate) fn rendered(port: &DesiredPort) -> Vec<(Key, Value)> {
    let mut objects = Vec::new();
    Iptables::default().render(&policy(), port, &mut objects);
    objects
}
