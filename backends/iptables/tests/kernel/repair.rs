//! What others do to our chains is found and put right, and what is others' stays.

use portolan_core::{
    addr::Family,
    object::{Backend as _, Difference, Moved},
};
use portolan_iptables::{Variant, Xtables};

use crate::support::{Node, VariantTest, service, sh};

pub(crate) const TESTS: &[VariantTest] = &[
    ("what_others_do_is_repaired", what_others_do_is_repaired),
    ("a_flush_is_repaired", a_flush_is_repaired),
    ("what_others_do_elsewhere_is_not_our_business", what_others_do_elsewhere_is_not_our_business),
    ("a_resync_reads_only_what_has_changed", a_resync_reads_only_what_has_changed),
    ("our_own_commits_are_not_anothers", our_own_commits_are_not_anothers),
];

/// A node with Services of both families, and with rules of others around ours.
fn node(variant: Variant) -> Node {
    let mut node = Node::new(variant);
    for family in Family::ALL {
        (1..=3).for_each(|number| node.update(service(family, number, 2)));
    }
    for ipt in ["ipt", "ip6t"] {
        node.sh(&format!(
            "{ipt} -t nat -N OTHERS; {ipt} -t nat -A OTHERS -p tcp --dport 8443 -j RETURN
             {ipt} -t nat -A PREROUTING -m comment --comment KUBE-SERVICES -j OTHERS
             {ipt} -A INPUT -p tcp --dport 22 -j ACCEPT; {ipt} -A FORWARD -j DROP"
        ));
    }
    node.syncer.sync().expect("written");
    node
}

/// The chain of a Service.
fn chain_of(node: &Node) -> String {
    let rules = node.rules();
    let chain = |line: &str| Some(line.strip_prefix(':')?.split(' ').next()?.to_owned());
    let found = rules.lines().filter_map(chain).find(|name| name.starts_with("KUBE-SVC-") && !name.contains('.'));
    found.expect("such a chain")
}

/// Lines of one listing that the other has not, in any order.
fn differing(before: &str, after: &str) -> Vec<String> {
    let (mut gone, mut new): (Vec<_>, Vec<_>) = (before.lines().collect(), after.lines().collect());
    gone.retain(|line| match new.iter().position(|other| other == line) {
        Some(index) => {
            new.swap_remove(index);
            false
        }
        None => true,
    });
    gone.into_iter().map(|line| format!("- {line}")).chain(new.into_iter().map(|line| format!("+ {line}"))).collect()
}

/// What is done to the chains of a Service, of one of its endpoints and of all, and how many objects that makes differ.
const DEEDS: &[(&str, usize)] = &[
    // A rule of a Service, of an endpoint, one that dispatches.
    ("ipt -t nat -D $SVC 1", 1),
    ("ipt -t nat -F $SEP", 1),
    ("ipt -t nat -D KUBE-SVC-10.96.5.0/24 2", 1),
    ("ip6t -t nat -F KUBE-NODEPORTS", 3),
    ("ipt -t nat -F $SVC; ipt -t nat -F $SEP; ipt -t nat -X $SEP; ipt -t nat -A $SVC -j RETURN", 2),
    // Rules and chains that are not ours.
    ("ipt -t nat -I $SVC -j RETURN", 1),
    ("ipt -t nat -I KUBE-SVC-10.96.5.0/24 -j ACCEPT", 1),
    ("ipt -t nat -A KUBE-SERVICES -p udp -m udp --dport 53 -m comment --comment \"it's mine\" -j RETURN", 1),
    ("ipt -A KUBE-FORWARD -j DROP", 1),
    ("ipt -t nat -N KUBE-SVC-ABCDEFGHIJKLMNOP; ipt -t nat -A KUBE-SVC-ABCDEFGHIJKLMNOP -j KUBE-MARK-MASQ", 1),
    // The ways in: gone, twice, behind a rule that lets nothing come there.
    ("ipt -t nat -D PREROUTING -m comment --comment 'kubernetes service portals' -j KUBE-SERVICES", 1),
    ("ip6t -t nat -A PREROUTING -m comment --comment 'kubernetes service portals' -j KUBE-SERVICES", 1),
    ("ipt -t nat -I OUTPUT -j ACCEPT; ipt -t nat -D OUTPUT 1; ipt -t nat -I OUTPUT -j RETURN", 1),
    ("ipt -D FORWARD 1; ipt -A FORWARD -j KUBE-SERVICES", 1),
    // The rule that is last stands first; another stands twice.
    (
        "ipt -t nat -S KUBE-SERVICES | grep NODEPORTS | sed 's/^-A/-I/; s/^/ipt -t nat /' > /run/again
         ipt -t nat -S KUBE-SERVICES | grep NODEPORTS | sed 's/^-A/-D/; s/^/ipt -t nat /' > /run/away
         sh -e /run/away; sh -e /run/again",
        1,
    ),
    (
        "ipt -t nat -S KUBE-SVC-10.96.5.0/24 | grep -m1 96.5.2 | sed 's/^/ipt -t nat /' > /run/again
         sh -e /run/again",
        1,
    ),
];

