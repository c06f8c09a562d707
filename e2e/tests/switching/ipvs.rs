//! What kube-proxy's ipvs mode leaves, as far as a kernel without IPVS can have it: ipsets, rules that ask them, and the link of
//! all addresses.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use nix::net::if_::if_nametoindex;
use portolan_core::addr::Family;
use portolan_e2e::{
    daemon::{Daemon, lone, until},
    host::Host,
    product::Portolan,
    scenario::manifest,
};
use portolan_netlink::{
    Answer, Answers, Channel, Errno, NETLINK_NETFILTER, Requests,
    attr::Writer,
    uapi::{NFPROTO_IPV4, NFPROTO_IPV6, flag},
};

use super::{Setup, cni, kubelet_uses, predecessors};

/// The ipsets that the rules below ask, with their types (pkg/proxy/ipvs/ipset.go).
const SETS: [(&str, &str); 7] = [
    ("LOOP-BACK", "hash:ip,port,ip"),
    ("CLUSTER-IP", "hash:ip,port"),
    ("LOAD-BALANCER", "hash:ip,port"),
    ("LOAD-BALANCER-FW", "hash:ip,port"),
    ("NODE-PORT-TCP", "bitmap:port"),
    ("HEALTH-CHECK-NODE-PORT", "bitmap:port"),
    ("IPVS-IPS", "hash:ip"),
];

