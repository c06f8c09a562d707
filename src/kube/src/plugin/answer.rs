//! What a plug-in is asked, and what it answers: an `ExecCredential`, as JSON, or YAML as client-go takes it.

use http::HeaderValue;
use jiff::Timestamp;
use kube::config::ExecConfig;
use serde::Deserialize;
use serde_json::json;

use super::PluginError;
use crate::tls::{self, Identity};

/// Who we are, as a plug-in says it.
pub(crate) struct Credential {
    /// For the header `Authorization`.
    pub(crate) authorization: Option<HeaderValue>,
    /// A certificate with its key.
    pub(crate) identity: Option<Identity>,
    /// When it is over; `None` where that is not known, so that the API server tells.
    pub(super) expires: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExecCredential {
    api_version: String,
    kind: String,
    status: Option<Status>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    expiration_timestamp: Option<String>,
    token: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
}

/// What is in `KUBERNETES_EXEC_INFO`.
pub(super) fn question(exec: &ExecConfig) -> String {
    let mut question = json!({
        "kind": "ExecCredential",
        "apiVersion": exec.api_version,
        "spec": {"interactive": false},
    });
    if let (true, Some(cluster), Some(spec)) = (exec.provide_cluster_info, &exec.cluster, question.get_mut("spec")) {
        *spec = json!({"interactive": false, "cluster": cluster});
    }
    question.to_string()
}

/// Errors say what is wrong and never quote.
pub(super) fn read(printed: &[u8], version: &str) -> Result<Credential, PluginError> {
    const WRONG: PluginError = PluginError::Answer("no ExecCredential");
    let answer: ExecCredential = serde_saphyr::from_slice(printed).map_err(|_| WRONG)?;
    if answer.kind != "ExecCredential" {
        return Err(WRONG);
    }
    if answer.api_version != version {
        return Err(PluginError::Answer("an ExecCredential of another apiVersion than the kubeconfig's"));
    }
    let said = |text: Option<String>| text.filter(|text| !text.is_empty());
    let status = answer.status.ok_or(PluginError::Answer("an ExecCredential without a status"))?;
    let identity = match (said(status.client_certificate_data), said(status.client_key_data)) {
        (Some(certificate), Some(key)) => {
            let chain = tls::certificates(certificate.as_bytes());
            let identity = Identity::new(chain, key.as_bytes());
            Some(identity.map_err(|_| PluginError::Answer("a certificate and a key that cannot be used together"))?)
        }
        (None, None) => None,
        _ => return Err(PluginError::Answer("a certificate without its key, or a key alone")),
    };
    let authorization = said(status.token).map(|token| HeaderValue::from_str(&format!("Bearer {}", token.trim())));
    let mut authorization =
        authorization.transpose().map_err(|_| PluginError::Answer("no token that a header can have"))?;
    if authorization.is_none() && identity.is_none() {
        return Err(PluginError::Answer("an ExecCredential without a token or a certificate"));
    }
    authorization.iter_mut().for_each(|value| value.set_sensitive(true));
    let expires = said(status.expiration_timestamp).map(|time| time.parse());
    let expires = expires.transpose().map_err(|_| PluginError::Answer("an expirationTimestamp that is no time"))?;
    Ok(Credential { authorization, identity, expires })
}
