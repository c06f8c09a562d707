//! What proxies leave behind, and what is removed of it, without any traffic.

use std::collections::BTreeSet;

use anyhow::{Result, bail, ensure};
use portolan_e2e::{
    Mode,
    daemon::{Rules as _, lone},
    product::Portolan,
};

use super::{
    cni,
    predecessors::{is_present, removal, remove},
};

/// A part of what kube-proxy writes in iptables mode, with its words.
pub(crate) const IPTABLES_MODE: &str = r#"*mangle
:KUBE-PROXY-CANARY - [0:0]
COMMIT
*filter
:KUBE-FORWARD - [0:0]
:KUBE-SERVICES - [0:0]
-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
-A FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
COMMIT
*nat
:KUBE-SERVICES - [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-SVC-ERIFXISQEP7F7OF4 - [0:0]
:KUBE-SEP-ABCDEFGHIJKLMNOP - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-SERVICES -p tcp -m comment --comment "default/dns:dns-tcp cluster IP" -m tcp --dport 53 -j KUBE-SVC-ERIFXISQEP7F7OF4
-A KUBE-SVC-ERIFXISQEP7F7OF4 -j KUBE-SEP-ABCDEFGHIJKLMNOP
-A KUBE-SEP-ABCDEFGHIJKLMNOP -j KUBE-MARK-MASQ
COMMIT
"#;

pub(crate) fn written_by_iptables_legacy() -> Result<()> {
    let node = lone()?;
    for program in ["iptables-legacy-restore", "ip6tables-legacy-restore"] {
        node.command(program).input(IPTABLES_MODE).expect_exit(0)?;
    }
    let others = ":KUBE-FIREWALL - [0:0]\n-A INPUT -j KUBE-FIREWALL\n";
    node.command("iptables-legacy-restore")
        .arg("--noflush")
        .input(format!("*filter\n{others}COMMIT\n"))
        .expect_exit(0)?;
    ensure!(node.enter(|| is_present(Mode::Nftables))??);
    let report = node.enter(|| remove(Mode::Nftables))??;
    ensure!(report.removed.len() == 6 && report.trouble.is_empty() && report.kept.is_empty(), "{report:#?}");
    for program in ["iptables-legacy-save", "ip6tables-legacy-save"] {
        let saved = node.command(program).expect_exit(0)?;
        ensure!(!saved.lines().any(cni::is_kube_proxys), "{saved}");
        ensure!(program.starts_with("ip6") || saved.contains("-A INPUT -j KUBE-FIREWALL"), "{saved}");
    }
    ensure!(!node.enter(|| is_present(Mode::Nftables))??);
    Ok(())
}

pub(crate) fn anothers_rule_leads_to_it() -> Result<()> {
    let node = lone()?;
    let anothers = "*nat\n:CNI-SETMARK - [0:0]\n-A CNI-SETMARK -j KUBE-MARK-MASQ\nCOMMIT\n";
    node.command("iptables-nft-restore").input(IPTABLES_MODE).expect_exit(0)?;
    node.command("iptables-nft-restore").arg("--noflush").input(anothers).expect_exit(0)?;
    let report = node.enter(|| remove(Mode::Nftables))??;
    ensure!(report.removed.len() == 3 && report.trouble.is_empty(), "{report:#?}");
    let [kept] = report.kept.as_slice() else { bail!("{report:#?}") };
    ensure!(kept.contains("KUBE-MARK-MASQ") && kept.contains("CNI-SETMARK"), "{kept}");
    let saved = node.command("iptables-nft-save").expect_exit(0)?;
    let left: BTreeSet<_> = saved.lines().filter(|line| line.starts_with("-A")).collect();
    let expected = ["-A CNI-SETMARK -j KUBE-MARK-MASQ", "-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000"];
    ensure!(left == BTreeSet::from(expected), "{saved}");
    Ok(())
}

pub(crate) fn the_link_of_ipvs_mode() -> Result<()> {
    let node = lone()?;
    // Not every kernel has dummy links, and what it is does not matter.
    node.command("ip").args(["link", "add", "kube-ipvs0", "type", "veth", "peer", "name", "other"]).expect_exit(0)?;
    ensure!(node.enter(|| is_present(Mode::Nftables))??);
    let report = node.enter(|| remove(Mode::Nftables))??;
    let [removed] = report.removed.as_slice() else { bail!("{report:#?}") };
    ensure!(removed == "link kube-ipvs0, of ipvs mode" && report.trouble.is_empty());
    ensure!(!node.enter(|| is_present(Mode::Nftables))??);
    ensure!(!node.command("ip").arg("link").expect_exit(0)?.contains("kube-ipvs0"));
    Ok(())
}

pub(crate) fn what_is_adopted_stays() -> Result<()> {
    let node = lone()?;
    for program in ["iptables-nft-restore", "iptables-legacy-restore"] {
        node.command(program).input(IPTABLES_MODE).expect_exit(0)?;
    }
    node.nft("add table ip kube-proxy; add table ip portolan; add table ip6 portolan")?;
    let saved = || node.command("iptables-nft-save").args(["--table", "nat"]).expect_exit(0);
    let before = saved()?;
    let removal = node.enter(|| removal(Mode::Iptables, false))??;
    let expected = [
        "table ip kube-proxy, of kube-proxy's nftables mode",
        "table ip portolan, of Portolan's nftables mode",
        "table ip6 portolan, of Portolan's nftables mode",
        "chain KUBE-PROXY-CANARY in table ip mangle, of iptables mode",
        "4 chains KUBE-* in table nat of iptables-legacy, of iptables mode",
        "2 chains KUBE-* in table filter of iptables-legacy, of iptables mode",
        "chain KUBE-PROXY-CANARY in table mangle of iptables-legacy, of iptables mode",
    ];
    ensure!(removal.removed == expected && removal.trouble.is_empty() && removal.kept.is_empty(), "{removal:#?}");
    let rules = |listing: &str| listing.lines().filter(|line| !line.starts_with('#')).map(ToOwned::to_owned).collect();
    let (before, after): (Vec<_>, Vec<_>) = (rules(&before), rules(&saved()?));
    ensure!(before == after, "{before:#?} is now {after:#?}");
    ensure!(node.nft("list tables")?.lines().all(|table| !table.contains("portolan") && !table.contains("kube-proxy")));
    Ok(())
}

/// Chains that kube-proxy's iptables mode has not, but Portolan's.
const PORTOLANS_OWN: &str = "*filter
:KUBE-NO-SUCH-PORT - [0:0]
:KUBE-SERVICES - [0:0]
-A FORWARD -j KUBE-SERVICES
-A KUBE-SERVICES -d 10.96.0.10/32 -j KUBE-NO-SUCH-PORT
COMMIT
*nat
:KUBE-SERVICES - [0:0]
:KUBE-SVC-10.96.0.0/12 - [0:0]
-A OUTPUT -j KUBE-SERVICES
-A KUBE-SERVICES -d 10.96.0.0/12 -j KUBE-SVC-10.96.0.0/12
COMMIT
";

pub(crate) fn what_portolans_iptables_mode_left_goes() -> Result<()> {
    let node = lone()?;
    node.command("iptables-nft-restore").input(PORTOLANS_OWN).expect_exit(0)?;
    let removal = node.enter(|| remove(Mode::Nftables))??;
    ensure!(removal.removed.len() == 2 && removal.trouble.is_empty() && removal.kept.is_empty(), "{removal:#?}");
    let saved = node.command("iptables-nft-save").expect_exit(0)?;
    ensure!(!saved.contains("KUBE"), "{saved}");
    Ok(())
}

/// An image without the programs of iptables-legacy: nothing is where they are looked for.
const WITHOUT_PROGRAMS: &str =
    r#"for folder in /usr/sbin /usr/local/sbin; do mount -t tmpfs none "$folder"; done; exec "$@""#;

pub(crate) fn no_iptables_legacy() -> Result<()> {
    let (node, portolan) = (lone()?, Portolan::find()?);
    node.command("iptables-legacy-restore").input(IPTABLES_MODE).expect_exit(0)?;
    node.nft("add table ip kube-proxy")?;
    let without = node.command("unshare").args(["--mount", "--", "sh", "-c", WITHOUT_PROGRAMS, "sh"]);
    let output = without.arg(portolan.path()).args(["run", "--cleanup"]).output()?;
    let (out, log) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
    ensure!(output.status.code() == Some(1), "{log}");
    ensure!(out == "removed table ip kube-proxy, of kube-proxy's nftables mode\n", "{out}");
    for table in ["nat", "filter", "mangle"] {
        let told = log.lines().any(|line| line.contains(&format!("table {table} of iptables-legacy cannot be read")));
        ensure!(told && log.contains("`kube-proxy --cleanup`"), "{log}");
    }
    Ok(())
}
