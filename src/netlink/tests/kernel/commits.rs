//! Transactions: all or nothing, and whose fault nothing is.

use portolan_netlink::{
    CommitError, Errno,
    uapi::{NFPROTO_IPV4, flag, msg},
    wire::{Data, Element, Table},
};

use crate::support::{TABLE, Test, keys, nft, open, plain_set, refusals, with_sets};

pub(crate) const TESTS: &[Test] = &[
    ("a_transaction_is_applied_once", a_transaction_is_applied_once),
    ("a_refusal_names_the_operation", a_refusal_names_the_operation),
    ("a_refusal_names_the_element_of_a_long_list", a_refusal_names_the_element_of_a_long_list),
    ("several_refusals_name_each", several_refusals_name_each),
    ("a_full_set_names_the_element_that_is_too_many", a_full_set_names_the_element_that_is_too_many),
    ("an_expected_generation_must_hold", an_expected_generation_must_hold),
    ("what_cannot_be_encoded_is_not_sent", what_cannot_be_encoded_is_not_sent),
    ("more_refusals_than_fit_are_a_refusal_still", more_refusals_than_fit_are_a_refusal_still),
    ("an_empty_transaction_changes_nothing", an_empty_transaction_changes_nothing),
];

fn a_transaction_is_applied_once() {
    let mut connection = with_sets();
    let before = connection.generation().expect("answered");
    let keys = keys(20_000);
    let mut tx = connection.transaction(None);
    tx.add_elements(0, NFPROTO_IPV4, TABLE, "s", keys.iter().map(|key| Element::of(key)));
    assert!(tx.bytes_len() > 4 * (64 << 10), "one list would do: {}", tx.bytes_len());
    connection.commit(tx).expect("taken");
    assert_eq!(connection.generation().expect("answered"), before + 1);

    let mut tx = connection.transaction(None);
    tx.delete_elements(0, NFPROTO_IPV4, TABLE, "s", keys.iter().map(|key| Element::of(key)));
    connection.commit(tx).expect("taken");
    let left: Vec<u32> = connection
        .elements(NFPROTO_IPV4, TABLE, "s", |left: &mut Vec<u32>, element| {
            left.push(element.flags);
            Ok(())
        })
        .expect("listed");
    assert_eq!(left, []);
}

fn a_refusal_names_the_operation() {
    let mut connection = with_sets();
    let mut tx = connection.transaction(None);
    tx.add_set(5, NFPROTO_IPV4, &plain_set("another"));
    tx.delete_set(6, NFPROTO_IPV4, TABLE, "missing");
    let refusals = refusals(connection.commit(tx));
    assert_eq!(refusals.iter().map(|r| (r.op, r.errno)).collect::<Vec<_>>(), [(Some(6), Errno::ENOENT)]);
    // All or nothing, and the connection goes on.
    assert_eq!(connection.sets(NFPROTO_IPV4, TABLE).expect("listed").len(), 2);
}

fn a_refusal_names_the_element_of_a_long_list() {
    let mut connection = with_sets();
    let mut tx = connection.transaction(None);
    let taken = 7_777_u32.to_be_bytes();
    tx.add_elements(0, NFPROTO_IPV4, TABLE, "m", [Element { data: Data::Value(&[1; 4]), ..Element::of(&taken) }]);
    connection.commit(tx).expect("taken");

    let keys = keys(10_000);
    let mut tx = connection.transaction(None);
    let elements = keys.iter().map(|key| Element { data: Data::Value(&[2; 4]), ..Element::of(key) });
    tx.add_elements(1_000, NFPROTO_IPV4, TABLE, "m", elements);
    let refusals = refusals(connection.commit(tx));
    assert_eq!(refusals.iter().map(|r| (r.op, r.errno)).collect::<Vec<_>>(), [(Some(8_777), Errno::EEXIST)]);
}

