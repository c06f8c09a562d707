//! Reading expressions, without what the kernel adds by itself:
//!
//! * `nat` lists the registers of minimum and maximum, and two flags that say which registers there are;
//! * `dynset` lists a timeout and flags of 0;
//! * `lookup` lists flags of 0, `bitwise` its operation (since 5.6), `reject` a code even beside a TCP reset.

use super::{CmpOp, DynsetOp, Expr, Register, Reject, nfta};
use crate::{
    attr::{Attr, Attrs},
    error::Malformed,
    uapi::{data, rule},
    wire::{Counter, Verdict},
};

impl Expr {
    /// Reads it from an item of a rule's list.
    ///
    /// # Errors
    /// It has no name.
    pub fn parse(attrs: Attrs<'_>) -> Result<Self, Malformed> {
        let name = attrs.get(rule::EXPR_NAME).ok_or(Malformed { object: "rule", attribute: "expression name" })?.str();
        let data = attrs.get(rule::EXPR_DATA).map_or(&[][..], |attr| attr.value);
        let fields = Data { attrs: Attrs::new(data) };
        let known = match name {
            "payload" => payload(fields),
            "meta" => meta(fields),
            "ct" => ct(fields),
            "fib" => fib(fields),
            "cmp" => cmp(fields),
            "bitwise" => bitwise(fields),
            "lookup" => lookup(fields),
            "dynset" => dynset(fields),
            Counter::NAME => Counter::parse(fields.attrs).map(Self::Counter),
            "immediate" => immediate(fields),
            "numgen" => numgen(fields),
            "nat" => nat(fields),
            "masq" => masq(fields),
            "reject" => reject(fields),
            _ => None,
        };
        Ok(known.unwrap_or_else(|| Self::Other { name: name.to_owned(), data: data.to_vec() }))
    }
}

/// The attributes of one expression.
#[derive(Clone, Copy)]
struct Data<'a> {
    attrs: Attrs<'a>,
}

impl<'a> Data<'a> {
    /// Nothing beside these attributes is there: what is not understood must not be passed over.
    fn only(self, kinds: &[u16]) -> Option<()> {
        self.attrs.into_iter().all(|attr| kinds.contains(&attr.kind)).then_some(())
    }

    fn get(self, kind: u16) -> Option<Attr<'a>> {
        self.attrs.get(kind)
    }

    fn be32(self, kind: u16) -> Option<u32> {
        self.get(kind)?.be32()
    }

    /// 0 where it is missing, nothing where it is something else.
    fn flags(self, kind: u16) -> Option<u32> {
        self.get(kind).map_or(Some(0), |attr| attr.be32())
    }

    fn register(self, kind: u16) -> Option<Register> {
        self.be32(kind).map(Register::parse)
    }

    /// Nothing where it is something else.
    fn register_or_none(self, kind: u16) -> Option<Option<Register>> {
        match self.get(kind) {
            Some(attr) => Some(Some(Register::parse(attr.be32()?))),
            None => Some(None),
        }
    }

    fn value(self, kind: u16) -> Option<Vec<u8>> {
        Some(self.get(kind)?.nested().get(data::VALUE)?.value.to_vec())
    }
}

fn payload(data: Data<'_>) -> Option<Expr> {
    data.only(&[nfta::PAYLOAD_DREG, nfta::PAYLOAD_BASE, nfta::PAYLOAD_OFFSET, nfta::PAYLOAD_LEN])?;
    Some(Expr::Payload {
        base: data.be32(nfta::PAYLOAD_BASE)?,
        offset: data.be32(nfta::PAYLOAD_OFFSET)?,
        len: data.be32(nfta::PAYLOAD_LEN)?,
        dreg: data.register(nfta::PAYLOAD_DREG)?,
    })
}

