//! What is written, and that nothing is written twice.

use portolan_core::{
    addr::Family,
    object::{ApplyError, Backend as _, Batch, CarriedOut, Cause, Moved, Op},
};
use portolan_iptables::{ChainName, Condition, Key, Part, RejectWith, Rule, Table, Target, Value, Variant, Xtables};

use crate::support::{Node, VariantTest, note_runs, refuse_what_names, rendered, runs, service, sh, syncer};

pub(crate) const TESTS: &[VariantTest] = &[
    ("services_come_change_and_go", services_come_change_and_go),
    ("a_restart_writes_nothing", a_restart_writes_nothing),
    ("a_look_takes_few_runs", a_look_takes_few_runs),
    ("a_port_that_is_refused_is_set_aside", a_port_that_is_refused_is_set_aside),
    ("whom_legacy_does_not_name_is_found_in_few_runs", whom_legacy_does_not_name_is_found_in_few_runs),
    ("a_refusal_by_the_kernel_says_what_was_carried_out", a_refusal_by_the_kernel_says_what_was_carried_out),
    ("a_rule_that_is_gone_is_a_stale_view", a_rule_that_is_gone_is_a_stale_view),
    ("who_holds_the_lock_is_told", who_holds_the_lock_is_told),
    ("a_batch_beside_others_is_taken", a_batch_beside_others_is_taken),
    ("without_ipv6_there_is_ipv4", without_ipv6_there_is_ipv4),
    ("the_guard_of_loopback_addresses_is_kubelets_or_ours", the_guard_of_loopback_addresses_is_kubelets_or_ours),
];

fn services_come_change_and_go(variant: Variant) {
    let mut node = Node::new(variant);
    let before = node.syncer.sync().expect("written");
    assert!(before.batches > 0);
    node.assert_converged();
    let empty = node.rules();
    for (number, endpoints) in [(1, 2), (2, 0), (3, 3), (1, 1), (2, 2), (3, 0)] {
        for family in Family::ALL {
            node.update(service(family, number, endpoints));
        }
        let report = node.syncer.sync().expect("written");
        assert!(report.batches == 1 && report.drift.is_empty(), "a change is one run of the program: {report:?}");
        assert_eq!(node.syncer.sync().expect("nothing to do").batches, 0);
        node.assert_converged();
    }
    for family in Family::ALL {
        (1..=3).for_each(|number| node.remove(&service(family, number, 0)));
    }
    assert_eq!(node.syncer.sync().expect("written").batches, 1);
    node.assert_converged();
    assert_eq!(node.rules(), empty, "{variant}: everything is as it was without Services");
}

fn a_restart_writes_nothing(variant: Variant) {
    let mut node = Node::new(variant);
    for _ in 0..2 {
        for family in Family::ALL {
            (0..9).for_each(|number| node.update(service(family, number, number)));
        }
        node.syncer.sync().expect("written");
        node.restart();
    }
    for family in Family::ALL {
        (0..9).for_each(|number| node.update(service(family, number, number)));
    }
    let report = node.syncer.sync().expect("read");
    assert_eq!((report.batches, report.drift.len()), (0, 0), "{variant}: {report:?}");
}

/// What a node that is restarted runs to find that all is as it should be.
fn runs_of_a_look(node: &mut Node) -> Vec<String> {
    node.restart();
    runs();
    for family in Family::ALL {
        node.update(service(family, 1, 2));
    }
    let report = node.syncer.sync().expect("read");
    assert_eq!((report.batches, report.drift.len()), (0, 0), "{report:?}");
    let mut runs = runs();
    runs.sort();
    runs
}

fn a_look_takes_few_runs(variant: Variant) {
    let mut node = Node::new(variant);
    for family in Family::ALL {
        node.update(service(family, 1, 2));
    }
    node.syncer.sync().expect("written");
    note_runs(variant);
    if variant == Variant::Legacy {
        let expected = ["ip6tables", "iptables"]
            .map(|stem| ["filter", "nat"].map(|table| format!("{stem}-legacy-save --table {table}")))
            .concat();
        assert_eq!(runs_of_a_look(&mut node), expected);
        return;
    }
    let others = |rule: &str| {
        let chain = format!("chain PREROUTING {{ type filter hook prerouting priority -300; {rule}; }}");
        sh(&format!("/run/real/nft 'table ip raw {{ set x {{ type ipv4_addr; }}; {chain}; }}'"));
    };
    // What iptables prints of it is another rule.
    others("ip saddr @x counter drop");
    assert_eq!(runs_of_a_look(&mut node), ["ip6tables-nft-save", "iptables-nft-save"]);
    // And here it gives up.
    others("meta mark set 0x5");
    let of_ours = ["--table filter", "--table nat"].map(|table| format!("iptables-nft-save {table}"));
    let expected = [&["ip6tables-nft-save".to_owned(), "iptables-nft-save".to_owned()], of_ours.as_slice()].concat();
    assert_eq!(runs_of_a_look(&mut node), expected);
}

