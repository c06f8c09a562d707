//! ServiceCIDRs.

use super::*;

#[test]
fn the_cidrs_of_a_service_cidr() {
    let object = |spec: Value| json!({"metadata": {"name": "kubernetes", "namespace": "ignored"}, "spec": spec});
    for (spec, cidrs, expected) in [
        (json!({"cidrs": ["10.96.0.0/16", "fd00:10:96::/112"]}), Some("10.96.0.0/16 fd00:10:96::/112"), vec![]),
        (
            json!({"cidrs": ["10.96.0.0/33", "fd00::/112"]}),
            Some("fd00::/112"),
            vec![
                "ServiceCIDR kubernetes: `spec.cidrs[0]` = `10.96.0.0/33` is not a CIDR (an address, '/' and the length of a \
             prefix); this CIDR is left out, the object's others are used; correct it",
            ],
        ),
        (
            json!({"cidrs": ["10.96.0.1/16"]}),
            Some("10.96.0.0/16"),
            vec![
                "ServiceCIDR kubernetes: `spec.cidrs[0]` = `10.96.0.1/16` is read as 10.96.0.0/16; the CIDR is used; write it in \
             this form: other programs read it otherwise or not at all",
            ],
        ),
        (
            json!({"cidrs": "10.96.0.0/16"}),
            Some(""),
            vec![
                "ServiceCIDR kubernetes: `spec.cidrs` = `\"10.96.0.0/16\"` is not a list; no CIDR of this object is used, those \
             of others are; correct it",
            ],
        ),
        (json!({}), Some(""), vec![]),
        (
            json!(null),
            None,
            vec![
                "ServiceCIDR kubernetes: `spec` is missing; no CIDR of this object is used, those of others are; set it",
            ],
        ),
    ] {
        let (read, findings) = service_cidr(object(spec.clone()));
        let shown = read.map(|read| read.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
        assert_eq!((shown.as_deref(), findings), (cidrs, expected.into_iter().map(str::to_owned).collect()), "{spec}");
    }
    assert!(service_cidr(json!({"metadata": {"name": "A"}, "spec": {"cidrs": []}})).0.is_none());
}
