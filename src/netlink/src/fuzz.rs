//! Any bytes at all give a value or an error: no panic, no endless loop. The inputs are random, and real dumps
//! (`testdata/dumps.bin` and `testdata/ipvs.bin`, made by `examples/record.rs`) with bits flipped, lengths changed and ends cut
//! off.

use std::fmt::Debug;

use proptest::prelude::*;

use crate::{
    Malformed,
    attr::{Attrs, EncodeError, Writer, encode},
    conntrack::Entry,
    ipvs, links,
    message::Messages,
    wire::{Chain, Element, Expr, ListedElement, Rule, Set, Table, userdata},
};

const DUMPS: &[u8] = include_bytes!("../testdata/dumps.bin");
const IPVS: &[u8] = include_bytes!("../testdata/ipvs.bin");

/// What was understood reads the same once more after it was written.
fn again<T: PartialEq + Debug>(
    attrs: Attrs<'_>,
    parse: impl Fn(Attrs<'_>) -> Result<T, Malformed>,
    put: impl Fn(&T, &mut Writer<'_>),
) -> usize {
    let Ok(object) = parse(attrs) else { return 0 };
    match encode(|w| put(&object, w)) {
        Ok(bytes) => assert_eq!(parse(Attrs::new(&bytes)).as_ref(), Ok(&object)),
        Err(EncodeError::TooLong { .. }) => {}
        Err(error) => panic!("{error}"),
    }
    1
}

/// Reads bytes as everything that they could be; how many objects they were.
fn read_as_everything(bytes: &[u8]) -> usize {
    let mut objects = 0;
    for message in Messages::new(bytes) {
        let _ = (message.errno(), message.ack(), message.generation(), message.family(), message.nftables_type());
        let attrs = message.attrs();
        objects += again(attrs, Table::parse, Table::put);
        objects += again(attrs, Chain::parse, Chain::put);
        objects += again(attrs, Set::parse, |set, w| set.put(w, 1));
        objects += again(attrs, Rule::parse, Rule::put);
        objects += again(attrs, Expr::parse, Expr::put);
        let _ = Entry::parse(attrs);
        objects += read_as_ipvs(attrs);
        let _ = (links::parse_link(&message), links::Address::parse(&message), links::heard(&message));
        for element in ListedElement::parse_list(attrs).flatten() {
            let ListedElement { key, key_end, data, .. } = element;
            let written = Element { key, key_end, data, comment: element.comment() };
            let bytes = encode(|w| written.put(w)).expect("what fitted once fits again");
            let read = ListedElement::parse(Attrs::new(&bytes)).expect("what was written reads");
            assert_eq!((read.key, read.key_end, read.data, read.comment()), (key, key_end, data, element.comment()));
            assert!(userdata::entries(element.userdata).count() <= element.userdata.len());
            objects += 1;
        }
    }
    objects
}

/// The header of generic netlink is as long as that of netfilter.
fn read_as_ipvs(attrs: Attrs<'_>) -> usize {
    let servers =
        again(attrs, |attrs| ipvs::ListedServer::parse(attrs).map(|listed| listed.server), |server, w| server.put(w));
    let ids = [false, true].map(|ipv6| ipvs::ServerId::Mark { ipv6, mark: 1 });
    let _ = (
        ids.map(|id| ipvs::ListedDestination::parse(attrs, &id)),
        ipvs::Timeouts::parse(attrs),
        ipvs::Info::parse(attrs),
    );
    servers
}

#[derive(Debug, Clone)]
enum Mutation {
    Flip(prop::sample::Index, u8),
    Overwrite(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Remove(prop::sample::Index, usize),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let place = any::<prop::sample::Index>;
    prop_oneof![
        8 => (place(), 0..8_u8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        8 => (place(), any::<u8>()).prop_map(|(at, byte)| Mutation::Overwrite(at, byte)),
        1 => place().prop_map(Mutation::Cut),
        1 => (place(), 1..64_usize).prop_map(|(at, len)| Mutation::Remove(at, len)),
    ]
}

fn mutate(bytes: &mut Vec<u8>, mutation: &Mutation) {
    if bytes.is_empty() {
        return;
    }
    let len = bytes.len();
    match mutation {
        Mutation::Flip(at, bit) => bytes[at.index(len)] ^= 1 << bit,
        Mutation::Overwrite(at, byte) => bytes[at.index(len)] = *byte,
        Mutation::Cut(at) => bytes.truncate(at.index(len)),
        Mutation::Remove(at, count) => {
            let at = at.index(len);
            bytes.drain(at..len.min(at + count));
        }
    }
}

#[test]
fn the_recorded_dumps_are_understood() {
    let (mut exprs, mut unknown) = (0, 0);
    for message in Messages::new(DUMPS) {
        if let Ok(rule) = Rule::parse(message.attrs()) {
            exprs += rule.exprs.len();
            unknown += rule.exprs.iter().filter(|expr| matches!(expr, Expr::Other { .. })).count();
        }
    }
    assert!(exprs > 100, "{exprs}");
    assert_eq!(unknown, 0);
    assert!(read_as_everything(DUMPS) > 60);
    assert!(read_as_everything(IPVS) >= 8);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        read_as_everything(&bytes);
        Attrs::new(&bytes).for_each(drop);
        let _ = userdata::read_comment(&bytes);
    }

    /// A header that fits, so that the rest is looked at.
    #[test]
    fn random_payload(kind in prop_oneof![Just(2_u16), Just(3), 0xa00..0xa20_u16], flags: u16,
                      payload in prop::collection::vec(prop_oneof![3 => 0..24_u8, 1 => any::<u8>()], 0..512)) {
        let mut bytes = u32::try_from(payload.len() + 16).expect("short").to_ne_bytes().to_vec();
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(&payload);
        read_as_everything(&bytes);
    }

    #[test]
    fn mutated_dumps(mutations in prop::collection::vec(mutation(), 1..24),
                     dumps in prop_oneof![3 => Just(DUMPS), 1 => Just(IPVS)]) {
        let mut bytes = dumps.to_vec();
        mutations.iter().for_each(|mutation| mutate(&mut bytes, mutation));
        read_as_everything(&bytes);
    }
}
