//! What is written is read as it was, whatever is in it.
#![allow(
    clippy::unwrap_used,
    reason = "all of this is a test, which clippy knows only of the functions that are marked"
)]

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use portolan_core::addr::{Family, Protocol};
use portolan_iptables::{
    AddressSide, ChainName, Condition, Hash, Is, Link, Part, RejectWith, Rule, State, Target, Text, parse,
};
use proptest::prelude::*;

fn address(family: Family) -> BoxedStrategy<IpAddr> {
    match family {
        Family::V4 => any::<std::net::Ipv4Addr>().prop_map(IpAddr::from).boxed(),
        Family::V6 => any::<std::net::Ipv6Addr>().prop_map(IpAddr::from).boxed(),
    }
}

fn network(family: Family) -> impl Strategy<Value = IpNet> {
    (address(family), 1..=longest_prefix(family)).prop_map(|(addr, length)| IpNet::new(addr, length).unwrap().trunc())
}

fn hash() -> impl Strategy<Value = Hash> {
    "[A-Z2-7]{16}".prop_map(|text| Hash::parse(&text).unwrap())
}

fn chain() -> impl Strategy<Value = ChainName> {
    prop_oneof![
        proptest::sample::select(ChainName::FIXED.to_vec()),
        hash().prop_map(|hash| ChainName::Of(Part::Endpoint, hash)),
    ]
}

fn protocol() -> impl Strategy<Value = Protocol> {
    proptest::sample::select(Protocol::ALL.to_vec())
}

fn is() -> impl Strategy<Value = Is> {
    proptest::sample::select(vec![Is::In, Is::Not])
}

fn side() -> impl Strategy<Value = AddressSide> {
    proptest::sample::select(vec![AddressSide::Source, AddressSide::Destination])
}

fn condition(family: Family) -> impl Strategy<Value = Condition> {
    let states = vec![State::New, State::Invalid, State::Known, State::KnownOrTranslated, State::Translated];
    let link = "[a-z]{1,14}[0-9]".prop_map(|name| name.parse().unwrap());
    prop_oneof![
        (side(), is(), network(family)).prop_map(|(side, is, net)| Condition::Within(side, is, net)),
        (is(), link.clone()).prop_map(|(is, name)| Condition::CameBy(is, Link::Named(name))),
        (is(), link).prop_map(|(is, name)| Condition::CameBy(is, Link::Beginning(name))),
        (is(), protocol()).prop_map(|(is, protocol)| Condition::Protocol(is, protocol)),
        "\\PC{0,40}".prop_map(|text| Condition::Comment(text.into())),
        (protocol(), any::<Option<u16>>()).prop_map(|(protocol, port)| Condition::Port(protocol, port)),
        (is(), proptest::sample::select(states)).prop_map(|(is, state)| Condition::State(is, state)),
        (side(), is()).prop_map(|(side, is)| Condition::Local(side, is)),
        (is(), any::<u32>(), any::<u32>()).prop_map(|(is, value, mask)| Condition::Marked(is, value, mask)),
        (0..=1_u32 << 31).prop_map(Condition::Chance),
        (hash(), 1..=86_400_u32).prop_map(|(hash, seconds)| Condition::Known(hash, seconds)),
        hash().prop_map(Condition::Remember),
    ]
}

fn target(family: Family) -> impl Strategy<Value = Target> {
    prop_oneof![
        chain().prop_map(Target::Jump),
        Just(Target::Accept),
        Just(Target::Drop),
        Just(Target::Return),
        Just(Target::Reject(RejectWith::PortUnreachable)),
        Just(Target::Reject(RejectWith::Reset)),
        (address(family), any::<u16>()).prop_map(|(addr, port)| Target::SendTo(SocketAddr::new(addr, port))),
        (any::<u32>(), any::<u32>()).prop_map(|(value, mask)| Target::Mark(value, mask)),
        Just(Target::Masquerade),
        Just(Target::None),
    ]
}

fn family_and_rule() -> impl Strategy<Value = (Family, Rule)> {
    proptest::sample::select(Family::ALL.to_vec()).prop_flat_map(|family| {
        let rule = (proptest::collection::vec(condition(family), 0..6), target(family));
        rule.prop_map(move |(conditions, target)| (family, Rule::new(conditions, target)))
    })
}

proptest! {
    #[test]
    fn a_rule_is_read_as_it_was_written((family, rule) in family_and_rule()) {
        let text = Text(family, &rule).to_string();
        prop_assert_eq!(text.lines().count(), usize::from(!text.is_empty()), "one line: {:?}", text);
        prop_assert_eq!(parse(family, &text), rule, "{}", text);
    }

    #[test]
    fn any_text_is_a_rule_and_written_as_it_was(text in "\\PC{0,80}") {
        let rule = parse(Family::V4, &text);
        if matches!(rule.target, Target::Strange(_)) {
            prop_assert_eq!(Text(Family::V4, &rule).to_string(), text);
        }
    }
}

/// No comment is a command: it stays one word of its line, whatever is in it.
#[test]
fn a_comment_ends_neither_its_word_nor_its_line() {
    for hostile in [
        "a\nCOMMIT\n*filter\n-F",
        "a\" -j ACCEPT",
        "a\\",
        "\\\" -j DROP #",
        "a' -j ACCEPT",
        "$(reboot)",
        "",
        " ",
        "-j",
        "# a",
        "a\r-F\u{b}\u{85}\u{0}",
    ] {
        let rule = Rule::new([Condition::Comment(hostile.into())], Target::Drop);
        let text = Text(Family::V4, &rule).to_string();
        assert!(!text.contains(char::is_control), "{text:?}");
        let read = parse(Family::V4, &text);
        assert_eq!((read.target, read.conditions.len()), (Target::Drop, 1), "{text:?}");
    }
}

const fn longest_prefix(family: Family) -> u8 {
    match family {
        Family::V4 => 32,
        Family::V6 => 128,
    }
}
