//! Which programs are used, and what is said of a node that does not have them.

use portolan_core::addr::Family;
use portolan_iptables::{NoFamily, Programs, Variant};

use crate::support::{Test, only, sh};

pub(crate) const TESTS: &[Test] = &[
    ("without_a_sign_nft_is_used_and_nothing_is_written", without_a_sign_nft_is_used_and_nothing_is_written),
    ("the_sign_of_a_kubelet_decides", the_sign_of_a_kubelet_decides),
    ("legacy_is_used_where_nothing_else_is", legacy_is_used_where_nothing_else_is),
    ("a_plain_name_is_of_the_kind_that_it_says", a_plain_name_is_of_the_kind_that_it_says),
    ("what_the_kubelet_uses_must_be_there", what_the_kubelet_uses_must_be_there),
    ("a_node_without_programs_is_told_what_to_do", a_node_without_programs_is_told_what_to_do),
    ("a_program_that_is_too_old_is_told", a_program_that_is_too_old_is_told),
    ("ipv6_that_is_switched_off_is_left_out", ipv6_that_is_switched_off_is_left_out),
    ("a_family_without_a_program_is_left_out", a_family_without_a_program_is_left_out),
];

fn variant() -> Variant {
    Programs::find().expect("the programs are there").variant()
}

fn find_error() -> String {
    Programs::find().expect_err("this node cannot do it").to_string()
}

fn without_a_sign_nft_is_used_and_nothing_is_written() {
    let programs = Programs::find().expect("the programs are there");
    assert_eq!(programs.variant(), Variant::Nft);
    assert_eq!(programs.families().collect::<Vec<_>>(), Family::ALL);
    assert_eq!(sh("nft list ruleset; cat /proc/thread-self/net/ip_tables_names"), "");
}

fn the_sign_of_a_kubelet_decides() {
    sh("iptables-legacy -t mangle -N KUBE-IPTABLES-HINTS");
    assert_eq!(variant(), Variant::Nft);
    sh("ip6tables-legacy -t mangle -N KUBE-KUBELET-CANARY");
    assert_eq!(variant(), Variant::Legacy);
    // A node that was switched over: the older sign stays where it was.
    sh("ip6tables-nft -t mangle -N KUBE-IPTABLES-HINT");
    assert_eq!(variant(), Variant::Nft);
}

fn legacy_is_used_where_nothing_else_is() {
    let links = ["iptables-legacy-restore", "iptables-legacy-save"].map(|name| (name, "xtables-legacy-multi"));
    only(&links);
    assert_eq!(variant(), Variant::Legacy);
}

fn a_plain_name_is_of_the_kind_that_it_says() {
    only(&[("iptables-restore", "xtables-legacy-multi"), ("iptables-save", "xtables-legacy-multi")]);
    assert_eq!(variant(), Variant::Legacy);
}

fn what_the_kubelet_uses_must_be_there() {
    sh("iptables-nft -t mangle -N KUBE-IPTABLES-HINT");
    only(&[("iptables-restore", "xtables-legacy-multi"), ("iptables-save", "xtables-legacy-multi")]);
    let error = find_error();
    assert!(error.starts_with("the kubelet of this node uses iptables-nft"), "{error}");
    assert!(error.contains("iptables-nft-restore is in none of /usr/sbin, /sbin"), "{error}");
}

fn a_node_without_programs_is_told_what_to_do() {
    only(&[]);
    let error = find_error();
    assert!(error.contains("install the package iptables (1.6.2 or newer)"), "{error}");
    assert!(error.contains("--mode=nftables"), "{error}");
}

fn a_program_that_is_too_old_is_told() {
    only(&[]);
    for name in ["iptables-restore", "iptables-save"] {
        let file = format!("/usr/sbin/{name}");
        sh(&format!("printf '#!/bin/sh\\necho {name} v1.6.1\\n' > {file}; chmod +x {file}"));
    }
    let error = find_error();
    let begin =
        "/usr/sbin/iptables-restore is of iptables 1.6.1, which knows no --random-fully: install iptables 1.6.2";
    assert!(error.starts_with(begin), "{error}");
}

fn ipv6_that_is_switched_off_is_left_out() {
    sh("mount -t proc proc /proc; echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6");
    let programs = Programs::find().expect("IPv4 works");
    assert_eq!(programs.families().collect::<Vec<_>>(), [Family::V4]);
    assert_eq!(programs.without().collect::<Vec<_>>(), [(Family::V6, &NoFamily::SwitchedOff)]);
}

fn a_family_without_a_program_is_left_out() {
    only(&["iptables-nft-restore", "iptables-nft-save"].map(|name| (name, "xtables-nft-multi")));
    let programs = Programs::find().expect("IPv4 works");
    let without: Vec<_> = programs.without().map(|(family, why)| (family, why.to_string())).collect();
    let why = "ip6tables-nft-restore is in none of /usr/sbin, /sbin, /usr/local/sbin, /usr/bin, /bin".to_owned();
    assert_eq!(without, [(Family::V6, why)]);
}
