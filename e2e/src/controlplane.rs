//! A real Kubernetes control plane, and the real kube-proxy on the nodes of labs.
//!
//! ```text
//!   the test binary's own network namespace        lab               lab
//!     etcd <-- kube-apiserver <-- requests <-- test  |                 |
//!                   ^   ^                            |                 |
//!                   |   +---- relay ---------- kube-proxy, node-a   node-a ...
//!        kube-controller-manager               kube-proxy, node-b   node-b ...
//! ```
//!
//! All of it is one Go program, e2e/controlplane, which [`Binary::build`] compiles. One API server serves any number of
//! labs: a relay takes kube-proxy's connections over from the node's loopback, so a lab has no link that a scenario
//! does not know of. Where a lab is the whole cluster ([`crate::cluster`]) the control plane is one of its hosts instead,
//! and needs no relay. State is in a temporary folder; processes die with the namespaces of the test binary
//! ([`crate::inside`]).

mod api;
mod audit;
mod binary;
mod cluster;
mod component;
mod credentials;
mod kube_proxy;
mod place;
mod relay;
mod sentinel;

use std::{
    env, fs, io,
    ops::Range,
    thread,
    time::{Duration, Instant},
};

use serde_json::json;
use tempfile::TempDir;

pub(crate) use self::component::Component;
use self::place::Place;
pub use self::{
    api::{Api, Refusal},
    audit::{AuditEvent, User},
    binary::Binary,
    cluster::Cluster,
    credentials::Credentials,
    kube_proxy::KubeProxy,
};
pub use crate::built::Missing;
use crate::host::Host;

/// Where the API server listens, in the namespace of the test binary; and where kube-proxy finds it, on its node.
const ADDRESS: &str = "127.0.0.1:6443";

/// In memory, and gone with the namespaces.
const STATE: &str = "/run";

/// The ServiceCIDRs of the cluster: the cluster IPs that `outside` sends to node-a.
pub const SERVICE_CIDRS: [&str; 2] = ["10.96.0.0/16", "fd00:10:96::/112"];

