//! Events (events.k8s.io/v1): what users read with `kubectl get events`.
//!
//! A notice is put into a bounded queue and written by one future, one after another. Nobody waits for it: what does not
//! fit is dropped and counted. About a rejected object all nodes would write the same, so such an Event has a name made
//! of the object's UID, version and the reason: the first node writes it, the others hear 409, which is just as good, and
//! each waits for a random time first.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use jiff::Timestamp;
use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{api::PostParams, core::Request};
use portolan_core::ingest::{Kind, ObjectRef};
use tokio::{sync::mpsc, time::sleep};

use crate::{
    client::{Client, Turn},
    failure::Failure,
    identity::Identity,
    pace::{Backoff, Pace, part_of},
};

/// kube-proxy's name, by which users and their tools look for these Events.
const CONTROLLER: &str = "kube-proxy";
/// Notices that wait.
const QUEUE: usize = 256;
/// The longest that a notice about an object waits before it is written: half of it on average, which is also the limit
/// of how many are written.
const SPREAD: Duration = Duration::from_secs(10);
/// How often one is tried.
const TRIES: u32 = 5;
/// What the API server allows in a note, in bytes.
const NOTE: usize = 1024;
/// And in the name of who reports.
const INSTANCE: usize = 128;
/// What it allows in the name of an object.
const NAME: usize = 253;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeType {
    /// `Normal`
    Normal,
    /// `Warning`
    Warning,
}

/// What an Event is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Regarding {
    api_version: &'static str,
    kind: Kind,
    namespace: String,
    name: String,
    uid: String,
    /// The version of the object, where all nodes write about it.
    version: Option<Box<str>>,
}

impl Regarding {
    /// Our own Node, without a UID, as kube-proxy does: the object may not be known yet.
    #[must_use]
    pub fn node(name: &str) -> Self {
        let (namespace, uid) = (String::new(), String::new());
        Self { api_version: "v1", kind: Kind::Node, namespace, name: name.to_owned(), uid, version: None }
    }

    /// An object that all nodes see, in this version: together they write one Event for each reason.
    #[must_use]
    pub fn object(reference: &ObjectRef, identity: &Identity) -> Self {
        Self {
            api_version: match reference.kind {
                Kind::Service | Kind::Node => "v1",
                Kind::EndpointSlice => "discovery.k8s.io/v1",
                Kind::ServiceCidr => "networking.k8s.io/v1",
            },
            kind: reference.kind,
            namespace: reference.namespace.to_string(),
            name: reference.name.to_string(),
            uid: identity.uid.to_string(),
            version: Some(identity.version.clone()),
        }
    }

    /// The same object, about which this node alone has something to say, such as that a port is taken here.
    #[must_use]
    pub fn here(self) -> Self {
        Self { version: None, ..self }
    }
}

/// One Event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// What it is about.
    pub regarding: Regarding,
    /// How bad it is.
    pub type_: NoticeType,
    /// Why, as one word for machines.
    pub reason: &'static str,
    /// What was done or tried, as one word for machines.
    pub action: &'static str,
    /// What people read; cut after 1024 bytes.
    pub note: String,
}

/// Where notices go. Cheap to clone: all clones are one.
#[derive(Debug, Clone)]
pub struct EventSink {
    /// What all nodes have to say about an object, slowly.
    shared: mpsc::Sender<(Notice, SystemTime)>,
    /// What this node alone has to say, at once.
    own: mpsc::Sender<(Notice, SystemTime)>,
    dropped: Arc<AtomicU64>,
}

