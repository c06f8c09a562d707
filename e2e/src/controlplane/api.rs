//! A client of the API server: creates, replaces and deletes objects as they stand in manifests.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Stdio},
};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Binary, Credentials, Error, place::Place};

/// The client. It speaks through a child process, for the API server speaks TLS only.
#[derive(Debug)]
pub struct Api {
    client: Client,
    /// Paths of what was created and not deleted, in this order.
    created: Vec<String>,
}

#[derive(Debug)]
struct Client {
    process: Child,
    requests: ChildStdin,
    responses: BufReader<ChildStdout>,
}

/// The API server does not want an object: it keeps to what its type admits.
#[derive(Debug, thiserror::Error)]
#[error("the API server refuses to {method} {path}: {message}")]
pub struct Refusal {
    method: &'static str,
    path: String,
    message: String,
}

#[derive(Deserialize)]
struct Response {
    status: u16,
    body: String,
}

impl Api {
    pub(super) fn start(binary: &Binary, place: &Place, credentials: &Credentials) -> Result<Self, Error> {
        Ok(Self { client: Client::start(binary, place, credentials)?, created: Vec::new() })
    }

    /// With other credentials; the objects stay the same.
    pub(super) fn reconnect(&mut self, binary: &Binary, place: &Place, with: &Credentials) -> Result<(), Error> {
        self.client = Client::start(binary, place, with)?;
        Ok(())
    }

    pub(super) fn is_ready(&mut self) -> Result<bool, Error> {
        Ok(self.request("GET", "/readyz", None)?.status == 200)
    }

    /// An object, or a list of objects.
    ///
    /// # Errors
    /// When there is none at this path, or the API server does not answer.
    pub fn get(&mut self, path: &str) -> Result<Value, Error> {
        self.expect("GET", path, None)
    }

    /// Creates what is not an object of its own, such as the token of a service account, and returns what it became.
    ///
    /// # Errors
    /// When the API server refuses it or does not answer.
    pub fn post(&mut self, path: &str, body: &Value) -> Result<Value, Error> {
        self.expect("POST", path, Some(body))
    }

    /// Replaces what is at this path.
    ///
    /// # Errors
    /// As [`Api::post`].
    pub fn put(&mut self, path: &str, body: &Value) -> Result<Value, Error> {
        self.expect("PUT", path, Some(body))
    }

    /// Creates an object, or replaces the one of its name, and then its status where it has one. Its namespace comes to
    /// be. Returns whether it is new.
    ///
    /// # Errors
    /// When the API server refuses it or does not answer.
    pub fn apply(&mut self, object: &Value) -> Result<bool, Error> {
        let name = text(object, "/metadata/name", "a name")?;
        let collection = collection(object)?;
        let path = format!("{collection}/{name}");
        if let Some(namespace) = object.pointer("/metadata/namespace").and_then(Value::as_str) {
            let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
            self.create("/api/v1/namespaces", &namespace)?;
        }
        // Creating is not tried with what is there: a Service's addresses are allocated before its name is looked at.
        let new = !self.created.contains(&path) && self.create(&collection, object)?;
        if new {
            self.created.push(path.clone());
        } else {
            self.expect("PUT", &path, Some(object))?;
        }
        // A Service that is replaced by one without a status would keep its own.
        if object.get("status").is_some() || (!new && object.get("kind").is_some_and(|kind| kind == "Service")) {
            self.expect("PUT", &format!("{path}/status"), Some(object))?;
        }
        Ok(new)
    }

    /// Deletes an object. A Pod on a node is only terminating then, until it is removed.
    ///
    /// # Errors
    /// When there is none, or the API server does not answer.
    pub fn delete(&mut self, object: &Value) -> Result<(), Error> {
        self.delete_asking(object, "")
    }

    /// Deletes an object at once, as a kubelet does with a Pod that has ended.
    ///
    /// # Errors
    /// As [`Api::delete`].
    pub fn remove(&mut self, object: &Value) -> Result<(), Error> {
        self.delete_asking(object, "?gracePeriodSeconds=0")
    }

