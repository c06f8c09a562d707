//! What only the kernel knows of a packet: which clients are remembered and for how long, and whose rules it meets besides.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use portolan_core::{
    addr::Family,
    trace::{Trace, Verdict},
};
use portolan_netlink::{DumpError, uapi::NFPROTO_INET};

use crate::{
    services::{Nftables, names::TABLE},
    table::{element::ElementKey, error::Error, key::keyword, lower::protocol_family},
};

impl Nftables {
    /// Which of the sets where an outcome says that the client stays know it already: [`World::remembered`] of the trace
    /// that takes that into account.
    ///
    /// # Errors
    /// When the kernel cannot be read.
    ///
    /// [`World::remembered`]: portolan_core::trace::World::remembered
    pub(in crate::services) fn known(
        &mut self,
        client: IpAddr,
        trace: &Trace,
    ) -> Result<BTreeMap<String, Duration>, Error> {
        let mut remembered = BTreeMap::new();
        for outcome in &trace.outcomes {
            let Verdict::Endpoint { sticky: Some(sticky), .. } = &outcome.verdict else { continue };
            if let Some(left) = self.left(client, &sticky.clients)? {
                remembered.insert(sticky.clients.clone(), left);
            }
        }
        Ok(remembered)
    }

    /// The tables of other programs through whose chains the packets of a family go as well, as nft names them.
    ///
    /// # Errors
    /// When the kernel cannot be read.
    pub(in crate::services) fn tables_of_others(&mut self, family: Family) -> Result<Vec<String>, Error> {
        let mut others = Vec::new();
        for (number, keyword) in [(NFPROTO_INET, "inet"), (protocol_family(family), keyword(family))] {
            for table in self.connection().tables(number)? {
                let takes_packets = match self.connection().chains(number, &table.name) {
                    Ok(chains) => chains.iter().any(|chain| chain.hook.is_some()),
                    // A chain of a kind that we do not know.
                    Err(DumpError::Malformed(_)) => true,
                    Err(error) => return Err(error.into()),
                };
                if takes_packets && (number == NFPROTO_INET || table.name != TABLE) {
                    others.push(format!("{keyword} {}", table.name));
                }
            }
        }
        Ok(others)
    }

    /// How long a set still has a client.
    fn left(&mut self, client: IpAddr, clients: &str) -> Result<Option<Duration>, Error> {
        let (family, key) = (protocol_family(Family::of(client)), ElementKey::address(client));
        let read = self.connection().elements(family, TABLE, clients, |left: &mut Option<_>, found| {
            if found.key == key.as_slice() {
                *left = found.expiration.map(Duration::from_millis);
            }
            Ok(())
        });
        match read {
            // Its endpoint went away in the meantime.
            Err(error) if error.is_not_found() => Ok(None),
            read => Ok(read?),
        }
    }
}
