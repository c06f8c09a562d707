//! Dumps: what was sent reads back equal, and what others wrote is understood.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use portolan_netlink::{
    DumpError, Malformed,
    uapi::{NFPROTO_IPV4, NFPROTO_IPV6},
    wire::{Data, Element, Expr, ListedElement, Rule, Verdict},
};

use crate::support::{TABLE, Test, keys, nft, open, with_sets};

pub(crate) const TESTS: &[Test] = &[
    ("the_ruleset_of_nft_reads_back_equal_ip", || reads_back_equal(NFPROTO_IPV4)),
    ("the_ruleset_of_nft_reads_back_equal_ip6", || reads_back_equal(NFPROTO_IPV6)),
    ("elements_read_back", elements_read_back),
    ("a_strange_element_is_told", a_strange_element_is_told),
    ("a_missing_table_is_told", a_missing_table_is_told),
    ("an_interrupted_dump_is_made_again", an_interrupted_dump_is_made_again),
    ("an_unreadable_dump_leaves_the_connection_usable", an_unreadable_dump_leaves_the_connection_usable),
];

/// The ruleset as nft loads it, sent once more by us under another name: both list the same, and nothing in it is
/// unknown to us.
fn reads_back_equal(family: u8) {
    const COPY: &str = "copy";
    let (name, text) = match family {
        NFPROTO_IPV4 => ("ip", include_str!("../../testdata/ruleset-ip.nft")),
        _ => ("ip6", include_str!("../../testdata/ruleset-ip6.nft")),
    };
    nft(text);
    let mut connection = open();
    let original = connection.table(family, "portolan").expect("listed").expect("there");
    let chains = connection.chains(family, "portolan").expect("listed");
    let sets = connection.sets(family, "portolan").expect("listed");
    let rules = connection.rules(family, "portolan").expect("listed");
    // nft 1.0.6 aborts at `update @clients { ip6 saddr : ip6 daddr . th dport }`, so ip6 has a rule less.
    assert_eq!((chains.len(), sets.len(), rules.len()), (12, 13, if family == NFPROTO_IPV4 { 33 } else { 32 }));

    let mut copied_chains = chains;
    copied_chains.iter_mut().for_each(|chain| chain.table = COPY.to_owned());
    let mut copied_sets = sets.clone();
    copied_sets.iter_mut().for_each(|set| set.table = COPY.to_owned());
    let mut copied_rules = rules;
    for rule in &mut copied_rules {
        let unknown = rule.exprs.iter().find(|expr| matches!(expr, Expr::Other { .. }));
        assert_eq!(unknown, None, "in a rule of chain {}", rule.chain);
        rule.table = COPY.to_owned();
        rule.handle = None;
    }
    let mut copy = original;
    copy.name = COPY.to_owned();
    let mut tx = connection.transaction(None);
    tx.add_table(0, family, &copy);
    copied_sets.iter().for_each(|set| tx.add_set(0, family, set));
    copied_chains.iter().for_each(|chain| tx.add_chain(0, family, chain));
    copied_rules.iter().for_each(|rule| tx.add_rule(0, family, rule));
    for set in &sets {
        let elements = connection.elements(family, "portolan", &set.name, keep).expect("listed");
        let elements = elements.iter().map(Kept::element);
        tx.add_elements(0, family, COPY, &set.name, elements);
    }
    connection.commit(tx).expect("what nft could send we can send");

    assert_eq!(connection.table(family, COPY).expect("listed"), Some(copy));
    assert_eq!(connection.chains(family, COPY).expect("listed"), copied_chains);
    assert_eq!(connection.sets(family, COPY).expect("listed"), copied_sets);
    let mut listed = connection.rules(family, COPY).expect("listed");
    listed.iter_mut().for_each(|rule: &mut Rule| rule.handle = None);
    assert_eq!(listed, copied_rules);
    let ours = nft(&format!("list table {name} {COPY}")).replace(COPY, "portolan");
    assert_eq!(ours, nft(&format!("list table {name} portolan")));
}

/// An element that owns its parts.
struct Kept {
    key: Vec<u8>,
    key_end: Option<Vec<u8>>,
    value: Vec<u8>,
    verdict: Option<Verdict<String>>,
    comment: Option<String>,
}

impl Kept {
    fn element(&self) -> Element<'_> {
        let data = match &self.verdict {
            Some(verdict) => Data::Verdict(verdict.as_deref()),
            None if self.value.is_empty() => Data::None,
            None => Data::Value(&self.value),
        };
        Element { key: &self.key, key_end: self.key_end.as_deref(), data, comment: self.comment.as_deref() }
    }
}

fn keep(kept: &mut Vec<Kept>, element: &ListedElement<'_>) -> Result<(), Malformed> {
    assert!(element.is_plain(), "{element:?}");
    let (value, verdict) = match element.data {
        Data::None => (&[][..], None),
        Data::Value(value) => (value, None),
        Data::Verdict(verdict) => (&[][..], Some(verdict.to_owned())),
    };
    kept.push(Kept {
        key: element.key.to_vec(),
        key_end: element.key_end.map(<[u8]>::to_vec),
        value: value.to_vec(),
        verdict,
        comment: element.comment().map(str::to_owned),
    });
    Ok(())
}

