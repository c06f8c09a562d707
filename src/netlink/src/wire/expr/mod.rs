//! Expressions: the instructions of a rule.
//!
//! A live rule is compared with a wanted one by its expressions, so both must read the same. What the kernel adds to
//! a listing is taken out again when it is read ([`parse`]); an expression with anything that is not known here
//! is [`Expr::Other`] with its bytes, and so equal to nothing that Portolan writes.

mod nfta;
mod parse;
mod put;
mod register;

pub use register::Register;

use super::{Counter, Verdict};

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
        /// Of which of its two tuples, `uapi::key::CT_DIR_*`, where it has one for each.
        direction: Option<u8>,
        /// Where to.
        dreg: Register,
    },
    /// `fib`: asks the routing table about an address of the packet.
    Fib {
        /// `uapi::key::FIB_*`: which address.
        flags: u32,
        /// `uapi::key::FIB_RESULT_*`: what about it.
        result: u32,
        /// Where to, 4 bytes in host order.
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
    /// `dynset`: puts an element into a set that has [`crate::uapi::set::F_EVAL`]. The rule ends here if that fails,
    /// for instance because the set is full.
    Dynset {
        /// The set's name.
        set: String,
        /// What if the element is there.
        op: DynsetOp,
        /// Where its key starts.
        key: Register,
        /// In a map: where its data starts.
        data: Option<Register>,
        /// How long it lives, in milliseconds; if this is none, as long as the set says. The kernel counts in ticks
        /// of its clock (4 ms at 250 Hz), so only whole ones read back as they were sent; seconds are.
        timeout: Option<u64>,
    },
    /// `counter`: counts what comes by.
    Counter(Counter),
    /// `immediate`: a value that stands in the rule.
    Immediate {
        /// Where to.
        dreg: Register,
        /// At most 16 bytes.
        value: Vec<u8>,
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

/// What `dynset` does with an element that is there (`NFT_DYNSET_OP_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DynsetOp {
    /// Leaves it alone.
    Add,
    /// Has its timeout begin anew; its data stays.
    Update,
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
