//! Calico's rules on a node in ipvs mode, as Felix writes them once it sees the link kube-ipvs0 (felix/rules/static.go and
//! dispatch.go, KubeIPVSSupportEnabled), in its version of August 2026.
//!
//! ```text
//!   PREROUTING   clears Calico's bits of the mark, asks where the packet could have come from
//!   INPUT        to an address that is not the node's own: marked by the link it came through, and nothing else is asked
//!      IPVS      chooses the endpoint
//!   OUTPUT       marked: the policies of the pod that it came from (by the mark), and of the one to which it goes
//!   FORWARD      the same policies, for what rules have translated before it came here
//! ```

use std::{fs, net::SocketAddr};

use anyhow::{Result, bail, ensure};
use portolan_core::addr::{Family, Protocol};
use portolan_e2e::{
    Lab, Mode, Options,
    cast::named,
    host::Host,
    objects::{NODE_A, service, tcp_targets},
    probe::Outcome,
    product::Portolan,
};

use super::{PATIENCE, stem, web};

/// For each client and Service. One that is lost is lost for a reason.
const CONNECTIONS: u32 = 20;

/// Services with an endpoint on this node, and on the other one.
const LOCAL: u16 = 80;
const REMOTE: u16 = 81;

/// Who connects to what, and whether Calico lets it.
const FLOWS: [(&str, u16, bool); 7] = [
    ("pod-a1", LOCAL, true),
    ("pod-a1", REMOTE, true),
    // To itself.
    ("pod-a2", LOCAL, true),
    // A policy of this pod's is against it.
    ("pod-a2", REMOTE, false),
    ("node-a", LOCAL, true),
    ("node-a", REMOTE, true),
    ("outside", LOCAL, true),
];

pub(crate) fn services_work_in_ipvs_mode() -> Result<()> {
    let lab = Lab::new(&Options::default())?;
    let (a2, b1) = (named("pod-a2")?, named("pod-b1")?);
    let _servers = lab.serve(tcp_targets(&[(a2, 8080), (b1, 8080)]))?;
    let mut objects = vec![NODE_A.to_owned()];
    for family in Family::ALL {
        for (port, endpoint, node) in [(LOCAL, a2, "node-a"), (REMOTE, b1, "node-b")] {
            let text = service(&format!("{}-{port}", stem(family)), &address(family, port), &[(endpoint, 8080)]);
            let text = text.replacen("spec:\n", "spec:\n  type: NodePort\n", 1);
            let text = text.replacen("port: 80}", &format!("port: 80, nodePort: {}}}", node_port(port)), 1);
            objects.push(text.replacen("']}", &format!("'], nodeName: {node}}}"), 1));
        }
    }
    let manifests = tempfile::tempdir()?;
    fs::write(manifests.path().join("all.yaml"), objects.join("---\n"))?;
    let node = lab.host("node-a")?;
    Portolan::find()?.in_mode(Mode::Ipvs).once(manifests.path(), node).expect_exit(0)?;
    for family in Family::ALL {
        install(node, family)?;
        for (client, port, allowed) in FLOWS {
            let to = SocketAddr::new(address(family, port).parse()?, 80);
            meets(lab.host(client)?, to, allowed, port)?;
        }
        for (client, port) in [("outside", LOCAL), ("outside", REMOTE), ("pod-a1", LOCAL), ("pod-b1", LOCAL)] {
            let to = SocketAddr::new(node.member().address(family), node_port(port));
            meets(lab.host(client)?, to, true, port)?;
        }
    }
    Ok(())
}

