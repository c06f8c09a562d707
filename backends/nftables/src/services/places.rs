//! The places of endpoints: which number each has in the map of its frontend.
//!
//! ```text
//!   the kernel holds   0: a   1: b   2: c   3: d
//!   wanted are         a, c, d, and e, in this order
//!   so they stand at   0: a   1: e   2: c   3: d       one element is written, not three
//! ```
//!
//! A packet draws a number below their count, each with the same chance, so it does not matter to it which endpoint has
//! which. What the kernel holds already therefore stays where it is; the others take the free places, in order. One
//! endpoint more, fewer or another then costs one element, however many there are. A fresh start has no places to keep: there
//! the order is that of the addresses.

use std::net::IpAddr;

use super::{Data, Key, Value, names::SetName};

/// Gives the endpoints of each frontend the places that they have in the kernel. `present` is what it holds at the place of
/// the object with this number.
pub(crate) fn keep<'kernel>(objects: &mut [(Key, Value)], present: &dyn Fn(usize) -> Option<&'kernel Value>) {
    let mut first = 0;
    for frontend in objects.chunk_by_mut(|(one, _), (other, _)| are_places_of_one(one, other)) {
        keep_those_of_one(frontend, &|place| present(first + place));
        first += frontend.len();
    }
}

fn keep_those_of_one<'kernel>(places: &mut [(Key, Value)], present: &dyn Fn(usize) -> Option<&'kernel Value>) {
    if places.len() < 2 || (0..places.len()).all(|place| present(place).is_none()) {
        return;
    }
    let wanted: Vec<_> = places.iter().filter_map(|(_, value)| endpoint(value)).collect();
    let mut left: Vec<_> = wanted.iter().copied().map(Some).collect();
    let mut next = 0;
    let mut take = |found: (IpAddr, u16)| {
        // They are sorted, and most stand in the kernel in the same order.
        let number = if wanted.get(next) == Some(&found) { next } else { wanted.binary_search(&found).ok()? };
        next = number + 1;
        left.get_mut(number)?.take()
    };
    let kept: Vec<_> = (0..places.len()).map(|place| present(place).and_then(endpoint).and_then(&mut take)).collect();
    let mut others = left.into_iter().flatten();
    for ((_, value), kept) in places.iter_mut().zip(kept) {
        if let (Value::Element(data, _), Some((addr, port))) = (value, kept.or_else(|| others.next())) {
            *data = Data::Endpoint(addr, port);
        }
    }
}

/// Whether two objects are the places of two endpoints of one frontend.
pub(crate) fn are_places_of_one(one: &Key, other: &Key) -> bool {
    let (Key::Element(family, set, key), Key::Element(other_family, other_set, other)) = (one, other) else {
        return false;
    };
    let has_places = match set {
        SetName::Direct(count) => *count > 1,
        SetName::Endpoints(_) | SetName::LocalEndpoints(_) => true,
        _ => false,
    };
    has_places && (family, set) == (other_family, other_set) && key.without_slot() == other.without_slot()
}

fn endpoint(value: &Value) -> Option<(IpAddr, u16)> {
    match value {
        Value::Element(Data::Endpoint(addr, port), _) => Some((*addr, *port)),
        _ => None,
    }
}
