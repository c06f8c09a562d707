//! What is counted for metrics, against what the programs and the kernel say.

use std::collections::BTreeMap;

use portolan_core::{
    addr::Family,
    desired::NodePolicy,
    inspect::Inspect as _,
    object::{Backend as _, Figure},
};
use portolan_iptables::{Variant, Xtables};

use crate::support::{Node, VariantTest, policy, service};

pub(crate) const TESTS: &[VariantTest] = &[
    ("rules_are_counted_as_the_programs_list_them", rules_are_counted_as_the_programs_list_them),
    ("restores_that_fail_are_counted", restores_that_fail_are_counted),
    ("dropped_packets_are_those_of_the_rule", dropped_packets_are_those_of_the_rule),
];

const TOTAL: &str = "kubeproxy_sync_proxy_rules_iptables_total";
const LAST: &str = "kubeproxy_sync_proxy_rules_iptables_last";
const FAILURES: &str = "kubeproxy_sync_proxy_rules_iptables_restore_failures_total";
const PARTIAL: &str = "kubeproxy_sync_proxy_rules_iptables_partial_restore_failures_total";
const DROPPED: &str = "kubeproxy_iptables_ct_state_invalid_dropped_packets_total";

/// The samples of a figure, by the values of their labels.
fn samples(figures: Vec<Figure>, name: &str) -> BTreeMap<String, u64> {
    let figure = figures.into_iter().find(|figure| figure.name == name).expect("always there");
    let named = |labels: Vec<(_, String)>| labels.into_iter().map(|(_, value)| value).collect::<Vec<_>>().join(" ");
    figure.samples.into_iter().map(|(labels, count)| (named(labels), count)).collect()
}

fn counted(node: &Node, name: &str) -> BTreeMap<String, u64> {
    samples(node.syncer.backend().figures(&node.syncer.stats()), name)
}

/// Rules in chains that are called KUBE-, by family and table.
fn listed(node: &Node) -> BTreeMap<String, u64> {
    let programs = [("IPv4", "iptables"), ("IPv6", "ip6tables")];
    let tables = programs.into_iter().flat_map(|of| ["filter", "nat"].map(|table| (of, table)));
    tables
        .map(|((family, program), table)| {
            let saved = node.sh(&format!("{program}-{}-save -t {table}", node.variant));
            let rules = saved.lines().filter(|line| line.starts_with("-A KUBE-")).count();
            (format!("{family} {table}"), u64::try_from(rules).expect("a number"))
        })
        .collect()
}

fn rules_are_counted_as_the_programs_list_them(variant: Variant) {
    let mut node = Node::new(variant);
    assert_eq!(counted(&node, TOTAL), BTreeMap::new(), "nothing is known yet");
    node.syncer.sync().expect("written");
    let empty = listed(&node);
    assert_eq!(counted(&node, TOTAL), empty);
    assert_eq!(counted(&node, LAST), empty, "all of them were written");
    for (number, endpoints) in [(1, 2), (2, 0), (3, 3), (1, 1), (2, 2), (3, 0)] {
        for family in Family::ALL {
            node.update(service(family, number, endpoints));
        }
        node.syncer.sync().expect("written");
        assert_eq!(counted(&node, TOTAL), listed(&node), "{variant}: Service {number} with {endpoints} endpoints");
    }
    // One endpoint more is its chain and the one that picks it, and no rule of another Service.
    node.update(service(Family::V4, 1, 2));
    node.syncer.sync().expect("written");
    let written = counted(&node, LAST);
    assert!((4..=8).contains(&written["IPv4 nat"]), "{variant}: {written:?}");
    assert_eq!((written["IPv4 filter"], written["IPv6 nat"], written["IPv6 filter"]), (0, 0, 0), "{variant}");
    node.syncer.sync().expect("nothing to do");
    assert!(counted(&node, LAST).values().all(|written| *written == 0));

    let whole = listed(&node);
    node.sh("ipt -t nat -F KUBE-POSTROUTING; ipt -t nat -A KUBE-SERVICES -j RETURN");
    node.syncer.look_again();
    node.syncer.sync().expect("repaired");
    assert_eq!((counted(&node, TOTAL), listed(&node)), (whole.clone(), whole.clone()), "{variant}");
    assert_eq!(counted(&node, LAST)["IPv4 nat"], 3, "the rules of KUBE-POSTROUTING");

    node.restart();
    for family in Family::ALL {
        [(1, if family == Family::V4 { 2 } else { 1 }), (2, 2), (3, 0)]
            .into_iter()
            .for_each(|(number, endpoints)| node.update(service(family, number, endpoints)));
    }
    node.syncer.sync().expect("read");
    assert_eq!(counted(&node, TOTAL), whole);
    assert!(counted(&node, LAST).values().all(|written| *written == 0), "what is there is not written again");
    for family in Family::ALL {
        (1..=3).for_each(|number| node.remove(&service(family, number, 0)));
    }
    node.syncer.sync().expect("written");
    assert_eq!((counted(&node, TOTAL), listed(&node)), (empty.clone(), empty));
}

fn restores_that_fail_are_counted(variant: Variant) {
    let mut node = Node::new(variant);
    let mut bad = service(Family::V4, 1, 2);
    // What the model never lets through.
    bad.affinity = Some(0);
    node.update(bad.clone());
    node.syncer.sync().expect("the rest goes in");
    let failures = counted(&node, FAILURES);
    assert!(failures["IPv4"] > 0 && failures.len() == 1, "{variant}: {failures:?}");
    assert_eq!(counted(&node, PARTIAL), BTreeMap::new(), "the tables had been read");
    node.update(bad);
    node.syncer.sync().expect("the rest goes in");
    let partial = counted(&node, PARTIAL);
    assert!(partial["IPv4"] > 0, "{variant}: {partial:?}");
    assert_eq!(counted(&node, FAILURES)["IPv4"], failures["IPv4"] + partial["IPv4"]);
    assert_eq!(counted(&node, TOTAL), listed(&node), "{variant}");
}

fn dropped_packets_are_those_of_the_rule(variant: Variant) {
    let mut node = Node::new(variant);
    node.syncer.set_policy(&NodePolicy { drop_invalid: true, ..policy() });
    node.syncer.sync().expect("written");
    let dropped = || samples(Xtables::open(false).expect("usable").kernel_figures().expect("readable"), DROPPED);
    assert_eq!(dropped(), BTreeMap::from([(String::new(), 0)]));
    // As if packets had met the rules: only those of the first one count.
    for (program, dropped) in [("iptables", 7), ("ip6tables", 4)] {
        let rules = format!(
            "*filter
:KUBE-FORWARD - [0:0]
:OTHERS - [0:0]
[{dropped}:420] -A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
[9:90] -A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT
[5:50] -A OTHERS -m conntrack --ctstate INVALID -j DROP
COMMIT"
        );
        node.sh(&format!("{program}-{variant}-restore --noflush --counters <<'RULES'\n{rules}\nRULES\n"));
    }
    // ip6tables-nft 1.8.9 takes no counters.
    let expected = if variant == Variant::Legacy { 11 } else { 7 };
    assert_eq!(dropped(), BTreeMap::from([(String::new(), expected)]), "{variant}");
}