/// How long a component may take to do what it must, on a machine under load.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why there is no control plane, or no kube-proxy, at work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The lab does not work.
    #[error(transparent)]
    Lab(#[from] crate::Error),
    /// A file, a pipe or a process does not.
    #[error("{what}")]
    System {
        /// What was tried.
        what: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// Portolan is no kube-proxy.
    #[error("this is not about the real kube-proxy")]
    NotKubeProxy,
    /// An object is not as one that scenarios may have.
    #[error("an object without {0}")]
    Object(&'static str),
    /// The API server does not want an object.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Something did not happen in time.
    #[error("after {} s still waiting for {what}\n{log}", PATIENCE.as_secs())]
    TooLate {
        /// What did not happen.
        what: String,
        /// The end of the component's log.
        log: String,
    },
    /// A component ended by itself.
    #[error("{component} ended\n{log}")]
    Ended {
        /// Its name.
        component: String,
        /// The end of its log.
        log: String,
    },
}

impl Error {
    pub(crate) fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::System { what, source }
    }
}

/// Whether a test that cannot be run is a failure: who relies on CI must not take silence for consent.
#[must_use]
pub fn must_judge() -> bool {
    env::var_os("CI").is_some_and(|ci| ci == "true")
}

/// A control plane at work; it ends when this is dropped.
#[derive(Debug)]
pub struct ControlPlane {
    binary: Binary,
    folder: TempDir,
    place: Place,
    /// What the first ones said of service accounts stays true: their key is kept when a certificate authority is not.
    first: Credentials,
    credentials: Credentials,
    etcd: Option<Component>,
    api_server: Option<Component>,
    controllers: Option<(String, Component)>,
    /// Events of the audit log from when the API server was started and not yet ready, each time.
    starts: Vec<Range<usize>>,
    /// A client of its API server.
    pub api: Api,
}

impl ControlPlane {
    /// Starts etcd and kube-apiserver in the namespace of the test binary, and waits until the API server is ready.
    ///
    /// # Errors
    /// When a component cannot be started or is not ready in time.
    pub fn start(binary: &Binary) -> Result<Self, Error> {
        Self::start_at(binary, Place::here()?)
    }

    /// Starts them on a host of a lab, where every other host reaches the API server.
    ///
    /// # Errors
    /// As [`ControlPlane::start`].
    pub fn start_on(binary: &Binary, host: &Host) -> Result<Self, Error> {
        Self::start_at(binary, Place::host(host))
    }

    fn start_at(binary: &Binary, place: Place) -> Result<Self, Error> {
        let folder = TempDir::new_in(STATE).map_err(Error::system("a temporary folder"))?;
        let credentials = Credentials::new(binary, &folder.path().join("pki-1"), &place)?;
        credentials.make_service_account_key(binary)?;
        fs::write(folder.path().join("audit-policy.json"), audit::policy())
            .map_err(Error::system("the audit policy"))?;
        let api = Api::start(binary, &place, &credentials)?;
        let mut plane = Self {
            binary: binary.clone(),
            folder,
            place,
            first: credentials.clone(),
            credentials,
            etcd: None,
            api_server: None,
            controllers: None,
            starts: Vec::new(),
            api,
        };
        plane.start_etcd()?;
        plane.start_api_server()?;
        Ok(plane)
    }

    /// Starts etcd, with the state that it had if it has run before.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_etcd(&mut self) -> Result<(), Error> {
        let mut command = self.binary.command("etcd");
        command.arg("--data-dir").arg(self.folder.path().join("etcd"));
        self.etcd = Some(self.place.start("etcd", &mut command, self.folder.path())?);
        Ok(())
    }

    /// Kills etcd. Its state is on files.
    pub fn kill_etcd(&mut self) {
        self.etcd = None;
    }

    /// Starts kube-apiserver and waits until it is ready.
    ///
    /// # Errors
    /// When it cannot be started or is not ready in time.
    pub fn start_api_server(&mut self) -> Result<(), Error> {
        let path = |name: &str| self.folder.path().join(name);
        let mut command = self.binary.command("kube-apiserver");
        command
            // A kube-proxy is privileged.
            .args(["--etcd-servers=http://127.0.0.1:2379", "--authorization-mode=RBAC", "--allow-privileged"])
            .arg(format!("--bind-address={}", self.place.bound()))
            .arg(format!("--service-cluster-ip-range={}", SERVICE_CIDRS.join(",")))
            // The endpoint of the Service `kubernetes`.
            .arg(format!("--advertise-address={}", self.place.advertised()))
            // Addresses with leading zeros are part of the API, for Services that were stored before 1.33.
            .arg("--feature-gates=StrictIPCIDRValidation=false")
            // Pods without the service account that another controller would make.
            .arg("--disable-admission-plugins=ServiceAccount")
            .arg("--service-account-issuer=https://kubernetes.default.svc")
            .arg("--service-account-key-file")
            .arg(self.first.file("sa.pub"))
            .arg("--service-account-signing-key-file")
            .arg(self.first.file("sa.key"))
            .arg("--client-ca-file")
            .arg(self.credentials.file("ca.crt"))
            .arg("--tls-cert-file")
            .arg(self.credentials.file("apiserver.crt"))
            .arg("--tls-private-key-file")
            .arg(self.credentials.file("apiserver.key"))
            .arg("--audit-policy-file")
            .arg(path("audit-policy.json"))
            .arg("--audit-log-path")
            .arg(path("audit.log"));
        let begin = self.audit()?.len();
        self.api_server = Some(self.place.start("kube-apiserver", &mut command, self.folder.path())?);
        self.wait_until_ready()?;
        self.starts.push(begin..self.audit()?.len());
        Ok(())
    }

    /// Kills kube-apiserver.
    pub fn kill_api_server(&mut self) {
        self.api_server = None;
    }

    /// Starts kube-controller-manager with these controllers.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_controllers(&mut self, controllers: &[&str]) -> Result<(), Error> {
        self.run_controllers(controllers.join(","))
    }

    fn run_controllers(&mut self, controllers: String) -> Result<(), Error> {
        let mut command = self.binary.command("kube-controller-manager");
        command
            .arg(format!("--controllers={controllers}"))
            .args(["--leader-elect=false", "--use-service-account-credentials=false"])
            .args(["--authentication-skip-lookup", "--secure-port=0"])
            .arg("--kubeconfig")
            .arg(self.credentials.kubeconfig());
        let component = self.place.start("kube-controller-manager", &mut command, self.folder.path())?;
        self.controllers = Some((controllers, component));
        Ok(())
    }

    /// Has kubeadm make what it makes for kube-proxy: its ServiceAccount and what that may do, ConfigMap and DaemonSet.
    ///
    /// # Errors
    /// When kubeadm fails.
    pub fn add_kube_proxy(&mut self) -> Result<(), Error> {
        // The namespace comes from the API server itself, soon after it is ready.
        self.api.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system"}}))?;
        self.credentials.add_kube_proxy(&self.binary, &self.place)
    }

    /// One more client of the API server, for requests at the same time.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn client(&self) -> Result<Api, Error> {
        Api::start(&self.binary, &self.place, &self.credentials)
    }

    /// Another certificate authority, which nobody uses yet.
    ///
    /// # Errors
    /// When kubeadm fails.
    pub fn new_credentials(&self) -> Result<Credentials, Error> {
        Credentials::new(&self.binary, &self.folder.path().join("pki-2"), &self.place)
    }

    /// The credentials in use.
    #[must_use]
    pub const fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Starts the API server and its clients here anew, with a certificate of another authority. Who knows only the old
    /// one is no client any more.
    ///
    /// # Errors
    /// When a component cannot be started or is not ready in time.
    pub fn use_credentials(&mut self, credentials: Credentials) -> Result<(), Error> {
        self.credentials = credentials;
        self.kill_api_server();
        self.api.reconnect(&self.binary, &self.place, &self.credentials)?;
        self.start_api_server()?;
        self.controllers.take().map_or(Ok(()), |(controllers, _)| self.run_controllers(controllers))
    }

    /// What the API server has been asked since it first started, and what it said, in this order.
    ///
    /// # Errors
    /// When its audit log cannot be read.
    pub fn audit(&self) -> Result<Vec<AuditEvent>, Error> {
        let mut events = audit::read(&self.folder.path().join("audit.log"))?;
        for (number, event) in events.iter_mut().enumerate() {
            event.starting = self.starts.iter().any(|start| start.contains(&number));
        }
        Ok(events)
    }

    /// Waits until the API server is ready, which it is not without etcd.
    ///
    /// # Errors
    /// When it is not in time, or a component has ended.
    pub fn wait_until_ready(&mut self) -> Result<(), Error> {
        let deadline = Instant::now() + PATIENCE;
        while !self.api.is_ready()? {
            let mut components: Vec<_> = self.etcd.iter_mut().chain(&mut self.api_server).collect();
            components.iter_mut().try_for_each(|component| component.must_live())?;
            if Instant::now() > deadline {
                let log = components.iter().map(|component| component.last_words()).collect::<Vec<_>>().join("\n");
                return Err(Error::TooLate { what: "the API server".into(), log });
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}
