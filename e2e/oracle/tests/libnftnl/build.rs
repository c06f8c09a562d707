//! libnftnl behind functions that are safe to call: each object is made, filled, built into a message and freed here.

use std::ffi::{CStr, CString, c_char};

use nftnl_sys as sys;
use sys::libc::nlmsghdr;

/// `struct nlmsghdr` and `struct nfgenmsg`
const HEADERS: usize = 20;

/// The attributes of the message that `payload` builds.
fn message(payload: impl FnOnce(*mut nlmsghdr)) -> Vec<u8> {
    // u64: as aligned as libmnl wants it. Larger than any message of these tests.
    let mut buffer = vec![0_u64; 8 << 10];
    // SAFETY: the buffer outlives both calls and is larger than the message, whose length stands in its header.
    let bytes = unsafe {
        let header = sys::nftnl_nlmsg_build_hdr(buffer.as_mut_ptr().cast::<c_char>(), 0, 0, 0, 0);
        payload(header);
        std::slice::from_raw_parts(buffer.as_ptr().cast::<u8>(), (*header).nlmsg_len as usize)
    };
    bytes[HEADERS..].to_vec()
}

pub(crate) fn c(text: &str) -> CString {
    CString::new(text).expect("no NUL")
}

/// A value of an attribute of libnftnl's objects.
pub(crate) enum Value<'a> {
    U8(u8),
    U32(u32),
    U64(u64),
    Str(&'a CStr),
    Bytes(&'a [u8]),
    /// Expressions that have nothing but a name.
    Exprs(&'a [&'a CStr]),
}