    fn delete_asking(&mut self, object: &Value, query: &str) -> Result<(), Error> {
        let path = format!("{}/{}", collection(object)?, text(object, "/metadata/name", "a name")?);
        self.created.retain(|created| *created != path);
        self.expect("DELETE", &format!("{path}{query}"), None).map(drop)
    }

    /// Deletes all that was created; but namespaces stay.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub fn clear(&mut self) -> Result<(), Error> {
        for path in std::mem::take(&mut self.created).into_iter().rev() {
            self.expect("DELETE", &format!("{path}?gracePeriodSeconds=0"), None)?;
        }
        Ok(())
    }

    /// Whether it was created; it is not when there is one of its name.
    fn create(&mut self, collection: &str, object: &Value) -> Result<bool, Error> {
        let response = self.request("POST", collection, Some(object))?;
        match response.status {
            409 => Ok(false),
            _ => response.or_refusal("POST", collection).map(|_| true),
        }
    }

    fn expect(&mut self, method: &'static str, path: &str, body: Option<&Value>) -> Result<Value, Error> {
        self.request(method, path, body)?.or_refusal(method, path)
    }

    fn request(&mut self, method: &str, path: &str, body: Option<&Value>) -> Result<Response, Error> {
        let mut request = json!({"method": method, "path": path});
        if let (Some(body), Some(fields)) = (body, request.as_object_mut()) {
            fields.insert("body".to_owned(), body.clone());
        }
        let mut line = String::new();
        writeln!(self.client.requests, "{request}")
            .and_then(|()| self.client.responses.read_line(&mut line))
            .and_then(|_| serde_json::from_str(&line).map_err(Into::into))
            .map_err(Error::system(format!("{method} {path}")))
    }
}

impl Client {
    fn start(binary: &Binary, place: &Place, credentials: &Credentials) -> Result<Self, Error> {
        let failed = |source| Error::System { what: "the client of the API server".to_owned(), source };
        let mut command = binary.command("requests");
        command.arg(credentials.kubeconfig()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = place.enter(|| command.spawn())?.map_err(failed)?;
        match (process.stdin.take(), process.stdout.take()) {
            (Some(requests), Some(responses)) => Ok(Self { process, requests, responses: BufReader::new(responses) }),
            _ => Err(failed(std::io::ErrorKind::BrokenPipe.into())),
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Both fail where it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Response {
    fn or_refusal(self, method: &'static str, path: &str) -> Result<Value, Error> {
        if (200..300).contains(&self.status) {
            return serde_json::from_str(&self.body)
                .map_err(|error| Error::system(format!("the answer to {method} {path}"))(error.into()));
        }
        let status: Option<Value> = serde_json::from_str(&self.body).ok();
        let message = status.as_ref().and_then(|status| status.get("message")).and_then(Value::as_str);
        let message = message.map(ToOwned::to_owned).unwrap_or(self.body);
        Err(Refusal { method, path: path.to_owned(), message }.into())
    }
}

/// The path of all objects of an object's kind, in its namespace. That a kind's plural has an `s` more is true of what
/// tests have.
fn collection(object: &Value) -> Result<String, Error> {
    let version = text(object, "/apiVersion", "an apiVersion")?;
    let kind = text(object, "/kind", "a kind")?.to_lowercase();
    let root = if version == "v1" { "/api/v1".to_owned() } else { format!("/apis/{version}") };
    Ok(match object.pointer("/metadata/namespace").and_then(Value::as_str) {
        Some(namespace) => format!("{root}/namespaces/{namespace}/{kind}s"),
        None => format!("{root}/{kind}s"),
    })
}

fn text<'object>(object: &'object Value, pointer: &str, what: &'static str) -> Result<&'object str, Error> {
    object.pointer(pointer).and_then(Value::as_str).ok_or(Error::Object(what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for (object, path) in [
            (json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}}), "/api/v1/nodes"),
            (
                json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "n", "namespace": "blue"}}),
                "/api/v1/namespaces/blue/services",
            ),
            (
                json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"namespace": "blue"}}),
                "/apis/discovery.k8s.io/v1/namespaces/blue/endpointslices",
            ),
        ] {
            assert_eq!(collection(&object).unwrap(), path);
        }
    }
}
