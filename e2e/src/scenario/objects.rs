//! A scenario's objects: read from YAML, changed from step to step, and what they say about endpoints.

use std::{fmt, fs, net::SocketAddr, path::Path, str::FromStr};

use portolan_core::addr::Protocol;
use serde_json::{Value, json};

use crate::{Error, destination::protocol_named};

/// The documents of a YAML file.
pub(super) fn read(path: &Path) -> Result<Vec<Value>, Error> {
    serde_saphyr::from_multiple(&text(path)?)
        .map_err(|source| Error::Yaml { path: path.to_owned(), source: Box::new(source) })
}

pub(super) fn text(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| Error::File { path: path.to_owned(), source })
}

/// These objects as one manifest, in JSON.
#[must_use]
pub fn manifest(objects: &[Value]) -> String {
    json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string()
}

/// What tells an object from all others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectName {
    kind: String,
    /// As metadata has it.
    namespace: Option<String>,
    name: String,
}

impl ObjectName {
    /// The name of an object.
    #[must_use]
    pub fn of(object: &Value) -> Self {
        let text = |path| object.pointer(path).and_then(Value::as_str).map(ToOwned::to_owned);
        Self {
            kind: text("/kind").unwrap_or_default(),
            namespace: text("/metadata/namespace"),
            name: text("/metadata/name").unwrap_or_default(),
        }
    }
}

/// As `delete` has it: `Service default/web`, `Node node-a`.
impl FromStr for ObjectName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, name) = text.split_once(' ').ok_or_else(|| text.to_owned())?;
        let (namespace, name) = match name.split_once('/') {
            Some((namespace, name)) => (Some(namespace.to_owned()), name),
            None => (None, name),
        };
        Ok(Self { kind: kind.to_owned(), namespace, name: name.to_owned() })
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

/// Puts each of `changed` in the place of the object of its name, or at the end where there is none.
pub(super) fn apply(objects: &mut Vec<Value>, changed: Vec<Value>) {
    for object in changed {
        let name = ObjectName::of(&object);
        match objects.iter_mut().find(|old| ObjectName::of(old) == name) {
            Some(old) => *old = object,
            None => objects.push(object),
        }
    }
}

/// Takes an object away; whether it was there.
pub(super) fn delete(objects: &mut Vec<Value>, name: &ObjectName) -> bool {
    let before = objects.len();
    objects.retain(|object| ObjectName::of(object) != *name);
    objects.len() < before
}

/// Where the endpoints of an object are, if it is an EndpointSlice. What is odd about it is Portolan's business, and left out
/// here.
pub(super) fn endpoints(object: &Value) -> Vec<(Protocol, SocketAddr)> {
    if object.get("kind").is_none_or(|kind| kind != "EndpointSlice") {
        return Vec::new();
    }
    let addresses = list(object, "endpoints").iter().filter_map(|endpoint| {
        let text = endpoint.pointer("/addresses/0").and_then(Value::as_str)?;
        text.parse().ok()
    });
    let with_ports = addresses.flat_map(|address| {
        list(object, "ports").iter().filter_map(move |port| {
            let protocol = port.get("protocol").and_then(Value::as_str).unwrap_or("TCP").to_lowercase();
            let number = port.get("port").and_then(Value::as_u64).and_then(|number| u16::try_from(number).ok())?;
            Some((protocol_named(&protocol)?, SocketAddr::new(address, number)))
        })
    });
    with_ports.collect()
}

fn list<'object>(object: &'object Value, field: &str) -> &'object [Value] {
    object.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_replaced_by_name_and_deleted_by_name() {
        let service = |name: &str, port: u16| json!({"kind": "Service", "metadata": {"name": name, "namespace": "default"}, "spec": {"port": port}});
        let mut objects = vec![service("web", 1), json!({"kind": "Node", "metadata": {"name": "node-a"}})];
        apply(&mut objects, vec![service("api", 2), service("web", 3)]);
        let names: Vec<_> = objects.iter().map(|object| ObjectName::of(object).to_string()).collect();
        assert_eq!(names, ["Service default/web", "Node node-a", "Service default/api"]);
        assert_eq!(objects[0], service("web", 3));
        assert!(delete(&mut objects, &"Node node-a".parse().unwrap()));
        assert!(!delete(&mut objects, &"Service other/web".parse().unwrap()));
        assert_eq!(objects.len(), 2);
    }
}
