//! From a parsed document to an object of a kind that Portolan reads.

use portolan_core::ingest::{Kind, Object};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::refused::Reason;
use portolan_core::text::excerpt;

/// The group and version in which a kind is read. Older EndpointSlices (v1beta1, gone since Kubernetes 1.25) had other
/// fields.
pub(super) const fn api_version(kind: Kind) -> &'static str {
    match kind {
        Kind::Service | Kind::Node => "v1",
        Kind::EndpointSlice => "discovery.k8s.io/v1",
        Kind::ServiceCidr => "networking.k8s.io/v1",
    }
}

fn kind_named(name: &str) -> Option<Kind> {
    match name {
        "Service" => Some(Kind::Service),
        "EndpointSlice" => Some(Kind::EndpointSlice),
        "Node" => Some(Kind::Node),
        "ServiceCIDR" => Some(Kind::ServiceCidr),
        _ => None,
    }
}

/// Whether documents of this kind are worth reading.
pub(super) fn is_read(kind: &str) -> bool {
    kind_named(kind).is_some()
}

/// What the items of a List are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ListOf {
    /// `List`: each item says its kind.
    Any,
    /// `ServiceList` and the like, where the API server leaves kind and version of the items out.
    Kind(Kind),
}

/// Whether a document of this kind is a List that is read item by item.
pub(super) fn list_of(kind: &str) -> Option<ListOf> {
    match kind {
        "List" => Some(ListOf::Any),
        _ => kind.strip_suffix("List").and_then(kind_named).map(ListOf::Kind),
    }
}

/// A document that was parsed: an object, or what stands in its place.
pub(super) fn object(document: Value, list: ListOf) -> Result<Object, (String, Reason)> {
    let Value::Object(mut fields) = document else { return Err((String::new(), Reason::NotAnObject)) };
    if let ListOf::Kind(kind) = list {
        fields.entry("kind").or_insert_with(|| kind.to_string().into());
        fields.entry("apiVersion").or_insert_with(|| api_version(kind).into());
    }
    let Some(name) = fields.get("kind").and_then(Value::as_str) else {
        return Err((described("Object", &fields), Reason::NoKind));
    };
    let Some(kind) = kind_named(name) else {
        return Err((described(name, &fields), Reason::UnknownKind(excerpt(name))));
    };
    let found = fields.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
    if found != api_version(kind) {
        return Err((described(name, &fields), Reason::OtherVersion { kind, found: excerpt(found) }));
    }
    match kind {
        Kind::Service => typed(kind, fields, Object::Service),
        Kind::EndpointSlice => typed(kind, fields, Object::EndpointSlice),
        Kind::Node => typed(kind, fields, Object::Node),
        Kind::ServiceCidr => typed(kind, fields, Object::ServiceCidr),
    }
}

fn typed<T: DeserializeOwned>(
    kind: Kind,
    fields: Map<String, Value>,
    object: fn(T) -> Object,
) -> Result<Object, (String, Reason)> {
    let described = described(&kind.to_string(), &fields);
    T::deserialize(Value::Object(fields))
        .map(object)
        .map_err(|error| (described, Reason::Malformed(excerpt(&error.to_string()))))
}

/// Kind, namespace and name as far as they are there: what a person looks for in the file.
fn described(kind: &str, fields: &Map<String, Value>) -> String {
    let metadata = |field| fields.get("metadata").and_then(|metadata| metadata.get(field)).and_then(Value::as_str);
    let name = metadata("name").map_or_else(|| "(no name)".to_owned(), excerpt);
    match metadata("namespace") {
        Some(namespace) => format!("{} {}/{name}", excerpt(kind), excerpt(namespace)),
        None => format!("{} {name}", excerpt(kind)),
    }
}
