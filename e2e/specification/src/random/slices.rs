//! Random EndpointSlices.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use crate::objects::{AddressType, Endpoint, Labels, Slice, SlicePort};

use super::pool;

/// A slice, most often of a Service that there may be.
pub(super) fn slice() -> impl Strategy<Value = Slice> {
    let family = prop_oneof![
        5 => (Just(AddressType::Ipv4), endpoints(pool::ENDPOINTS_V4, pool::FRONTENDS_V4, pool::REFUSED_V4)),
        4 => (Just(AddressType::Ipv6), endpoints(pool::ENDPOINTS_V6, pool::FRONTENDS_V6, pool::REFUSED_V6)),
        1 => (Just(AddressType::Fqdn), endpoints(&["host.example.com"], &["other.example.com"], pool::REFUSED_V4)),
    ];
    (pool::namespace(), pool::text(pool::SLICES), labels(), ports(), family).prop_map(
        |(namespace, name, labels, ports, (address_type, endpoints))| Slice {
            namespace,
            name,
            labels,
            address_type,
            ports,
            endpoints,
        },
    )
}

fn labels() -> impl Strategy<Value = Labels> {
    let service = prop_oneof![20 => pool::service().prop_map(Some), 1 => Just(Some(String::new())), 1 => Just(None)];
    (service, prop::bool::weighted(0.05)).prop_map(|(service, headless)| {
        let mut labels = Labels::new();
        labels.extend(service.map(|service| ("kubernetes.io/service-name".to_owned(), service)));
        labels.extend(headless.then(|| ("service.kubernetes.io/headless".to_owned(), String::new())));
        labels
    })
}

/// Ports of different names, as the API server wants them; some of them impossible.
fn ports() -> impl Strategy<Value = Vec<SlicePort>> {
    let number = prop_oneof![
        9 => select(&[Some(80), Some(80), Some(8080), Some(8080), Some(30001)][..]),
        1 => select(&[None, Some(0), Some(-1), Some(65536 + 80)][..]),
    ];
    let there = || vec(prop::bool::weighted(0.85), 4);
    (pool::named_protocols(), there(), there(), vec(number, 4)).prop_map(|(named, there, unset, numbers)| {
        let mut ports = Vec::new();
        for ((((name, protocol), there), unset), port) in named.into_iter().zip(there).zip(unset).zip(numbers) {
            if there {
                let name = Some(name.to_owned()).filter(|name| !(unset && name.is_empty()));
                ports.push(SlicePort { name, protocol, port });
            }
        }
        ports
    })
}

fn endpoints(
    good: &'static [&'static str],
    frontends: &'static [&'static str],
    refused: &'static [&'static str],
) -> impl Strategy<Value = Vec<Endpoint>> {
    let good = prop_oneof![8 => pool::text_or(good, refused), 1 => pool::text(frontends)];
    let addresses = vec(good, 1..=2);
    let ready = select(&[None, Some(true), Some(true), Some(true), Some(false), Some(false)][..]);
    let serving = select(&[None, Some(true), Some(true), Some(false)][..]);
    let terminating = select(&[None, Some(false), Some(true)][..]);
    let hints = |names| prop_oneof![1 => Just(Vec::new()), 1 => subsequence(names, 1..=2)];
    let owned = |names: Vec<&str>| names.into_iter().map(ToOwned::to_owned).collect();
    let placed = addresses.prop_flat_map(|addresses| {
        let home = addresses.first().map_or(pool::NODE, |first| pool::home(first)).to_owned();
        // Slices may be late, or wrong.
        let node = prop_oneof![12 => Just(Some(home)), 1 => pool::text(pool::NODES).prop_map(Some), 1 => Just(None)];
        (Just(addresses), node)
    });
    let one = (placed, ready, serving, terminating, hints(pool::ZONES), hints(pool::NODES)).prop_map(
        move |((addresses, node_name), ready, serving, terminating, zones, nodes)| Endpoint {
            addresses,
            ready,
            serving,
            terminating,
            node_name,
            zone_hints: owned(zones),
            node_hints: owned(nodes),
        },
    );
    vec(one, 0..=5)
}