fn a_port_that_is_refused_is_set_aside(variant: Variant) {
    let mut node = Node::new(variant);
    let [good, mut bad] = [1, 2].map(|number| service(Family::V4, number, 2));
    // What the model never lets through.
    bad.affinity = Some(0);
    node.update(good.clone());
    node.update(bad.clone());
    let report = node.syncer.sync().expect("the rest goes in");
    let [quarantined] = report.quarantined.as_slice() else { panic!("{variant}: {report:?}") };
    assert_eq!(*quarantined.port.name, bad.name);
    assert!(
        matches!(&quarantined.cause, Cause::Other(why) if why.contains("bad value for option \"--seconds\"")),
        "{quarantined:?}"
    );
    for (key, _) in rendered(&good) {
        assert!(node.syncer.tracker().present(&key).is_some(), "{variant}: {key}");
    }
    node.assert_converged();
}

fn whom_legacy_does_not_name_is_found_in_few_runs(variant: Variant) {
    // iptables-nft names the line of each rule that the kernel refuses.
    if variant == Variant::Nft {
        return;
    }
    let mut node = Node::new(variant);
    note_runs(variant);
    refuse_what_names("default/service-77:http");
    runs();
    for number in 1..=128 {
        node.update(service(Family::V4, number, 2));
    }
    let report = node.syncer.sync().expect("the rest goes in");
    let [quarantined] = report.quarantined.as_slice() else { panic!("{report:?}") };
    assert_eq!(*quarantined.port.name, service(Family::V4, 77, 2).name);
    let runs = runs().iter().filter(|run| *run == "iptables-legacy-restore").count();
    // The logarithm of 128 is 7, and each step has two halves; one more is the node's own rules.
    assert!((8..=18).contains(&runs), "{runs} runs");
    for number in [1, 76, 78, 128] {
        let missing = rendered(&service(Family::V4, number, 2))
            .into_iter()
            .find(|(key, _)| node.syncer.tracker().present(key).is_none());
        assert_eq!(missing, None);
    }
    node.assert_converged();
}

/// A batch whose filter part is right, and whose nat part the kernel refuses.
fn half_refused() -> Batch<portolan_iptables::Iptables> {
    let rules = |target| Value::Rules([Rule::new([], target)].into());
    let chain = |table, part, number| Key::Chain(Family::V4, table, ChainName::Of(part, number));
    let hash = portolan_iptables::Hash::parse("ABCDEFGHIJKLMNOP").expect("a hash");
    let refused = Rule::new([Condition::Comment("x".into())], Target::Reject(RejectWith::PortUnreachable));
    Batch {
        ops: vec![
            Op::Add(chain(Table::Nat, Part::Endpoint, hash), rules(Target::Accept)),
            Op::Add(chain(Table::Nat, Part::Cluster, hash), Value::Rules([refused].into())),
            Op::Add(chain(Table::Filter, Part::Cluster, hash), rules(Target::Drop)),
        ],
    }
}

fn a_refusal_by_the_kernel_says_what_was_carried_out(variant: Variant) {
    let node = Node::new(variant);
    let mut backend = Xtables::open(false).expect("usable");
    let Err(ApplyError::Refused { refusals, carried_out }) = backend.apply(&half_refused()) else {
        panic!("REJECT is not for nat");
    };
    assert_eq!(carried_out, CarriedOut::These(vec![2]), "{variant}");
    let [refusal] = refusals.as_slice() else { panic!("{refusals:?}") };
    // iptables-legacy does not say which rule the kernel did not take.
    assert_eq!(refusal.op, (variant == Variant::Nft).then_some(1), "{refusal:?}");
    assert!(!refusal.cause.is_stale_view(), "{refusal:?}");
    let rules = node.rules();
    assert!(rules.contains("-A KUBE-SVC-ABCDEFGHIJKLMNOP -j DROP\n") && !rules.contains("KUBE-SEP-"), "{rules}");
}

