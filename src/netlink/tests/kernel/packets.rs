//! What packets meet in sets and rules: counters, ranges, and elements that rules add.

use std::{net::UdpSocket, process::Command};

use portolan_netlink::{
    Connection, Errno,
    uapi::{NFPROTO_IPV4, NFPROTO_IPV6, hook, key, set},
    wire::{
        Chain, ChainKind, Counter, Data, DynsetOp, Element, Expr, Hook, ListedElement, Policy, Register, Rule, Set,
        SetData, Table,
    },
};

use crate::support::{TABLE, Test, nft, open, plain_set, refusals};

pub(crate) const TESTS: &[Test] = &[
    ("counters_count_what_comes_by", counters_count_what_comes_by),
    ("a_lookup_that_is_inverted_counts_nothing", a_lookup_that_is_inverted_counts_nothing),
    ("clients_are_remembered_until_the_set_is_full", clients_are_remembered_until_the_set_is_full),
    ("an_update_leaves_the_data", an_update_leaves_the_data),
    ("ranges_are_found_and_deleted_ip", || ranges_are_found_and_deleted(NFPROTO_IPV4)),
    ("ranges_are_found_and_deleted_ip6", || ranges_are_found_and_deleted(NFPROTO_IPV6)),
    ("ranges_must_not_share_a_key", ranges_must_not_share_a_key),
];

const CHAIN: &str = "c";
const THREE_HOURS: u64 = 10_800_000;

/// A table with sets and a chain in the way of what this namespace sends, which goes to itself.
fn with_chain(family: u8, sets: &[Set], rules: &[&[Expr]]) -> Connection {
    let status = Command::new("ip").args(["link", "set", "lo", "up"]).status().expect("ip starts");
    assert!(status.success());
    let mut connection = open();
    let mut tx = connection.transaction(None);
    tx.add_table(0, family, &Table { name: TABLE.to_owned(), ..Table::default() });
    sets.iter().for_each(|set| tx.add_set(0, family, set));
    let hook = Hook { number: hook::OUTPUT, priority: 0, kind: ChainKind::Filter, policy: Policy::Accept };
    let chain = Chain { table: TABLE.to_owned(), name: CHAIN.to_owned(), hook: Some(hook), userdata: vec![] };
    tx.add_chain(0, family, &chain);
    for exprs in rules {
        let exprs = exprs.to_vec();
        let rule = Rule { table: TABLE.to_owned(), chain: CHAIN.to_owned(), exprs, ..Rule::default() };
        tx.add_rule(0, family, &rule);
    }
    connection.commit(tx).expect("an empty namespace takes a table");
    let listed: Vec<_> = connection.rules(family, TABLE).expect("listed").into_iter().map(|rule| rule.exprs).collect();
    assert_eq!(listed, rules);
    connection
}

fn add(connection: &mut Connection, family: u8, elements: &[Element<'_>]) {
    let mut tx = connection.transaction(None);
    tx.add_elements(0, family, TABLE, "s", elements.iter().copied());
    connection.commit(tx).expect("taken");
}

/// One packet, to somebody who listens: else ICMP would answer, a packet as well.
fn send(from: &str, to: &str) {
    let _listener = UdpSocket::bind((to, 53)).expect("an own address");
    let socket = UdpSocket::bind((from, 0)).expect("an own address");
    socket.send_to(b"hello", (to, 53)).expect("sent");
}

/// `ip saddr` or `ip daddr`
fn address(offset: u32) -> Expr {
    Expr::Payload { base: key::PAYLOAD_NETWORK_HEADER, offset, len: 4, dreg: Register::FIRST }
}

const SADDR: u32 = 12;
const DADDR: u32 = 16;

fn lookup(invert: bool) -> Expr {
    Expr::Lookup { set: "s".to_owned(), sreg: Register::FIRST, dreg: None, invert }
}

fn counter() -> Expr {
    Expr::Counter(Counter::default())
}

/// The packets that each rule's counter saw.
fn counted(connection: &mut Connection, family: u8) -> Vec<u64> {
    let rules = connection.rules(family, TABLE).expect("listed");
    let counters = rules.iter().flat_map(|rule| &rule.exprs).filter_map(|expr| match expr {
        Expr::Counter(counter) => Some(counter.packets),
        _ => None,
    });
    counters.collect()
}

/// Key, end of range and count of each element.
type Listed = Vec<(Vec<u8>, Option<Vec<u8>>, Option<(u64, u64)>)>;

fn list(connection: &mut Connection, family: u8) -> Listed {
    let read = |listed: &mut Listed, element: &ListedElement<'_>| {
        assert!(element.is_plain(), "{element:?}");
        let counted = element.counter.map(|counter| (counter.packets, counter.bytes));
        listed.push((element.key.to_vec(), element.key_end.map(<[u8]>::to_vec), counted));
        Ok(())
    };
    let mut listed = connection.elements(family, TABLE, "s", read).expect("listed");
    listed.sort();
    listed
}

