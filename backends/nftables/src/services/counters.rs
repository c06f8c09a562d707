//! What the kernel counted for each frontend.
//!
//! Every element of the sets that decide about a connection counts how often a lookup found it ([`sets`]), in the
//! kernel and by packets alone: reading is the only cost for us. A count begins anew with its element: when the frontend
//! is new, when it changes between having endpoints and having none, when its set is replaced by a larger one.

use std::collections::BTreeMap;

use portolan_core::{addr::Family, desired::Vip, object::FrontendCounts};

use super::{
    Nft, Nftables,
    names::{SetName, TABLE},
    sets,
};
use crate::table::{
    element::{ElementKey, Fields},
    error::Error,
    lower::protocol_family,
    second::second,
};

impl Nftables {
    /// The counts of all frontends that the kernel holds; nothing where our tables are not there.
    ///
    /// # Errors
    /// When the kernel cannot be read.
    pub(super) fn all_counts(&mut self) -> Result<BTreeMap<Vip, FrontendCounts>, Error> {
        let mut counts: BTreeMap<Vip, FrontendCounts> = BTreeMap::new();
        for family in Family::ALL {
            for set in SetName::ALL.into_iter().filter(|set| sets::counts(*set).is_some()) {
                for name in [set.as_str(), &second::<Nft>(set)] {
                    for (vip, packets) in self.counted(family, set, name)? {
                        count(counts.entry(vip).or_default(), set, packets);
                    }
                }
            }
        }
        Ok(counts)
    }

    fn counted(&mut self, family: Family, set: SetName, name: &str) -> Result<Vec<(Vip, Option<u64>)>, Error> {
        let key = sets::shape(set).key;
        let read = self.connection().elements(protocol_family(family), TABLE, name, |all: &mut Vec<_>, found| {
            let packets = found.counter.map(|counter| counter.packets);
            if let Fields::Vip(vip) = ElementKey::found(found.key).read(family, &key) {
                all.push((vip, packets));
            }
            Ok(())
        });
        match read {
            Err(error) if error.is_not_found() => Ok(Vec::new()),
            read => Ok(read?),
        }
    }
}

/// What a set's lookups mean.
fn count(counts: &mut FrontendCounts, set: SetName, packets: Option<u64>) {
    let refusals = match set {
        SetName::NoEndpoints(_) => &mut counts.no_endpoints,
        SetName::NoLocalEndpoints(_) => &mut counts.no_local_endpoints,
        SetName::Restricted => &mut counts.source_ranges,
        _ => return counts.add_connections(packets),
    };
    // These are always counted.
    *refusals += packets.unwrap_or_default();
}
