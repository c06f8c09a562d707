//! The backend and the engine on a real kernel, each test in a network namespace of its own. A kernel without IPVS ignores them all;
//! `make test-vm` brings one that has it.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "all of this program is a test, which clippy knows only where the usual harness runs it"
)]

use std::{
    collections::BTreeMap,
    process::{Command, ExitCode},
    thread,
};

use libtest_mimic::{Arguments, Failed, Trial};
use nix::sched::{CloneFlags, unshare};
use portolan_core::{
    addr::Family,
    desired::{DesiredPort, PortChange, PortId, Scheduler},
    object::{Backend as _, Batch, Op, Syncer},
};
use portolan_ipvs::{Kernel, Key, Value};
use portolan_nftables::testing::{policy, port};

mod link;
mod told;

type Test = (&'static str, fn());

const TESTS: [Test; 16] = [
    (
        "a_resync_that_sees_nothing_new_asks_for_no_virtual_server",
        a_resync_that_sees_nothing_new_asks_for_no_virtual_server,
    ),
    ("a_restart_writes_nothing", a_restart_writes_nothing),
    ("what_others_break_is_repaired", what_others_break_is_repaired),
    ("virtual_servers_of_others_are_left_alone", virtual_servers_of_others_are_left_alone),
    ("a_virtual_server_stays_ours_when_its_address_has_gone", a_virtual_server_stays_ours_when_its_address_has_gone),
    ("another_scheduler_changes_virtual_servers_in_their_places", another_scheduler_changes_virtual_servers),
    ("virtual_servers_are_told_as_ipvsadm_lists_them", told::virtual_servers_are_told_as_ipvsadm_lists_them),
    ("a_trace_knows_where_a_client_stays", told::a_trace_knows_where_a_client_stays),
    ("a_trace_ends_where_the_kernel_does", told::a_trace_ends_where_the_kernel_does),
    ("a_service_has_a_scheduler_of_its_own", a_service_has_a_scheduler_of_its_own),
    ("what_befalls_the_link_and_its_addresses_is_heard_of", link::what_befalls_the_link_is_heard_of),
    ("our_own_changes_are_not_anothers", link::our_own_changes_are_not_anothers),
    ("a_link_of_another_kind_is_replaced", link::a_link_of_another_kind_is_replaced),
    ("what_kube_proxy_has_at_the_link_is_adopted", link::what_kube_proxy_has_at_the_link_is_adopted),
    ("what_kube_proxy_uses_again_is_not_cleaned_up", link::what_kube_proxy_uses_again_is_not_cleaned_up),
    ("what_another_mode_left_stays_until_its_connections_have_ended", link::what_another_mode_left_drains),
];

fn main() -> ExitCode {
    let missing = Kernel::open().err();
    if let Some(missing) = &missing {
        eprintln!("tests of ipvs mode are ignored: {missing}");
    }
    let trial = |(name, test): Test| {
        Trial::test(name, move || {
            let apart = thread::spawn(move || {
                unshare(CloneFlags::CLONE_NEWNET).expect("a namespace");
                // Without any address the kernel takes no IPv4 destination (EINVAL).
                run("ip", "link set lo up");
                run("ip", "address add 192.168.100.11/24 dev lo");
                test();
            });
            apart.join().map_err(|_| Failed::without_message())
        })
        .with_ignored_flag(missing.is_some())
    };
    libtest_mimic::run(&Arguments::from_args(), TESTS.map(trial).into()).exit_code()
}

/// Runs a program, and gives what it prints.
fn run(program: &str, arguments: &str) -> String {
    let output = Command::new(program).args(arguments.split(' ')).output().expect("it starts");
    assert!(output.status.success(), "{program} {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn change(desired: DesiredPort) -> PortChange {
    let id = PortId { name: desired.name.clone().into(), family: desired.family };
    PortChange { id, desired: Some(desired), loopback: None }
}

/// Four Services with two endpoints each, two of a family.
fn changes() -> Vec<PortChange> {
    let ports = Family::ALL.into_iter().flat_map(|family| [1, 2].map(|number| port(number, family, 2)));
    ports.map(change).collect()
}

fn syncer() -> Syncer<Kernel> {
    let mut syncer = Syncer::new(Kernel::watching().expect("IPVS"));
    syncer.set_policy(&policy());
    changes().iter().for_each(|change| syncer.update(change));
    syncer
}

fn observed() -> BTreeMap<Key, Value> {
    Kernel::open().expect("IPVS").observe().expect("it is read").into_iter().collect()
}

fn a_restart_writes_nothing() {
    assert!(syncer().sync().expect("synced").operations > 0);
    assert_eq!(syncer().sync().expect("synced").operations, 0);
    let servers = run("ipvsadm", "-Sn");
    assert!(servers.contains("-A -t 10.0.0.1:80 -s rr\n-a -t 10.0.0.1:80 -r 11.0.0."), "{servers}");
    assert!(run("ip", "-br address show kube-ipvs0").contains("10.0.0.1/32"));
}

fn what_others_break_is_repaired() {
    let mut syncer = syncer();
    syncer.sync().expect("synced");
    let before = observed();
    for (program, arguments) in [
        ("ipvsadm", "-d -t 10.0.0.1:80 -r 11.0.0.1:8080"),
        ("ipvsadm", "-e -t 10.0.0.2:80 -r 11.0.0.2:8080 -m -w 7"),
        ("ipvsadm", "-E -t 10.0.0.1:80 -s lc -p 60"),
        ("ipvsadm", "-C"),
        ("ip", "address delete 10.0.0.1/32 dev kube-ipvs0"),
        ("ip", "link delete kube-ipvs0"),
        ("nft", "delete table ip portolan"),
    ] {
        run(program, arguments);
        assert!(syncer.resync().expect("synced").operations > 0, "{program} {arguments}");
        assert_eq!(observed().len(), before.len(), "{program} {arguments}");
        assert_eq!(syncer.resync().expect("synced").operations, 0, "{program} {arguments}");
    }
}

/// What it does not see is found when everything is read.
fn a_resync_that_sees_nothing_new_asks_for_no_virtual_server() {
    let mut syncer = syncer();
    syncer.sync().expect("synced");
    let observations = syncer.stats().observations;
    let resync = |syncer: &mut Syncer<Kernel>| {
        let written = syncer.resync().expect("synced").operations;
        (written, syncer.stats().observations - observations)
    };
    assert_eq!(resync(&mut syncer), (0, 0));
    // Neither is of interest.
    run("ipvsadm", "-A -t 192.168.100.11:8443 -s wlc");
    run("ipvsadm", "-A -f 77 -s rr");
    assert_eq!(resync(&mut syncer), (0, 0));
    run("ipvsadm", "-e -t 10.0.0.1:80 -r 11.0.0.1:8080 -m -w 1 -x 100");
    assert_eq!(resync(&mut syncer), (0, 0));
    syncer.look_again();
    assert_eq!(resync(&mut syncer), (1, 1));
    run("ipvsadm", "-e -t 10.0.0.1:80 -r 11.0.0.1:8080 -m -w 2");
    assert_eq!(resync(&mut syncer), (1, 2));
    assert_eq!(resync(&mut syncer), (0, 2));
}

/// One at an address of the node's, at a VIP on another link as keepalived has it, and by the mark of a firewall.
fn virtual_servers_of_others_are_left_alone() {
    run("ip", "link add vip0 type dummy");
    run("ip", "address add 203.0.113.7/32 dev vip0");
    for others in [
        "-A -t 192.168.100.11:8443 -s wlc",
        "-a -t 192.168.100.11:8443 -r 192.0.2.7:8443 -m -w 3",
        "-A -u 203.0.113.7:53 -s sh -p 300",
        "-a -u 203.0.113.7:53 -r 192.0.2.8:53 -i",
        "-A -f 77 -s rr",
        "-a -f 77 -r 192.0.2.9 -g",
    ] {
        run("ipvsadm", others);
    }
    let others = run("ipvsadm", "-Sn");
    let are_there = || {
        let listed = run("ipvsadm", "-Sn");
        others.lines().all(|line| listed.contains(line))
    };
    let mut syncer = syncer();
    syncer.sync().expect("synced");
    assert!(are_there());
    for (program, arguments) in [("ipvsadm", "-D -t 10.0.0.1:80"), ("ip", "link delete kube-ipvs0")] {
        run(program, arguments);
        assert!(syncer.resync().expect("synced").operations > 0 && are_there());
    }
    assert!(self::syncer().sync().expect("synced").operations == 0 && are_there());
    for gone in changes() {
        syncer.update(&PortChange { desired: None, ..gone });
    }
    syncer.sync().expect("synced");
    while let Some(due) = syncer.due() {
        syncer.drain(due).expect("drained");
    }
    assert_eq!(run("ipvsadm", "-Sn"), others);
}

/// It loses the address first, and is removed by a later batch; somebody may have us look between the two.
fn a_virtual_server_stays_ours_when_its_address_has_gone() {
    let mut syncer = syncer();
    syncer.sync().expect("synced");
    let address = Key::Address("10.0.0.1".parse().expect("an address"));
    let kernel = syncer.backend_mut();
    kernel.apply(&Batch { ops: vec![Op::Remove(address.clone(), Value::Address)] }).expect("taken");
    let held: BTreeMap<_, _> = kernel.observe().expect("it is read").into_iter().collect();
    assert!(!held.contains_key(&address));
    let servers = held.keys().filter(|key| matches!(key, Key::Server(_))).count();
    assert_eq!(servers, changes().len());
}

fn another_scheduler_changes_virtual_servers() {
    let mut syncer = syncer();
    syncer.sync().expect("synced");
    let mut policy = policy();
    policy.scheduler = Scheduler::LeastConnection;
    assert!(syncer.set_policy(&policy));
    changes().iter().for_each(|change| syncer.update(change));
    let report = syncer.sync().expect("synced");
    assert_eq!(report.operations, u64::try_from(changes().len()).expect("few"), "one for each virtual server");
    let servers = run("ipvsadm", "-Sn");
    assert_eq!(
        (servers.matches(" -s lc").count(), servers.matches(" -s rr").count()),
        (changes().len(), 0),
        "{servers}"
    );
}

/// The first of them; the others have the node's.
fn a_service_has_a_scheduler_of_its_own() {
    let mut syncer = syncer();
    syncer.sync().expect("synced");
    let mut first = changes().swap_remove(0);
    for (scheduling, shown) in [
        ("mh,mh-fallback,mh-port", "-s mh -b mh-fallback,mh-port"),
        ("sh,sh-port", "-s sh -b sh-fallback,sh-port"),
        ("sh", "-s sh -b sh-fallback"),
        ("wlc", "-s wlc"),
    ] {
        first.desired.as_mut().expect("it is wanted").scheduling = Some(scheduling.parse().expect("a good one"));
        syncer.update(&first);
        assert_eq!(syncer.sync().expect("synced").operations, 1, "{scheduling}");
        let expected = format!("-A -t 10.0.0.1:80 {shown}\n-a -t 10.0.0.1:80 -r 11.0.0.");
        let servers = run("ipvsadm", "-Sn");
        assert!(servers.contains(&expected), "{expected}{servers}");
        assert_eq!(servers.matches(" -s rr\n").count(), changes().len() - 1, "{servers}");
        assert_eq!(syncer.resync().expect("synced").operations, 0, "{scheduling}");
        run("ipvsadm", "-E -t 10.0.0.1:80 -s sed");
        assert_eq!(syncer.resync().expect("synced").operations, 1, "{scheduling}");
        assert_eq!(run("ipvsadm", "-Sn"), servers);
    }
}
