//! Which version of an object one has: what tells it from earlier ones of the same name, and decides nothing.

use smol_str::SmolStr;

use super::{
    field::Field,
    raw::{Metadata, Object},
};

/// What the API server and controllers wrote about one version of an object; nothing of it is there in most manifests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Version<'a> {
    /// `metadata.uid`
    pub uid: Option<&'a str>,
    /// `metadata.generation`, which changes with the spec only. Services have none.
    pub generation: Option<u64>,
    /// `metadata.resourceVersion`
    pub resource_version: Option<&'a str>,
    /// The annotation `endpoints.kubernetes.io/last-change-trigger-time`: when that happened which led to this version
    /// of a slice.
    pub last_change_trigger_time: Option<&'a str>,
}

impl Object {
    /// Which version of the object this is.
    #[must_use]
    pub fn version(&self) -> Version<'_> {
        match self {
            Self::Service(object) => version(&object.metadata),
            Self::EndpointSlice(object) => version(&object.metadata),
            Self::Node(object) => version(&object.metadata),
            Self::ServiceCidr(object) => version(&object.metadata),
        }
    }
}

fn version<L>(metadata: &Field<Metadata<L>>) -> Version<'_> {
    let Some(metadata) = metadata.valid() else { return Version::default() };
    let annotations = metadata.annotations.valid();
    Version {
        uid: text(&metadata.uid),
        generation: metadata.generation.valid().map(|generation| generation.0),
        resource_version: text(&metadata.resource_version),
        last_change_trigger_time: annotations.and_then(|all| text(&all.last_change_trigger_time)),
    }
}

fn text(field: &Field<SmolStr>) -> Option<&str> {
    field.valid().map(AsRef::as_ref)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_missing_or_wrong_is_not_there() {
        let slice = |metadata| Object::EndpointSlice(serde_json::from_value(json!({"metadata": metadata})).unwrap());
        let time = "2026-11-20T10:00:00.123456789Z";
        let whole = slice(json!({
            "name": "a", "uid": "u", "generation": 3, "resourceVersion": "7",
            "annotations": {"other": {}, "endpoints.kubernetes.io/last-change-trigger-time": time},
        }));
        let expected = Version {
            uid: Some("u"),
            generation: Some(3),
            resource_version: Some("7"),
            last_change_trigger_time: Some(time),
        };
        assert_eq!(whole.version(), expected);
        for nothing in [json!(5), json!({}), json!({"uid": 5, "generation": -1, "annotations": []})] {
            assert_eq!(slice(nothing).version(), Version::default());
        }
    }
}
