//! A scenario: a folder of testdata/scenarios with a cluster's objects and what packets must then meet.
//!
//! ```text
//!   input.yaml        ordinary Kubernetes objects
//!   flows.yaml        description, options, flows: this module
//!   nftables.golden   what Portolan renders of them for node-a
//! ```
//!
//! A flow says who connects to what, and either which endpoints answer or how it fails:
//!
//! ```yaml
//! description: A cluster IP spreads its clients over its endpoints.
//! flows:
//!   - from: pod-a1
//!     to: 10.96.0.10:80/tcp
//!     endpoints: [pod-a2:8080, pod-b1:8080]
//!   - from: outside
//!     to: 10.96.0.10:80/tcp
//!     endpoints: [pod-a2:8080, pod-b1:8080]
//!     masqueraded: node-a                   # every endpoint sees an address of node-a
//!   - from: pod-a1
//!     to: "[fd00:10:96::10]:80/tcp"
//!     endpoints: [pod-a1:8080, pod-b1:8080]
//!     masqueraded: {pod-a1:8080: node-a}    # only this endpoint does; the other sees the client
//!   - from: pod-a1
//!     to: 10.96.0.10:81/tcp
//!     verdict: rejected                     # refused at once; `dropped` is silence
//! ```

mod file;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use portolan_core::addr::Protocol;
use serde_json::Value;

pub use self::file::FlowError;
use self::file::FlowsFile;
use crate::{
    Error, Options,
    cast::{self, Member, Target},
};

/// One folder, read and checked.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The folder's name.
    pub name: String,
    /// The folder.
    pub folder: PathBuf,
    /// One or two sentences: what it shows.
    pub description: String,
    /// More arguments for Portolan.
    pub args: Vec<String>,
    /// The value of `--cluster-cidr`; no flag when it is empty.
    pub cluster_cidr: String,
    /// Whether Portolan refuses a part of the input.
    pub rejected: bool,
    /// How the lab is made.
    pub lab: Options,
    /// What packets must meet.
    pub flows: Vec<Flow>,
}

/// Who connects to what, and what must come of it.
#[derive(Debug, Clone)]
pub struct Flow {
    /// The client.
    pub from: &'static Member,
    /// Where it connects to.
    pub to: SocketAddr,
    /// With which protocol.
    pub protocol: Protocol,
    /// What must happen.
    pub expected: Expected,
}

/// What must come of a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// Every one of these endpoints answers and no other; each sees the address of the host beside it.
    Endpoints(BTreeMap<Target, &'static Member>),
    /// Refused at once.
    Rejected,
    /// Silence.
    Dropped,
    /// No route: the packet never comes to a rule.
    Unreachable,
}

impl Scenario {
    /// All scenarios of a folder, by name.
    ///
    /// # Errors
    /// When a file cannot be read, or says something that is not possible.
    pub fn load_all(folder: &Path) -> Result<Vec<Self>, Error> {
        let failed = |source| Error::File { path: folder.to_owned(), source };
        let entries = fs::read_dir(folder).map_err(failed)?.collect::<io::Result<Vec<_>>>().map_err(failed)?;
        let mut folders: Vec<_> = entries.iter().map(fs::DirEntry::path).filter(|path| path.is_dir()).collect();
        folders.sort();
        folders.iter().map(|folder| Self::load(folder)).collect()
    }

    /// One scenario.
    ///
    /// # Errors
    /// As [`Scenario::load_all`].
    pub fn load(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("flows.yaml");
        let file: FlowsFile = serde_saphyr::from_str(&read(&path)?)
            .map_err(|source| Error::Yaml { path: path.clone(), source: Box::new(source) })?;
        let flows = file.flows.into_iter().map(|entry| {
            let (from, to) = (entry.from.clone(), entry.to.clone());
            entry.check().map_err(|source| Error::Flow { path: path.clone(), from, to, source })
        });
        Ok(Self {
            name: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            folder: folder.to_owned(),
            description: file.description,
            args: file.args,
            cluster_cidr: file.cluster_cidr,
            rejected: file.rejected,
            lab: Options { default_routes: file.default_routes },
            flows: flows.collect::<Result<_, _>>()?,
        })
    }

    /// The objects.
    #[must_use]
    pub fn input(&self) -> PathBuf {
        self.folder.join("input.yaml")
    }

    /// The expected rendering for node-a.
    #[must_use]
    pub fn golden(&self) -> PathBuf {
        self.folder.join("nftables.golden")
    }

    /// Where servers must be: wherever a flow or an EndpointSlice says that there is an endpoint. An endpoint that
    /// must not be used has a server too, so that a wrong packet is answered and seen.
    ///
    /// # Errors
    /// When input.yaml cannot be read.
    pub fn servers(&self) -> Result<BTreeSet<Target>, Error> {
        let path = self.input();
        let documents: Vec<Value> = serde_saphyr::from_multiple(&read(&path)?)
            .map_err(|source| Error::Yaml { path, source: Box::new(source) })?;
        let in_slices = documents.iter().filter(|object| is_slice(object)).flat_map(slice_targets);
        let in_flows = self.flows.iter().flat_map(|flow| match &flow.expected {
            Expected::Endpoints(endpoints) => endpoints.keys().copied().collect(),
            _ => Vec::new(),
        });
        Ok(in_slices.chain(in_flows).collect())
    }
}

fn is_slice(object: &Value) -> bool {
    object.get("kind").is_some_and(|kind| kind == "EndpointSlice")
}

/// The endpoints of an EndpointSlice that are in the cast. What is odd about the slice is Portolan's business, and
/// left out here.
fn slice_targets(slice: &Value) -> Vec<Target> {
    let mut targets = Vec::new();
    for endpoint in list(slice, "endpoints") {
        let address = endpoint.pointer("/addresses/0").and_then(Value::as_str).and_then(|text| text.parse().ok());
        let Some(member) = address.and_then(cast::with_address) else { continue };
        for port in list(slice, "ports") {
            let protocol = port.get("protocol").and_then(Value::as_str).unwrap_or("TCP").to_lowercase();
            let number = port.get("port").and_then(Value::as_u64).and_then(|number| u16::try_from(number).ok());
            if let (Some(protocol), Some(port)) = (file::protocol_named(&protocol), number) {
                targets.push(Target { host: member.name, port, protocol });
            }
        }
    }
    targets
}

fn list<'object>(object: &'object Value, field: &str) -> &'object [Value] {
    object.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| Error::File { path: path.to_owned(), source })
}
