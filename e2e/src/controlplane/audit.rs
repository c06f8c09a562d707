//! The audit log of the API server: who asked for what, and whether it was granted.

use std::{fs, io::ErrorKind, path::Path};

use serde::Deserialize;
use serde_json::{Value, json};

use super::Error;

/// An answered request of the audit log, or a watch that has begun.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditEvent {
    /// Such as `watch`.
    #[serde(default)]
    pub verb: String,
    /// Path and query.
    #[serde(rename = "requestURI", default)]
    pub request_uri: String,
    /// Who asked.
    #[serde(default)]
    pub user: User,
    #[serde(default)]
    response_status: Status,
    /// Whether the API server was not ready then: until it has read roles and bindings it forbids whatever they allow.
    #[serde(skip)]
    pub starting: bool,
}

/// Whom the API server took a client for.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct User {
    /// Such as `system:serviceaccount:kube-system:kube-proxy`; empty when it knew nobody.
    #[serde(default)]
    pub username: String,
    #[serde(default)]
    extra: Value,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Status {
    #[serde(default)]
    code: u16,
}

impl AuditEvent {
    /// The status of the answer: 403 where RBAC does not allow it.
    #[must_use]
    pub const fn code(&self) -> u16 {
        self.response_status.code
    }
}

impl User {
    /// The identity (`jti`) of the token with which it came.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        self.extra.pointer("/authentication.kubernetes.io~1credential-id/0").and_then(Value::as_str)
    }
}

/// All requests, without bodies, once they are answered.
pub(super) fn policy() -> String {
    json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [{"level": "Metadata"}],
    })
    .to_string()
}

/// One line of JSON for each event; there is no log before the first.
pub(super) fn read(log: &Path) -> Result<Vec<AuditEvent>, Error> {
    let text = match fs::read_to_string(log) {
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        text => text.map_err(Error::system("the audit log"))?,
    };
    // The last line may be half written, and so may one be at which the API server was killed.
    let lines = text.lines().filter(|line| line.ends_with('}'));
    let parsed: Result<Vec<_>, _> = lines.map(serde_json::from_str).collect();
    parsed.map_err(|error| Error::system("the audit log")(std::io::Error::new(ErrorKind::InvalidData, error)))
}
