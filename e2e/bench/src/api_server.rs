//! A scripted API server with a cluster of any size, over TLS, with a token. It is a thread of the benchmark, so that its
//! time is not the agent's.

use std::{
    fs,
    path::{Path, PathBuf},
};

use portolan_scripted::{Answer, Authority, Server, Verb, endpoint_slice, event, list, pages, service};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cluster;

const SERVICES: &str = "/api/v1/services";
const SLICES: &str = "/apis/discovery.k8s.io/v1/endpointslices";
const NODES: &str = "/api/v1/nodes";
const CIDRS: &str = "/apis/networking.k8s.io/v1/servicecidrs";

/// What the agent asks for in one page.
const PAGE: usize = 500;

/// The endpoints of each Service.
pub(crate) const ENDPOINTS: u32 = 2;

const TOKEN: &str = "the-agents-token";

/// The server, and a folder with what a client needs.
pub(crate) struct ApiServer {
    server: Server,
    folder: TempDir,
    /// What all lists are together, in bytes.
    pub(crate) size: usize,
}

impl ApiServer {
    pub(crate) fn start(services: u32) -> anyhow::Result<Self> {
        let authority = Authority::new()?;
        let server = Server::start_tls(&authority, &authority.server()?)?;
        server.allow_token(TOKEN);
        let node: Value = serde_json::from_str(&cluster::node_text())?;
        let mut size = 0;
        for (path, answer) in [
            (SERVICES, pages(1, &(0..services).map(service).collect::<Vec<_>>(), PAGE)),
            (SLICES, pages(1, &(0..services).map(|i| endpoint_slice(i, ENDPOINTS)).collect::<Vec<_>>(), PAGE)),
            (NODES, Answer::json(&list(1, &[node]))),
            (CIDRS, Answer::json(&list(1, &[]))),
        ] {
            if let Answer::Pages(pages) = &answer {
                size += pages.iter().map(|page| page.len()).sum::<usize>();
            }
            server.on(path, Verb::List, [answer]);
            server.on(path, Verb::Watch, [Answer::watch(&[])]);
        }
        server.on("/apis/events.k8s.io/v1/namespaces/default/events", Verb::Create, [Answer::json(&json!({}))]);
        let folder = TempDir::new()?;
        let kubeconfig = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": server.url(), "certificate-authority": "ca.crt"}}],
            "users": [{"name": "u", "user": {"token": TOKEN}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        });
        fs::write(folder.path().join("ca.crt"), authority.pem())?;
        fs::write(folder.path().join("kubeconfig.conf"), kubeconfig.to_string())?;
        Ok(Self { server, folder, size })
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.folder().join("kubeconfig.conf")
    }

    /// Tells all who watch what a slice is now.
    pub(crate) fn tell(&self, slice: &Value) -> anyhow::Result<()> {
        let watchers = self.server.send(SLICES, &event("MODIFIED", slice));
        anyhow::ensure!(watchers == 1, "{watchers} watch EndpointSlices, and not the agent alone");
        Ok(())
    }
}
