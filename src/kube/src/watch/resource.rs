//! What is asked for of each kind: the same as kube-proxy asks for, so that the API server filters.

use kube::{
    api::{ListParams, WatchParams},
    core::{Request, request},
};
use portolan_core::ingest::Kind;

/// Objects of a kind that we follow.
#[derive(Debug, Clone)]
pub(crate) struct Resource {
    pub(crate) kind: Kind,
    path: &'static str,
    labels: Option<&'static str>,
    fields: Option<String>,
    /// Whether we can do without: API servers before 1.33 do not have it, and old roles do not allow it.
    pub(crate) optional: bool,
}

/// Objects in a page.
const PAGE: u32 = 500;

impl Resource {
    /// Not those of another proxy, nor headless ones.
    pub(crate) fn services() -> Self {
        let fields = Some("spec.clusterIP!=None".to_owned());
        let labels = Some("!service.kubernetes.io/service-proxy-name");
        Self { kind: Kind::Service, path: "/api/v1/services", labels, fields, optional: false }
    }

    pub(crate) const fn endpoint_slices() -> Self {
        let labels = Some("!service.kubernetes.io/headless");
        let path = "/apis/discovery.k8s.io/v1/endpointslices";
        Self { kind: Kind::EndpointSlice, path, labels, fields: None, optional: false }
    }

    pub(crate) fn node(name: &str) -> Self {
        let fields = Some(format!("metadata.name={name}"));
        Self { kind: Kind::Node, path: "/api/v1/nodes", labels: None, fields, optional: false }
    }

    pub(crate) const fn service_cidrs() -> Self {
        let path = "/apis/networking.k8s.io/v1/servicecidrs";
        Self { kind: Kind::ServiceCidr, path, labels: None, fields: None, optional: true }
    }

    /// Asks for a page of all, or for all at once where the API server keeps forgetting the rest of our list.
    pub(crate) fn list(&self, rest: Option<String>, whole: bool) -> Result<http::Request<Vec<u8>>, request::Error> {
        let params = ListParams {
            label_selector: self.labels.map(str::to_owned),
            field_selector: self.fields.clone(),
            limit: (!whole).then_some(PAGE),
            continue_token: rest,
            ..ListParams::default()
        };
        Request::new(self.path).list(&params)
    }

    /// Asks for all changes since a version, for so many seconds; `None`: for all there is, and changes from then on.
    pub(crate) fn watch(&self, since: Option<&str>, seconds: u32) -> Result<http::Request<Vec<u8>>, request::Error> {
        let params = WatchParams {
            label_selector: self.labels.map(str::to_owned),
            field_selector: self.fields.clone(),
            timeout: Some(seconds),
            bookmarks: true,
            send_initial_events: since.is_none(),
        };
        let mut request = Request::new(self.path).watch(&params, since.unwrap_or_default())?;
        // API servers from 1.37 on compress each event by itself, of which our decompression reads the first only.
        let identity = http::HeaderValue::from_static("identity");
        request.headers_mut().insert(http::header::ACCEPT_ENCODING, identity);
        Ok(request)
    }
}