fn meta(data: Data<'_>) -> Option<Expr> {
    let key = data.be32(nfta::META_KEY)?;
    if let Some(dreg) = data.register(nfta::META_DREG) {
        data.only(&[nfta::META_KEY, nfta::META_DREG])?;
        return Some(Expr::MetaLoad { key, dreg });
    }
    data.only(&[nfta::META_KEY, nfta::META_SREG])?;
    Some(Expr::MetaSet { key, sreg: data.register(nfta::META_SREG)? })
}

fn ct(data: Data<'_>) -> Option<Expr> {
    data.only(&[nfta::CT_DREG, nfta::CT_KEY, nfta::CT_DIRECTION])?;
    let direction = match data.get(nfta::CT_DIRECTION) {
        Some(attr) => Some(attr.u8()?),
        None => None,
    };
    Some(Expr::CtLoad { key: data.be32(nfta::CT_KEY)?, direction, dreg: data.register(nfta::CT_DREG)? })
}

fn fib(data: Data<'_>) -> Option<Expr> {
    data.only(&[nfta::FIB_DREG, nfta::FIB_RESULT, nfta::FIB_FLAGS])?;
    Some(Expr::Fib {
        flags: data.be32(nfta::FIB_FLAGS)?,
        result: data.be32(nfta::FIB_RESULT)?,
        dreg: data.register(nfta::FIB_DREG)?,
    })
}

fn cmp(data: Data<'_>) -> Option<Expr> {
    data.only(&[nfta::CMP_SREG, nfta::CMP_OP, nfta::CMP_DATA])?;
    let op = match data.be32(nfta::CMP_OP)? {
        0 => CmpOp::Eq,
        1 => CmpOp::Neq,
        _ => return None,
    };
    Some(Expr::Cmp { op, sreg: data.register(nfta::CMP_SREG)?, value: data.value(nfta::CMP_DATA)? })
}

fn bitwise(data: Data<'_>) -> Option<Expr> {
    data.only(&[
        nfta::BITWISE_SREG,
        nfta::BITWISE_DREG,
        nfta::BITWISE_LEN,
        nfta::BITWISE_MASK,
        nfta::BITWISE_XOR,
        nfta::BITWISE_OP,
    ])?;
    (data.flags(nfta::BITWISE_OP)? == 0).then_some(())?;
    Some(Expr::Bitwise {
        sreg: data.register(nfta::BITWISE_SREG)?,
        dreg: data.register(nfta::BITWISE_DREG)?,
        len: data.be32(nfta::BITWISE_LEN)?,
        mask: data.value(nfta::BITWISE_MASK)?,
        xor: data.value(nfta::BITWISE_XOR)?,
    })
}

fn lookup(data: Data<'_>) -> Option<Expr> {
    data.only(&[nfta::LOOKUP_SET, nfta::LOOKUP_SREG, nfta::LOOKUP_DREG, nfta::LOOKUP_FLAGS])?;
    let flags = data.flags(nfta::LOOKUP_FLAGS)?;
    (flags & !nfta::LOOKUP_F_INV == 0).then_some(())?;
    Some(Expr::Lookup {
        set: data.get(nfta::LOOKUP_SET)?.str().to_owned(),
        sreg: data.register(nfta::LOOKUP_SREG)?,
        dreg: data.register_or_none(nfta::LOOKUP_DREG)?,
        invert: flags != 0,
    })
}

fn dynset(data: Data<'_>) -> Option<Expr> {
    data.only(&[
        nfta::DYNSET_SET_NAME,
        nfta::DYNSET_OP,
        nfta::DYNSET_SREG_KEY,
        nfta::DYNSET_SREG_DATA,
        nfta::DYNSET_TIMEOUT,
        nfta::DYNSET_PAD,
        nfta::DYNSET_FLAGS,
    ])?;
    (data.flags(nfta::DYNSET_FLAGS)? == 0).then_some(())?;
    Some(Expr::Dynset {
        set: data.get(nfta::DYNSET_SET_NAME)?.str().to_owned(),
        op: match data.be32(nfta::DYNSET_OP)? {
            nfta::DYNSET_ADD => DynsetOp::Add,
            nfta::DYNSET_UPDATE => DynsetOp::Update,
            _ => return None,
        },
        key: data.register(nfta::DYNSET_SREG_KEY)?,
        data: data.register_or_none(nfta::DYNSET_SREG_DATA)?,
        timeout: match data.get(nfta::DYNSET_TIMEOUT) {
            Some(timeout) => Some(timeout.be64()?).filter(|timeout| *timeout != 0),
            None => None,
        },
    })
}