/// Makes a function that allocates an object, sets attributes, builds its message and frees it.
macro_rules! object {
    ($name:ident, $alloc:ident, $free:ident, $build:ident, $u32:ident, $u64:ident, $str:ident, $data:expr, $exprs:expr) => {
        pub(crate) fn $name(attributes: &[(u32, Value<'_>)]) -> Vec<u8> {
            // SAFETY: the object is valid from alloc to free; strings and data are copied while they are set.
            unsafe {
                let object = sys::$alloc();
                assert!(!object.is_null());
                for (kind, value) in attributes {
                    let kind = *kind as u16;
                    match value {
                        Value::U32(value) => sys::$u32(object, kind, *value),
                        Value::U64(value) => sys::$u64(object, kind, *value),
                        Value::Str(value) => drop(sys::$str(object, kind, value.as_ptr())),
                        Value::Bytes(value) => drop($data(object, kind, value.as_ptr().cast(), value.len() as u32)),
                        Value::Exprs(names) => $exprs(object, names),
                        Value::U8(_) => panic!("no object has an attribute of one byte"),
                    }
                }
                let bytes = message(|header| sys::$build(header, object));
                sys::$free(object);
                bytes
            }
        }
    };
}

object!(
    table,
    nftnl_table_alloc,
    nftnl_table_free,
    nftnl_table_nlmsg_build_payload,
    nftnl_table_set_u32,
    nftnl_table_set_u64,
    nftnl_table_set_str,
    sys::nftnl_table_set_data,
    |_: *mut sys::nftnl_table, _: &[&CStr]| panic!("only sets have expressions")
);
object!(
    chain,
    nftnl_chain_alloc,
    nftnl_chain_free,
    nftnl_chain_nlmsg_build_payload,
    nftnl_chain_set_u32,
    nftnl_chain_set_u64,
    nftnl_chain_set_str,
    sys::nftnl_chain_set_data,
    |_: *mut sys::nftnl_chain, _: &[&CStr]| panic!("only sets have expressions")
);
object!(
    set,
    nftnl_set_alloc,
    nftnl_set_free,
    nftnl_set_nlmsg_build_payload,
    nftnl_set_set_u32,
    nftnl_set_set_u64,
    nftnl_set_set_str,
    sys::nftnl_set_set_data,
    |set, names: &[&CStr]| {
        for name in names {
            let expr = sys::nftnl_expr_alloc(name.as_ptr());
            assert!(!expr.is_null());
            // The set takes the expression and frees it.
            sys::nftnl_set_add_expr(set, expr);
        }
    }
);

/// A rule of `table t`, `chain c` with one expression.
pub(crate) fn rule_of(name: &str, attributes: &[(u32, Value<'_>)], userdata: &[u8]) -> Vec<u8> {
    let (table, chain, name) = (c("t"), c("c"), c(name));
    // SAFETY: the rule takes the expression and frees it; strings and data are copied while they are set.
    unsafe {
        let rule = sys::nftnl_rule_alloc();
        let expr = sys::nftnl_expr_alloc(name.as_ptr());
        assert!(!rule.is_null() && !expr.is_null());
        sys::nftnl_rule_set_str(rule, sys::NFTNL_RULE_TABLE as u16, table.as_ptr());
        sys::nftnl_rule_set_str(rule, sys::NFTNL_RULE_CHAIN as u16, chain.as_ptr());
        if !userdata.is_empty() {
            let (data, len) = (userdata.as_ptr().cast(), userdata.len() as u32);
            sys::nftnl_rule_set_data(rule, sys::NFTNL_RULE_USERDATA as u16, data, len);
        }
        for (kind, value) in attributes {
            let kind = *kind as u16;
            match value {
                Value::U8(value) => sys::nftnl_expr_set_u8(expr, kind, *value),
                Value::U32(value) => sys::nftnl_expr_set_u32(expr, kind, *value),
                Value::U64(value) => sys::nftnl_expr_set_u64(expr, kind, *value),
                Value::Str(value) => drop(sys::nftnl_expr_set_str(expr, kind, value.as_ptr())),
                Value::Exprs(_) => panic!("no expression has expressions"),
                Value::Bytes(value) => {
                    sys::nftnl_expr_set(expr, kind, value.as_ptr().cast(), value.len() as u32);
                }
            }
        }
        sys::nftnl_rule_add_expr(rule, expr);
        let bytes = message(|header| sys::nftnl_rule_nlmsg_build_payload(header, rule));
        sys::nftnl_rule_free(rule);
        bytes
    }
}

/// Elements of `table t`, `set s`, each with attributes of its own.
pub(crate) fn elements(elements: &[Vec<(u32, Value<'_>)>]) -> Vec<u8> {
    let (table, name) = (c("t"), c("s"));
    // SAFETY: the set takes the elements and frees them; values are copied while they are set, and libnftnl refuses one
    // that is longer than its place.
    unsafe {
        let set = sys::nftnl_set_alloc();
        assert!(!set.is_null());
        sys::nftnl_set_set_str(set, sys::NFTNL_SET_TABLE as u16, table.as_ptr());
        sys::nftnl_set_set_str(set, sys::NFTNL_SET_NAME as u16, name.as_ptr());
        for attributes in elements {
            let element = sys::nftnl_set_elem_alloc();
            assert!(!element.is_null());
            for (kind, value) in attributes {
                let kind = *kind as u16;
                match value {
                    Value::U32(value) => sys::nftnl_set_elem_set_u32(element, kind, *value),
                    Value::U64(value) => sys::nftnl_set_elem_set_u64(element, kind, *value),
                    Value::Str(value) => assert_eq!(sys::nftnl_set_elem_set_str(element, kind, value.as_ptr()), 0),
                    Value::Bytes(value) => {
                        let (data, len) = (value.as_ptr().cast(), value.len() as u32);
                        assert_eq!(sys::nftnl_set_elem_set(element, kind, data, len), 0);
                    }
                    Value::U8(_) | Value::Exprs(_) => panic!("no element has such an attribute"),
                }
            }
            sys::nftnl_set_elem_add(set, element);
        }
        let bytes = message(|header| sys::nftnl_set_elems_nlmsg_build_payload(header, set));
        sys::nftnl_set_free(set);
        bytes
    }
}
