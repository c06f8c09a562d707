//! Cuts off flows that lead to the wrong place: removes their entries from conntrack's table after a sync, so that the
//! next datagram of their clients is sent where the rules say now.
//!
//! ```text
//!   Cluster --Touched--> FlowCleaner ---- dump, as narrow as it can be ----> entries
//!                              |                                               | Cluster::is_stale
//!                              '---- delete <----------------------------------'
//! ```
//!
//! What is stale is decided in [`portolan_core::model`]; here is how the kernel is asked. A dump costs the kernel a walk
//! over its whole table however few entries it gives, so there is one after the first of many changes, and then they rest:
//! changes that come meanwhile share the next one.

use std::time::{Duration, Instant};

use portolan_core::{
    addr::{Family, Protocol},
    desired::Vip,
    model::{Cluster, Flow, Touched},
};
use portolan_netlink::{
    conntrack::{Conntrack, ConntrackError, Entry, Filter, Listing},
    uapi::{NFPROTO_IPV4, NFPROTO_IPV6},
};

use crate::local_addresses::LocalAddresses;

/// Up to so many VIPs each have a dump of their own. One of all costs as much as 1.2 narrow ones at 1,000 entries, 2.7 at
/// 20,000 and 4 at 100,000.
const NARROW: usize = 2;

/// How often a dump that the kernel could not complete is made in all, as in kube-proxy (`MaxAttemptsEINTR`).
const TRIES: usize = 5;

/// What a late answer may have made is looked for so many times at most: by then those on their way have come.
const LATE_ROUNDS: u32 = 8;

/// After a clean-up there is none for so many times as long, within these bounds: changes that come meanwhile share the
/// next one, no client waits long for it, and answers that are on their way have come.
const REST: u32 = 9;
const SHORTEST_REST: Duration = Duration::from_millis(100);
const LONGEST_REST: Duration = Duration::from_secs(1);

/// What one clean-up of a family came to: kube-proxy's `conntrack_reconciler` metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CleanUp {
    /// The family.
    pub family: Family,
    /// How long it took.
    pub took: Duration,
    /// How many entries were deleted.
    pub deleted: usize,
}

/// Remembers what changes touched until it may look for stale flows.
#[derive(Debug)]
pub struct FlowCleaner {
    touched: Touched,
    /// What late answers to flows that were deleted may make: to be deleted, too, until there are none.
    late: Vec<Entry>,
    /// How often those were looked for.
    late_rounds: u32,
    /// Nothing is looked for before.
    rests_until: Instant,
    /// Whether not everything that is wanted is known yet, so that no endpoint can be said to be gone.
    held: bool,
    delete_syn_sent: bool,
}

impl FlowCleaner {
    /// One that knows of no change yet. UDP entries are deleted always; with `delete_syn_sent` also those of TCP
    /// connections whose first SYN nobody has answered: the client sends it again and reaches an endpoint that is there.
    #[must_use]
    pub fn new(delete_syn_sent: bool) -> Self {
        Self {
            touched: Touched::default(),
            late: Vec::new(),
            late_rounds: 0,
            rests_until: Instant::now(),
            held: false,
            delete_syn_sent,
        }
    }

    /// Whether to wait, since not everything that is wanted is known.
    pub const fn hold(&mut self, held: bool) {
        self.held = held;
    }

    /// Takes in what changes touched, of the protocols that are looked after. Others would only make those wait that there is
    /// something to do about.
    pub fn touch(&mut self, cluster: &mut Cluster) {
        let tcp_too = self.delete_syn_sent;
        self.touched.extend(cluster.take_touched(|protocol| protocol == Protocol::Udp || tcp_too));
    }

    /// When there is something to do; `None` when there is nothing.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        let is_idle = self.late.is_empty() && (self.held || self.touched.is_empty());
        (!is_idle).then_some(self.rests_until)
    }

    /// Removes stale entries, if it is due. To be called when the kernel's rules are what the cluster wants: earlier, a
    /// client would be sent to the same endpoint again.
    ///
    /// What goes wrong is logged, and not tried again before the next change: such entries end by themselves when their
    /// clients are silent for a while.
    pub fn clean(&mut self, cluster: &Cluster) -> Vec<CleanUp> {
        let start = Instant::now();
        if self.due().is_none_or(|due| due > start) {
            return Vec::new();
        }
        self.delete_late();
        let touched = if self.held { Touched::default() } else { std::mem::take(&mut self.touched) };
        let done = Family::ALL.into_iter().filter_map(|family| self.clean_family(family, cluster, &touched)).collect();
        self.rests_until = Instant::now() + (start.elapsed() * REST).clamp(SHORTEST_REST, LONGEST_REST);
        done
    }

    /// A client that gets an answer sends again, and that answer may be late, too: so this goes on until nothing is there.
    fn delete_late(&mut self) {
        if self.late.is_empty() {
            return;
        }
        let deleted = Conntrack::open().and_then(|mut conntrack| conntrack.delete(&self.late));
        self.late_rounds += 1;
        if self.late_rounds >= LATE_ROUNDS || !matches!(deleted, Ok(1..)) {
            self.late.clear();
        }
    }

    fn clean_family(&mut self, family: Family, cluster: &Cluster, touched: &Touched) -> Option<CleanUp> {
        let start = Instant::now();
        let protocols = [Protocol::Udp, Protocol::Tcp].into_iter().take(if self.delete_syn_sent { 2 } else { 1 });
        let filters: Vec<_> =
            protocols.flat_map(|protocol| filters(family, protocol, touched.of(protocol, family))).collect();
        if filters.is_empty() {
            return None;
        }
        let local = local_addresses(touched, family);
        let is_local = |addr| local.as_ref().is_some_and(|local| local.contains(addr));
        let is_stale = |entry: &Entry| {
            // Another zone's entry that leads nowhere else was not made by our rules (a switch tracks packets there).
            let ours = entry.zone == 0 || entry.is_translated();
            let flow = flow(entry).filter(|flow| ours && (flow.protocol == Protocol::Udp || entry.syn_sent));
            flow.is_some_and(|flow| cluster.is_stale(&flow, touched, is_local))
        };
        let late = &mut self.late;
        self.late_rounds = 0;
        let deleted = delete(&filters, is_stale, late).unwrap_or_else(|error| {
            tracing::warn!(
                %family,
                "stale conntrack entries could not be removed: {:#}. UDP clients of endpoints that are gone get no answer \
                 until they are silent for a while; everything else is served",
                anyhow::Error::from(error),
            );
            0
        });
        let took = start.elapsed();
        if deleted > 0 {
            tracing::info!(%family, deleted, ?took, "removed stale conntrack entries");
        } else {
            tracing::debug!(%family, ?took, "no conntrack entry is stale");
        }
        Some(CleanUp { family, took, deleted })
    }
}