fn elements_read_back() {
    let mut connection = with_sets();
    let keys = keys(5_000);
    let mut tx = connection.transaction(None);
    tx.add_elements(
        0,
        NFPROTO_IPV4,
        TABLE,
        "m",
        keys.iter().map(|key| Element { data: Data::Value(key), comment: Some("ns/name:port"), ..Element::of(key) }),
    );
    connection.commit(tx).expect("taken");
    let mut listed: Vec<Kept> = connection.elements(NFPROTO_IPV4, TABLE, "m", keep).expect("listed");
    listed.sort_by(|a, b| a.key.cmp(&b.key));
    assert_eq!(listed.len(), keys.len());
    for (listed, key) in listed.iter().zip(&keys) {
        let expected = Element { data: Data::Value(key), comment: Some("ns/name:port"), ..Element::of(key) };
        assert_eq!(listed.element(), expected);
    }
}

fn a_strange_element_is_told() {
    nft("add table ip t
        add set ip t s { type ipv4_addr; flags timeout; }
        add element ip t s { 10.0.0.1 timeout 1h }
        add set ip t limited { type ipv4_addr; limit rate 1/second; }
        add element ip t limited { 10.0.0.1 }");
    let strange = |found: &mut Vec<_>, element: &ListedElement<'_>| {
        found.push((element.timeout, element.expiration.is_some(), element.has_more, element.is_plain()));
        Ok(())
    };
    let mut connection = open();
    let found = connection.elements(NFPROTO_IPV4, TABLE, "s", strange).expect("listed");
    assert_eq!(found, [(Some(3_600_000), true, false, false)]);
    let found = connection.elements(NFPROTO_IPV4, TABLE, "limited", strange).expect("listed");
    assert_eq!(found, [(None, false, true, false)]);
    let sets = connection.sets(NFPROTO_IPV4, TABLE).expect("listed");
    let strange = sets.iter().flat_map(|set| &set.exprs).all(|expr| matches!(expr, Expr::Other { .. }));
    assert!(strange, "{sets:?}");
}

fn a_missing_table_is_told() {
    let mut connection = with_sets();
    let nothing = |_: &mut (), _: &ListedElement<'_>| Ok(());
    assert!(connection.elements(NFPROTO_IPV4, "missing", "s", nothing).expect_err("missing").is_not_found());
    assert!(connection.elements(NFPROTO_IPV4, TABLE, "missing", nothing).expect_err("missing").is_not_found());
    assert!(connection.sets(NFPROTO_IPV4, "missing").expect_err("missing").is_not_found());
    assert_eq!(connection.table(NFPROTO_IPV4, "missing").expect("listed"), None);
    assert_eq!(connection.chains(NFPROTO_IPV4, "missing").expect("listed"), []);
    assert_eq!(connection.rules(NFPROTO_IPV4, "missing").expect("listed"), []);
    assert_eq!(connection.sets(NFPROTO_IPV4, TABLE).expect("still usable").len(), 2);
}

/// Another connection commits while a listing is read: the kernel says so, and the listing is made again, until it is whole or
/// was tried often enough. A listing of so many elements takes longer than dozens of such commits, once these have begun.
fn an_interrupted_dump_is_made_again() {
    let mut connection = with_sets();
    let keys = keys(30_000);
    let mut tx = connection.transaction(None);
    tx.add_elements(0, NFPROTO_IPV4, TABLE, "s", keys.iter().map(|key| Element::of(key)));
    connection.commit(tx).expect("taken");
    let count = |count: &mut usize, _: &ListedElement<'_>| {
        *count += 1;
        Ok(())
    };

    let ends = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut writer = open();
            while !ends.load(Ordering::Relaxed) {
                let mut tx = writer.transaction(None);
                tx.add_elements(0, NFPROTO_IPV4, TABLE, "s", [Element::of(&[255; 4])]);
                tx.delete_elements(0, NFPROTO_IPV4, TABLE, "s", [Element::of(&[255; 4])]);
                writer.commit(tx).expect("taken");
            }
        });
        // Until one was disturbed each time: what is given is whole at any rate.
        let disturbed = loop {
            match connection.elements(NFPROTO_IPV4, TABLE, "s", count) {
                Ok(listed) if listed == keys.len() => {}
                other => break other,
            }
        };
        ends.store(true, Ordering::Relaxed);
        assert!(matches!(disturbed, Err(DumpError::Interrupted { .. })), "{disturbed:?}");
    });
    assert_eq!(connection.elements(NFPROTO_IPV4, TABLE, "s", count).expect("listed"), keys.len());
    assert_eq!(connection.sets(NFPROTO_IPV4, TABLE).expect("still usable").len(), 2);
}

/// A reader's error ends the listing, and the rest of it does not disturb the next request.
fn an_unreadable_dump_leaves_the_connection_usable() {
    let mut connection = with_sets();
    let keys = keys(5_000);
    let mut tx = connection.transaction(None);
    tx.add_elements(0, NFPROTO_IPV4, TABLE, "s", keys.iter().map(|key| Element::of(key)));
    connection.commit(tx).expect("taken");
    let malformed = Malformed { object: "test", attribute: "anything" };
    let refuse = |_: &mut (), _: &ListedElement<'_>| Err(malformed);
    let result = connection.elements(NFPROTO_IPV4, TABLE, "s", refuse);
    assert!(matches!(result, Err(DumpError::Malformed(found)) if found == malformed), "{result:?}");
    connection.generation().expect("answered");
    assert_eq!(connection.sets(NFPROTO_IPV4, TABLE).expect("listed").len(), 2);
}
