//! Messages into the cluster.

use std::time::Instant;

use portolan_core::ingest::{Finding, Kind, Object, ObjectRef};
use portolan_kube as kube;

use super::{Message, Settings, SyncLoop};
use crate::{
    mailbox::{Inbox, Taken},
    manifest,
};

impl SyncLoop {
    /// Takes what has arrived into the cluster. Whether nothing more comes.
    pub(super) fn take_messages(&mut self, inbox: &Inbox<Message>) -> bool {
        // Until there are no more: what comes while others are taken in goes into the same sync.
        let closed = loop {
            let Taken { messages, closed } = inbox.take();
            if messages.is_empty() {
                break closed;
            }
            messages.into_iter().for_each(|message| self.take(message));
        };
        self.telemetry.health.node_eligible(self.cluster.node_eligible());
        if self.patient && self.lists.may_write() && self.lists.waits_for_node(Instant::now()).is_none() {
            // From now on a missing Node is told about, and nothing waits for it any more.
            self.patient = false;
            self.queue();
        }
        closed
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Manifest(event) => self.take_manifest(event),
            Message::Kube(event) => self.take_kube(event),
            Message::Configure(settings) => self.configure(*settings),
        }
    }

    fn take_manifest(&mut self, event: manifest::Event) {
        match event {
            manifest::Event::Applied(object) => {
                let findings = self.apply(&object);
                self.telemetry.count(&findings);
            }
            manifest::Event::Deleted(object) => self.delete(&object),
            manifest::Event::Refused(refused) => tracing::warn!("{refused}"),
            manifest::Event::Scanned { complete } => {
                self.lists.scanned(complete);
                self.queue();
            }
        }
    }

    fn take_kube(&mut self, event: kube::Event) {
        match event {
            kube::Event::Applied(object) => {
                if object.kind() == Kind::Node {
                    self.lists.node_seen();
                }
                let findings = self.apply(&object);
                self.telemetry.found(&object, &findings);
                self.changed(object.kind());
            }
            kube::Event::Deleted(reference) => {
                self.delete(&reference);
                self.changed(reference.kind);
            }
            kube::Event::Listed { kind, names } => {
                if let Some(names) = names {
                    self.cluster.retain(kind, &names);
                }
                self.lists.listed(kind, Instant::now());
                self.queue();
            }
        }
    }

    fn apply(&mut self, object: &Object) -> Vec<Finding> {
        self.telemetry.changed(object.kind());
        let trigger = self.telemetry.trigger(object);
        let marks = self.cluster.marks();
        let findings = self.cluster.apply(object);
        findings.iter().for_each(|finding| tracing::warn!("{finding}"));
        // A slice that is listed again, or changed in what nobody reads, says nothing about how fast we are.
        if let Some(trigger) = trigger.filter(|_| self.cluster.marks() > marks) {
            self.telemetry.triggered(trigger);
        }
        findings
    }

    fn delete(&mut self, object: &ObjectRef) {
        self.telemetry.changed(object.kind);
        self.cluster.delete(object);
    }

    /// An object of this kind came, changed or went: is there anything to sync? A Node's status is written every few
    /// minutes by its kubelet.
    fn changed(&mut self, kind: Kind) {
        if self.cluster.has_changes() || matches!(kind, Kind::Node | Kind::ServiceCidr) && self.policy_changed() {
            self.queue();
        }
    }

    fn policy_changed(&self) -> bool {
        self.policy.as_ref() != Some(&self.cluster.policy())
    }

    fn queue(&mut self) {
        if self.pace.changed() {
            self.telemetry.queued();
        }
    }

    fn configure(&mut self, settings: Settings) {
        self.pace.set_periods(Instant::now(), settings.sync_period, settings.min_sync_period);
        self.config_sync_period = settings.config_sync_period;
        self.telemetry.health.sync_period(settings.sync_period);
        self.cluster.reconfigure(settings.node);
        self.queue();
    }
}
