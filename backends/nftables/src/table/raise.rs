//! From instructions back to words: what a rule that the kernel lists says.
//!
//! No decompiler: the first instructions of a statement suggest what it may be, and it is that if we would write it with
//! exactly the instructions that are there. So a rule is raised to nothing that does not [lower](super::lower) to it, and
//! one that we would not write is not raised at all.
//!
//! ```text
//!   meta load mark, bitwise, ..     could be  mark | 0x4000, mark ^ 0x4000, mark & 0x4000 == 0x4000
//!                                   is        the one of them that lowers to these instructions
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use portolan_core::{
    addr::{Family, Protocol},
    desired::{Endpoint, InterfaceName, LocalDetector},
};
use portolan_netlink::{
    uapi::key,
    wire::{Expr, Register, Verdict},
};

use super::{
    element::read_endpoint,
    field::Field,
    layout::Layout,
    lower::{load, lower, words},
    rule::{Rule, Statement},
};

/// The rule that has these instructions; `None` where we would write none that has. What only people read is not told:
/// comments, and whether an endpoint is on this node. A source inside a prefix is always a pod's.
#[must_use]
pub(crate) fn raise<L: Layout>(family: Family, instructions: &[Expr]) -> Option<Rule<L>> {
    let mut statements = Vec::new();
    let mut rest = instructions;
    while !rest.is_empty() {
        let (statement, behind) = candidates(family, rest).into_iter().find_map(|statement| {
            let mut lowered = Vec::new();
            lower(&mut lowered, family, &statement);
            Some((statement, rest.strip_prefix(lowered.as_slice())?))
        })?;
        statements.push(statement);
        rest = behind;
    }
    Some(Rule { statements, comment: None })
}

/// What a statement that begins so may be. The values in them are read generously: who would write them otherwise finds
/// out afterwards.
fn candidates<L: Layout>(family: Family, instructions: &[Expr]) -> Vec<Statement<L>> {
    match instructions {
        [Expr::Verdict(verdict), ..] => match verdict {
            Verdict::Drop => vec![Statement::Drop],
            Verdict::Return => vec![Statement::Return],
            Verdict::Jump(chain) => vec![Statement::Jump(L::chain(chain))],
            Verdict::Goto(chain) => vec![Statement::Goto(L::chain(chain))],
            Verdict::Accept | Verdict::Other(_) => Vec::new(),
        },
        [Expr::Reject(_), ..] => vec![Statement::Reject, Statement::RejectWithReset],
        [Expr::Masquerade { .. }, ..] => vec![Statement::Masquerade],
        [Expr::CtLoad { direction: None, .. }, ..] => vec![Statement::NotNew, Statement::Translated],
        [Expr::Fib { .. }, ..] => [Field::Source, Field::Destination].map(Statement::Local).into(),
        [Expr::Random { modulus, .. }, Expr::Cmp { .. }, ..] => vec![Statement::OneIn(*modulus)],
        [Expr::MetaLoad { key: key::META_MARK, .. }, Expr::Bitwise { mask, xor, .. }, ..] => {
            let changes = number(xor).map(|bits| [Statement::Mark(bits), Statement::Unmark(bits)]);
            changes.into_iter().flatten().chain(number(mask).map(Statement::Marked)).collect()
        }
        [Expr::MetaLoad { key: key::META_OIF, .. }, Expr::MetaLoad { .. }, Expr::Dynset { set, .. }, ..] => {
            L::set(set).map(Statement::LeavesAsItCame).into_iter().collect()
        }
        [Expr::MetaLoad { key: key::META_IIFNAME, .. }, Expr::Cmp { value, .. }, ..] => {
            let name = std::str::from_utf8(value).ok().and_then(|name| name.trim_end_matches('\0').parse().ok());
            let detectors = name.map(|name: InterfaceName| {
                [LocalDetector::Interface(name.clone()), LocalDetector::InterfacePrefix(name)]
            });
            detectors.into_iter().flatten().flat_map(detected).collect()
        }
        [Expr::MetaLoad { .. }, Expr::Cmp { value, .. }, ..] => {
            Protocol::ALL.into_iter().filter(|protocol| *value == [protocol.number()]).map(Statement::Is).collect()
        }
        [Expr::Immediate { value: addr, .. }, Expr::Immediate { value: port, .. }, ..] => {
            let endpoint = read_endpoint(family, &[addr.as_slice(), port, &[0; 2]].concat());
            endpoint
                .map(|(addr, port)| Statement::TranslateTo(Endpoint { addr, port, local: false }))
                .into_iter()
                .collect()
        }
        [Expr::Payload { .. }, Expr::Bitwise { mask, .. }, Expr::Cmp { value, .. }, ..] => {
            prefixed(family, value, mask.iter().map(|byte| byte.count_ones()).sum())
        }
        [Expr::Payload { .. }, Expr::Cmp { value, .. }, ..] => {
            prefixed(family, value, 8 * u32::try_from(value.len()).unwrap_or(u32::MAX))
        }
        _ => looked_up(family, instructions),
    }
}