fn a_rule_that_is_gone_is_a_stale_view(variant: Variant) {
    let mut node = Node::new(variant);
    let port = service(Family::V4, 1, 1);
    node.update(port.clone());
    node.syncer.sync().expect("written");
    let rule = |(key, _): &(Key, Value)| matches!(key, Key::Rule(_, Table::Nat, ChainName::Level(..), _));
    let (key, value) = rendered(&port).into_iter().rfind(rule).expect("a rule");
    node.sh("ipt -t nat -F KUBE-SVC-10.96.5.0/24");
    let mut backend = Xtables::open(false).expect("usable");
    let error = backend.apply(&Batch { ops: vec![Op::Remove(key, value)] }).expect_err("it is gone");
    let ApplyError::Refused { refusals, .. } = error else { panic!("{error:?}") };
    assert_eq!((refusals[0].op, &refusals[0].cause), (Some(0), &Cause::Missing), "{variant}");
    // And so the engine looks, and finds what to do.
    node.remove(&port);
    node.syncer.sync().expect("written");
    node.assert_converged();
}

fn who_holds_the_lock_is_told(variant: Variant) {
    Node::new(variant);
    let mut backend = Xtables::open(false).expect("usable");
    let lock =
        std::fs::OpenOptions::new().create(true).truncate(false).write(true).open("/run/xtables.lock").expect("made");
    lock.lock().expect("free");
    let error = backend.apply(&half_refused()).expect_err("it is locked, or refused");
    if variant == Variant::Nft {
        assert!(matches!(error, ApplyError::Refused { .. }), "iptables-nft needs no lock: {error:?}");
        return;
    }
    let ApplyError::Failed(error) = error else { panic!("{error:?}") };
    let text = error.to_string();
    let expected = format!("(process {})", std::process::id());
    assert!(text.contains("/run/xtables.lock was held by another program") && text.ends_with(&expected), "{text}");
}

fn a_batch_beside_others_is_taken(variant: Variant) {
    let mut node = Node::new(variant);
    node.update(service(Family::V4, 1, 1));
    node.syncer.sync().expect("written");
    node.syncer.set_contested(true);
    node.sh("ipt -t nat -A KUBE-SVC-10.96.5.0/24 -p icmp -j ACCEPT");
    node.update(service(Family::V4, 1, 2));
    let report = node.syncer.sync().expect("written beside it");
    assert_eq!((report.batches, report.drift.len()), (1, 0), "{variant}: {report:?}");
    let moved = node.syncer.backend_mut().moved().expect("asked");
    assert_eq!(moved, if variant == Variant::Nft { Moved::Yes } else { Moved::Unheard });
    let report = node.syncer.resync().expect("repaired");
    assert_eq!(report.drift.len(), 1, "{variant}: {report:?}");
    node.assert_converged();
}

fn without_ipv6_there_is_ipv4(variant: Variant) {
    sh("mount -t proc proc /proc; echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6");
    let mut node = Node::new(variant);
    for family in Family::ALL {
        node.update(service(family, 1, 2));
    }
    let report = node.syncer.sync().expect("IPv4 is written");
    assert_eq!((report.batches, report.quarantined.len()), (1, 0), "{report:?}");
    let saved = sh(&format!("iptables-{variant}-save; ip6tables-{variant}-save"));
    assert!(saved.contains("10.96.5.1") && !saved.contains("fd00:"), "{saved}");
    let report = node.syncer.resync().expect("nothing to do");
    assert_eq!((report.batches, report.drift.len()), (0, 0), "{report:?}");
}

fn the_guard_of_loopback_addresses_is_kubelets_or_ours(variant: Variant) {
    let mut node = Node::new(variant);
    // As kubelet makes it (pkg/kubelet/kubelet_network_linux.go).
    let guard = "-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m comment --comment 'block incoming localnet connections' \
                 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP";
    node.sh(&format!(
        "ipt -N KUBE-FIREWALL; ipt {guard}; ipt -I INPUT -j KUBE-FIREWALL; ipt -I OUTPUT -j KUBE-FIREWALL"
    ));
    node.syncer.sync().expect("written");
    assert_eq!(node.rules().matches("-j KUBE-FIREWALL").count(), 2, "what is kubelet's stays");
    node.syncer = syncer(true);
    node.syncer.sync().expect("taken over");
    assert_eq!(node.rules().matches("-j KUBE-FIREWALL").count(), 2);
    node.sh("ipt -F KUBE-FIREWALL");
    let report = node.syncer.resync().expect("repaired");
    assert_eq!(report.drift.len(), 1, "{report:?}");
    node.assert_converged();
}
