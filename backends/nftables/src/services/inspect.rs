//! What our tables hold, for people who ask.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use portolan_core::{
    addr::Family,
    desired::{LocalDetector, Vip},
    inspect::{Held, Inspect, Legible, Objects, Ruleset},
    object::{BackendError, FrontendCounts, LiveFrontend},
    trace::{Packet, Trace, World},
};

use super::{Nft, Nftables, listing, trace};
use crate::table::text;

impl Legible for Nft {
    fn text(&self, objects: &Objects<'_, Self>) -> String {
        text::text(objects.iter().map(|(key, value)| (*key, *value)))
    }

    fn frontends(&self, objects: &Objects<'_, Self>) -> Vec<LiveFrontend> {
        listing::frontends(objects)
    }

    fn detector(&self, objects: &Objects<'_, Self>, family: Family) -> Option<LocalDetector> {
        trace::detector(objects, family)
    }

    fn trace(&self, objects: &Objects<'_, Self>, packet: &Packet, world: &World<'_>) -> Trace {
        trace::trace(objects, packet, world, &|_| None)
    }
}

impl Inspect for Nftables {
    fn is_present(&mut self) -> Result<bool, BackendError> {
        Ok(!self.tables().map_err(BackendError::new)?.is_empty())
    }

    fn observed(&mut self) -> Result<Box<dyn Ruleset>, BackendError> {
        Ok(Box::new(Held::observed(self)?))
    }

    fn counts(&mut self) -> Result<BTreeMap<Vip, FrontendCounts>, BackendError> {
        self.all_counts().map_err(BackendError::new)
    }

    fn remembered(&mut self, client: IpAddr, trace: &Trace) -> Result<BTreeMap<String, Duration>, BackendError> {
        self.known(client, trace).map_err(BackendError::new)
    }

    fn other_tables(&mut self, family: Family) -> Result<Vec<String>, BackendError> {
        self.tables_of_others(family).map_err(BackendError::new)
    }
}
