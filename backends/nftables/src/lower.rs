//! From words to instructions: what the kernel runs for a rule, and how sets and elements are laid out in bytes.
//!
//! The same instructions as nft generates for [`text`](mod@crate::text), so that the two can be compared and
//! `nft list ruleset` prints what we would write. Every field of a key starts at a word of 4 bytes:
//!
//! ```text
//!   word      0            1            2         3
//!   IPv4    | ip daddr   | l4proto    | dport   | random |   ip, then bytes in network order, padded with zeros;
//!   IPv6    | ip6 daddr: words 0 to 3 | l4proto | dport  | random |           the random number in host order
//! ```

use ipnet::IpNet;
use portolan_core::addr::Family;
use portolan_netlink::{
    uapi::{self, key},
    wire::{CmpOp, Expr, Register, Reject, Verdict},
};

use crate::rule::{Field, Rule, Statement};

/// ICMP's and ICMPv6's numbers for "port unreachable".
const PORT_UNREACHABLE: u8 = 3;
const PORT_UNREACHABLE_V6: u8 = 4;

/// Whether rules that the kernel lists are those that we would write.
#[must_use]
pub(crate) fn is_same(family: Family, live: &[Vec<Expr>], wanted: &[Rule]) -> bool {
    live.len() == wanted.len() && live.iter().zip(wanted).all(|(live, wanted)| *live == expressions(family, wanted))
}

/// The number of a family in netlink messages.
#[must_use]
pub(crate) const fn protocol_family(family: Family) -> u8 {
    match family {
        Family::V4 => uapi::NFPROTO_IPV4,
        Family::V6 => uapi::NFPROTO_IPV6,
    }
}

/// The instructions of a rule.
#[must_use]
pub(crate) fn expressions(family: Family, rule: &Rule) -> Vec<Expr> {
    let mut out = Vec::new();
    for statement in &rule.statements {
        lower(&mut out, family, statement);
    }
    out
}

fn lower(out: &mut Vec<Expr>, family: Family, statement: &Statement) {
    match statement {
        Statement::In(fields, set) => lookup(out, family, fields, set.as_str(), None, false),
        Statement::NotIn(fields, set) => lookup(out, family, fields, set.as_str(), None, true),
        Statement::Lookup(fields, map) => lookup(out, family, fields, map.as_str(), Some(Register::VERDICT), false),
        Statement::Translate(fields, map) => {
            lookup(out, family, fields, map.as_str(), Some(Register::FIRST), false);
            out.push(Expr::Dnat {
                family: protocol_family(family),
                addr: Register::FIRST,
                proto: Some(Register::word(words(family, Field::Destination))),
                flags: 0,
            });
        }
        Statement::Is(protocol) => {
            out.push(Expr::MetaLoad { key: key::META_L4PROTO, dreg: Register::FIRST });
            compare(out, CmpOp::Eq, &[protocol.number()]);
        }
        Statement::SourceOutside(net) => source_outside(out, *net),
        Statement::New => {
            out.push(Expr::CtLoad { key: key::CT_STATE, dreg: Register::FIRST });
            has_any_bit(out, key::CT_STATE_NEW);
        }
        Statement::NotNew => {
            out.push(Expr::CtLoad { key: key::CT_STATE, dreg: Register::FIRST });
            compare(out, CmpOp::Neq, &key::CT_STATE_NEW.to_ne_bytes());
        }
        Statement::Translated => {
            out.push(Expr::CtLoad { key: key::CT_STATUS, dreg: Register::FIRST });
            has_any_bit(out, key::CT_STATUS_DNAT);
        }
        Statement::Marked(bits) => {
            out.push(Expr::MetaLoad { key: key::META_MARK, dreg: Register::FIRST });
            bitwise(out, *bits, 0);
            compare(out, CmpOp::Eq, &bits.to_ne_bytes());
        }
        Statement::Mark(bits) => change_mark(out, !bits, *bits),
        Statement::Unmark(bits) => change_mark(out, u32::MAX, *bits),
        Statement::Masquerade => out.push(Expr::Masquerade { flags: key::NAT_FULLY_RANDOM }),
        Statement::Reject => out.push(Expr::Reject(Reject::Icmp(match family {
            Family::V4 => PORT_UNREACHABLE,
            Family::V6 => PORT_UNREACHABLE_V6,
        }))),
        Statement::RejectWithReset => out.push(Expr::Reject(Reject::TcpReset)),
        Statement::Return => out.push(Expr::Verdict(Verdict::Return)),
        Statement::Jump(chain) => out.push(Expr::Verdict(Verdict::Jump(chain.to_string()))),
    }
}

