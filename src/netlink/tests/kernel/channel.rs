//! Many requests over one socket: each answer is for the one that it belongs to, and none is lost.

use portolan_netlink::{
    Answer, Answers, Channel, Connection, Errno, NETLINK_NETFILTER, NETLINK_ROUTE, Requests,
    uapi::{NFPROTO_IPV4, flag},
    wire::Table,
};

use crate::support::{Test, nft};

pub(crate) const TESTS: &[Test] = &[
    ("answers_belong_to_their_requests", answers_belong_to_their_requests),
    ("refusals_never_overrun_the_socket", refusals_never_overrun_the_socket),
    ("lists_follow_each_other", lists_follow_each_other),
    ("a_list_beside_changes_is_whole", a_list_beside_changes_is_whole),
];

/// linux/rtnetlink.h and linux/if_addr.h
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_GETADDR: u16 = 22;
const IFA_LOCAL: u16 = 2;

/// The first link of a network namespace is lo.
const LOOPBACK: u32 = 1;

/// `struct ifaddrmsg` of 10.x.y.z/32 at lo, and the address.
fn address(requests: &mut Requests, kind: u16, flags: u16, number: u32) {
    let index = LOOPBACK.to_ne_bytes();
    let head = [2, 32, 0, 0, index[0], index[1], index[2], index[3]];
    let octets = (0x0a00_0000 + number).to_be_bytes();
    requests.add(kind, flags, Answers::None, &head, |w| w.bytes(IFA_LOCAL, &octets));
}

fn list(requests: &mut Requests) {
    requests.add(RTM_GETADDR, 0, Answers::List, &[2, 0, 0, 0, 0, 0, 0, 0], |_| {});
}

/// How many objects each request has got, and its last answer.
fn run(channel: &mut Channel, mut requests: Requests) -> Vec<(usize, Result<(), Errno>)> {
    let (mut heard, mut objects) = (Vec::new(), 0);
    channel
        .run(&mut requests, |number, answer| {
            assert_eq!(number, heard.len());
            let end = match answer {
                Answer::Object(_) => {
                    objects += 1;
                    return;
                }
                Answer::Done => Ok(()),
                Answer::Refused(errno, _) => Err(errno),
                other => panic!("{other:?}"),
            };
            heard.push((std::mem::take(&mut objects), end));
        })
        .expect("the socket is well");
    assert_eq!(heard.len(), requests.len());
    heard
}

/// 6,000 changes, every third of them refused, and a list in the middle and at the end.
fn answers_belong_to_their_requests() {
    let mut channel = Channel::open(NETLINK_ROUTE).expect("opened");
    let mut requests = Requests::default();
    for round in 0..2 {
        for number in 0..1_000 {
            address(&mut requests, RTM_NEWADDR, flag::CREATE | flag::EXCL, round * 1_000 + number);
            address(&mut requests, RTM_NEWADDR, flag::CREATE | flag::EXCL, round * 1_000 + number);
            address(&mut requests, RTM_NEWADDR, flag::CREATE | flag::EXCL, 100_000 + round * 1_000 + number);
        }
        list(&mut requests);
    }
    let heard = run(&mut channel, requests);
    for (number, (objects, end)) in heard.into_iter().enumerate() {
        let expected = match (number, number % 3_001 % 3) {
            (3_000, _) => (2_000, Ok(())),
            (6_001, _) => (4_000, Ok(())),
            (_, 1) => (0, Err(Errno::EEXIST)),
            _ => (0, Ok(())),
        };
        assert_eq!((objects, end), expected, "request {number}");
    }
}

/// However little the socket holds.
fn refusals_never_overrun_the_socket() {
    for room in [1, 10_000, 100_000, 1 << 20] {
        let mut channel = Channel::with_room(NETLINK_ROUTE, room).expect("opened");
        let mut requests = Requests::default();
        (0..5_000).for_each(|number| address(&mut requests, RTM_DELADDR, 0, number));
        let heard = run(&mut channel, requests);
        assert!(heard.iter().all(|(_, end)| *end == Err(Errno::EADDRNOTAVAIL)), "{:?}", heard.first());
    }
}

/// The kernel makes one at a time for a socket: sent together they would be EBUSY.
fn lists_follow_each_other() {
    let mut channel = Channel::open(NETLINK_ROUTE).expect("opened");
    let mut requests = Requests::default();
    (0..3_000).for_each(|number| address(&mut requests, RTM_NEWADDR, flag::CREATE | flag::EXCL, number));
    (0..20).for_each(|_| list(&mut requests));
    let heard = run(&mut channel, requests);
    assert!(heard[3_000..].iter().all(|(objects, end)| (*objects, *end) == (3_000, Ok(()))), "{:?}", heard.last());
}

/// Also where its objects come in many datagrams, and changes stand before and after it.
fn a_list_beside_changes_is_whole() {
    const GETTABLE: u16 = 0x0a01;
    let mut connection = Connection::open().expect("this namespace allows it");
    let mut tx = connection.transaction(None);
    for number in 0..2_000 {
        tx.add_table(number, NFPROTO_IPV4, &Table { name: format!("table-{number}"), ..Table::default() });
    }
    connection.commit(tx).expect("taken");
    let mut channel = Channel::open(NETLINK_NETFILTER).expect("opened");
    let mut requests = Requests::default();
    let head = [NFPROTO_IPV4, 0, 0, 0];
    for _ in 0..2 {
        requests.add(GETTABLE, 0, Answers::One, &head, |w| w.str(1, "table-1"));
        requests.add(GETTABLE, 0, Answers::List, &head, |_| {});
        requests.add(GETTABLE, 0, Answers::One, &head, |w| w.str(1, "missing"));
    }
    let expected = [(1, Ok(())), (2_000, Ok(())), (0, Err(Errno::ENOENT))];
    assert_eq!(run(&mut channel, requests), [expected, expected].concat());
    assert_eq!(nft("list tables ip").lines().count(), 2_000);
}
