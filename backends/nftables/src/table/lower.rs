//! From words to instructions: what the kernel runs for a rule, and how sets and elements are laid out in bytes.
//!
//! The same instructions as nft generates for [`text`](mod@super::text), so that the two can be compared and
//! `nft list ruleset` prints what we would write. Every field of a key starts at a word of 4 bytes:
//!
//! ```text
//!   word      0            1            2         3
//!   IPv4    | ip daddr   | l4proto    | dport   | random |   ip, then bytes in network order, padded with zeros;
//!   IPv6    | ip6 daddr: words 0 to 3 | l4proto | dport  | random |           the random number in host order
//! ```

use std::net::IpAddr;

use ipnet::IpNet;
use portolan_core::{addr::Family, desired::LocalDetector};
use portolan_netlink::{
    uapi::{self, key},
    wire::{CmpOp, DynsetOp, Expr, Register, Reject, Verdict},
};

use super::{
    field::Field,
    layout::Layout,
    rule::{Rule, Statement},
    shape,
};

/// ICMP's and ICMPv6's numbers for "port unreachable".
const PORT_UNREACHABLE: u8 = 3;
const PORT_UNREACHABLE_V6: u8 = 4;

/// Whether rules that the kernel lists are those that we would write.
#[must_use]
pub(crate) fn is_same<L: Layout>(family: Family, live: &[Vec<Expr>], wanted: &[Rule<L>]) -> bool {
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
pub(crate) fn expressions<L: Layout>(family: Family, rule: &Rule<L>) -> Vec<Expr> {
    let mut out = Vec::new();
    for statement in &rule.statements {
        lower(&mut out, family, statement);
    }
    out
}

/// Appends the instructions of a statement.
pub(crate) fn lower<L: Layout>(out: &mut Vec<Expr>, family: Family, statement: &Statement<L>) {
    match statement {
        Statement::In(fields, set) => lookup(out, family, fields, L::set_name(*set), Find::It),
        Statement::NotIn(fields, set) => lookup(out, family, fields, L::set_name(*set), Find::Nothing),
        Statement::LeavesAsItCame(links) => leaves_as_it_came(out, family, L::set_name(*links)),
        Statement::Lookup(fields, map) => lookup(out, family, fields, L::set_name(*map), Find::Data(Register::VERDICT)),
        Statement::Translate(fields, map) => {
            lookup(out, family, fields, L::set_name(*map), Find::Data(Register::FIRST));
            out.push(dnat(family));
        }
        Statement::Is(protocol) => {
            out.push(Expr::MetaLoad { key: key::META_L4PROTO, dreg: Register::FIRST });
            compare(out, CmpOp::Eq, &[protocol.number()]);
        }
        Statement::Within(field, net) => compare_prefix(out, family, *field, *net, CmpOp::Eq),
        Statement::Outside(field, net) => compare_prefix(out, family, *field, *net, CmpOp::Neq),
        Statement::Local(field) => {
            let flags = if *field == Field::Source { key::FIB_SADDR } else { key::FIB_DADDR };
            out.push(Expr::Fib { flags, result: key::FIB_RESULT_ADDRTYPE, dreg: Register::FIRST });
            compare(out, CmpOp::Eq, &key::RTN_LOCAL.to_ne_bytes());
        }
        Statement::FromPod(detector) => detect(out, family, detector, CmpOp::Eq),
        Statement::NotFromPod(detector) => detect(out, family, detector, CmpOp::Neq),
        Statement::OneIn(modulus) => {
            out.push(Expr::Random { dreg: Register::FIRST, modulus: *modulus, offset: 0 });
            compare(out, CmpOp::Eq, &0_u32.to_ne_bytes());
        }
        Statement::Known(clients) => {
            load_all(out, family, &shape::CLIENT);
            find(out, &clients.to_string(), Find::It);
        }
        Statement::Remember(clients, seconds) => {
            out.push(load(family, Field::Source, Register::FIRST));
            out.push(Expr::Dynset {
                set: clients.to_string(),
                op: DynsetOp::Update,
                key: Register::FIRST,
                data: None,
                timeout: Some(u64::from(*seconds) * 1000),
            });
        }
        Statement::TranslateTo(to) => {
            let port = Register::word(words(family, Field::Destination));
            out.push(Expr::Immediate { dreg: Register::FIRST, value: octets(to.addr) });
            out.push(Expr::Immediate { dreg: port, value: to.port.to_be_bytes().to_vec() });
            out.push(dnat(family));
        }
        Statement::NotNew => {
            out.push(Expr::CtLoad { key: key::CT_STATE, direction: None, dreg: Register::FIRST });
            compare(out, CmpOp::Neq, &key::CT_STATE_NEW.to_ne_bytes());
        }
        Statement::Translated => {
            out.push(Expr::CtLoad { key: key::CT_STATUS, direction: None, dreg: Register::FIRST });
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
        Statement::Drop => out.push(Expr::Verdict(Verdict::Drop)),
        Statement::Return => out.push(Expr::Verdict(Verdict::Return)),
        Statement::Jump(chain) => out.push(Expr::Verdict(Verdict::Jump(chain.to_string()))),
        Statement::Goto(chain) => out.push(Expr::Verdict(Verdict::Goto(chain.to_string()))),
    }
}

/// To the address in the first register and the port behind it.
const fn dnat(family: Family) -> Expr {
    Expr::Dnat {
        family: protocol_family(family),
        addr: Register::FIRST,
        proto: Some(Register::word(words(family, Field::Destination))),
        flags: 0,
    }
}

fn octets(addr: IpAddr) -> Vec<u8> {
    match addr {
        IpAddr::V4(addr) => addr.octets().to_vec(),
        IpAddr::V6(addr) => addr.octets().to_vec(),
    }
}

fn detect(out: &mut Vec<Expr>, family: Family, detector: &LocalDetector, op: CmpOp) {
    let name = match detector {
        LocalDetector::Cidr(net) => return compare_prefix(out, family, Field::Source, *net, op),
        // The whole field, with its zeros.
        LocalDetector::Interface(name) => format!("{:\0<16}", name.as_str()),
        LocalDetector::InterfacePrefix(prefix) => prefix.to_string(),
    };
    out.push(Expr::MetaLoad { key: key::META_IIFNAME, dreg: Register::FIRST });
    compare(out, op, name.as_bytes());
}

/// What a lookup is to find.
#[derive(Clone, Copy)]
enum Find {
    /// An element.
    It,
    /// No element.
    Nothing,
    /// An element, whose data goes there.
    Data(Register),
}

fn lookup(out: &mut Vec<Expr>, family: Family, fields: &[Field], set: &str, what: Find) {
    load_all(out, family, fields);
    find(out, set, what);
}

fn load_all(out: &mut Vec<Expr>, family: Family, fields: &[Field]) {
    let mut word = 0;
    for field in fields {
        out.push(load(family, *field, Register::word(word)));
        word += words(family, *field);
    }
}

fn find(out: &mut Vec<Expr>, set: &str, what: Find) {
    let (dreg, invert) = match what {
        Find::It => (None, false),
        Find::Nothing => (None, true),
        Find::Data(dreg) => (Some(dreg), false),
    };
    out.push(Expr::Lookup { set: set.to_owned(), sreg: Register::FIRST, dreg, invert });
}

/// The kernel compares no register with another (before 6.13), so a set has to: it holds links beside themselves, this
/// packet's among them by now, and so the link that the packet came by beside the one that it leaves by only if they are
/// one.
fn leaves_as_it_came(out: &mut Vec<Expr>, family: Family, links: &str) {
    load_all(out, family, &[Field::LeavesBy; 2]);
    out.push(Expr::Dynset {
        set: links.to_owned(),
        op: DynsetOp::Add,
        key: Register::FIRST,
        data: None,
        timeout: None,
    });
    lookup(out, family, &[Field::CameBy, Field::LeavesBy], links, Find::It);
}

/// What loads a field.
pub(crate) const fn load(family: Family, field: Field, dreg: Register) -> Expr {
    match field {
        Field::Source | Field::Destination => Expr::Payload {
            base: key::PAYLOAD_NETWORK_HEADER,
            offset: address_offset(family, field),
            len: 4 * words(family, field),
            dreg,
        },
        Field::Protocol => Expr::MetaLoad { key: key::META_L4PROTO, dreg },
        Field::Port => Expr::Payload { base: key::PAYLOAD_TRANSPORT_HEADER, offset: 2, len: 2, dreg },
        Field::Asked => {
            let key = match family {
                Family::V4 => key::CT_DST_IP,
                Family::V6 => key::CT_DST_IP6,
            };
            Expr::CtLoad { key, direction: Some(key::CT_DIR_ORIGINAL), dreg }
        }
        Field::CameBy => Expr::MetaLoad { key: key::META_IIF, dreg },
        Field::LeavesBy => Expr::MetaLoad { key: key::META_OIF, dreg },
        Field::Random(modulus) => Expr::Random { dreg, modulus, offset: 0 },
    }
}

/// How many words a field takes in a key.
pub(crate) const fn words(family: Family, field: Field) -> u32 {
    match (field, family) {
        (Field::Source | Field::Destination | Field::Asked, Family::V6) => 4,
        _ => 1,
    }
}

/// A prefix of whole bytes is compared byte for byte, any other through a mask: nft does the same.
fn compare_prefix(out: &mut Vec<Expr>, family: Family, field: Field, net: IpNet, op: CmpOp) {
    let (address, mask) = (octets(net.network()), octets(net.netmask()));
    let whole = net.prefix_len().is_multiple_of(8);
    let len = if whole { usize::from(net.prefix_len() / 8) } else { address.len() };
    let address: Vec<u8> = address.into_iter().take(len).collect();
    let len = u32::try_from(len).unwrap_or_default();
    let offset = address_offset(family, field);
    out.push(Expr::Payload { base: key::PAYLOAD_NETWORK_HEADER, offset, len, dreg: Register::FIRST });
    if !whole {
        let xor = vec![0; mask.len()];
        out.push(Expr::Bitwise { sreg: Register::FIRST, dreg: Register::FIRST, len, mask, xor });
    }
    compare(out, op, &address);
}

/// Where an address is in the IP header.
const fn address_offset(family: Family, field: Field) -> u32 {
    match (field, family) {
        (Field::Source, Family::V4) => 12,
        (Field::Source, Family::V6) => 8,
        (_, Family::V4) => 16,
        (_, Family::V6) => 24,
    }
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
    const IFINDEX: u32 = 20;
    fields.iter().fold(0, |packed, field| {
        let kind = match (field, family) {
            (Field::Source | Field::Destination | Field::Asked, Family::V4) => IPV4_ADDR,
            (Field::Source | Field::Destination | Field::Asked, Family::V6) => IPV6_ADDR,
            (Field::CameBy | Field::LeavesBy, _) => IFINDEX,
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
