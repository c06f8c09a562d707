//! What nft stores beside a set so that it can print it as it was written: byte orders and the `typeof` expressions.
//!
//! The kernel keeps these bytes and does not look at them. Without them `nft list` prints some keys byte-swapped and
//! cannot name their fields. They are type-length-value triples of one byte, one byte, value; numbers in host order
//! (libnftnl/udata.h, and `struct expr_ops.build_udata` of nft):
//!
//! ```text
//!   0 key byte order | 1 data byte order | 3 typeof of the key | 4 typeof of the data | 6 data is an interval
//!                                            |
//!                                            0 kind of expression | 1 its parts
//! ```

use portolan_core::addr::Family;
use portolan_netlink::uapi::key;

use super::{
    field::Field,
    shape::{self, DataKind, Shape},
};

const KEY_BYTE_ORDER: u8 = 0;
const DATA_BYTE_ORDER: u8 = 1;
const KEY_TYPEOF: u8 = 3;
const DATA_TYPEOF: u8 = 4;
const DATA_INTERVAL: u8 = 6;

const EXPR_KIND: u8 = 0;
const EXPR_PARTS: u8 = 1;

/// `enum expr_types` of nft.
mod kind {
    pub(super) const VERDICT: u32 = 1;
    pub(super) const PAYLOAD: u32 = 7;
    pub(super) const META: u32 = 9;
    pub(super) const CONCAT: u32 = 13;
    pub(super) const NUMGEN: u32 = 23;
}

/// `BYTEORDER_BIG_ENDIAN` of nft; a concatenation has none of its own.
const BIG_ENDIAN: u32 = 2;
/// `NFT_NG_RANDOM` of linux/netfilter/nf_tables.h.
const RANDOM: u32 = 1;

/// The user data of a set or map, as nft 1.0 writes it.
#[must_use]
pub(crate) fn of_set(family: Family, shape: &Shape) -> Vec<u8> {
    let mut out = Vec::new();
    let is_map = shape.data != DataKind::None;
    put_u32(&mut out, KEY_BYTE_ORDER, if shape.key.len() == 1 { BIG_ENDIAN } else { 0 });
    if is_map {
        put_u32(&mut out, DATA_BYTE_ORDER, 0);
    }
    put(&mut out, KEY_TYPEOF, |out| type_of(out, family, &shape.key));
    match shape.data {
        DataKind::None => {}
        DataKind::Endpoint => put(&mut out, DATA_TYPEOF, |out| type_of(out, family, &shape::ENDPOINT)),
        DataKind::Verdict => put(&mut out, DATA_TYPEOF, |out| expression(out, kind::VERDICT, |_| {})),
    }
    if is_map {
        put_u32(&mut out, DATA_INTERVAL, 0);
    }
    out
}

/// The user data of a set of clients.
#[must_use]
pub(crate) fn of_clients(family: Family) -> Vec<u8> {
    let mut out = Vec::new();
    put_u32(&mut out, KEY_BYTE_ORDER, BIG_ENDIAN);
    put(&mut out, KEY_TYPEOF, |out| type_of(out, family, &shape::CLIENT));
    out
}

fn type_of(out: &mut Vec<u8>, family: Family, fields: &[Field]) {
    if let [field] = fields {
        return field_expression(out, family, *field);
    }
    expression(out, kind::CONCAT, |out| {
        for (index, field) in (0..).zip(fields) {
            put(out, index, |out| field_expression(out, family, *field));
        }
    });
}

fn field_expression(out: &mut Vec<u8>, family: Family, field: Field) {
    match field {
        Field::Source | Field::Destination | Field::Asked | Field::Port => expression(out, kind::PAYLOAD, |out| {
            let (header, field) = payload(family, field);
            put_u32(out, 0, header);
            put_u32(out, 1, field);
        }),
        Field::Protocol => expression(out, kind::META, |out| put_u32(out, 0, key::META_L4PROTO)),
        Field::CameBy => expression(out, kind::META, |out| put_u32(out, 0, key::META_IIF)),
        Field::LeavesBy => expression(out, kind::META, |out| put_u32(out, 0, key::META_OIF)),
        Field::Random(modulus) => expression(out, kind::NUMGEN, |out| {
            put_u32(out, 0, RANDOM);
            put_u32(out, 1, modulus);
            put_u32(out, 2, 0);
        }),
    }
}

/// `enum proto_desc_id` of nft and the header's field in it.
const fn payload(family: Family, field: Field) -> (u32, u32) {
    const TRANSPORT: u32 = 11;
    const IP: u32 = 12;
    const IP6: u32 = 13;
    match (field, family) {
        (Field::Source, Family::V4) => (IP, 11),
        (Field::Source, Family::V6) => (IP6, 8),
        (Field::Destination | Field::Asked, Family::V4) => (IP, 12),
        (Field::Destination | Field::Asked, Family::V6) => (IP6, 9),
        (_, _) => (TRANSPORT, 2),
    }
}

fn expression(out: &mut Vec<u8>, kind: u32, parts: impl FnOnce(&mut Vec<u8>)) {
    put_u32(out, EXPR_KIND, kind);
    put(out, EXPR_PARTS, parts);
}

fn put_u32(out: &mut Vec<u8>, kind: u8, value: u32) {
    put(out, kind, |out| out.extend_from_slice(&value.to_ne_bytes()));
}

/// Appends one triple. The longest of ours is a concatenation of five fields: 118 bytes of 255.
fn put(out: &mut Vec<u8>, kind: u8, value: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = Vec::new();
    value(&mut bytes);
    out.push(kind);
    out.push(u8::try_from(bytes.len()).unwrap_or(u8::MAX));
    out.append(&mut bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        services::{names::SetName, sets},
        table::field::Scope,
    };

    fn hex(family: Family, set: SetName) -> String {
        of_set(family, &sets::shape(set)).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Recorded from nft 1.0.6; all sets of both families are compared in the lab.
    #[test]
    fn as_nft_writes_it() {
        assert_eq!(hex(Family::V4, SetName::ClusterIps), "0004020000000314000407000000010c00040c00000001040c000000");
        assert_eq!(
            hex(Family::V6, SetName::Direct(2)),
            "000400000000010400000000036000040d00000001580014000407000000010c00040d000000010409000000010e000409000000\
             01060004100000000214000407000000010c00040b000000010402000000031a0004170000000112000401000000010402000000\
             020400000000043400040d000000012c0014000407000000010c00040d0000000104090000000114000407000000010c00040b00\
             0000010402000000060400000000"
        );
        assert_eq!(
            hex(Family::V4, SetName::Large(Scope::Vip)),
            "000400000000010400000000034400040d000000013c0014000407000000010c00040c00000001040c000000010e000409000000\
             01060004100000000214000407000000010c00040b00000001040200000004080004010000000100060400000000"
        );
    }
}
