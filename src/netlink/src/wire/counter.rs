//! What a counter has counted: in a rule, or in an element of a set whose elements have counters.

use crate::attr::{Attrs, Writer};

/// `NFTA_COUNTER_*`
const BYTES: u16 = 1;
const PACKETS: u16 = 2;
const PAD: u16 = 3;

/// Packets that came by, and their bytes.
///
/// Every counter equals every other: what came by is no part of what a rule or an element is, and two of them that
/// differ in nothing else are the same.
#[derive(Debug, Clone, Copy, Default, Eq)]
pub struct Counter {
    /// How many packets.
    pub packets: u64,
    /// How many bytes they had, with their IP headers.
    pub bytes: u64,
}

impl PartialEq for Counter {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Counter {
    /// The kernel's name of the expression.
    pub(super) const NAME: &'static str = "counter";

    /// Writes the attributes of the expression: what it starts from, if that is not 0.
    pub(super) fn put(self, w: &mut Writer<'_>) {
        for (kind, value) in [(BYTES, self.bytes), (PACKETS, self.packets)] {
            if value != 0 {
                w.be64(kind, value);
            }
        }
    }

    /// Reads them; nothing if there are others.
    pub(super) fn parse(attrs: Attrs<'_>) -> Option<Self> {
        let mut counter = Self::default();
        for attr in attrs {
            match attr.kind {
                BYTES => counter.bytes = attr.be64()?,
                PACKETS => counter.packets = attr.be64()?,
                PAD => {}
                _ => return None,
            }
        }
        Some(counter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attr::encode;

    #[test]
    fn what_is_written_is_read() {
        for counter in [Counter::default(), Counter { packets: 5, bytes: u64::MAX }] {
            let bytes = encode(|w| counter.put(w)).expect("fits");
            let read = Counter::parse(Attrs::new(&bytes)).expect("known");
            assert_eq!((read.packets, read.bytes), (counter.packets, counter.bytes));
        }
    }

    #[test]
    fn what_is_not_known_is_told() {
        let bytes = encode(|w| w.be64(9, 1)).expect("fits");
        assert!(Counter::parse(Attrs::new(&bytes)).is_none());
    }
}
