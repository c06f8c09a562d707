//! What must have been heard before the kernel is written to, and before anything is removed from it.
//!
//! | source | first write | first removal |
//! | --- | --- | --- |
//! | the API server | the lists of Services and of EndpointSlices are complete | the Node is there too, or has kept us waiting for half a minute since then |
//! | manifests | they were scanned once | each file of them was read once |
//!
//! The Node has the addresses of NodePorts: without it a restart would close the ones that are open.

use std::time::{Duration, Instant};

use portolan_core::ingest::Kind;

/// How long the Node is waited for, as in kube-proxy.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which lists are complete.
#[derive(Debug)]
pub(super) struct Lists {
    services: bool,
    slices: bool,
    node: Awaited,
}

/// What may be expected of the Node.
#[derive(Debug, Clone, Copy)]
enum Awaited {
    /// That it comes, by this moment; `None` before anything may be written.
    Until(Option<Instant>),
    /// Nothing more: it is there, or every manifest was read.
    Settled,
    /// That it is in a manifest which was not read yet.
    InManifests,
}

impl Lists {
    pub(super) const fn none() -> Self {
        Self { services: false, slices: false, node: Awaited::Until(None) }
    }

    /// The list of a kind is complete.
    pub(super) fn listed(&mut self, kind: Kind, now: Instant) {
        match kind {
            Kind::Service => self.services = true,
            Kind::EndpointSlice => self.slices = true,
            Kind::Node | Kind::ServiceCidr => {}
        }
        // From here on, not from the start: the API server may have been away for longer than that.
        if let Awaited::Until(deadline @ None) = &mut self.node
            && self.services
            && self.slices
        {
            *deadline = Some(now + PATIENCE);
        }
    }

    /// The Node object was seen.
    pub(super) const fn node_seen(&mut self) {
        if let Awaited::Until(_) = self.node {
            self.node = Awaited::Settled;
        }
    }

    /// Manifests were scanned; whether each of them was read.
    pub(super) const fn scanned(&mut self, complete: bool) {
        let node = if complete { Awaited::Settled } else { Awaited::InManifests };
        *self = Self { services: true, slices: true, node };
    }

    /// Whether the kernel may be written to.
    pub(super) const fn may_write(&self) -> bool {
        self.services && self.slices
    }

    /// Whether objects that nobody wants may be removed from the kernel.
    pub(super) fn may_remove(&self, now: Instant) -> bool {
        let node = match self.node {
            Awaited::Until(deadline) => deadline.is_some_and(|deadline| now >= deadline),
            Awaited::Settled => true,
            Awaited::InManifests => false,
        };
        self.may_write() && node
    }

    /// Until when a Node that is missing is not told about: a new node's may come some seconds after it.
    pub(super) fn waits_for_node(&self, now: Instant) -> Option<Instant> {
        match self.node {
            Awaited::Until(deadline) => deadline.filter(|deadline| now < *deadline),
            Awaited::Settled | Awaited::InManifests => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_written_before_both_lists_and_nothing_removed_before_the_node() {
        let start = Instant::now();
        let mut lists = Lists::none();
        lists.listed(Kind::Service, start);
        lists.listed(Kind::ServiceCidr, start);
        assert!(!lists.may_write() && !lists.may_remove(start + 2 * PATIENCE));
        lists.listed(Kind::EndpointSlice, start);
        assert!(lists.may_write() && !lists.may_remove(start));
        lists.node_seen();
        assert!(lists.may_remove(start));
        assert_eq!(lists.waits_for_node(start), None);
    }

    #[test]
    fn a_node_that_does_not_come_is_waited_for_half_a_minute_after_the_lists() {
        let start = Instant::now();
        let late = start + 10 * PATIENCE;
        let mut lists = Lists::none();
        lists.listed(Kind::Service, late);
        // A list of Nodes without ours says nothing: it may be made yet.
        lists.listed(Kind::Node, late);
        lists.listed(Kind::EndpointSlice, late);
        assert!(lists.may_write() && !lists.may_remove(late));
        assert_eq!(lists.waits_for_node(late), Some(late + PATIENCE));
        assert!(lists.may_remove(late + PATIENCE));
        assert_eq!(lists.waits_for_node(late + PATIENCE), None);
    }

    #[test]
    fn manifests_are_complete_when_all_were_read_however_long_that_takes() {
        let start = Instant::now();
        let mut lists = Lists::none();
        lists.scanned(false);
        lists.node_seen();
        assert!(lists.may_write() && !lists.may_remove(start + 2 * PATIENCE));
        assert_eq!(lists.waits_for_node(start), None);
        lists.scanned(true);
        assert!(lists.may_remove(start));
    }
}
