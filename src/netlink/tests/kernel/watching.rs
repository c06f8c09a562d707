//! Notifications: own changes are passed over, foreign ones are told.

use std::{
    thread,
    time::{Duration, Instant},
};

use portolan_netlink::{
    Drained, Watch,
    uapi::{NFPROTO_IPV4, NFPROTO_IPV6, msg},
    wire::{Element, Table},
};

use crate::support::{TABLE, Test, keys, nft, open, with_sets};

pub(crate) const TESTS: &[Test] = &[
    ("own_changes_are_passed_over", own_changes_are_passed_over),
    ("foreign_changes_are_told", foreign_changes_are_told),
    ("which_chain_a_change_is_in_is_told", which_chain_a_change_is_in_is_told),
    ("who_changed_what_is_ours_is_told_once", who_changed_what_is_ours_is_told_once),
    ("a_table_dies_with_its_owner_in_silence", a_table_dies_with_its_owner_in_silence),
    ("lost_notifications_are_told", lost_notifications_are_told),
];

type Seen = Vec<(u8, String, u8)>;

fn drain(watch: &mut Watch, own: u32) -> (Seen, Drained) {
    let mut seen = Vec::new();
    let drained = watch
        .drain(own, |change| {
            seen.push((change.family, change.table.to_owned(), change.msg_type));
            false
        })
        .expect("the socket is well");
    (seen, drained)
}

fn own_changes_are_passed_over() {
    let mut watch = Watch::open().expect("subscribed");
    let mut connection = with_sets();
    assert_eq!(drain(&mut watch, connection.port_id()), (vec![], Drained::default()));

    // The same seen by somebody else.
    let mut tx = connection.transaction(None);
    tx.add_elements(0, NFPROTO_IPV4, TABLE, "s", [Element::of(&[1; 4])]);
    connection.commit(tx).expect("taken");
    let (seen, drained) = drain(&mut watch, 0);
    assert_eq!(seen, [(NFPROTO_IPV4, TABLE.to_owned(), msg::NEWSETELEM)]);
    assert_eq!(drained.foreign_generation, Some(connection.generation().expect("answered")));
}

fn foreign_changes_are_told() {
    let mut watch = Watch::open().expect("subscribed");
    let mut connection = with_sets();
    nft("add element ip t s { 10.0.0.1 }\nadd table ip6 foreign");
    let (seen, drained) = drain(&mut watch, connection.port_id());
    let expected =
        [(NFPROTO_IPV4, TABLE.to_owned(), msg::NEWSETELEM), (NFPROTO_IPV6, "foreign".to_owned(), msg::NEWTABLE)];
    assert_eq!(seen, expected);
    assert_eq!(drained.foreign_generation, Some(connection.generation().expect("answered")));
    assert!(!drained.lost);

    nft("flush ruleset");
    let (seen, _) = drain(&mut watch, connection.port_id());
    assert!(seen.contains(&(NFPROTO_IPV4, TABLE.to_owned(), msg::DELTABLE)), "{seen:?}");
}

fn which_chain_a_change_is_in_is_told() {
    let mut watch = Watch::open().expect("subscribed");
    let connection = with_sets();
    nft("add chain ip t c\nadd rule ip t c accept\nadd element ip t s { 10.0.0.1 }");
    let mut heard = Vec::new();
    watch
        .drain(connection.port_id(), |change| {
            heard.push((change.msg_type, change.chain().map(str::to_owned)));
            false
        })
        .expect("the socket is well");
    let chain = Some("c".to_owned());
    assert_eq!(heard, [(msg::NEWCHAIN, chain.clone()), (msg::NEWRULE, chain), (msg::NEWSETELEM, None)]);
}

/// The last of those who changed what is ours, whatever is committed after that.
fn who_changed_what_is_ours_is_told_once() {
    let mut watch = Watch::open().expect("subscribed");
    let connection = with_sets();
    let mut author = || {
        let drained = watch.drain(connection.port_id(), |change| change.table == TABLE).expect("the socket is well");
        (drained.touched, watch.author().map(|author| (author.program, author.process != 0)))
    };
    thread::scope(|scope| {
        let named = thread::Builder::new().name("a-thread-of-ours".into());
        let committed = named.spawn_scoped(scope, || {
            let mut other = open();
            let mut tx = other.transaction(None);
            tx.add_elements(0, NFPROTO_IPV4, TABLE, "s", [Element::of(&[2; 4])]);
            other.commit(tx).expect("taken");
        });
        committed.expect("started").join().expect("committed");
    });
    nft("add table ip6 foreign");
    // The kernel keeps 15 bytes of a thread's name.
    assert_eq!(author(), (true, Some(("a-thread-of-our".to_owned(), true))));
    assert_eq!(author(), (false, None));
    nft("add table ip foreign");
    assert_eq!(author(), (false, None));
    nft("add element ip t s { 10.0.0.1 }");
    assert_eq!(author(), (true, Some(("nft".to_owned(), true))));
}

/// Why Portolan's tables have no owner flag (`NFT_TABLE_F_OWNER`): nobody would hear of their end.
fn a_table_dies_with_its_owner_in_silence() {
    let mut connection = open();
    let mut owner = open();
    let mut tx = owner.transaction(None);
    tx.add_table(0, NFPROTO_IPV4, &Table { name: TABLE.to_owned(), flags: 2, userdata: vec![] });
    owner.commit(tx).expect("taken");
    let generation = connection.generation().expect("answered");
    let mut watch = Watch::open().expect("subscribed");
    drop(owner);
    // The socket lives a little longer when another test forks at this moment: until its child's exec closes the copy.
    let deadline = Instant::now() + Duration::from_secs(10);
    while connection.table(NFPROTO_IPV4, TABLE).expect("listed").is_some() {
        assert!(Instant::now() < deadline, "the table outlives its owner");
        thread::yield_now();
    }
    assert_eq!(connection.generation().expect("answered"), generation);
    assert_eq!(drain(&mut watch, 0), (vec![], Drained::default()));
}

fn lost_notifications_are_told() {
    let mut watch = Watch::open().expect("subscribed");
    let mut connection = with_sets();
    let keys = keys(200_000);
    let mut tx = connection.transaction(None);
    tx.add_elements(0, NFPROTO_IPV4, TABLE, "s", keys.iter().map(|key| Element::of(key)));
    connection.commit(tx).expect("taken");
    let drained = watch.drain(0, |_| true).expect("the socket is well");
    assert!(drained.lost);
    assert_eq!(watch.author(), None);
    nft("add element ip t s { 10.0.0.1 }");
    let (seen, drained) = drain(&mut watch, connection.port_id());
    assert_eq!((seen.len(), drained.lost), (1, false));
}