/// An address inside a prefix, or outside.
fn prefixed<L: Layout>(family: Family, value: &[u8], length: u32) -> Vec<Statement<L>> {
    let mut octets = value.to_vec();
    octets.resize(16, 0);
    let addr: Option<IpAddr> = match family {
        Family::V4 => octets.first_chunk::<4>().map(|octets| Ipv4Addr::from(*octets).into()),
        Family::V6 => octets.first_chunk::<16>().map(|octets| Ipv6Addr::from(*octets).into()),
    };
    let net = addr.zip(u8::try_from(length).ok()).and_then(|(addr, length)| IpNet::new(addr, length).ok());
    let statements = |net| {
        let destination = [Statement::Within, Statement::Outside].map(|of| of(Field::Destination, net));
        detected(LocalDetector::Cidr(net)).into_iter().chain(destination)
    };
    net.into_iter().flat_map(statements).collect()
}

fn detected<L: Layout>(detector: LocalDetector) -> [Statement<L>; 2] {
    [Statement::FromPod(detector.clone()), Statement::NotFromPod(detector)]
}

/// Fields of the packet in a set.
fn looked_up<L: Layout>(family: Family, instructions: &[Expr]) -> Vec<Statement<L>> {
    let (fields, rest) = fields(family, instructions);
    match rest {
        [Expr::Lookup { set, .. }, ..] => match (L::set(set), L::clients(set)) {
            (Some(set), _) if is_key_of(&fields, &L::shape(set).key) => {
                let of = [Statement::In, Statement::NotIn, Statement::Lookup, Statement::Translate];
                of.map(|of| of(fields.clone(), set)).into()
            }
            (None, Some(clients)) => vec![Statement::Known(clients)],
            _ => Vec::new(),
        },
        [Expr::Dynset { set, timeout: Some(timeout), .. }, ..] => {
            let seconds = u32::try_from(timeout / 1000).ok();
            let both = L::clients(set).zip(seconds);
            both.map(|(clients, seconds)| Statement::Remember(clients, seconds)).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// The fields that instructions load, each behind the last one, and the instructions behind them.
fn fields(family: Family, instructions: &[Expr]) -> (Vec<Field>, &[Expr]) {
    let (mut fields, mut word, mut rest) = (Vec::new(), 0, instructions);
    while let [instruction, behind @ ..] = rest {
        let random = match instruction {
            Expr::Random { modulus, .. } => Field::Random(*modulus),
            _ => Field::Port,
        };
        let known = [Field::Source, Field::Destination, Field::Asked, Field::Protocol, Field::Port, random];
        match known.into_iter().find(|field| load(family, *field, Register::word(word)) == *instruction) {
            Some(field) => {
                word += words(family, field);
                fields.push(field);
            }
            None => break,
        }
        rest = behind;
    }
    (fields, rest)
}

/// Whether a set's keys are made of such fields, whichever addresses; below which number the random one is, is the rule's.
fn is_key_of(fields: &[Field], key: &[Field]) -> bool {
    let is_address = |field: &Field| matches!(field, Field::Source | Field::Destination | Field::Asked);
    let same = |(a, b): (&Field, &Field)| {
        a == b || is_address(a) && is_address(b) || matches!((a, b), (Field::Random(_), Field::Random(_)))
    };
    fields.len() == key.len() && fields.iter().zip(key).all(same)
}

fn number(bytes: &[u8]) -> Option<u32> {
    bytes.try_into().ok().map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        services::{
            Nft, Statement,
            names::{ChainName, PortName, SetName},
            sets,
        },
        table::{field::Scope, lower::expressions},
    };

    fn a_family() -> impl Strategy<Value = Family> {
        prop::sample::select(&Family::ALL)
    }

    fn an_address(family: Family) -> BoxedStrategy<IpAddr> {
        match family {
            Family::V4 => any::<Ipv4Addr>().prop_map(IpAddr::from).boxed(),
            Family::V6 => any::<Ipv6Addr>().prop_map(IpAddr::from).boxed(),
        }
    }

    fn a_net(family: Family) -> impl Strategy<Value = IpNet> {
        let longest = if family == Family::V4 { 32 } else { 128_u8 };
        (an_address(family), 0..=longest).prop_map(|(addr, length)| IpNet::new(addr, length).unwrap().trunc())
    }

    fn a_detector(family: Family) -> impl Strategy<Value = LocalDetector> {
        let name = || "[a-z][a-z0-9.-]{0,14}".prop_map(|name| name.parse().unwrap());
        prop_oneof![
            a_net(family).prop_map(LocalDetector::Cidr),
            name().prop_map(LocalDetector::Interface),
            name().prop_map(LocalDetector::InterfacePrefix),
        ]
    }

    fn a_set() -> impl Strategy<Value = (Vec<Field>, SetName)> {
        let looked_up = SetName::ALL.into_iter().filter(|set| *set != SetName::Links).collect::<Vec<_>>();
        (prop::sample::select(looked_up), 1..=u32::MAX).prop_map(|(set, modulus)| {
            let numbered = |field| if matches!(field, Field::Random(_)) { Field::Random(modulus) } else { field };
            (sets::shape(set).key.into_iter().map(numbered).collect(), set)
        })
    }

    fn clients() -> impl Strategy<Value = PortName> {
        "affinity-[a-z/_.0-9-]{0,40}".prop_map(|name| PortName::parse(&name).unwrap())
    }

    fn a_chain() -> impl Strategy<Value = ChainName> {
        let made = (0..u32::MAX).prop_map(|count| ChainName::Pick(Scope::NodePort, count));
        prop_oneof![prop::sample::select(&ChainName::BASE), made, clients().prop_map(ChainName::OfPort)]
    }

    /// Every statement, but for two that are another one in the kernel: sources within and outside of a prefix.
    fn a_statement(family: Family) -> BoxedStrategy<Statement> {
        let bits = || 1..=u32::MAX;
        let field = || prop::sample::select(&[Field::Source, Field::Destination]);
        let endpoint = (an_address(family), any::<u16>());
        let statement = prop_oneof![
            a_set().prop_map(|(fields, set)| Statement::In(fields, set)),
            a_set().prop_map(|(fields, set)| Statement::NotIn(fields, set)),
            Just(Statement::NotIn(vec![Field::Asked], SetName::ClusterIps)),
            a_set().prop_map(|(fields, set)| Statement::Lookup(fields, set)),
            a_set().prop_map(|(fields, set)| Statement::Translate(fields, set)),
            prop::sample::select(&Protocol::ALL).prop_map(Statement::Is),
            a_net(family).prop_map(|net| Statement::Within(Field::Destination, net)),
            a_net(family).prop_map(|net| Statement::Outside(Field::Destination, net)),
            field().prop_map(Statement::Local),
            a_detector(family).prop_map(Statement::FromPod),
            a_detector(family).prop_map(Statement::NotFromPod),
            bits().prop_map(Statement::Marked),
            bits().prop_map(Statement::Mark),
            bits().prop_map(Statement::Unmark),
            bits().prop_map(Statement::OneIn),
            clients().prop_map(Statement::Known),
            (clients(), any::<u32>()).prop_map(|(clients, seconds)| Statement::Remember(clients, seconds)),
            endpoint.prop_map(|(addr, port)| Statement::TranslateTo(Endpoint { addr, port, local: false })),
            a_chain().prop_map(Statement::Jump),
            a_chain().prop_map(Statement::Goto),
        ];
        let constant = [
            Statement::NotNew,
            Statement::LeavesAsItCame(SetName::Links),
            Statement::Translated,
            Statement::Masquerade,
            Statement::Reject,
            Statement::RejectWithReset,
            Statement::Drop,
            Statement::Return,
        ];
        prop_oneof![statement, prop::sample::select(constant.to_vec())].boxed()
    }

    proptest! {
        #[test]
        fn what_is_lowered_is_raised_again(
            (family, statements) in a_family()
                .prop_flat_map(|family| (Just(family), prop::collection::vec(a_statement(family), 0..5))),
        ) {
            let rule = Rule { statements, comment: None };
            prop_assert_eq!(raise(family, &expressions(family, &rule)), Some(rule));
        }

        #[test]
        fn what_is_raised_lowers_to_what_was_there(
            (family, statements) in a_family()
                .prop_flat_map(|family| (Just(family), prop::collection::vec(a_statement(family), 1..5))),
            gone: prop::sample::Index,
            moved: prop::sample::Index,
        ) {
            let mut instructions = expressions(family, &Rule { statements, comment: None });
            let one = instructions.remove(gone.index(instructions.len()));
            instructions.insert(moved.index(instructions.len() + 1), one);
            if let Some(rule) = raise::<Nft>(family, &instructions) {
                prop_assert_eq!(expressions(family, &rule), instructions);
            }
        }
    }

    #[test]
    fn rules_of_others_are_not_raised() {
        for instructions in [
            vec![Expr::Verdict(Verdict::Accept)],
            vec![Expr::Other { name: "log".into(), data: Vec::new() }, Expr::Verdict(Verdict::Drop)],
            vec![Expr::Lookup { set: "services".into(), sreg: Register::FIRST, dreg: None, invert: false }],
        ] {
            assert_eq!(raise::<Nft>(Family::V4, &instructions), None, "{instructions:?}");
        }
    }
}
