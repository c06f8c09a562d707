//! What CNI plugins and kubelet have in iptables' tables, as they write it: none of it may be touched, and it works whichever
//! proxy is there.

use anyhow::Result;
use portolan_core::addr::Family;
use portolan_e2e::{cast::named, host::Host};

/// Where the node has a hostPort.
pub(crate) const HOST_PORT: u16 = 8088;

/// The pod and its port that a hostPort leads to.
pub(crate) const POD: (&str, u16) = ("pod-a2", 8080);

/// The chains of portmap (hostPorts), flannel (masquerade of what leaves the cluster) and Calico (its frame), and those of
/// kubelet.
fn rules(family: Family) -> Result<String> {
    let (pod, bits, all, own) = match family {
        Family::V4 => (named(POD.0)?.v4.to_string(), 32, "10.244.0.0/16", "10.244.1.0/24"),
        Family::V6 => (named(POD.0)?.v6.to_string(), 128, "fd00:10:244::/48", "fd00:10:244:1::/64"),
    };
    let to = if family == Family::V4 { format!("{pod}:{}", POD.1) } else { format!("[{pod}]:{}", POD.1) };
    Ok(format!(
        r#"*mangle
:KUBE-KUBELET-CANARY - [0:0]
:KUBE-IPTABLES-HINT - [0:0]
COMMIT
*filter
:KUBE-KUBELET-CANARY - [0:0]
:KUBE-FIREWALL - [0:0]
:FLANNEL-FWD - [0:0]
:cali-FORWARD - [0:0]
-A INPUT -j KUBE-FIREWALL
-A OUTPUT -j KUBE-FIREWALL
-A FORWARD -m comment --comment "cali:wUHhoiAYhphO9Mso" -j cali-FORWARD
-A FORWARD -m comment --comment "flanneld forward" -j FLANNEL-FWD
-A KUBE-FIREWALL -m comment --comment "block incoming localnet connections" -m mark --mark 0x8000/0x8000 -j DROP
-A FLANNEL-FWD -s {all} -m comment --comment "flanneld forward" -j ACCEPT
-A FLANNEL-FWD -d {all} -m comment --comment "flanneld forward" -j ACCEPT
-A cali-FORWARD -m comment --comment "cali:vjrMJCRpqwy5oRoX" -j MARK --set-xmark 0x0/0xe0000
COMMIT
*nat
:KUBE-KUBELET-CANARY - [0:0]
:CNI-HOSTPORT-DNAT - [0:0]
:CNI-HOSTPORT-MASQ - [0:0]
:CNI-HOSTPORT-SETMARK - [0:0]
:CNI-DN-0f1e2d3c4b5a69788796a - [0:0]
:FLANNEL-POSTRTG - [0:0]
:cali-PREROUTING - [0:0]
:cali-POSTROUTING - [0:0]
-A PREROUTING -m comment --comment "cali:6gwbT8clXdHdC1b1" -j cali-PREROUTING
-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
-A OUTPUT -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
-A POSTROUTING -m comment --comment "cali:O3lYWMrLQYEMJtB5" -j cali-POSTROUTING
-A POSTROUTING -m comment --comment "CNI portfwd requiring masquerade" -j CNI-HOSTPORT-MASQ
-A POSTROUTING -m comment --comment "flanneld masq" -j FLANNEL-POSTRTG
-A CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat name: \"cbr0\" id: \"pod\"" -m multiport --dports {HOST_PORT} -j CNI-DN-0f1e2d3c4b5a69788796a
-A CNI-HOSTPORT-MASQ -m mark --mark 0x2000/0x2000 -j MASQUERADE
-A CNI-HOSTPORT-SETMARK -m comment --comment "CNI portfwd masquerade mark" -j MARK --set-xmark 0x2000/0x2000
-A CNI-DN-0f1e2d3c4b5a69788796a -s {pod}/{bits} -p tcp -m tcp --dport {HOST_PORT} -j CNI-HOSTPORT-SETMARK
-A CNI-DN-0f1e2d3c4b5a69788796a -p tcp -m tcp --dport {HOST_PORT} -j DNAT --to-destination {to}
-A FLANNEL-POSTRTG -m mark --mark 0x4000/0x4000 -m comment --comment "flanneld masq" -j RETURN
-A FLANNEL-POSTRTG -s {own} -d {all} -m comment --comment "flanneld masq" -j RETURN
-A FLANNEL-POSTRTG -s {all} -d {own} -m comment --comment "flanneld masq" -j RETURN
-A FLANNEL-POSTRTG -s {all} -m comment --comment "flanneld masq" -j MASQUERADE --random-fully
COMMIT
"#
    ))
}

/// Writes them, with the node's iptables.
pub(crate) fn install(node: &Host) -> Result<()> {
    for (family, program) in [(Family::V4, "iptables-restore"), (Family::V6, "ip6tables-restore")] {
        node.command(program).arg("--noflush").input(rules(family)?).expect_exit(0)?;
    }
    Ok(())
}

/// All chains and rules of iptables but kube-proxy's own, without counters.
pub(crate) fn listing(node: &Host) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for program in ["iptables-save", "ip6tables-save"] {
        let saved = node.command(program).expect_exit(0)?;
        let kept = saved.lines().filter(|line| !line.starts_with('#') && !is_kube_proxys(line));
        lines.extend(kept.map(|line| line.split(" [").next().unwrap_or(line).to_owned()));
    }
    lines.sort();
    Ok(lines)
}

/// Whether a line of iptables-save is about a chain of kube-proxy's, in words of its own and not of the code under test.
pub(crate) fn is_kube_proxys(line: &str) -> bool {
    let theirs = ["KUBE-KUBELET-CANARY", "KUBE-IPTABLES-HINT", "KUBE-FIREWALL"];
    line.contains("KUBE-") && !theirs.iter().any(|chain| line.contains(chain))
}