impl EventSink {
    /// A sink, and the future that writes what comes into it until the last sink is gone.
    pub fn new(client: Client, hostname: &str, pace: Pace) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let ((shared, of_all), (own, of_this)) = (mpsc::channel(QUEUE), mpsc::channel(QUEUE));
        let dropped = Arc::default();
        let writer = Writer {
            client,
            instance: cut(&format!("{CONTROLLER}-{hostname}"), INSTANCE).to_owned(),
            pace,
            dropped: Arc::clone(&dropped),
        };
        let writing = async move {
            tokio::join!(writer.write_all(of_all), writer.write_all(of_this));
        };
        (Self { shared, own, dropped }, writing)
    }

    /// Leaves a notice to be written. Never waits.
    pub fn send(&self, notice: Notice) {
        let queue = if notice.regarding.version.is_some() { &self.shared } else { &self.own };
        if queue.try_send((notice, SystemTime::now())).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many notices were not written: there were too many, or the API server did not take them.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

struct Writer {
    client: Client,
    instance: String,
    pace: Pace,
    dropped: Arc<AtomicU64>,
}

impl Writer {
    /// One after another, until no sink is left.
    async fn write_all(&self, mut notices: mpsc::Receiver<(Notice, SystemTime)>) {
        while let Some((notice, time)) = notices.recv().await {
            if notice.regarding.version.is_some() {
                sleep(part_of(SPREAD.min(self.pace.longest))).await;
            }
            let reason = notice.reason;
            if let Err(failure) = write(&self.client, &notice.into_event(&self.instance, time), self.pace).await {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                tracing::debug!("an Event {reason} was not written: {failure}");
            }
        }
    }
}

async fn write(client: &Client, event: &v1::Event, pace: Pace) -> Result<(), Failure> {
    let unwritable = |reason: String| Failure::Unreadable(reason);
    let body = serde_json::to_vec(event).map_err(|error| unwritable(error.to_string()))?;
    let namespace = event.metadata.namespace.as_deref().unwrap_or_default();
    let path = Request::new(format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events"));
    let mut backoff = Backoff::new(pace);
    let mut left = TRIES;
    loop {
        let request = path.create(&PostParams::default(), body.clone());
        let request = request.map_err(|error| unwritable(error.to_string()))?;
        match client.fetch(request, Turn::Own, &mut Vec::new()).await {
            // Another node has written it, or we have, and the answer was lost.
            Ok(_) | Err(Failure::Refused { code: 409, .. }) => return Ok(()),
            Err(failure) => {
                left -= 1;
                if left == 0 || !failure.is_outage() {
                    return Err(failure);
                }
                sleep(backoff.failed()).await;
            }
        }
    }
}

impl Notice {
    fn into_event(self, instance: &str, now: SystemTime) -> v1::Event {
        let now = Timestamp::try_from(now).unwrap_or_default();
        let regarding = self.regarding;
        let suffix = match &regarding.version {
            Some(version) => hash(&[&regarding.uid, version, self.reason]),
            // As client-go: the nanoseconds, since no other moment has them.
            None => format!("{:x}", now.as_nanosecond()),
        };
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        v1::Event {
            metadata: ObjectMeta {
                name: Some(event_name(&regarding.name, &suffix)),
                // Objects that lie in no namespace have their Events in this one.
                namespace: text(&regarding.namespace).or_else(|| text("default")),
                ..ObjectMeta::default()
            },
            event_time: Some(MicroTime(now)),
            reporting_controller: text(CONTROLLER),
            reporting_instance: text(instance),
            action: text(self.action),
            reason: text(self.reason),
            regarding: Some(ObjectReference {
                api_version: text(regarding.api_version),
                kind: Some(regarding.kind.to_string()),
                namespace: text(&regarding.namespace),
                name: text(&regarding.name),
                uid: text(&regarding.uid),
                ..ObjectReference::default()
            }),
            note: text(cut(&self.note, NOTE)),
            type_: text(match self.type_ {
                NoticeType::Normal => "Normal",
                NoticeType::Warning => "Warning",
            }),
            ..v1::Event::default()
        }
    }
}

/// Name and suffix, the name cut where both would be too long. A part between two dots ends with a letter or digit.
fn event_name(name: &str, suffix: &str) -> String {
    let name = cut(name, NAME - suffix.len() - 1).trim_end_matches(['-', '.']);
    format!("{name}.{suffix}")
}

/// No more of a text than so many bytes, in whole characters.
fn cut(text: &str, bytes: usize) -> &str {
    (0..=bytes.min(text.len())).rev().find_map(|end| text.get(..end)).unwrap_or_default()
}

/// The same on every node and in every version of ours: FNV-1a, in hexadecimal.
fn hash(parts: &[&str]) -> String {
    // No text has the byte 255, so it keeps the parts apart.
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([255]));
    let hash =
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(name: &str, version: &str) -> Notice {
        let reference = ObjectRef { kind: Kind::Service, namespace: "team-a".into(), name: name.into() };
        let identity = Identity { uid: "1-2-3".into(), version: version.into() };
        let regarding = Regarding::object(&reference, &identity);
        Notice { regarding, type_: NoticeType::Warning, reason: "Rejected", action: "Read", note: "ä".repeat(600) }
    }

    fn name(notice: Notice, seconds: u64) -> String {
        let event = notice.into_event("kube-proxy-a", SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        event.metadata.name.unwrap()
    }

    #[test]
    fn all_nodes_give_one_name_for_a_version_and_reason() {
        let first = name(notice("web", "7"), 1);
        // By value: the name must not change with Rust or with us.
        assert_eq!(first, "web.521b8e1fafee93c5");
        assert_eq!(first, name(notice("web", "7"), 2));
        assert_ne!(first, name(notice("web", "8"), 1));
        assert_ne!(first, name(Notice { reason: "Conflict", ..notice("web", "7") }, 1));
        let here = |seconds| {
            let notice = notice("web", "7");
            name(Notice { regarding: notice.regarding.clone().here(), ..notice }, seconds)
        };
        assert_ne!(here(1), here(2));
    }

    #[test]
    fn long_names_and_notes_are_cut_where_the_api_allows_it() {
        let long = format!("{}-{}", "a".repeat(235), "b".repeat(17));
        let cut = name(notice(&long, "7"), 1);
        assert!(cut.starts_with(&format!("{}.", "a".repeat(235))), "{cut}");
        let event = notice("web", "7").into_event("kube-proxy-a", SystemTime::UNIX_EPOCH);
        assert_eq!(event.note.unwrap().len(), 1024);
    }

    #[test]
    fn a_node_event_is_as_kube_proxy_writes_it() {
        let start = Notice {
            regarding: Regarding::node("node-a"),
            type_: NoticeType::Normal,
            reason: "Starting",
            action: "StartKubeProxy",
            note: String::new(),
        };
        let event = start.into_event("kube-proxy-host", SystemTime::UNIX_EPOCH + Duration::from_nanos(0xabc));
        let expected = serde_json::json!({
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": "node-a.abc", "namespace": "default"},
            "eventTime": "1970-01-01T00:00:00.000002Z",
            "reportingController": "kube-proxy",
            "reportingInstance": "kube-proxy-host",
            "action": "StartKubeProxy",
            "reason": "Starting",
            "regarding": {"apiVersion": "v1", "kind": "Node", "name": "node-a"},
            "type": "Normal",
        });
        assert_eq!(serde_json::to_value(event).unwrap(), expected);
    }
}