/// Each connection is answered by the endpoint, or none is.
fn meets(client: &Host, to: SocketAddr, allowed: bool, port: u16) -> Result<()> {
    let endpoint = if port == LOCAL { "pod-a2:8080" } else { "pod-b1:8080" };
    // What is dropped is waited for, so one is enough.
    let count = if allowed { CONNECTIONS } else { 1 };
    for (number, outcome) in client.connections(Protocol::Tcp, to, PATIENCE, count)?.into_iter().enumerate() {
        match outcome {
            Outcome::Answered(answer) if allowed => {
                ensure!(answer.server == endpoint, "{} -> {to}: {}", client.name(), answer.server);
            }
            Outcome::Silent if !allowed => {}
            other => bail!("{} -> {to}, connection {number}: {other:?}", client.name()),
        }
    }
    Ok(())
}

/// The cluster IP of a Service.
fn address(family: Family, port: u16) -> String {
    let mut address = web(family).ip().to_string();
    address.push_str(&port.to_string());
    address
}

const fn node_port(port: u16) -> u16 {
    30_000 + port
}

/// Writes Calico's rules: two pods that it knows, and no policy for the node's own links. `pod-a1` may connect to all, and
/// `pod-a2` to pods of this node.
fn install(node: &Host, family: Family) -> Result<()> {
    let (set, kind, own) = match family {
        Family::V4 => ("cali40this-host", "inet", "10.244.1.0/24"),
        Family::V6 => ("cali60this-host", "inet6", "fd00:10:244:1::/64"),
    };
    // Not those of kube-ipvs0, which Felix leaves out (InterfaceExclude).
    let mut ips = format!("create {set} hash:ip family {kind}\n");
    for address in node.member().addresses().filter(|address| Family::of(*address) == family) {
        ips.push_str(&format!("add {set} {address}\n"));
    }
    node.command("ipset").arg("restore").input(ips).expect_exit(0)?;
    let rules = rules(set, own);
    node.command(format!("{}-nft-restore", stem(family))).arg("--noflush").input(rules).expect_exit(0)?;
    Ok(())
}