fn several_refusals_name_each() {
    let mut connection = with_sets();
    let mut tx = connection.transaction(None);
    let keys = keys(3);
    for (op, key) in keys.iter().enumerate() {
        tx.delete_elements(op, NFPROTO_IPV4, TABLE, "s", [Element::of(key)]);
    }
    tx.add_elements(3, NFPROTO_IPV4, TABLE, "m", keys.iter().map(|key| Element::of(key)));
    let refusals = refusals(connection.commit(tx));
    let expected = [
        (Some(0), Errno::ENOENT),
        (Some(1), Errno::ENOENT),
        (Some(2), Errno::ENOENT),
        // The kernel leaves a list at its first element without data.
        (Some(3), Errno::EINVAL),
    ];
    assert_eq!(refusals.iter().map(|r| (r.op, r.errno)).collect::<Vec<_>>(), expected);
}

fn a_full_set_names_the_element_that_is_too_many() {
    let mut connection = with_sets();
    let mut tx = connection.transaction(None);
    tx.add_set(0, NFPROTO_IPV4, &portolan_netlink::wire::Set { size: Some(10), ..plain_set("small") });
    tx.add_elements(1, NFPROTO_IPV4, TABLE, "small", keys(12).iter().map(|key| Element::of(key)));
    let refusals = refusals(connection.commit(tx));
    assert_eq!(refusals.iter().map(|r| (r.op, r.errno)).collect::<Vec<_>>(), [(Some(11), Errno::ENFILE)]);
}

fn an_expected_generation_must_hold() {
    let mut connection = with_sets();
    let generation = connection.generation().expect("answered");
    let add = |connection: &mut portolan_netlink::Connection, expected| {
        let mut tx = connection.transaction(expected);
        tx.add_elements(0, NFPROTO_IPV4, TABLE, "s", [Element::of(&[1, 2, 3, 4])]);
        connection.commit(tx)
    };
    add(&mut connection, Some(generation)).expect("nobody else wrote");
    assert!(matches!(add(&mut connection, Some(generation)), Err(CommitError::Stale)));
    nft("add table ip6 foreign");
    assert!(matches!(add(&mut connection, Some(generation + 1)), Err(CommitError::Stale)));
    add(&mut connection, Some(generation + 2)).expect("looked again");
}

fn what_cannot_be_encoded_is_not_sent() {
    let mut connection = with_sets();
    let generation = connection.generation().expect("answered");
    let mut tx = connection.transaction(None);
    tx.add_set(0, NFPROTO_IPV4, &plain_set("another"));
    tx.message(1, msg::NEWTABLE, flag::CREATE, NFPROTO_IPV4, |w| w.bytes(6, &[0; 1 << 16]));
    assert!(matches!(connection.commit(tx), Err(CommitError::Encode(_))));
    assert_eq!(connection.generation().expect("answered"), generation);
}

fn more_refusals_than_fit_are_a_refusal_still() {
    let mut connection = with_sets();
    let mut tx = connection.transaction(None);
    for op in 0..100_000 {
        tx.delete_set(op, NFPROTO_IPV4, TABLE, "missing");
    }
    // The kernel drops answers (ENOBUFS), but one is enough to know that nothing was applied.
    let count = refusals(connection.commit(tx)).len();
    assert!((1..100_000).contains(&count), "{count} of 100000 refusals came");

    let mut tx = connection.transaction(None);
    tx.add_table(0, NFPROTO_IPV4, &Table { name: "next".to_owned(), ..Table::default() });
    connection.commit(tx).expect("taken");
    assert_eq!(connection.tables(NFPROTO_IPV4).expect("listed").len(), 2);
}

fn an_empty_transaction_changes_nothing() {
    let mut connection = open();
    let before = connection.generation().expect("answered");
    let tx = connection.transaction(None);
    connection.commit(tx).expect("nothing to refuse");
    assert_eq!(connection.generation().expect("answered"), before);
}