fn lookup(out: &mut Vec<Expr>, family: Family, fields: &[Field], set: &str, dreg: Option<Register>, invert: bool) {
    let mut word = 0;
    for field in fields {
        load(out, family, *field, Register::word(word));
        word += words(family, *field);
    }
    out.push(Expr::Lookup { set: set.to_owned(), sreg: Register::FIRST, dreg, invert });
}

fn load(out: &mut Vec<Expr>, family: Family, field: Field, dreg: Register) {
    let network = |offset, len| Expr::Payload { base: key::PAYLOAD_NETWORK_HEADER, offset, len, dreg };
    out.push(match (field, family) {
        (Field::Source, Family::V4) => network(12, 4),
        (Field::Source, Family::V6) => network(8, 16),
        (Field::Destination, Family::V4) => network(16, 4),
        (Field::Destination, Family::V6) => network(24, 16),
        (Field::Protocol, _) => Expr::MetaLoad { key: key::META_L4PROTO, dreg },
        (Field::Port, _) => Expr::Payload { base: key::PAYLOAD_TRANSPORT_HEADER, offset: 2, len: 2, dreg },
        (Field::Random(modulus), _) => Expr::Random { dreg, modulus, offset: 0 },
    });
}

/// How many words a field takes in a key.
const fn words(family: Family, field: Field) -> u32 {
    match (field, family) {
        (Field::Source | Field::Destination, Family::V6) => 4,
        _ => 1,
    }
}

/// A prefix of whole bytes is compared byte for byte, any other through a mask: nft does the same.
fn source_outside(out: &mut Vec<Expr>, net: IpNet) {
    let (offset, address, mask) = match net {
        IpNet::V4(net) => (12, net.network().octets().to_vec(), net.netmask().octets().to_vec()),
        IpNet::V6(net) => (8, net.network().octets().to_vec(), net.netmask().octets().to_vec()),
    };
    let whole = net.prefix_len().is_multiple_of(8);
    let len = if whole { usize::from(net.prefix_len() / 8) } else { address.len() };
    let address: Vec<u8> = address.into_iter().take(len).collect();
    let len = u32::try_from(len).unwrap_or_default();
    out.push(Expr::Payload { base: key::PAYLOAD_NETWORK_HEADER, offset, len, dreg: Register::FIRST });
    if !whole {
        let xor = vec![0; mask.len()];
        out.push(Expr::Bitwise { sreg: Register::FIRST, dreg: Register::FIRST, len, mask, xor });
    }
    compare(out, CmpOp::Neq, &address);
}

fn change_mark(out: &mut Vec<Expr>, mask: u32, xor: u32) {
    out.push(Expr::MetaLoad { key: key::META_MARK, dreg: Register::FIRST });
    bitwise(out, mask, xor);
    out.push(Expr::MetaSet { key: key::META_MARK, sreg: Register::FIRST });
}

fn has_any_bit(out: &mut Vec<Expr>, bits: u32) {
    bitwise(out, bits, 0);
    compare(out, CmpOp::Neq, &0_u32.to_ne_bytes());
}

fn bitwise(out: &mut Vec<Expr>, mask: u32, xor: u32) {
    let (mask, xor) = (mask.to_ne_bytes().to_vec(), xor.to_ne_bytes().to_vec());
    out.push(Expr::Bitwise { sreg: Register::FIRST, dreg: Register::FIRST, len: 4, mask, xor });
}

fn compare(out: &mut Vec<Expr>, op: CmpOp, value: &[u8]) {
    out.push(Expr::Cmp { op, sreg: Register::FIRST, value: value.to_vec() });
}

/// nft's numbers for the types of fields (`enum datatypes`); a concatenation packs six bits for each.
#[must_use]
pub(crate) fn key_type(family: Family, fields: &[Field]) -> u32 {
    const INTEGER: u32 = 4;
    const IPV4_ADDR: u32 = 7;
    const IPV6_ADDR: u32 = 8;
    const INET_PROTO: u32 = 12;
    const INET_SERVICE: u32 = 13;
    fields.iter().fold(0, |packed, field| {
        let kind = match (field, family) {
            (Field::Source | Field::Destination, Family::V4) => IPV4_ADDR,
            (Field::Source | Field::Destination, Family::V6) => IPV6_ADDR,
            (Field::Protocol, _) => INET_PROTO,
            (Field::Port, _) => INET_SERVICE,
            (Field::Random(_), _) => INTEGER,
        };
        (packed << 6) | kind
    })
}

/// The length of a key of these fields, in bytes.
#[must_use]
pub(crate) fn key_len(family: Family, fields: &[Field]) -> u32 {
    fields.iter().map(|field| 4 * words(family, *field)).sum()
}
