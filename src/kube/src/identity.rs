//! What a Kubernetes Event needs to know of the object that it is about, and when a change began.

use std::time::SystemTime;

use jiff::Timestamp;
use portolan_core::ingest::Object;

/// One version of an object: all nodes that see it know it by the same two texts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// `metadata.uid`
    pub uid: Box<str>,
    /// `metadata.generation`, or `metadata.resourceVersion` of kinds that have no generation, as Services.
    pub version: Box<str>,
}

impl Identity {
    /// The identity of an object. Parts that it lacks are empty.
    #[must_use]
    pub fn of(object: &Object) -> Self {
        let version = object.version();
        let generation = version.generation.map(|generation| generation.to_string().into());
        Self {
            uid: version.uid.unwrap_or_default().into(),
            version: generation.unwrap_or_else(|| version.resource_version.unwrap_or_default().into()),
        }
    }
}

/// When that happened which led to this version of a slice: the annotation
/// `endpoints.kubernetes.io/last-change-trigger-time`, if it is there and readable.
#[must_use]
pub fn last_change_trigger_time(object: &Object) -> Option<SystemTime> {
    let time: Timestamp = object.version().last_change_trigger_time?.parse().ok()?;
    Some(time.into())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    #[test]
    fn generation_comes_before_resource_version_and_times_are_read_or_left_out() {
        let slice = |metadata| Object::EndpointSlice(serde_json::from_value(json!({"metadata": metadata})).unwrap());
        let identity = |metadata| Identity::of(&slice(metadata));
        let expected = |uid: &str, version: &str| Identity { uid: uid.into(), version: version.into() };
        assert_eq!(identity(json!({"uid": "u", "generation": 3, "resourceVersion": "7"})), expected("u", "3"));
        assert_eq!(identity(json!({"uid": "u", "resourceVersion": "7"})), expected("u", "7"));
        assert_eq!(identity(json!({})), Identity::default());

        let key = "endpoints.kubernetes.io/last-change-trigger-time";
        let time = |text: &str| last_change_trigger_time(&slice(json!({"annotations": {key: text}})));
        let expected = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
        assert_eq!(time("2001-09-09T01:46:40.123456789Z"), Some(expected));
        assert_eq!(time("2001-09-09T03:46:40.123456789+02:00"), Some(expected));
        assert_eq!(time("yesterday"), None);
        assert_eq!(last_change_trigger_time(&slice(json!({}))), None);
    }
}
