//! Writing expressions, with the attributes and in the order that libnftnl has.

use super::{CmpOp, DynsetOp, Expr, Register, Reject, nfta};
use crate::{
    attr::Writer,
    uapi::{data, rule},
    wire::Counter,
};

impl Expr {
    /// Writes it as an item of a rule's list.
    pub fn put(&self, w: &mut Writer<'_>) {
        w.str(rule::EXPR_NAME, self.name());
        match self {
            Self::Other { data, .. } => w.bytes(rule::EXPR_DATA | crate::uapi::NLA_F_NESTED, data),
            _ => w.nest(rule::EXPR_DATA, |w| self.put_data(w)),
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Payload { .. } => "payload",
            Self::MetaLoad { .. } | Self::MetaSet { .. } => "meta",
            Self::CtLoad { .. } => "ct",
            Self::Fib { .. } => "fib",
            Self::Cmp { .. } => "cmp",
            Self::Bitwise { .. } => "bitwise",
            Self::Lookup { .. } => "lookup",
            Self::Dynset { .. } => "dynset",
            Self::Counter(_) => Counter::NAME,
            Self::Immediate { .. } | Self::Verdict(_) => "immediate",
            Self::Random { .. } => "numgen",
            Self::Dnat { .. } => "nat",
            Self::Masquerade { .. } => "masq",
            Self::Reject(_) => "reject",
            Self::Other { name, .. } => name,
        }
    }

    fn put_data(&self, w: &mut Writer<'_>) {
        match self {
            Self::Payload { base, offset, len, dreg } => {
                w.be32(nfta::PAYLOAD_DREG, dreg.number());
                w.be32(nfta::PAYLOAD_BASE, *base);
                w.be32(nfta::PAYLOAD_OFFSET, *offset);
                w.be32(nfta::PAYLOAD_LEN, *len);
            }
            Self::MetaLoad { key, dreg } => {
                w.be32(nfta::META_KEY, *key);
                w.be32(nfta::META_DREG, dreg.number());
            }
            Self::MetaSet { key, sreg } => {
                w.be32(nfta::META_KEY, *key);
                w.be32(nfta::META_SREG, sreg.number());
            }
            Self::CtLoad { key, direction, dreg } => {
                w.be32(nfta::CT_KEY, *key);
                w.be32(nfta::CT_DREG, dreg.number());
                if let Some(direction) = direction {
                    w.u8(nfta::CT_DIRECTION, *direction);
                }
            }
            Self::Fib { flags, result, dreg } => {
                w.be32(nfta::FIB_FLAGS, *flags);
                w.be32(nfta::FIB_RESULT, *result);
                w.be32(nfta::FIB_DREG, dreg.number());
            }
            Self::Cmp { op, sreg, value } => {
                w.be32(nfta::CMP_SREG, sreg.number());
                w.be32(nfta::CMP_OP, u32::from(*op == CmpOp::Neq));
                w.nest(nfta::CMP_DATA, |w| w.bytes(data::VALUE, value));
            }
            Self::Bitwise { sreg, dreg, len, mask, xor } => {
                w.be32(nfta::BITWISE_SREG, sreg.number());
                w.be32(nfta::BITWISE_DREG, dreg.number());
                w.be32(nfta::BITWISE_OP, 0);
                w.be32(nfta::BITWISE_LEN, *len);
                w.nest(nfta::BITWISE_MASK, |w| w.bytes(data::VALUE, mask));
                w.nest(nfta::BITWISE_XOR, |w| w.bytes(data::VALUE, xor));
            }
            Self::Lookup { set, sreg, dreg, invert } => {
                w.be32(nfta::LOOKUP_SREG, sreg.number());
                if let Some(dreg) = dreg {
                    w.be32(nfta::LOOKUP_DREG, dreg.number());
                }
                w.str(nfta::LOOKUP_SET, set);
                if *invert {
                    w.be32(nfta::LOOKUP_FLAGS, nfta::LOOKUP_F_INV);
                }
            }
            Self::Dynset { set, op, key, data, timeout } => {
                w.be32(nfta::DYNSET_SREG_KEY, key.number());
                if let Some(data) = data {
                    w.be32(nfta::DYNSET_SREG_DATA, data.number());
                }
                w.be32(
                    nfta::DYNSET_OP,
                    match op {
                        DynsetOp::Add => nfta::DYNSET_ADD,
                        DynsetOp::Update => nfta::DYNSET_UPDATE,
                    },
                );
                if let Some(timeout) = timeout {
                    w.be64(nfta::DYNSET_TIMEOUT, *timeout);
                }
                w.str(nfta::DYNSET_SET_NAME, set);
            }
            Self::Counter(counter) => counter.put(w),
            Self::Immediate { dreg, value } => {
                w.be32(nfta::IMMEDIATE_DREG, dreg.number());
                w.nest(nfta::IMMEDIATE_DATA, |w| w.bytes(data::VALUE, value));
            }
            Self::Verdict(verdict) => {
                w.be32(nfta::IMMEDIATE_DREG, Register::VERDICT.number());
                verdict.put(w, nfta::IMMEDIATE_DATA);
            }
            Self::Random { dreg, modulus, offset } => {
                w.be32(nfta::NG_DREG, dreg.number());
                w.be32(nfta::NG_MODULUS, *modulus);
                w.be32(nfta::NG_TYPE, nfta::NG_RANDOM);
                w.be32(nfta::NG_OFFSET, *offset);
            }
            Self::Dnat { family, addr, proto, flags } => {
                w.be32(nfta::NAT_TYPE, nfta::NAT_DNAT);
                w.be32(nfta::NAT_FAMILY, u32::from(*family));
                w.be32(nfta::NAT_REG_ADDR_MIN, addr.number());
                if let Some(proto) = proto {
                    w.be32(nfta::NAT_REG_PROTO_MIN, proto.number());
                }
                if *flags != 0 {
                    w.be32(nfta::NAT_FLAGS, *flags);
                }
            }
            Self::Masquerade { flags } => {
                if *flags != 0 {
                    w.be32(nfta::MASQ_FLAGS, *flags);
                }
            }
            Self::Reject(Reject::TcpReset) => w.be32(nfta::REJECT_TYPE, nfta::REJECT_TCP_RESET),
            Self::Reject(Reject::Icmp(code)) => {
                w.be32(nfta::REJECT_TYPE, nfta::REJECT_ICMP);
                w.u8(nfta::REJECT_CODE, *code);
            }
            Self::Reject(Reject::Icmpx(code)) => {
                w.be32(nfta::REJECT_TYPE, nfta::REJECT_ICMPX);
                w.u8(nfta::REJECT_CODE, *code);
            }
            Self::Other { .. } => {}
        }
    }
}
