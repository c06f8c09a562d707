//! `portolan cleanup`, which removes what is Portolan's, and `--cleanup`, which removes what is any service proxy's; after
//! each mode, and in each.

use std::{collections::BTreeSet, fs};

use anyhow::{Error, Result, ensure};
use portolan::backends::dataplane;
use portolan_core::desired::NodePolicy;
use portolan_e2e::{
    Mode,
    daemon::{Rules as _, lone},
    host::Host,
    product::Portolan,
    scenario::manifest,
};

use super::{Setup, kubelet_uses, leftovers::IPTABLES_MODE, predecessors, world::service};

/// A node that Portolan has programmed.
fn programmed(portolan: &Portolan) -> Result<Host> {
    let (node, folder) = (lone()?, tempfile::tempdir()?);
    fs::write(folder.path().join("all.json"), manifest(&[]))?;
    portolan.once(folder.path(), &node).expect_exit(0)?;
    Ok(node)
}

pub(crate) fn of_nftables_mode() -> Result<()> {
    let portolan = Portolan::find()?;
    let node = programmed(&portolan)?;
    node.nft("add table ip kube-proxy; add table inet another")?;
    let run = |more: &[&str]| portolan.on(&node).arg("cleanup").args(more).expect_exit(0);
    let (listing, generation) = (node.listing()?, node.generation()?);
    for mode in [[].as_slice(), &["--mode", "nftables"]] {
        let said = run(&[mode, &["--dry-run"]].concat())?;
        ensure!(
            said == "would remove table ip portolan, of Portolan's nftables mode\nwould remove table ip6 portolan, of Portolan's nftables mode\n",
            "{said}"
        );
    }
    let refused = portolan.on(&node).args(["cleanup", "--mode", "fast"]).output()?;
    ensure!(
        refused.status.code() == Some(1)
            && String::from_utf8(refused.stderr)?.contains("[possible values: iptables, ipvs, nftables]")
    );
    ensure!((node.listing()?, node.generation()?) == (listing, generation), "nothing is removed by these");
    ensure!(
        run(&["--mode", "nftables"])?
            == "removed table ip portolan, of Portolan's nftables mode\nremoved table ip6 portolan, of Portolan's nftables mode\n"
    );
    ensure!(run(&[])? == "nothing to remove: the kernel holds nothing of Portolan's\n");
    ensure!(run(&["--dry-run"])? == "nothing to remove: the kernel holds nothing of Portolan's\n");
    let left = node.nft("list tables")?;
    ensure!(left.lines().collect::<BTreeSet<_>>() == ["table inet another", "table ip kube-proxy"].into(), "{left}");
    Ok(())
}

pub(crate) fn chains_of_one_name() -> Result<()> {
    let (portolan, node) = (Portolan::find()?, lone()?);
    node.command("iptables-nft-restore").input(IPTABLES_MODE).expect_exit(0)?;
    let cleanup = || portolan.on(&node).arg("cleanup").expect_exit(0);
    let saved = || node.command("iptables-nft-save").expect_exit(0);
    ensure!(cleanup()? == "nothing to remove: the kernel holds nothing of Portolan's\n");
    ensure!(saved()?.contains("-j KUBE-SEP-ABCDEFGHIJKLMNOP"), "they are kube-proxy's");
    // The first sync adopts what kube-proxy has written.
    let program = || -> Result<_> { Ok(dataplane(Mode::Iptables, &NodePolicy::default())?.sync()?) };
    node.enter(program)??;
    ensure!(saved()?.contains("-j KUBE-EXTERNAL-SERVICES"));
    let removed = cleanup()?;
    ensure!(removed.lines().any(|line| line.contains("chains KUBE-* in table ip nat, of iptables mode")), "{removed}");
    ensure!(!saved()?.contains("KUBE-"), "{}", saved()?);
    Ok(())
}

pub(crate) fn of_any_proxy() -> Result<()> {
    let portolan = Portolan::find()?;
    let node = programmed(&portolan)?;
    node.command("iptables-nft-restore").input(IPTABLES_MODE).expect_exit(0)?;
    node.nft("add table ip kube-proxy; add table ip6 kube-proxy; add table inet another")?;
    // In kube-proxy's place the daemon needs no subcommand.
    let removed = portolan.on(&node).arg("--cleanup").expect_exit(0)?;
    let expected = [
        "removed table ip kube-proxy, of kube-proxy's nftables mode",
        "removed table ip6 kube-proxy, of kube-proxy's nftables mode",
        "removed table ip portolan, of Portolan's nftables mode",
        "removed table ip6 portolan, of Portolan's nftables mode",
        "removed 4 chains KUBE-* in table ip nat, of iptables mode",
        "removed 2 chains KUBE-* in table ip filter, of iptables mode",
        "removed chain KUBE-PROXY-CANARY in table ip mangle, of iptables mode",
    ];
    ensure!(removed.lines().eq(expected), "{removed}");
    let listing = node.listing()?;
    ensure!(!["portolan", "kube-proxy", "KUBE-"].iter().any(|name| listing.contains(name)), "{listing}");
    ensure!(listing.contains("table inet another"), "{listing}");
    ensure!(portolan.on(&node).args(["run", "--cleanup"]).expect_exit(0)?.is_empty(), "there is nothing left");
    Ok(())
}

/// Portolan has run in one mode and then in another, and neither has removed what it found.
pub(crate) fn after(one: Setup, other: Setup) -> Result<()> {
    for flag in ["cleanup", "--cleanup"] {
        let (node, folder) = (lone()?, tempfile::tempdir()?);
        fs::write(folder.path().join("all.json"), manifest(&service("web", 10, &["pod-a2"])?))?;
        for (mode, variant) in [one, other] {
            kubelet_uses(&node, variant)?;
            Portolan::find()?.in_mode(mode).once(folder.path(), &node).expect_exit(0)?;
        }
        let run = |arguments: &[&str]| Portolan::find()?.on(&node).args(arguments).expect_exit(0).map_err(Error::from);
        let before = predecessors::traces(&node)?;
        ensure!(!before.is_empty());
        if flag == "cleanup" {
            run(&[flag, "--dry-run"])?;
            ensure!(predecessors::traces(&node)? == before, "--dry-run removes something");
        }
        let said = run(&[flag])?;
        let left = predecessors::traces(&node)?;
        ensure!(left.is_empty(), "{flag} leaves {left:#?}; it said {said}");
    }
    Ok(())
}