fn what_others_do_is_repaired(variant: Variant) {
    let mut node = node(variant);
    let svc = chain_of(&node);
    let names = format!("SVC={svc}; SEP=$(ipt -t nat -S $SVC | grep -om1 'KUBE-SEP-.*')\n");
    for (deed, objects) in DEEDS {
        let before = node.rules();
        node.sh(&format!("{names}{deed}"));
        let damaged = node.rules();
        assert_ne!(before, damaged, "{deed}");
        let report = match variant {
            Variant::Nft => node.syncer.check(),
            Variant::Legacy => node.syncer.resync(),
        };
        let report = report.expect("repaired");
        assert_eq!(report.stuck, [], "{deed}");
        assert_eq!(report.drift.len(), *objects, "{variant}: {deed}: {report:#?}");
        if variant == Variant::Nft {
            let editor = report.editor.as_ref().map(|editor| editor.program.as_str());
            assert!(editor.is_some_and(|program| program.contains("tables-nft")), "{deed}: {editor:?}");
        }
        node.assert_converged();
        let after = node.rules();
        let others = |rules: &str| -> Vec<String> {
            rules.lines().filter(|line| !line.contains("KUBE-")).map(str::to_owned).collect()
        };
        assert_eq!(others(&damaged), others(&after), "{deed}: what is others' stays");
        if others(&before) == others(&damaged) {
            assert_eq!(differing(&before, &after), [""; 0], "{deed}");
        }
        let report = node.syncer.resync().expect("nothing to do");
        assert_eq!((report.batches, report.drift.len()), (0, 0), "{deed}: {report:?}");
    }
}

fn a_flush_is_repaired(variant: Variant) {
    let mut node = node(variant);
    let before = node.rules();
    let without_others = |rules: &str| -> Vec<String> {
        let mut lines: Vec<_> = rules.lines().filter(|line| line.contains("KUBE-")).map(str::to_owned).collect();
        lines.retain(|line| !line.contains("OTHERS"));
        lines.sort();
        lines
    };
    for flush in [
        "ipt -t nat -F",
        "ipt -t nat -F; ipt -t nat -X; ip6t -F; ip6t -X",
        "printf '*nat\\nCOMMIT\\n' | ipt-restore; printf '*filter\\nCOMMIT\\n' | ip6t-restore",
    ] {
        node.sh(&flush
            .replace("ipt-restore", &format!("iptables-{variant}-restore"))
            .replace("ip6t-restore", &format!("ip6tables-{variant}-restore")));
        let report = if variant == Variant::Nft { node.syncer.check() } else { node.syncer.resync() };
        let report = report.expect("repaired");
        assert!(report.drift.iter().any(|drift| drift.difference == Difference::Missing), "{flush}: {report:?}");
        node.assert_converged();
        assert_eq!(without_others(&before), without_others(&node.rules()), "{flush}");
    }
}

fn what_others_do_elsewhere_is_not_our_business(variant: Variant) {
    let mut node = node(variant);
    node.sh("ipt -t nat -A OTHERS -j RETURN; ipt -N MORE; ipt -t mangle -A PREROUTING -j ACCEPT; ip6t -t raw -A OUTPUT -j ACCEPT");
    let moved = node.syncer.backend_mut().moved().expect("asked");
    assert_eq!(moved, if variant == Variant::Nft { Moved::No } else { Moved::Unheard });
    let before = node.syncer.stats().observations;
    let report = node.syncer.check().expect("nothing to do");
    assert_eq!((report.batches, node.syncer.stats().observations), (0, before));
}

fn a_resync_reads_only_what_has_changed(variant: Variant) {
    let mut node = node(variant);
    // After what we have written ourselves, the kernel of iptables-legacy is read once.
    node.syncer.resync().expect("nothing to do");
    let resync = |node: &mut Node| {
        let before = node.syncer.stats().observations;
        let report = node.syncer.resync().expect("repaired");
        (node.syncer.stats().observations - before, report.drift.len(), report.batches)
    };
    sh("ip link set lo up; ping -c1 -W1 127.0.0.1 || true");
    assert_eq!(resync(&mut node), (0, 0, 0), "{variant}: what counts packets is no change");
    node.sh("ip6t -t nat -D KUBE-SERVICES 1");
    assert_eq!(resync(&mut node), (1, 1, 1), "{variant}");
    node.assert_converged();
    node.syncer.resync().expect("nothing to do");
    assert_eq!(resync(&mut node), (0, 0, 0), "{variant}");
    node.sh("ipt -t nat -F; ipt -t nat -X");
    let (looks, drifts, batches) = resync(&mut node);
    assert!(looks == 1 && drifts > 9 && batches > 0, "{variant}: {drifts} drifts in {looks} looks");
    node.assert_converged();
}

fn our_own_commits_are_not_anothers(variant: Variant) {
    let mut node = node(variant);
    node.update(service(Family::V4, 9, 3));
    node.syncer.sync().expect("written");
    let observations = node.syncer.stats().observations;
    let report = node.syncer.check().expect("nothing to do");
    assert_eq!((report.batches, node.syncer.stats().observations, report.editor), (0, observations, None), "{variant}");
    // To somebody else they are.
    if variant == Variant::Nft {
        let mut other = Xtables::watching(false).expect("usable");
        other.observe().expect("read");
        assert_eq!(other.moved().expect("asked"), Moved::No);
        node.remove(&service(Family::V4, 9, 3));
        node.syncer.sync().expect("written");
        assert_eq!(other.moved().expect("asked"), Moved::Yes);
        assert!(other.editor().is_some_and(|editor| editor.program.starts_with("iptables-nft-re")));
    }
}
