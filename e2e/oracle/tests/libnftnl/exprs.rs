//! Rules with every expression that Portolan writes, each as libnftnl builds it.

use nftnl_sys as sys;
use portolan_netlink::{
    attr::encode,
    uapi::{NFPROTO_IPV6, key},
    wire::{CmpOp, Counter, DynsetOp, Expr, Register, Reject, Rule, Verdict, userdata},
};

use crate::{
    build::{self, Value, c},
    sorted,
};

/// Compares a rule with this one expression.
fn check(expr: Expr, name: &str, theirs: &[(u32, Value<'_>)]) {
    let comment = userdata::comment("why").expect("short");
    for userdata in [vec![], comment] {
        let theirs = build::rule_of(name, theirs, &userdata);
        let exprs = vec![expr.clone()];
        let rule = Rule { table: "t".to_owned(), chain: "c".to_owned(), handle: None, exprs, userdata };
        let ours = encode(|w| rule.put(w)).expect("fits");
        // The order of a rule's own attributes is free; that of an expression's is libnftnl's.
        assert_eq!(sorted(&ours), sorted(&theirs), "{expr:?}");
    }
}

#[test]
fn loads() {
    check(
        Expr::Payload { base: key::PAYLOAD_NETWORK_HEADER, offset: 24, len: 16, dreg: Register::FIRST },
        "payload",
        &[
            (sys::NFTNL_EXPR_PAYLOAD_DREG, Value::U32(1)),
            (sys::NFTNL_EXPR_PAYLOAD_BASE, Value::U32(1)),
            (sys::NFTNL_EXPR_PAYLOAD_OFFSET, Value::U32(24)),
            (sys::NFTNL_EXPR_PAYLOAD_LEN, Value::U32(16)),
        ],
    );
    check(
        Expr::MetaLoad { key: key::META_L4PROTO, dreg: Register::word(1) },
        "meta",
        &[(sys::NFTNL_EXPR_META_KEY, Value::U32(16)), (sys::NFTNL_EXPR_META_DREG, Value::U32(9))],
    );
    check(
        Expr::MetaSet { key: key::META_MARK, sreg: Register::FIRST },
        "meta",
        &[(sys::NFTNL_EXPR_META_KEY, Value::U32(3)), (sys::NFTNL_EXPR_META_SREG, Value::U32(1))],
    );
    check(
        Expr::CtLoad { key: key::CT_STATUS, direction: None, dreg: Register::FIRST },
        "ct",
        &[(sys::NFTNL_EXPR_CT_KEY, Value::U32(2)), (sys::NFTNL_EXPR_CT_DREG, Value::U32(1))],
    );
    check(
        Expr::CtLoad { key: key::CT_DST_IP, direction: Some(key::CT_DIR_ORIGINAL), dreg: Register::FIRST },
        "ct",
        &[
            (sys::NFTNL_EXPR_CT_KEY, Value::U32(20)),
            (sys::NFTNL_EXPR_CT_DIR, Value::U8(0)),
            (sys::NFTNL_EXPR_CT_DREG, Value::U32(1)),
        ],
    );
    check(
        Expr::MetaLoad { key: key::META_IIFNAME, dreg: Register::FIRST },
        "meta",
        &[(sys::NFTNL_EXPR_META_KEY, Value::U32(6)), (sys::NFTNL_EXPR_META_DREG, Value::U32(1))],
    );
    for (address, number) in [(key::FIB_SADDR, 1), (key::FIB_DADDR, 2)] {
        check(
            Expr::Fib { flags: address, result: key::FIB_RESULT_ADDRTYPE, dreg: Register::FIRST },
            "fib",
            &[
                (sys::NFTNL_EXPR_FIB_FLAGS, Value::U32(number)),
                (sys::NFTNL_EXPR_FIB_RESULT, Value::U32(3)),
                (sys::NFTNL_EXPR_FIB_DREG, Value::U32(1)),
            ],
        );
    }
    check(
        Expr::Random { dreg: Register::word(3), modulus: 5, offset: 0 },
        "numgen",
        &[
            (sys::NFTNL_EXPR_NG_DREG, Value::U32(11)),
            (sys::NFTNL_EXPR_NG_MODULUS, Value::U32(5)),
            (sys::NFTNL_EXPR_NG_TYPE, Value::U32(1)),
            (sys::NFTNL_EXPR_NG_OFFSET, Value::U32(0)),
        ],
    );
}

#[test]
fn tests_of_values() {
    for (op, number) in [(CmpOp::Eq, 0), (CmpOp::Neq, 1)] {
        check(
            Expr::Cmp { op, sreg: Register::FIRST, value: vec![0xfd, 2, 0, 0, 0, 0] },
            "cmp",
            &[
                (sys::NFTNL_EXPR_CMP_SREG, Value::U32(1)),
                (sys::NFTNL_EXPR_CMP_OP, Value::U32(number)),
                (sys::NFTNL_EXPR_CMP_DATA, Value::Bytes(&[0xfd, 2, 0, 0, 0, 0])),
            ],
        );
    }
    check(
        Expr::Bitwise {
            sreg: Register::FIRST,
            dreg: Register::FIRST,
            len: 4,
            mask: vec![0xff, 0xbf, 0xff, 0xff],
            xor: vec![0, 0x40, 0, 0],
        },
        "bitwise",
        &[
            (sys::NFTNL_EXPR_BITWISE_SREG, Value::U32(1)),
            (sys::NFTNL_EXPR_BITWISE_DREG, Value::U32(1)),
            (sys::NFTNL_EXPR_BITWISE_OP, Value::U32(0)),
            (sys::NFTNL_EXPR_BITWISE_LEN, Value::U32(4)),
            (sys::NFTNL_EXPR_BITWISE_MASK, Value::Bytes(&[0xff, 0xbf, 0xff, 0xff])),
            (sys::NFTNL_EXPR_BITWISE_XOR, Value::Bytes(&[0, 0x40, 0, 0])),
        ],
    );
}

#[test]
fn lookups() {
    let lookup = |dreg, invert| Expr::Lookup { set: "services".to_owned(), sreg: Register::FIRST, dreg, invert };
    let set = c("services");
    let sreg = || (sys::NFTNL_EXPR_LOOKUP_SREG, Value::U32(1));
    let set = || (sys::NFTNL_EXPR_LOOKUP_SET, Value::Str(&set));
    check(lookup(None, false), "lookup", &[sreg(), set()]);
    check(lookup(None, true), "lookup", &[sreg(), set(), (sys::NFTNL_EXPR_LOOKUP_FLAGS, Value::U32(1))]);
    for (dreg, number) in [(Register::VERDICT, 0), (Register::FIRST, 1)] {
        check(lookup(Some(dreg), false), "lookup", &[sreg(), set(), (sys::NFTNL_EXPR_LOOKUP_DREG, Value::U32(number))]);
    }
}

#[test]
fn additions_to_sets() {
    let set = c("affinity");
    for (op, number) in [(DynsetOp::Add, 0), (DynsetOp::Update, 1)] {
        for data in [None, Some(Register::word(4))] {
            for timeout in [None, Some(10_800_000)] {
                let mut theirs = vec![
                    (sys::NFTNL_EXPR_DYNSET_SREG_KEY, Value::U32(1)),
                    (sys::NFTNL_EXPR_DYNSET_OP, Value::U32(number)),
                    (sys::NFTNL_EXPR_DYNSET_SET_NAME, Value::Str(&set)),
                ];
                theirs.extend(data.map(|_| (sys::NFTNL_EXPR_DYNSET_SREG_DATA, Value::U32(2))));
                theirs.extend(timeout.map(|timeout| (sys::NFTNL_EXPR_DYNSET_TIMEOUT, Value::U64(timeout))));
                let ours = Expr::Dynset { set: "affinity".to_owned(), op, key: Register::FIRST, data, timeout };
                check(ours, "dynset", &theirs);
            }
        }
    }
}

#[test]
fn counters() {
    check(
        Expr::Counter(Counter { packets: 5, bytes: 300 }),
        "counter",
        &[(sys::NFTNL_EXPR_CTR_PACKETS, Value::U64(5)), (sys::NFTNL_EXPR_CTR_BYTES, Value::U64(300))],
    );
}

#[test]
fn values() {
    let addr = [0xfd, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 17];
    for (word, number, value) in [(0, 1, &addr[..]), (4, 2, &[0x1f, 0x90]), (1, 9, &addr[..4])] {
        check(
            Expr::Immediate { dreg: Register::word(word), value: value.to_vec() },
            "immediate",
            &[(sys::NFTNL_EXPR_IMM_DREG, Value::U32(number)), (sys::NFTNL_EXPR_IMM_DATA, Value::Bytes(value))],
        );
    }
}

#[test]
fn verdicts() {
    let dreg = || (sys::NFTNL_EXPR_IMM_DREG, Value::U32(0));
    let code = |code: i32| (sys::NFTNL_EXPR_IMM_VERDICT, Value::U32(code.cast_unsigned()));
    let chain = c("services");
    let chain = || (sys::NFTNL_EXPR_IMM_CHAIN, Value::Str(&chain));
    for (verdict, number) in [(Verdict::Drop, 0), (Verdict::Accept, 1), (Verdict::Return, -5), (Verdict::Other(-1), -1)]
    {
        check(Expr::Verdict(verdict), "immediate", &[dreg(), code(number)]);
    }
    let name = "services".to_owned();
    check(Expr::Verdict(Verdict::Jump(name.clone())), "immediate", &[dreg(), chain(), code(-3)]);
    check(Expr::Verdict(Verdict::Goto(name)), "immediate", &[dreg(), chain(), code(-4)]);
}

#[test]
fn translations() {
    let dnat = |proto, flags| Expr::Dnat { family: NFPROTO_IPV6, addr: Register::FIRST, proto, flags };
    let start = || {
        vec![
            (sys::NFTNL_EXPR_NAT_TYPE, Value::U32(1)),
            (sys::NFTNL_EXPR_NAT_FAMILY, Value::U32(10)),
            (sys::NFTNL_EXPR_NAT_REG_ADDR_MIN, Value::U32(1)),
        ]
    };
    check(dnat(None, 0), "nat", &start());
    let mut with_port = start();
    with_port.push((sys::NFTNL_EXPR_NAT_REG_PROTO_MIN, Value::U32(2)));
    check(dnat(Some(Register::word(4)), 0), "nat", &with_port);
    with_port.push((sys::NFTNL_EXPR_NAT_FLAGS, Value::U32(16)));
    check(dnat(Some(Register::word(4)), 16), "nat", &with_port);
    check(Expr::Masquerade { flags: key::NAT_FULLY_RANDOM }, "masq", &[(sys::NFTNL_EXPR_MASQ_FLAGS, Value::U32(16))]);
    check(Expr::Masquerade { flags: 0 }, "masq", &[]);
}

#[test]
fn rejections() {
    let kind = |kind| (sys::NFTNL_EXPR_REJECT_TYPE, Value::U32(kind));
    let code = |code| (sys::NFTNL_EXPR_REJECT_CODE, Value::U8(code));
    check(Expr::Reject(Reject::Icmp(3)), "reject", &[kind(0), code(3)]);
    check(Expr::Reject(Reject::TcpReset), "reject", &[kind(1)]);
    check(Expr::Reject(Reject::Icmpx(1)), "reject", &[kind(2), code(1)]);
}