fn counters_count_what_comes_by() {
    let counting = Set { exprs: vec![counter()], size: Some(16), ..plain_set("s") };
    let rule = [address(DADDR), lookup(false), counter()];
    let mut connection = with_chain(NFPROTO_IPV4, std::slice::from_ref(&counting), &[&rule]);
    assert_eq!(connection.sets(NFPROTO_IPV4, TABLE).expect("listed"), [counting]);
    add(&mut connection, NFPROTO_IPV4, &[Element::of(&[127, 0, 0, 2]), Element::of(&[127, 0, 0, 3])]);
    for to in ["127.0.0.2", "127.0.0.2", "127.0.0.4"] {
        send("127.0.0.1", to);
    }
    // An IPv4 header has 20 bytes, a UDP header 8, the packet's content 5.
    let expected = [(vec![127, 0, 0, 2], None, Some((2, 66))), (vec![127, 0, 0, 3], None, Some((0, 0)))];
    assert_eq!(list(&mut connection, NFPROTO_IPV4), expected);
    assert_eq!(counted(&mut connection, NFPROTO_IPV4), [2]);
    // What it counted is no part of a rule.
    let live = connection.rules(NFPROTO_IPV4, TABLE).expect("listed");
    assert_eq!(live.iter().map(|live| live.exprs.as_slice()).collect::<Vec<_>>(), [rule]);
}

/// So a set whose elements count must not be asked by `!= @s return` alone.
fn a_lookup_that_is_inverted_counts_nothing() {
    let counting = Set { exprs: vec![counter()], ..plain_set("s") };
    let mut connection = with_chain(NFPROTO_IPV4, &[counting], &[&[address(DADDR), lookup(true), counter()]]);
    add(&mut connection, NFPROTO_IPV4, &[Element::of(&[127, 0, 0, 2])]);
    send("127.0.0.1", "127.0.0.2");
    send("127.0.0.1", "127.0.0.3");
    assert_eq!(list(&mut connection, NFPROTO_IPV4), [(vec![127, 0, 0, 2], None, Some((0, 0)))]);
    assert_eq!(counted(&mut connection, NFPROTO_IPV4), [1]);
}

fn dynset(data: Option<Register>) -> Expr {
    let (op, key) = (DynsetOp::Update, Register::FIRST);
    Expr::Dynset { set: "s".to_owned(), op, key, data, timeout: Some(THREE_HOURS) }
}

/// A rule whose set is full ends at the addition, so that the next one can do without.
fn clients_are_remembered_until_the_set_is_full() {
    let clients = Set { flags: set::F_EVAL | set::F_TIMEOUT, size: Some(2), ..plain_set("s") };
    let rule = [address(SADDR), dynset(None), counter()];
    let mut connection = with_chain(NFPROTO_IPV4, std::slice::from_ref(&clients), &[&rule, &[counter()]]);
    assert_eq!(connection.sets(NFPROTO_IPV4, TABLE).expect("listed"), [clients]);
    for from in ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.1"] {
        send(from, "127.0.0.9");
    }
    assert_eq!(counted(&mut connection, NFPROTO_IPV4), [3, 4]);
    let read = |listed: &mut Vec<(Vec<u8>, _)>, element: &ListedElement<'_>| {
        assert!(element.expiration.is_some_and(|left| left <= THREE_HOURS), "{element:?}");
        listed.push((element.key.to_vec(), element.timeout));
        Ok(())
    };
    let mut listed = connection.elements(NFPROTO_IPV4, TABLE, "s", read).expect("listed");
    listed.sort();
    assert_eq!(listed, [(vec![127, 0, 0, 1], Some(THREE_HOURS)), (vec![127, 0, 0, 2], Some(THREE_HOURS))]);
}

fn an_update_leaves_the_data() {
    let flags = set::F_EVAL | set::F_TIMEOUT | set::F_MAP;
    let data = Some(SetData::Value { kind: 7, len: 4 });
    let clients = Set { flags, data, size: Some(2), ..plain_set("s") };
    let remember = |value: [u8; 4]| {
        let value = Expr::Immediate { dreg: Register::word(4), value: value.to_vec() };
        [address(SADDR), value, dynset(Some(Register::word(4))), counter()]
    };
    let rules = [remember([1; 4]), remember([2; 4])];
    let mut connection = with_chain(NFPROTO_IPV4, &[clients], &[&rules[0], &rules[1]]);
    send("127.0.0.1", "127.0.0.9");
    assert_eq!(counted(&mut connection, NFPROTO_IPV4), [1, 1]);
    let read = |count: &mut usize, element: &ListedElement<'_>| {
        assert_eq!((element.key, element.data), (&[127, 0, 0, 1][..], Data::Value(&[1; 4])));
        *count += 1;
        Ok(())
    };
    assert_eq!(connection.elements(NFPROTO_IPV4, TABLE, "s", read).expect("listed"), 1);
}

/// A concatenation of address, protocol, port and source, each field padded to 4 bytes.
struct Shape {
    family: u8,
    address_len: u32,
    saddr: u32,
    daddr: u32,
    name: &'static str,
    type_name: &'static str,
}

