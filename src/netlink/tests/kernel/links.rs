//! Links and their addresses.

use std::net::Ipv6Addr;

use portolan_netlink::{
    Errno, RequestError,
    links::{Address, AddressChange, Heard, LinkError, LinkWatch, Links},
};

use crate::support::Test;

pub(crate) const TESTS: &[Test] = &[
    ("a_link_comes_and_goes", a_link_comes_and_goes),
    ("what_a_link_has_is_listed", what_a_link_has_is_listed),
    ("addresses_that_are_not_to_be_had_are_refused_one_by_one", addresses_are_refused_one_by_one),
    ("a_kind_of_link_that_there_is_not_is_told", a_kind_of_link_that_there_is_not_is_told),
    ("a_kind_that_is_known_is_found_without_making_a_link", a_kind_that_is_known_is_found_without_making_a_link),
    ("what_has_settled_is_the_nodes_own", what_has_settled_is_the_nodes_own),
    ("what_befalls_links_and_addresses_is_heard_of", what_befalls_links_and_addresses_is_heard_of),
];

/// The first link of a network namespace is lo.
const LOOPBACK: u32 = 1;

fn address(number: u32) -> Address {
    Address::alone(std::net::Ipv4Addr::from(0x0a60_0000 + number).into())
}

fn a_link_comes_and_goes() {
    let mut links = Links::open().expect("opened");
    assert_eq!(links.link("kube-ipvs0").expect("asked"), None);
    links.add("kube-ipvs0", "bridge").expect("made");
    let again = links.add("kube-ipvs0", "bridge");
    assert!(matches!(again, Err(LinkError::Request(RequestError::Refused(Errno::EEXIST)))), "{again:?}");
    let link = links.link("kube-ipvs0").expect("asked").expect("there");
    assert_eq!(link.kind.as_deref(), Some("bridge"));
    links.change_addresses(link.index, [AddressChange::Add(address(1))]).expect("added");
    links.delete(link.index).expect("deleted");
    assert_eq!(links.link("kube-ipvs0").expect("asked"), None);
    assert_eq!(links.addresses(link.index).expect("listed"), []);
    let gone = links.delete(link.index);
    assert!(matches!(gone, Err(LinkError::Request(RequestError::Refused(Errno::ENODEV)))), "{gone:?}");
}

/// Of both families, and of this link alone.
fn what_a_link_has_is_listed() {
    let mut links = Links::open().expect("opened");
    links.add("other", "bridge").expect("made");
    let other = links.link("other").expect("asked").expect("there").index;
    let in_a_network = Address { addr: "10.1.2.3".parse().expect("an address"), prefix: 24 };
    assert_eq!(links.change_addresses(other, [AddressChange::Add(in_a_network)]).expect("asked"), []);
    let mut mine: Vec<_> = (0..5_000).map(address).collect();
    mine.extend((0..100).map(|number| Address::alone(Ipv6Addr::from((0xfd00 << 112) + number).into())));
    let added = links.change_addresses(LOOPBACK, mine.iter().copied().map(AddressChange::Add));
    assert_eq!(added.expect("asked"), []);
    let mut listed = links.addresses(LOOPBACK).expect("listed");
    listed.sort_unstable();
    assert_eq!(listed, mine);
    assert_eq!(links.addresses(other).expect("listed"), [in_a_network]);
    let deleted = links.change_addresses(LOOPBACK, mine.into_iter().map(AddressChange::Delete));
    assert_eq!((deleted.expect("asked"), links.addresses(LOOPBACK).expect("listed")), (vec![], vec![]));
}

fn addresses_are_refused_one_by_one() {
    let mut links = Links::open().expect("opened");
    let changes = [
        AddressChange::Add(address(1)),
        AddressChange::Add(address(1)),
        AddressChange::Delete(address(2)),
        AddressChange::Add(Address { prefix: 99, ..address(3) }),
        AddressChange::Add(address(4)),
    ];
    let refusals = links.change_addresses(LOOPBACK, changes).expect("asked");
    let refused: Vec<_> = refusals.iter().map(|refusal| (refusal.op, refusal.errno)).collect();
    assert_eq!(refused, [(Some(1), Errno::EEXIST), (Some(2), Errno::EADDRNOTAVAIL), (Some(3), Errno::EINVAL)]);
    assert_eq!(links.addresses(LOOPBACK).expect("listed"), [address(1), address(4)]);
}

fn a_kind_of_link_that_there_is_not_is_told() {
    let mut links = Links::open().expect("opened");
    let result = links.add("kube-ipvs0", "no-such-kind");
    assert!(matches!(&result, Err(LinkError::Unsupported { kind }) if kind == "no-such-kind"), "{result:?}");
}

fn a_kind_that_is_known_is_found_without_making_a_link() {
    let mut links = Links::open().expect("opened");
    let interfaces = || std::fs::read_to_string("/proc/thread-self/net/dev").expect("listed").lines().count();
    let before = interfaces();
    assert!(links.knows_kind("bridge").expect("asked"));
    assert!(!links.knows_kind("no-such-kind").expect("asked"));
    assert_eq!(interfaces(), before);
}

/// Whoever does it.
fn what_befalls_links_and_addresses_is_heard_of() {
    let mut links = Links::open().expect("opened");
    let mut watch = LinkWatch::open().expect("subscribed");
    links.add("kube-ipvs0", "bridge").expect("made");
    let index = links.link("kube-ipvs0").expect("asked").expect("there").index;
    let six = Address::alone("fd00::1".parse().expect("an address"));
    links.change_addresses(index, [address(1), six].map(AddressChange::Add)).expect("added");
    links.change_addresses(index, [AddressChange::Delete(address(1))]).expect("deleted");
    links.delete(index).expect("deleted");
    let (mut heard, mut names) = (Vec::new(), Vec::new());
    let hear = |event: Heard<'_>| match event {
        Heard::Link(number, name) => names.push((number, name.to_owned())),
        Heard::LinkGone(number) => heard.push((number, None, false)),
        Heard::Address(number, address) => heard.push((number, Some(address), true)),
        Heard::AddressGone(number, address) => heard.push((number, Some(address), false)),
        Heard::Lost => panic!("there is room"),
    };
    watch.drain(hear).expect("the socket is well");
    assert!(names.contains(&(index, "kube-ipvs0".to_owned())), "{names:?}");
    for event in
        [(Some(address(1)), true), (Some(address(1)), false), (Some(six), true), (Some(six), false), (None, false)]
    {
        assert!(heard.contains(&(index, event.0, event.1)), "{event:?} of {heard:?}");
    }
}

/// Without waiting every tenth is not yet.
fn what_has_settled_is_the_nodes_own() {
    let mut links = Links::open().expect("opened");
    links.add("services", "bridge").expect("made");
    let index = links.link("services").expect("asked").expect("there").index;
    for number in 1..=200_u128 {
        let address = Ipv6Addr::from((0xfd00 << 112) + number);
        let added = [AddressChange::Add(Address::alone(address.into()))];
        assert_eq!(links.change_addresses(index, added).expect("added"), []);
        links.settle([address]).expect("asked");
        let routes = std::fs::read_to_string("/proc/thread-self/net/ipv6_route").expect("listed");
        let begins = format!("{:032x} 80 ", u128::from(address));
        // RTF_LOCAL of linux/ipv6_route.h
        let is_local = |route: &str| route.starts_with(&begins) && route.contains(" 80200001 ");
        assert!(routes.lines().any(is_local), "{address}: {routes}");
    }
}
