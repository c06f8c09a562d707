//! Kubernetes Events: what people read with `kubectl describe` on a Service or on this Node.

use portolan_core::{
    ingest::{Finding, Kind, Object, ObjectRef},
    model::Uid,
    name::ServiceName,
};
use portolan_kube::{EventSink, Identity, Notice, NoticeType, Regarding};

/// Writes Events about this node and about objects; without an API server nobody reads them, and nothing is written.
#[derive(Debug, Clone)]
pub struct Reporter {
    node: Regarding,
    sink: Option<EventSink>,
}

impl Reporter {
    /// For the node of this name.
    #[must_use]
    pub fn new(node: &str, sink: Option<EventSink>) -> Self {
        Self { node: Regarding::node(node), sink }
    }

    /// Something that this node's operator should know.
    pub fn node(&self, type_: NoticeType, reason: &'static str, action: &'static str, note: impl Into<String>) {
        self.send(self.node.clone(), type_, reason, action, note.into());
    }

    /// What is wrong with an object: one Event for all of it, which all nodes write together.
    pub fn findings(&self, object: &Object, findings: &[Finding]) {
        if findings.is_empty() {
            return;
        }
        let rejected = findings.iter().any(Finding::is_rejection);
        let reason = if rejected { "Rejected" } else { "ServedOtherwise" };
        let lines: Vec<_> = findings.iter().map(ToString::to_string).collect();
        let regarding = Regarding::object(&object.reference(), &Identity::of(object));
        self.send(regarding, NoticeType::Warning, reason, "Read", lines.join("\n"));
    }

    /// What is wrong with the Service with this UID since another object changed, such as a ServiceCIDR.
    pub fn found_anew(&self, finding: &Finding, uid: Option<Uid>) {
        let reason = if finding.is_rejection() { "Rejected" } else { "ServedOtherwise" };
        self.about_service(finding, uid, reason);
    }

    /// The Service with this UID lost an address and port to another. All nodes write the same, and the Service's name and
    /// the address name the Event.
    pub fn conflict(&self, conflict: &Finding, uid: Option<Uid>) {
        self.about_service(conflict, uid, "Conflict");
    }

    fn about_service(&self, finding: &Finding, uid: Option<Uid>, reason: &'static str) {
        let object = finding.object();
        let version = format!("{}/{} {}", object.namespace, object.name, finding.value());
        let regarding = Regarding::object(object, &Identity { uid: text(uid), version: version.into() });
        self.send(regarding, NoticeType::Warning, reason, "Read", finding.to_string());
    }

    /// A health-check node port of a Service cannot be opened on this node.
    pub fn listen_failed(&self, service: &ServiceName, uid: Option<Uid>, note: String) {
        let ServiceName { namespace, name } = service.clone();
        let object = ObjectRef { kind: Kind::Service, namespace, name };
        let regarding = Regarding::object(&object, &Identity { uid: text(uid), ..Identity::default() }).here();
        self.send(regarding, NoticeType::Warning, "FailedToStartServiceHealthcheck", "Listen", note);
    }

    /// How many Events could not be written so far.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.sink.as_ref().map_or(0, EventSink::dropped)
    }

    fn send(&self, regarding: Regarding, type_: NoticeType, reason: &'static str, action: &'static str, note: String) {
        if let Some(sink) = &self.sink {
            sink.send(Notice { regarding, type_, reason, action, note });
        }
    }
}

fn text(uid: Option<Uid>) -> Box<str> {
    uid.map(|uid| uid.to_string().into()).unwrap_or_default()
}
