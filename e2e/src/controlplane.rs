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
//! does not know of. State is in a temporary folder; processes die with the namespaces of the test binary
//! ([`crate::inside`]).

mod api;
mod binary;
mod cluster;
mod kube_proxy;
mod relay;
mod sentinel;

use std::{
    env,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::json;
use tempfile::TempDir;

pub use self::{
    api::{Api, Refusal},
    binary::{Binary, Missing},
    cluster::Cluster,
    kube_proxy::KubeProxy,
};

/// Where the API server listens, in the namespace of the test binary; and where kube-proxy finds it, on its node.
const ADDRESS: &str = "127.0.0.1:6443";

/// Knows the administrator, who may do everything.
const TOKEN: &str = "administrator";

/// In memory, and gone with the namespaces.
const STATE: &str = "/run";

/// The ServiceCIDRs of the cluster: the cluster IPs that `outside` sends to node-a.
pub const SERVICE_CIDRS: [&str; 2] = ["10.96.0.0/16", "fd00:10:96::/112"];

/// So many lines of a log say why a component failed.
const LAST_WORDS: usize = 20;

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
    fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
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
    components: Vec<Component>,
    /// A client of its API server.
    pub api: Api,
}

impl ControlPlane {
    /// Starts etcd and kube-apiserver and waits until the API server is ready.
    ///
    /// # Errors
    /// When a component cannot be started or is not ready in time.
    pub fn start(binary: &Binary) -> Result<Self, Error> {
        let folder = TempDir::new_in(STATE).map_err(Error::system("a temporary folder"))?;
        let path = |name: &str| folder.path().join(name);
        loopback()?;
        let key = binary.command("key").arg(path("key")).output().map_err(Error::system("key"))?;
        if !key.status.success() {
            return Err(Error::Ended { component: "key".into(), log: String::from_utf8_lossy(&key.stderr).into() });
        }
        fs::write(path("tokens"), format!("{TOKEN},administrator,administrator,system:masters\n"))
            .and_then(|()| fs::write(path("kubeconfig"), kubeconfig()))
            .map_err(Error::system("the administrator's credentials"))?;
        let etcd = Component::start("etcd", binary.command("etcd").arg("--data-dir").arg(path("etcd")), folder.path())?;
        let mut apiserver = binary.command("kube-apiserver");
        apiserver
            .args(["--etcd-servers=http://127.0.0.1:2379", "--bind-address=127.0.0.1", "--authorization-mode=RBAC"])
            .arg(format!("--service-cluster-ip-range={}", SERVICE_CIDRS.join(",")))
            // The endpoint of the Service `kubernetes` in a lab; nobody listens there.
            .arg("--advertise-address=192.168.100.11")
            // Addresses with leading zeros are part of the API, for Services that were stored before 1.33.
            .arg("--feature-gates=StrictIPCIDRValidation=false")
            // Pods without the service account that another controller would make.
            .arg("--disable-admission-plugins=ServiceAccount")
            .arg("--service-account-issuer=https://kubernetes.default.svc")
            .arg("--cert-dir")
            .arg(path("certificates"))
            .arg("--token-auth-file")
            .arg(path("tokens"))
            .arg("--service-account-key-file")
            .arg(path("key"))
            .arg("--service-account-signing-key-file")
            .arg(path("key"));
        let apiserver = Component::start("kube-apiserver", &mut apiserver, folder.path())?;
        let api = Api::start(binary)?;
        let mut plane = Self { binary: binary.clone(), folder, components: vec![etcd, apiserver], api };
        plane.wait_until_ready()?;
        Ok(plane)
    }

    /// Starts kube-controller-manager with these controllers.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_controllers(&mut self, controllers: &[&str]) -> Result<(), Error> {
        let mut command = self.binary.command("kube-controller-manager");
        command
            .arg(format!("--controllers={}", controllers.join(",")))
            .args(["--leader-elect=false", "--use-service-account-credentials=false"])
            .args(["--authentication-skip-lookup", "--secure-port=0"])
            .arg("--kubeconfig")
            .arg(self.kubeconfig());
        self.components.push(Component::start("kube-controller-manager", &mut command, self.folder.path())?);
        Ok(())
    }

    /// With it a client at [`ADDRESS`] is the administrator.
    fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    fn wait_until_ready(&mut self) -> Result<(), Error> {
        let deadline = Instant::now() + PATIENCE;
        while !self.api.is_ready()? {
            for component in &mut self.components {
                component.must_live()?;
            }
            if Instant::now() > deadline {
                let log = self.components.iter().map(Component::last_words).collect::<Vec<_>>().join("\n");
                return Err(Error::TooLate { what: "the API server".into(), log });
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

/// The namespace of the test binary has no links but this one, and it is down at first.
fn loopback() -> Result<(), Error> {
    let status = Command::new("ip").args(["link", "set", "lo", "up"]).status().map_err(Error::system("ip"))?;
    if status.success() { Ok(()) } else { Err(Error::Ended { component: "ip link".into(), log: String::new() }) }
}

/// JSON is YAML.
fn kubeconfig() -> String {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "lab", "cluster": {"server": format!("https://{ADDRESS}"), "insecure-skip-tls-verify": true}},
        ],
        "users": [{"name": "administrator", "user": {"token": TOKEN}}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "administrator"}}],
        "current-context": "lab",
    })
    .to_string()
}

/// A process with a log; it ends when this is dropped.
#[derive(Debug)]
struct Component {
    name: String,
    process: Child,
    log: PathBuf,
}

impl Component {
    /// Starts it, with a log of its name in `folder`.
    fn start(name: &str, command: &mut Command, folder: &Path) -> Result<Self, Error> {
        let log = folder.join(format!("{name}.log"));
        let file = File::create(&log).map_err(Error::system(log.display().to_string()))?;
        let process = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .map_err(Error::system(format!("{name} cannot be started")))?;
        Ok(Self { name: name.to_owned(), process, log })
    }

    fn must_live(&mut self) -> Result<(), Error> {
        match self.process.try_wait() {
            Ok(None) => Ok(()),
            _ => Err(Error::Ended { component: self.name.clone(), log: self.last_words() }),
        }
    }

    /// All that it has logged; nothing where that cannot be read.
    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// What it logged last, for messages.
    fn last_words(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        lines.get(lines.len().saturating_sub(LAST_WORDS)..).unwrap_or_default().join("\n")
    }
}

impl Drop for Component {
    fn drop(&mut self) {
        // Both fail where it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
