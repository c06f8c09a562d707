//! What the tests share: a foreign writer, and a table to work in.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use portolan_netlink::{
    CommitError, Connection, Refusal,
    uapi::{NFPROTO_IPV4, set},
    wire::{Set, SetData, Table},
};

/// A named test of this program.
pub(crate) type Test = (&'static str, fn());

/// Set for a copy of this program that plays a part in a test; its value names the part.
pub(crate) const CHILD: &str = "PORTOLAN_KERNEL_TEST_CHILD";

/// The table that most tests work in.
pub(crate) const TABLE: &str = "t";

/// Lets nft, another program with a netlink port of its own, run commands in this namespace.
pub(crate) fn nft(commands: &str) -> String {
    let mut child = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("nft starts");
    child.stdin.take().expect("piped").write_all(commands.as_bytes()).expect("nft reads");
    let output = child.wait_with_output().expect("nft ends");
    assert!(output.status.success(), "nft refused {commands}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("nft prints text")
}

pub(crate) fn open() -> Connection {
    Connection::open().expect("this namespace allows it")
}

/// `table ip t { set s { 4 bytes }  map m { 4 bytes : 4 bytes } }`
pub(crate) fn with_sets() -> Connection {
    let mut connection = open();
    let mut tx = connection.transaction(None);
    tx.add_table(0, NFPROTO_IPV4, &Table { name: TABLE.to_owned(), ..Table::default() });
    tx.add_set(1, NFPROTO_IPV4, &plain_set("s"));
    let data = Some(SetData::Value { kind: 7, len: 4 });
    tx.add_set(2, NFPROTO_IPV4, &Set { flags: set::F_MAP, data, ..plain_set("m") });
    connection.commit(tx).expect("an empty namespace takes a table");
    connection
}

/// `set NAME { type ipv4_addr }`
pub(crate) fn plain_set(name: &str) -> Set {
    Set { table: TABLE.to_owned(), name: name.to_owned(), key_type: 7, key_len: 4, ..Set::default() }
}

/// Numbers as keys of four bytes.
pub(crate) fn keys(count: u32) -> Vec<[u8; 4]> {
    (0..count).map(u32::to_be_bytes).collect()
}

pub(crate) fn refusals(result: Result<(), CommitError>) -> Vec<Refusal> {
    match result {
        Err(CommitError::Refused(refusals)) => refusals,
        other => panic!("expected refusals, got {other:?}"),
    }
}