/// Bits of the mark: 0x10000 a policy has accepted it, 0x80000 it comes from a pod, 0x1b0000 all but 0xffe00000, which say through
/// which link it came; 0x200000 is none of a pod's.
fn rules(this_host: &str, pods_of_node: &str) -> String {
    let policy = |allowed: &str| {
        format!(
            "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n\
             -m conntrack --ctstate INVALID -j DROP\n\
             -j MARK --set-xmark 0x0/0x30000\n\
             {allowed}-j MARK --set-xmark 0x10000/0x10000\n\
             -m mark --mark 0x10000/0x10000 -j RETURN\n\
             -j DROP"
        )
    };
    let (all, of_node) = (policy(""), policy(&format!("-d {pods_of_node} ")));
    let chain = |name: &str, rules: &str| -> String {
        rules.lines().map(|rule| format!("-A {name} {}\n", rule.trim())).collect()
    };
    let chains: String = [
        (
            "cali-INPUT",
            "-j MARK --set-xmark 0x0/0xffe00000
             -j cali-forward-check
             -m mark ! --mark 0x0/0xffe00000 -j RETURN
             -i pod-+ -g cali-wl-to-host
             -m mark --mark 0x10000/0x10000 -j ACCEPT
             -j MARK --set-xmark 0x0/0x1b0000",
        ),
        (
            "cali-forward-check",
            &format!(
                "-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN
                 -p tcp -m multiport --dports 30000:32767 -m set --match-set {this_host} dst -g cali-set-endpoint-mark
                 -p udp -m multiport --dports 30000:32767 -m set --match-set {this_host} dst -g cali-set-endpoint-mark
                 -m set ! --match-set {this_host} dst -j cali-set-endpoint-mark"
            ),
        ),
        (
            "cali-set-endpoint-mark",
            "-i pod-a1 -g cali-sm-pod-a1
             -i pod-a2 -g cali-sm-pod-a2
             -i pod-+ -j DROP
             -j MARK --set-xmark 0x200000/0xffe00000",
        ),
        ("cali-sm-pod-a1", "-j MARK --set-xmark 0x400000/0xffe00000"),
        ("cali-sm-pod-a2", "-j MARK --set-xmark 0x600000/0xffe00000"),
        // DefaultEndpointToHostAction is Drop.
        ("cali-wl-to-host", "-j cali-from-wl-dispatch\n-j DROP"),
        (
            "cali-OUTPUT",
            "-m mark --mark 0x10000/0x10000 -j ACCEPT
             -m mark ! --mark 0x0/0xffe00000 -g cali-forward-endpoint-mark
             -o pod-+ -j RETURN
             -j MARK --set-xmark 0x0/0x1b0000",
        ),
        (
            "cali-forward-endpoint-mark",
            "-m mark ! --mark 0x200000/0xffe00000 -j cali-from-endpoint-mark
             -o pod-+ -j cali-to-wl-dispatch
             -j MARK --set-xmark 0x0/0xffe00000
             -m mark --mark 0x10000/0x10000 -j ACCEPT",
        ),
        (
            "cali-from-endpoint-mark",
            "-m mark --mark 0x400000/0xffe00000 -g cali-fw-pod-a1
             -m mark --mark 0x600000/0xffe00000 -g cali-fw-pod-a2
             -j DROP",
        ),
        (
            "cali-FORWARD",
            "-j MARK --set-xmark 0x0/0xa0000
             -i pod-+ -j cali-from-wl-dispatch
             -o pod-+ -j cali-to-wl-dispatch",
        ),
        ("cali-from-wl-dispatch", "-i pod-a1 -g cali-fw-pod-a1\n-i pod-a2 -g cali-fw-pod-a2\n-j DROP"),
        ("cali-to-wl-dispatch", "-o pod-a1 -g cali-tw-pod-a1\n-o pod-a2 -g cali-tw-pod-a2\n-j DROP"),
        ("cali-fw-pod-a1", &all),
        ("cali-fw-pod-a2", &of_node),
        ("cali-tw-pod-a1", &all),
        ("cali-tw-pod-a2", &all),
    ]
    .map(|(name, rules)| format!(":{name} - [0:0]\n") + &chain(name, rules))
    .concat();
    // Chains are declared before rules that jump to them.
    let (declared, appended): (Vec<_>, Vec<_>) = chains.lines().partition(|line| line.starts_with(':'));
    format!(
        "*raw
:cali-PREROUTING - [0:0]
:cali-OUTPUT - [0:0]
-I PREROUTING -j cali-PREROUTING
-I OUTPUT -j cali-OUTPUT
-A cali-PREROUTING -j MARK --set-xmark 0x0/0x1b0000
-A cali-PREROUTING -i pod-+ -j MARK --set-xmark 0x80000/0x80000
-A cali-PREROUTING -m mark --mark 0x80000/0x80000 -m rpfilter --validmark --invert -j DROP
-A cali-OUTPUT -j MARK --set-xmark 0x0/0x1b0000
COMMIT
*mangle
:cali-PREROUTING - [0:0]
:cali-POSTROUTING - [0:0]
-I PREROUTING -j cali-PREROUTING
-I POSTROUTING -j cali-POSTROUTING
-A cali-PREROUTING -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A cali-PREROUTING -m mark --mark 0x10000/0x10000 -j ACCEPT
-A cali-POSTROUTING -m mark --mark 0x10000/0x10000 -j RETURN
-A cali-POSTROUTING -m mark ! --mark 0x0/0xffe00000 -j RETURN
-A cali-POSTROUTING -j MARK --set-xmark 0x0/0x1b0000
COMMIT
*filter
{}
-I INPUT -j cali-INPUT
-I OUTPUT -j cali-OUTPUT
-I FORWARD -j cali-FORWARD
-A FORWARD -m mark --mark 0x10000/0x10000 -j ACCEPT
-A FORWARD -j MARK --set-xmark 0x10000/0x10000
{}
COMMIT
",
        declared.join("\n"),
        appended.join("\n")
    )
}
