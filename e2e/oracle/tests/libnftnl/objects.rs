//! Tables, chains, sets and elements.

use nftnl_sys as sys;
use portolan_netlink::{
    attr::{Attrs, encode},
    uapi::hook,
    wire::{Chain, ChainKind, Counter, Data, Element, Expr, Hook, Policy, Set, SetData, Table, Verdict, userdata},
};

use crate::{
    build::{self, Value, c},
    sorted,
};

#[test]
fn a_table() {
    let comment = userdata::comment("hello").expect("short");
    let ours = Table { name: "t".to_owned(), flags: 0, userdata: comment.clone() };
    let theirs = build::table(&[
        (sys::NFTNL_TABLE_NAME, Value::Str(&c("t"))),
        (sys::NFTNL_TABLE_FLAGS, Value::U32(0)),
        (sys::NFTNL_TABLE_USERDATA, Value::Bytes(&comment)),
    ]);
    assert_eq!(encode(|w| ours.put(w)).expect("fits"), theirs);
}

#[test]
fn a_regular_chain() {
    let ours = Chain { table: "t".to_owned(), name: "c".to_owned(), hook: None, userdata: vec![] };
    let theirs =
        build::chain(&[(sys::NFTNL_CHAIN_TABLE, Value::Str(&c("t"))), (sys::NFTNL_CHAIN_NAME, Value::Str(&c("c")))]);
    assert_eq!(encode(|w| ours.put(w)).expect("fits"), theirs);
}

#[test]
fn base_chains() {
    for (kind, name) in [(ChainKind::Filter, "filter"), (ChainKind::Nat, "nat"), (ChainKind::Route, "route")] {
        for (policy, number) in [(Policy::Drop, 0), (Policy::Accept, 1)] {
            for priority in [-110, -99, 0, 100] {
                let comment = userdata::comment("c").expect("short");
                let hook = Hook { number: hook::POSTROUTING, priority, kind, policy };
                let ours = Chain {
                    table: "t".to_owned(),
                    name: "base".to_owned(),
                    hook: Some(hook),
                    userdata: comment.clone(),
                };
                let theirs = build::chain(&[
                    (sys::NFTNL_CHAIN_TABLE, Value::Str(&c("t"))),
                    (sys::NFTNL_CHAIN_NAME, Value::Str(&c("base"))),
                    (sys::NFTNL_CHAIN_HOOKNUM, Value::U32(4)),
                    (sys::NFTNL_CHAIN_PRIO, Value::U32(priority.cast_unsigned())),
                    (sys::NFTNL_CHAIN_POLICY, Value::U32(number)),
                    (sys::NFTNL_CHAIN_TYPE, Value::Str(&c(name))),
                    (sys::NFTNL_CHAIN_USERDATA, Value::Bytes(&comment)),
                ]);
                assert_eq!(encode(|w| ours.put(w)).expect("fits"), theirs, "{name} {priority}");
            }
        }
    }
}

#[test]
fn sets_and_maps() {
    let datas = [None, Some(SetData::Value { kind: 461, len: 8 }), Some(SetData::Verdict)];
    for data in datas {
        for (size, timeout) in [(None, None), (Some(65_536), Some(10_800_000))] {
            let ours = Set {
                table: "t".to_owned(),
                name: "s".to_owned(),
                flags: u32::from(data.is_some()) * 8,
                key_type: 29_453,
                key_len: 12,
                data,
                size,
                fields: vec![],
                timeout,
                exprs: vec![],
                userdata: vec![0, 4, 2, 0, 0, 0],
            };
            let (table, name) = (c("t"), c("s"));
            let mut theirs = vec![
                (sys::NFTNL_SET_TABLE, Value::Str(&table)),
                (sys::NFTNL_SET_NAME, Value::Str(&name)),
                (sys::NFTNL_SET_FLAGS, Value::U32(ours.flags)),
                (sys::NFTNL_SET_KEY_TYPE, Value::U32(29_453)),
                (sys::NFTNL_SET_KEY_LEN, Value::U32(12)),
                (sys::NFTNL_SET_ID, Value::U32(7)),
                (sys::NFTNL_SET_USERDATA, Value::Bytes(&ours.userdata)),
            ];
            let (kind, len) = match data {
                Some(SetData::Value { kind, len }) => (kind, len),
                _ => (0xffff_ff00, 0),
            };
            if data.is_some() {
                theirs.push((sys::NFTNL_SET_DATA_TYPE, Value::U32(kind)));
                theirs.push((sys::NFTNL_SET_DATA_LEN, Value::U32(len)));
            }
            if let (Some(size), Some(timeout)) = (size, timeout) {
                theirs.push((sys::NFTNL_SET_DESC_SIZE, Value::U32(size)));
                theirs.push((sys::NFTNL_SET_TIMEOUT, Value::U64(timeout)));
            }
            assert_eq!(encode(|w| ours.put(w, 7)).expect("fits"), build::set(&theirs), "{ours:?}");
        }
    }
}