impl Shape {
    const fn of(family: u8) -> Self {
        match family {
            NFPROTO_IPV4 => Self { family, address_len: 4, saddr: 12, daddr: 16, name: "ip", type_name: "ipv4_addr" },
            _ => Self { family, address_len: 16, saddr: 8, daddr: 24, name: "ip6", type_name: "ipv6_addr" },
        }
    }

    fn set(&self) -> Set {
        let address: u32 = if self.family == NFPROTO_IPV4 { 7 } else { 8 };
        Set {
            // nft's types of ipv4_addr or ipv6_addr, inet_proto and inet_service, in 6 bits each.
            key_type: address << 18 | 12 << 12 | 13 << 6 | address,
            key_len: 2 * self.address_len + 8,
            flags: set::F_INTERVAL | set::F_CONCAT,
            fields: vec![self.address_len, 1, 2, self.address_len],
            ..plain_set("s")
        }
    }

    fn rule(&self) -> Vec<Expr> {
        let words = self.address_len / 4;
        let network = |offset, word| Expr::Payload {
            base: key::PAYLOAD_NETWORK_HEADER,
            offset,
            len: self.address_len,
            dreg: Register::word(word),
        };
        let port = Register::word(words + 1);
        vec![
            network(self.daddr, 0),
            Expr::MetaLoad { key: key::META_L4PROTO, dreg: Register::word(words) },
            Expr::Payload { base: key::PAYLOAD_TRANSPORT_HEADER, offset: 2, len: 2, dreg: port },
            network(self.saddr, words + 2),
            lookup(false),
            counter(),
        ]
    }

    /// The key of this namespace's own address and DNS, from a source that ends with this byte.
    fn key(&self, source: u8) -> Vec<u8> {
        let mut local = vec![0; self.address_len as usize];
        if self.family == NFPROTO_IPV4 {
            local[0] = 127;
        }
        let mut from = local.clone();
        *local.last_mut().expect("an address has bytes") = 1;
        *from.last_mut().expect("an address has bytes") = source;
        [local, vec![17, 0, 0, 0, 0, 53, 0, 0], from].concat()
    }
}

fn ranges_are_found_and_deleted(family: u8) {
    let shape = Shape::of(family);
    let mut connection = with_chain(family, &[shape.set()], &[&shape.rule()]);
    assert_eq!(connection.sets(family, TABLE).expect("listed"), [shape.set()]);
    let [low, high, other] = [1, 9, 77].map(|source| shape.key(source));
    add(&mut connection, family, &[Element::range(&low, &high), Element::range(&other, &other)]);
    let listed = vec![(low.clone(), Some(high.clone()), None), (other.clone(), Some(other.clone()), None)];
    assert_eq!(list(&mut connection, family), listed);

    let this = if family == NFPROTO_IPV4 { "127.0.0.1" } else { "::1" };
    send(this, this);
    assert_eq!(counted(&mut connection, family), [1]);

    let (ip, name) = (shape.name, shape.type_name);
    let text = nft(&format!("list table {ip} {TABLE}"));
    let rule = format!("{ip} daddr . meta l4proto . th dport . {ip} saddr @s counter packets 1");
    assert!(text.contains(&format!("type {name} . inet_proto . inet_service . {name}")), "{text}");
    assert!(text.contains(&rule), "{text}");

    // The kernel looks at the first key only, and any key of the range will do.
    let inside = shape.key(5);
    let mut tx = connection.transaction(None);
    tx.delete_elements(0, family, TABLE, "s", [Element::range(&inside, &inside)]);
    connection.commit(tx).expect("there");
    assert_eq!(list(&mut connection, family), listed[1..]);
    send(this, this);
    assert_eq!(counted(&mut connection, family), [1]);
}

/// The kernel refuses a range whose first or last key is in another range, but not one around another: what is
/// sent has to be merged before.
fn ranges_must_not_share_a_key() {
    let shape = Shape::of(NFPROTO_IPV4);
    let mut connection = with_chain(NFPROTO_IPV4, &[shape.set()], &[]);
    let keys = [0, 3, 7, 9].map(|source| shape.key(source));
    let [inner, outer] = [Element::range(&keys[1], &keys[2]), Element::range(&keys[0], &keys[3])];
    add(&mut connection, NFPROTO_IPV4, &[outer]);
    let mut tx = connection.transaction(None);
    tx.add_elements(0, NFPROTO_IPV4, TABLE, "s", [inner]);
    assert_eq!(refusals(connection.commit(tx))[0].errno, Errno::EEXIST);
    // The same once more is no error.
    add(&mut connection, NFPROTO_IPV4, &[outer]);

    let mut tx = connection.transaction(None);
    tx.delete_elements(0, NFPROTO_IPV4, TABLE, "s", [outer]);
    connection.commit(tx).expect("there");
    add(&mut connection, NFPROTO_IPV4, &[inner]);
    add(&mut connection, NFPROTO_IPV4, &[outer]);
    assert_eq!(list(&mut connection, NFPROTO_IPV4).len(), 2);
}
