//! Expressions: the instructions of a rule.
//!
//! A live rule is compared with a wanted one by its expressions, so both must read the same. What the kernel adds to
//! a listing is taken out again when it is read ([`parse`]); an expression with anything that is not known here
//! is [`Expr::Other`] with its bytes, and so equal to nothing that Portolan writes.

mod parse;
mod put;
mod register;

pub use register::Register;

use super::Verdict;

/// One instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expr {
    /// `payload`: loads bytes of the packet.
    Payload {
        /// `uapi::key::PAYLOAD_*`
        base: u32,
        /// Bytes from there.
        offset: u32,
        /// How many bytes.
        len: u32,
        /// Where to.
        dreg: Register,
    },
    /// `meta`: loads what the kernel knows of the packet.
    MetaLoad {
        /// `uapi::key::META_*`
        key: u32,
        /// Where to.
        dreg: Register,
    },
    /// `meta`: changes it.
    MetaSet {
        /// `uapi::key::META_*`
        key: u32,
        /// Where from.
        sreg: Register,
    },
    /// `ct`: loads what the kernel knows of the connection.
    CtLoad {
        /// `uapi::key::CT_*`
        key: u32,
        /// Where to.
        dreg: Register,
    },
    /// `cmp`: goes on only if the comparison holds.
    Cmp {
        /// How.
        op: CmpOp,
        /// What.
        sreg: Register,
        /// With what; its length is the comparison's.
        value: Vec<u8>,
    },
    /// `bitwise`: `(value & mask) ^ xor`.
    Bitwise {
        /// Where from.
        sreg: Register,
        /// Where to.
        dreg: Register,
        /// How many bytes.
        len: u32,
        /// As long as `len`.
        mask: Vec<u8>,
        /// As long as `len`.
        xor: Vec<u8>,
    },
    /// `lookup`: goes on only if a set has the key.
    Lookup {
        /// The set's name.
        set: String,
        /// Where the key starts.
        sreg: Register,
        /// In a map: where its data goes, [`Register::VERDICT`] in a verdict map.
        dreg: Option<Register>,
        /// Goes on only if the set does not have the key.
        invert: bool,
    },
    /// `immediate` into the verdict register: ends the rule.
    Verdict(Verdict<String>),
    /// `numgen`: a random number below `modulus`, plus `offset`, in host order.
    Random {
        /// Where to.
        dreg: Register,
        /// At least 1.
        modulus: u32,
        /// Added to it.
        offset: u32,
    },
    /// `nat`: changes the destination of the connection.
    Dnat {
        /// `uapi::NFPROTO_IPV4` or `NFPROTO_IPV6`
        family: u8,
        /// Where the address is.
        addr: Register,
        /// Where the port is, if that changes too.
        proto: Option<Register>,
        /// `NF_NAT_RANGE_*`, without those that say which of address and port there are.
        flags: u32,
    },
    /// `masq`: changes the source of the connection to this node's address on the way out.
    Masquerade {
        /// `uapi::key::NAT_*`
        flags: u32,
    },
    /// `reject`: drops the packet and says so to its sender.
    Reject(Reject),
    /// Any other, or one of the above with more in it.
    Other {
        /// The kernel's name for it.
        name: String,
        /// Its attributes as they are.
        data: Vec<u8>,
    },
}

/// How `cmp` compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CmpOp {
    /// `NFT_CMP_EQ`
    Eq,
    /// `NFT_CMP_NEQ`
    Neq,
}

/// How a packet is rejected (`NFT_REJECT_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reject {
    /// ICMP or ICMPv6 destination unreachable, with a code of the rule's family.
    Icmp(u8),
    /// A TCP reset.
    TcpReset,
    /// ICMP or ICMPv6 destination unreachable, with a code that the kernel translates (`NFT_REJECT_ICMPX_*`).
    Icmpx(u8),
}

/// Attribute types of the expressions, `NFTA_<EXPRESSION>_*`.
mod nfta {
    pub(super) const PAYLOAD_DREG: u16 = 1;
    pub(super) const PAYLOAD_BASE: u16 = 2;
    pub(super) const PAYLOAD_OFFSET: u16 = 3;
    pub(super) const PAYLOAD_LEN: u16 = 4;
    pub(super) const META_DREG: u16 = 1;
    pub(super) const META_KEY: u16 = 2;
    pub(super) const META_SREG: u16 = 3;
    pub(super) const CT_DREG: u16 = 1;
    pub(super) const CT_KEY: u16 = 2;
    pub(super) const CMP_SREG: u16 = 1;
    pub(super) const CMP_OP: u16 = 2;
    pub(super) const CMP_DATA: u16 = 3;
    pub(super) const BITWISE_SREG: u16 = 1;
    pub(super) const BITWISE_DREG: u16 = 2;
    pub(super) const BITWISE_LEN: u16 = 3;
    pub(super) const BITWISE_MASK: u16 = 4;
    pub(super) const BITWISE_XOR: u16 = 5;
    pub(super) const BITWISE_OP: u16 = 6;
    pub(super) const LOOKUP_SET: u16 = 1;
    pub(super) const LOOKUP_SREG: u16 = 2;
    pub(super) const LOOKUP_DREG: u16 = 3;
    pub(super) const LOOKUP_FLAGS: u16 = 5;
    pub(super) const LOOKUP_F_INV: u32 = 1;
    pub(super) const IMMEDIATE_DREG: u16 = 1;
    pub(super) const IMMEDIATE_DATA: u16 = 2;
    pub(super) const NG_DREG: u16 = 1;
    pub(super) const NG_MODULUS: u16 = 2;
    pub(super) const NG_TYPE: u16 = 3;
    pub(super) const NG_OFFSET: u16 = 4;
    pub(super) const NG_RANDOM: u32 = 1;
    pub(super) const NAT_TYPE: u16 = 1;
    pub(super) const NAT_FAMILY: u16 = 2;
    pub(super) const NAT_REG_ADDR_MIN: u16 = 3;
    pub(super) const NAT_REG_ADDR_MAX: u16 = 4;
    pub(super) const NAT_REG_PROTO_MIN: u16 = 5;
    pub(super) const NAT_REG_PROTO_MAX: u16 = 6;
    pub(super) const NAT_FLAGS: u16 = 7;
    pub(super) const NAT_DNAT: u32 = 1;
    /// `NF_NAT_RANGE_MAP_IPS` and `NF_NAT_RANGE_PROTO_SPECIFIED`: the kernel sets them by the registers it gets.
    pub(super) const NAT_F_MAP_IPS: u32 = 1;
    pub(super) const NAT_F_PROTO_SPECIFIED: u32 = 2;
    pub(super) const MASQ_FLAGS: u16 = 1;
    pub(super) const REJECT_TYPE: u16 = 1;
    pub(super) const REJECT_CODE: u16 = 2;
    pub(super) const REJECT_ICMP: u32 = 0;
    pub(super) const REJECT_TCP_RESET: u32 = 1;
    pub(super) const REJECT_ICMPX: u32 = 2;
}