#[test]
fn the_fields_of_a_concatenation() {
    let ours = Set {
        table: "t".to_owned(),
        name: "s".to_owned(),
        flags: 0x84,
        key_type: 29_453,
        key_len: 12,
        size: Some(100),
        fields: vec![4, 1, 2],
        ..Set::default()
    };
    let theirs = build::set(&[
        (sys::NFTNL_SET_TABLE, Value::Str(&c("t"))),
        (sys::NFTNL_SET_NAME, Value::Str(&c("s"))),
        (sys::NFTNL_SET_FLAGS, Value::U32(0x84)),
        (sys::NFTNL_SET_KEY_TYPE, Value::U32(29_453)),
        (sys::NFTNL_SET_KEY_LEN, Value::U32(12)),
        (sys::NFTNL_SET_ID, Value::U32(7)),
        (sys::NFTNL_SET_DESC_SIZE, Value::U32(100)),
        (sys::NFTNL_SET_DESC_CONCAT, Value::Bytes(&[4, 1, 2])),
    ]);
    assert_eq!(encode(|w| ours.put(w, 7)).expect("fits"), theirs);
}

#[test]
fn counters_of_elements() {
    let limit = || Expr::Other { name: "limit".to_owned(), data: vec![] };
    let counter = || Expr::Counter(Counter::default());
    let (counter_name, limit_name) = (c("counter"), c("limit"));
    for (exprs, names) in [
        (vec![counter()], &[counter_name.as_c_str()][..]),
        (vec![counter(), limit()], &[counter_name.as_c_str(), limit_name.as_c_str()]),
    ] {
        let ours = Set { table: "t".to_owned(), name: "s".to_owned(), key_len: 4, exprs, ..Set::default() };
        let theirs = build::set(&[
            (sys::NFTNL_SET_TABLE, Value::Str(&c("t"))),
            (sys::NFTNL_SET_NAME, Value::Str(&c("s"))),
            (sys::NFTNL_SET_FLAGS, Value::U32(0)),
            (sys::NFTNL_SET_KEY_TYPE, Value::U32(0)),
            (sys::NFTNL_SET_KEY_LEN, Value::U32(4)),
            (sys::NFTNL_SET_ID, Value::U32(7)),
            (sys::NFTNL_SET_EXPR, Value::Exprs(names)),
        ]);
        assert_eq!(encode(|w| ours.put(w, 7)).expect("fits"), theirs, "{ours:?}");
    }
}

/// Compares elements with libnftnl's.
fn check_elements(ours: &[Element<'_>], theirs: &[Vec<(u32, Value<'_>)>]) {
    let theirs = sorted(&build::elements(theirs));
    let list = &theirs.iter().find(|attr| attr.kind == 3).expect("a list").value;
    let theirs: Vec<&[u8]> = Attrs::new(list).map(|element| element.value).collect();
    let ours: Vec<_> = ours.iter().map(|element| encode(|w| element.put(w)).expect("fits")).collect();
    assert_eq!(ours, theirs);
}

#[test]
fn plain_elements() {
    let comment = userdata::comment("ns/web:http").expect("short");
    let keys: [&[u8]; 3] = [&[10, 96, 0, 1, 6, 0, 0, 0, 0, 80, 0, 0], &[7; 12], &[9; 12]];
    let commented = |key| Element { comment: Some("ns/web:http"), ..Element::of(key) };
    let key = |at: usize| (sys::NFTNL_SET_ELEM_KEY, Value::Bytes(keys[at]));
    let userdata = || (sys::NFTNL_SET_ELEM_USERDATA, Value::Bytes(&comment));
    check_elements(
        &[commented(keys[0]), Element::of(keys[1]), commented(keys[2])],
        &[vec![key(0), userdata()], vec![key(1)], vec![key(2), userdata()]],
    );
}

#[test]
fn elements_of_maps() {
    let (key, endpoint) = ([7; 12], [10, 244, 1, 11, 0x1f, 0x90, 0, 0]);
    let chain = c("pick-5");
    let code = |code: i32| (sys::NFTNL_SET_ELEM_VERDICT, Value::U32(code.cast_unsigned()));
    let chain = || (sys::NFTNL_SET_ELEM_CHAIN, Value::Str(&chain));
    for (data, theirs) in [
        (Data::Value(&endpoint), vec![(sys::NFTNL_SET_ELEM_DATA, Value::Bytes(&endpoint))]),
        (Data::Verdict(Verdict::Drop), vec![code(0)]),
        (Data::Verdict(Verdict::Accept), vec![code(1)]),
        (Data::Verdict(Verdict::Jump("pick-5")), vec![code(-3), chain()]),
        (Data::Verdict(Verdict::Goto("pick-5")), vec![code(-4), chain()]),
    ] {
        let mut theirs = theirs;
        theirs.push((sys::NFTNL_SET_ELEM_KEY, Value::Bytes(&key)));
        check_elements(&[Element { data, ..Element::of(&key) }], &[theirs]);
    }
}

#[test]
fn ranges() {
    let keys: [(&[u8], &[u8]); 2] = [(&[7; 16], &[9; 16]), (&[7; 40], &[9; 40])];
    let comment = userdata::comment("ns/web").expect("short");
    let ours = keys.map(|(key, end)| Element { comment: Some("ns/web"), ..Element::range(key, end) });
    let theirs = keys.map(|(key, end)| {
        vec![
            (sys::NFTNL_SET_ELEM_KEY, Value::Bytes(key)),
            (sys::NFTNL_SET_ELEM_KEY_END, Value::Bytes(end)),
            (sys::NFTNL_SET_ELEM_USERDATA, Value::Bytes(&comment)),
        ]
    });
    check_elements(&ours, &theirs);
}
