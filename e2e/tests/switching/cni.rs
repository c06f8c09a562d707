//! What CNI plugins and kubelet have in iptables' tables, as they write it: none of it may be touched, and it works whichever
//! proxy is there.

use anyhow::{Result, ensure};
use portolan_core::addr::Family;
use portolan_e2e::{cast::named, host::Host};
use portolan_iptables::Variant;

/// Where the node has a hostPort.
pub(crate) const HOST_PORT: u16 = 8088;

/// The pod and its port that a hostPort leads to.
pub(crate) const POD: (&str, u16) = ("pod-a2", 8080);

/// The chains of kubelet (pkg/kubelet/kubelet_network_linux.go).
fn kubelets_rules(family: Family) -> String {
    let canary = ":KUBE-KUBELET-CANARY - [0:0]\n";
    let firewall = r#":KUBE-FIREWALL - [0:0]
-I INPUT -j KUBE-FIREWALL
-I OUTPUT -j KUBE-FIREWALL
-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m comment --comment "block incoming localnet connections" -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP
"#;
    let firewall = if family == Family::V4 { firewall } else { "" };
    format!(
        "*mangle\n{canary}:KUBE-IPTABLES-HINT - [0:0]\nCOMMIT\n*nat\n{canary}COMMIT\n*filter\n{canary}{firewall}COMMIT\n"
    )
}

/// The chains of portmap (hostPorts), flannel (masquerade of what leaves the cluster) and Calico (its frame).
fn rules(family: Family) -> Result<String> {
    let (pod, bits, all, own) = match family {
        Family::V4 => (named(POD.0)?.v4.to_string(), 32, "10.244.0.0/16", "10.244.1.0/24"),
        Family::V6 => (named(POD.0)?.v6.to_string(), 128, "fd00:10:244::/48", "fd00:10:244:1::/64"),
    };
    let to = if family == Family::V4 { format!("{pod}:{}", POD.1) } else { format!("[{pod}]:{}", POD.1) };
    Ok(format!(
        r#"*filter
:FLANNEL-FWD - [0:0]
:cali-FORWARD - [0:0]
-A FORWARD -m comment --comment "cali:wUHhoiAYhphO9Mso" -j cali-FORWARD
-A FORWARD -m comment --comment "flanneld forward" -j FLANNEL-FWD
-A FLANNEL-FWD -s {all} -m comment --comment "flanneld forward" -j ACCEPT
-A FLANNEL-FWD -d {all} -m comment --comment "flanneld forward" -j ACCEPT
-A cali-FORWARD -m comment --comment "cali:vjrMJCRpqwy5oRoX" -j MARK --set-xmark 0x0/0xe0000
COMMIT
*nat
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

/// How the programs of a family begin.
pub(crate) const fn stem(family: Family) -> &'static str {
    match family {
        Family::V4 => "iptables",
        Family::V6 => "ip6tables",
    }
}

/// Writes kubelet's chains, with iptables of this kind.
pub(crate) fn install_kubelets(node: &Host, variant: Variant) -> Result<()> {
    Family::ALL.into_iter().try_for_each(|family| restore(node, variant, family, kubelets_rules(family)))
}

/// Writes all of them.
pub(crate) fn install(node: &Host, variant: Variant) -> Result<()> {
    install_kubelets(node, variant)?;
    Family::ALL.into_iter().try_for_each(|family| restore(node, variant, family, rules(family)?))
}

fn restore(node: &Host, variant: Variant, family: Family, rules: String) -> Result<()> {
    let program = format!("{}-{variant}-restore", stem(family));
    Ok(node.command(program).arg("--noflush").input(rules).expect_exit(0).map(drop)?)
}

/// All rules of iptables and the chains that programs have made, but a service proxy's, without counters.
pub(crate) fn listing(node: &Host, variant: Variant) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for family in Family::ALL {
        let saved = node.command(format!("{}-{variant}-save", stem(family))).expect_exit(0)?;
        let is_chain = |line: &str| line.starts_with(':') && line.contains(" - [");
        // kubelet has this chain for IPv4 alone, and kube-proxy for both.
        let is_proxys = |line: &str| is_kube_proxys(line) || family == Family::V6 && line.contains("KUBE-FIREWALL");
        let kept = saved.lines().filter(|line| (is_chain(line) || line.starts_with('-')) && !is_proxys(line));
        lines.extend(kept.map(|line| line.split(" [").next().unwrap_or(line).to_owned()));
    }
    lines.sort();
    Ok(lines)
}

/// Sees that nothing of it has changed.
pub(crate) fn ensure_same(before: &[String], after: &[String]) -> Result<()> {
    let only = |here: &[String], there: &[String]| {
        here.iter().filter(|line| !there.contains(line)).cloned().collect::<Vec<_>>()
    };
    let (gone, new) = (only(before, after), only(after, before));
    ensure!(before == after, "others' rules are not as they were: gone are {gone:#?}, new are {new:#?}");
    Ok(())
}

/// Whether a line of iptables-save is about a chain of a service proxy's, in words of its own and not of the code under test.
pub(crate) fn is_kube_proxys(line: &str) -> bool {
    let theirs = ["KUBE-KUBELET-CANARY", "KUBE-IPTABLES-HINT", "KUBE-FIREWALL"];
    line.contains("KUBE-") && !theirs.iter().any(|chain| line.contains(chain))
}