/// Rules as pkg/proxy/ipvs/proxier.go writes them. `KUBE-` of an ipset's name is `KUBE-6-` for IPv6.
const RULES: &str = r#"*mangle
:KUBE-PROXY-CANARY - [0:0]
COMMIT
*filter
:KUBE-PROXY-CANARY - [0:0]
:KUBE-FORWARD - [0:0]
:KUBE-NODE-PORT - [0:0]
:KUBE-PROXY-FIREWALL - [0:0]
:KUBE-SOURCE-RANGES-FIREWALL - [0:0]
:KUBE-IPVS-FILTER - [0:0]
:KUBE-IPVS-OUT-FILTER - [0:0]
-A INPUT -m comment --comment "kubernetes ipvs access filter" -j KUBE-IPVS-FILTER
-A INPUT -m comment --comment "kube-proxy firewall rules" -j KUBE-PROXY-FIREWALL
-A INPUT -m comment --comment "kubernetes health check rules" -j KUBE-NODE-PORT
-A FORWARD -m comment --comment "kube-proxy firewall rules" -j KUBE-PROXY-FIREWALL
-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
-A OUTPUT -m comment --comment "kubernetes ipvs access filter" -j KUBE-IPVS-OUT-FILTER
-A KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark 0x4000/0x4000 -j ACCEPT
-A KUBE-IPVS-FILTER -m set --match-set KUBE-LOAD-BALANCER dst,dst -j RETURN
-A KUBE-IPVS-FILTER -m set --match-set KUBE-CLUSTER-IP dst,dst -j RETURN
-A KUBE-IPVS-FILTER -m conntrack --ctstate NEW -m set --match-set KUBE-IPVS-IPS dst -j REJECT
-A KUBE-IPVS-OUT-FILTER -m conntrack --ctstate NEW -m set --match-set KUBE-IPVS-IPS dst -j ACCEPT
-A KUBE-NODE-PORT -m comment --comment "Kubernetes health check node port" -m set --match-set KUBE-HEALTH-CHECK-NODE-PORT dst -j ACCEPT
-A KUBE-PROXY-FIREWALL -m comment --comment "Kubernetes service load balancer ip + port for load balancer with sourceRange" -m set --match-set KUBE-LOAD-BALANCER-FW dst,dst -j KUBE-SOURCE-RANGES-FIREWALL
-A KUBE-SOURCE-RANGES-FIREWALL -j DROP
COMMIT
*nat
:KUBE-PROXY-CANARY - [0:0]
:KUBE-LOAD-BALANCER - [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-NODE-PORT - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-SERVICES - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
-A KUBE-LOAD-BALANCER -j KUBE-MARK-MASQ
-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000
-A KUBE-NODE-PORT -p tcp -m comment --comment "Kubernetes nodeport TCP port for masquerade purpose" -m set --match-set KUBE-NODE-PORT-TCP dst -j KUBE-MARK-MASQ
-A KUBE-POSTROUTING -m comment --comment "Kubernetes endpoints dst ip:port, source ip for solving hairpin purpose" -m set --match-set KUBE-LOOP-BACK dst,dst,src -j MASQUERADE
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --xor-mark 0x4000
-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully
-A KUBE-SERVICES -m comment --comment "Kubernetes service lb portal" -m set --match-set KUBE-LOAD-BALANCER dst,dst -j KUBE-LOAD-BALANCER
-A KUBE-SERVICES -m comment --comment "Kubernetes service cluster ip + port for masquerade purpose" -m set --match-set KUBE-CLUSTER-IP dst,dst -j KUBE-MARK-MASQ
-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODE-PORT
-A KUBE-SERVICES -m set --match-set KUBE-CLUSTER-IP dst,dst -j ACCEPT
-A KUBE-SERVICES -m set --match-set KUBE-LOAD-BALANCER dst,dst -j ACCEPT
COMMIT
"#;

/// linux/netfilter/ipset/ip_set.h: the subsystem of nfnetlink, commands and attributes.
const SUBSYSTEM: u8 = 6;
const CREATE: u8 = 2;
const HEADER: u8 = 12;
const ATTR_PROTOCOL: u16 = 1;
const ATTR_SETNAME: u16 = 2;
const ATTR_TYPENAME: u16 = 3;
const ATTR_REVISION: u16 = 4;
const ATTR_FAMILY: u16 = 5;
const ATTR_DATA: u16 = 7;
/// Inside the data: the first and the last port of a bitmap, in network byte order.
const ATTR_PORT: u16 = 4;
const ATTR_PORT_TO: u16 = 5;
const NET_BYTEORDER: u16 = 1 << 14;

/// What kube-proxy calls an ipset.
fn name(family: Family, set: &str) -> String {
    let six = if family == Family::V6 { "6-" } else { "" };
    format!("KUBE-{six}{set}")
}

/// Asks about an ipset, or has one made; what the kernel says against it.
fn ask(
    command: u8,
    family: u8,
    flags: u16,
    answers: Answers,
    content: impl FnOnce(&mut Writer<'_>),
) -> Result<Option<Errno>> {
    let (mut requests, mut refused) = (Requests::default(), None);
    requests.add(u16::from_be_bytes([SUBSYSTEM, command]), flags, answers, &[family, 0, 0, 0], content);
    Channel::open(NETLINK_NETFILTER)?.run(&mut requests, |_, answer| {
        if let Answer::Refused(errno, _) = answer {
            refused = Some(errno);
        }
    })?;
    Ok(refused)
}

fn create(family: Family, set: &str, kind: &str) -> Result<()> {
    let protocol = if family == Family::V4 { NFPROTO_IPV4 } else { NFPROTO_IPV6 };
    let refused = ask(CREATE, protocol, flag::CREATE | flag::EXCL, Answers::None, |w| {
        w.u8(ATTR_PROTOCOL, SUBSYSTEM);
        w.str(ATTR_SETNAME, &name(family, set));
        w.str(ATTR_TYPENAME, kind);
        w.u8(ATTR_REVISION, 0);
        w.u8(ATTR_FAMILY, if kind.starts_with("bitmap") { 0 } else { protocol });
        w.nest(ATTR_DATA, |w| {
            if kind == "bitmap:port" {
                w.be16(ATTR_PORT | NET_BYTEORDER, 0);
                w.be16(ATTR_PORT_TO | NET_BYTEORDER, u16::MAX);
            }
        });
    })?;
    ensure!(refused.is_none(), "{}: {refused:?}", name(family, set));
    Ok(())
}

fn is_there(family: Family, set: &str) -> Result<bool> {
    let refused = ask(HEADER, 0, 0, Answers::One, |w| {
        w.u8(ATTR_PROTOCOL, SUBSYSTEM);
        w.str(ATTR_SETNAME, &name(family, set));
    })?;
    ensure!(matches!(refused, None | Some(Errno::ENOENT)), "{}: {refused:?}", name(family, set));
    Ok(refused.is_none())
}

/// Writes it, with iptables-nft.
fn leave(node: &Host) -> Result<()> {
    // Not every kernel has dummy links, and what it is does not matter.
    node.command("ip").args(["link", "add", "kube-ipvs0", "type", "veth", "peer", "name", "other"]).expect_exit(0)?;
    for family in Family::ALL {
        node.enter(|| SETS.into_iter().try_for_each(|(set, kind)| create(family, set, kind)))??;
        let rules = RULES.replace("--match-set KUBE-", &format!("--match-set {}", name(family, "")));
        node.command(format!("{}-nft-restore", cni::stem(family))).arg("--noflush").input(rules).expect_exit(0)?;
    }
    Ok(())
}

/// Sees that nothing of it is there but what this Portolan has.
fn is_gone(node: &Host, (mode, variant): Setup) -> Result<()> {
    let left = predecessors::others(node, mode, variant)?;
    ensure!(left.is_empty(), "there is still {left:#?}");
    node.enter(|| {
        for (family, set) in Family::ALL.into_iter().flat_map(|family| SETS.map(|(set, _)| (family, set))) {
            ensure!(!is_there(family, set)?, "there is still {}", name(family, set));
        }
        ensure!(if_nametoindex("kube-ipvs0").is_err(), "the link is still there");
        Ok(())
    })?
}

/// Portolan takes its place.
pub(crate) fn left_to((mode, variant): Setup) -> Result<()> {
    let (node, folder) = (lone()?, tempfile::tempdir()?);
    kubelet_uses(&node, variant)?;
    fs::write(folder.path().join("all.json"), manifest(&[]))?;
    leave(&node)?;
    let portolan = Portolan::find()?.in_mode(mode);
    let daemon = Daemon::start(&portolan, &node, folder.path())?;
    daemon.logs(0, "removed link kube-ipvs0")?;
    is_gone(&node, (mode, variant)).with_context(|| daemon.log().join("\n"))?;
    until("no drift", || {
        let diff = portolan.on(&node).arg("diff").args(portolan.arguments(folder.path(), &node)).output()?;
        Ok::<_, anyhow::Error>((diff.status.code() == Some(0)).then_some(()))
    })
}

/// `--cleanup` on a node without Portolan.
pub(crate) fn cleaned_up() -> Result<()> {
    let node = lone()?;
    leave(&node)?;
    Portolan::find()?.on(&node).arg("--cleanup").expect_exit(0)?;
    is_gone(&node, super::NFTABLES)
}