fn immediate(data: Data<'_>) -> Option<Expr> {
    data.only(&[nfta::IMMEDIATE_DREG, nfta::IMMEDIATE_DATA])?;
    match data.register(nfta::IMMEDIATE_DREG)? {
        Register::VERDICT => {
            let verdict = Verdict::parse(data.get(nfta::IMMEDIATE_DATA)?.nested())?;
            Some(Expr::Verdict(verdict.to_owned()))
        }
        dreg => Some(Expr::Immediate { dreg, value: data.value(nfta::IMMEDIATE_DATA)? }),
    }
}

fn numgen(data: Data<'_>) -> Option<Expr> {
    data.only(&[nfta::NG_DREG, nfta::NG_MODULUS, nfta::NG_TYPE, nfta::NG_OFFSET])?;
    (data.be32(nfta::NG_TYPE)? == nfta::NG_RANDOM).then_some(())?;
    Some(Expr::Random {
        dreg: data.register(nfta::NG_DREG)?,
        modulus: data.be32(nfta::NG_MODULUS)?,
        offset: data.flags(nfta::NG_OFFSET)?,
    })
}

fn nat(data: Data<'_>) -> Option<Expr> {
    data.only(&[
        nfta::NAT_TYPE,
        nfta::NAT_FAMILY,
        nfta::NAT_REG_ADDR_MIN,
        nfta::NAT_REG_ADDR_MAX,
        nfta::NAT_REG_PROTO_MIN,
        nfta::NAT_REG_PROTO_MAX,
        nfta::NAT_FLAGS,
    ])?;
    (data.be32(nfta::NAT_TYPE)? == nfta::NAT_DNAT).then_some(())?;
    let addr = data.register(nfta::NAT_REG_ADDR_MIN)?;
    let proto = data.register(nfta::NAT_REG_PROTO_MIN);
    // A range of addresses or ports, rather than one, is nothing that is written here.
    (data.register(nfta::NAT_REG_ADDR_MAX).unwrap_or(addr) == addr).then_some(())?;
    (data.register(nfta::NAT_REG_PROTO_MAX).or(proto) == proto).then_some(())?;
    let implied = nfta::NAT_F_MAP_IPS | if proto.is_some() { nfta::NAT_F_PROTO_SPECIFIED } else { 0 };
    Some(Expr::Dnat {
        family: u8::try_from(data.be32(nfta::NAT_FAMILY)?).ok()?,
        addr,
        proto,
        flags: data.flags(nfta::NAT_FLAGS)? & !implied,
    })
}

fn masq(data: Data<'_>) -> Option<Expr> {
    data.only(&[nfta::MASQ_FLAGS])?;
    Some(Expr::Masquerade { flags: data.flags(nfta::MASQ_FLAGS)? })
}

fn reject(data: Data<'_>) -> Option<Expr> {
    data.only(&[nfta::REJECT_TYPE, nfta::REJECT_CODE])?;
    let code = || data.get(nfta::REJECT_CODE)?.u8();
    Some(Expr::Reject(match data.be32(nfta::REJECT_TYPE)? {
        nfta::REJECT_ICMP => Reject::Icmp(code()?),
        nfta::REJECT_TCP_RESET => Reject::TcpReset,
        nfta::REJECT_ICMPX => Reject::Icmpx(code()?),
        _ => return None,
    }))
}
