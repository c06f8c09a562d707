//! What an ordinary user, and a process without any right, can do.

use std::{
    env,
    ffi::OsStr,
    process::{Command, ExitCode},
};

use portolan_netlink::{CommitError, Connection, uapi::NFPROTO_IPV4, wire::Element};

use crate::support::{CHILD, TABLE, Test, open, with_sets};

pub(crate) const TESTS: &[Test] = &[
    ("without_the_capability_it_says_so", without_the_capability_it_says_so),
    ("a_user_namespace_carries_what_it_says", a_user_namespace_carries_what_it_says),
    ("a_connection_carries_what_it_says", a_connection_carries_what_it_says),
];

/// Plays a part of a test in a process of its own.
pub(crate) fn child(part: &OsStr) -> ExitCode {
    match part.to_str() {
        Some("open") => match Connection::open() {
            Ok(_) => println!("open"),
            Err(error) => println!("{error}"),
        },
        Some("capacity") => {
            a_connection_carries_what_it_says();
            println!("carried");
        }
        other => panic!("no such part: {other:?}"),
    }
    ExitCode::SUCCESS
}

fn play(part: &str, way: &[&str]) -> String {
    let own = env::current_exe().expect("a test knows its own file");
    let output = Command::new("unshare").args(way).arg(own).env(CHILD, part).output().expect("unshare starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn without_the_capability_it_says_so() {
    open();
    // A user namespace below the network namespace's owner has no right in it.
    let said = play("open", &["-U"]);
    assert!(said.contains("CAP_NET_ADMIN"), "{said}");
}

fn a_user_namespace_carries_what_it_says() {
    assert_eq!(play("capacity", &["-Urn"]), "carried\n");
}

/// The largest transaction up to the capacity goes through; one above it is told.
fn a_connection_carries_what_it_says() {
    let mut connection = with_sets();
    // A gigabyte takes too long: there, only that much is tried.
    let size = connection.capacity().min(9 << 20);
    for above in [0, 1] {
        let mut tx = connection.transaction(None);
        // A comment of any length makes messages of any multiple of 4 bytes.
        let (mut key, mut added) = (0_u32, 0);
        while size.saturating_sub(tx.bytes_len()) >= 256 {
            let before = tx.bytes_len();
            let missing = size - before;
            let count = if missing > 70 << 10 { 2_000 } else { 1 };
            let keys: Vec<_> = (0..count).map(|k| (key + k).to_be_bytes()).collect();
            tx.add_elements(0, NFPROTO_IPV4, TABLE, "s", keys.iter().map(|key| Element::of(key)));
            (key, added) = (key + count, tx.bytes_len() - before);
        }
        let comment = "x".repeat(size / 4 * 4 - tx.bytes_len() - added - 7 + above * 4);
        let last = key.to_be_bytes();
        let last = Element { comment: Some(&comment), ..Element::of(&last) };
        tx.add_elements(0, NFPROTO_IPV4, TABLE, "s", [last]);
        let bytes = tx.bytes_len();
        assert_eq!(bytes, size / 4 * 4 + above * 4);
        match (connection.commit(tx), bytes <= connection.capacity()) {
            (Ok(()), true) => {}
            (Err(CommitError::TooLarge { bytes: told, capacity }), false) => {
                assert_eq!((told, capacity), (bytes, connection.capacity()));
            }
            (result, _) => panic!("{bytes} bytes of {}: {result:?}", connection.capacity()),
        }
        connection.generation().expect("still usable");
    }
}