/// Deletes what is stale among the entries that the filters choose; how many were there. What a late answer may make of
/// them is added to `late`: only where nothing is translated has it the addresses of the client's next datagram.
fn delete(
    filters: &[Filter],
    is_stale: impl Fn(&Entry) -> bool,
    late: &mut Vec<Entry>,
) -> Result<usize, ConntrackError> {
    let mut conntrack = Conntrack::open()?;
    let mut deleted = 0;
    for filter in filters {
        for _ in 0..TRIES {
            let mut stale = Vec::new();
            let listing = conntrack.list(filter, |entry| stale.extend(is_stale(&entry).then_some(entry)))?;
            deleted += conntrack.delete(&stale)?;
            let udp = |entry: &&Entry| entry.protocol == Protocol::Udp.number();
            late.extend(stale.iter().filter(udp).filter(|entry| !entry.is_translated()).map(Entry::of_late_answer));
            if listing == Listing::Complete {
                break;
            }
        }
    }
    Ok(deleted)
}

/// The dumps to make.
fn filters<'a>(family: Family, protocol: Protocol, vips: impl Iterator<Item = &'a Vip>) -> Vec<Filter> {
    let nfproto = match family {
        Family::V4 => NFPROTO_IPV4,
        Family::V6 => NFPROTO_IPV6,
    };
    let all = Filter::all(nfproto, protocol.number());
    let narrow: Vec<_> = vips
        .take(NARROW + 1)
        .map(|vip| Filter {
            destination: Some(vip.addr).filter(|addr| !addr.is_unspecified()),
            port: Some(vip.port),
            ..all
        })
        .collect();
    if narrow.len() > NARROW { vec![all] } else { narrow }
}

/// The node's own addresses, where NodePorts have no other.
fn local_addresses(touched: &Touched, family: Family) -> Option<LocalAddresses> {
    let mut vips = Protocol::ALL.into_iter().flat_map(|protocol| touched.of(protocol, family));
    if !vips.any(|vip| vip.addr.is_unspecified()) {
        return None;
    }
    LocalAddresses::read()
        .inspect_err(|error| {
            tracing::warn!(
                "the node's own addresses cannot be read: {error}. UDP clients of NodePorts whose endpoints are gone get no \
                 answer until they are silent for a while; everything else is served"
            );
        })
        .ok()
}

fn flow(entry: &Entry) -> Option<Flow> {
    let protocol = Protocol::ALL.into_iter().find(|protocol| protocol.number() == entry.protocol)?;
    Some(Flow { protocol, destination: entry.original.destination, reply_source: entry.reply.source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vip(text: &str) -> Vip {
        let at: std::net::SocketAddr = text.parse().unwrap();
        Vip { addr: at.ip(), protocol: Protocol::Udp, port: at.port() }
    }

    fn of(family: Family, vips: &[&str]) -> Vec<Filter> {
        let vips: Vec<_> = vips.iter().map(|text| vip(text)).collect();
        filters(family, Protocol::Udp, vips.iter())
    }

    #[test]
    fn few_vips_are_asked_for_by_name_and_many_together() {
        let all = Filter::all(NFPROTO_IPV4, 17);
        assert_eq!(of(Family::V4, &[]), []);
        let narrow = of(Family::V4, &["10.96.0.10:53", "0.0.0.0:30053"]);
        let cluster_ip = Filter { destination: "10.96.0.10".parse().ok(), port: Some(53), ..all };
        assert_eq!(narrow, [cluster_ip, Filter { port: Some(30053), ..all }]);
        assert_eq!(of(Family::V4, &["10.96.0.10:53", "10.96.0.11:53", "10.96.0.12:53"]), [all]);
        assert_eq!(of(Family::V6, &["[::]:30053"]), [Filter { port: Some(30053), ..Filter::all(NFPROTO_IPV6, 17) }]);
    }

    #[test]
    fn there_is_nothing_to_do_where_nothing_was_touched() {
        let mut cleaner = FlowCleaner::new(true);
        assert_eq!(cleaner.due(), None);
        assert_eq!(cleaner.clean(&Cluster::new(portolan_core::model::NodeConfig::of("node-a"))), []);
    }
}
