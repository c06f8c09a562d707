//! Keys and certificates of a control plane, and what else kubeadm makes.
//!
//! ```text
//!   kubeadm init phase certs ca | certs apiserver | certs sa | kubeconfig super-admin | addon kube-proxy
//! ```
//!
//! Each phase is a run of the real kubeadm, so nothing here is what we think that it would write.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::json;

use super::{Binary, Error, SERVICE_CIDRS, place::Place};
use crate::cast::CLUSTER_CIDR;

/// The release whose kubeadm this is, e2e/controlplane/go.mod. A program that is not built by Kubernetes' own scripts
/// does not know it.
const RELEASE: &str = "v1.37.2";

/// The administrator's kubeconfig, which grants all without a binding.
const KUBECONFIG: &str = "super-admin.conf";

/// A certificate authority with what it has signed: a certificate of the API server and one of an administrator.
#[derive(Debug, Clone)]
pub struct Credentials {
    folder: PathBuf,
}

impl Credentials {
    pub(super) fn new(binary: &Binary, folder: &Path, place: &Place) -> Result<Self, Error> {
        let credentials = Self { folder: folder.to_owned() };
        let config = credentials.configuration(place);
        fs::create_dir(folder)
            .and_then(|()| fs::write(credentials.file("kubeadm.json"), config))
            .map_err(Error::system("kubeadm's configuration"))?;
        let folder = folder.display().to_string();
        credentials.phase(binary, &["certs", "ca"])?;
        credentials.phase(binary, &["certs", "apiserver"])?;
        credentials.phase(binary, &["kubeconfig", "super-admin", "--kubeconfig-dir", &folder])?;
        Ok(credentials)
    }

    /// Who signs the tokens of service accounts.
    pub(super) fn make_service_account_key(&self, binary: &Binary) -> Result<(), Error> {
        self.phase(binary, &["certs", "sa"])
    }

    /// The objects of kube-proxy, in the API server.
    pub(super) fn add_kube_proxy(&self, binary: &Binary, place: &Place) -> Result<(), Error> {
        let kubeconfig = self.kubeconfig().display().to_string();
        place.enter(|| self.phase(binary, &["addon", "kube-proxy", "--kubeconfig", &kubeconfig]))?
    }

    /// A file of kubeadm's certificates folder.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The administrator's kubeconfig.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.file(KUBECONFIG)
    }

    /// The certificate of the authority, in PEM.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn authority(&self) -> Result<String, Error> {
        fs::read_to_string(self.file("ca.crt")).map_err(Error::system("ca.crt"))
    }

    fn phase(&self, binary: &Binary, words: &[&str]) -> Result<(), Error> {
        let mut command = binary.command("kubeadm");
        command.args(["init", "phase"]).args(words).arg("--config").arg(self.file("kubeadm.json"));
        let output = command.output().map_err(Error::system("kubeadm"))?;
        if output.status.success() {
            return Ok(());
        }
        let component = format!("kubeadm init phase {}", words.join(" "));
        Err(Error::Ended { component, log: String::from_utf8_lossy(&output.stderr).into() })
    }

    /// What an administrator gives to kubeadm. JSON is YAML.
    fn configuration(&self, place: &Place) -> String {
        let init = json!({
            "apiVersion": "kubeadm.k8s.io/v1beta4",
            "kind": "InitConfiguration",
            "localAPIEndpoint": {"advertiseAddress": place.advertised(), "bindPort": 6443},
        });
        let cluster = json!({
            "apiVersion": "kubeadm.k8s.io/v1beta4",
            "kind": "ClusterConfiguration",
            "kubernetesVersion": RELEASE,
            "controlPlaneEndpoint": place.address(),
            "certificatesDir": self.folder,
            // RSA keys would take a second of a slow machine.
            "encryptionAlgorithm": "ECDSA-P256",
            "networking": {"podSubnet": CLUSTER_CIDR, "serviceSubnet": SERVICE_CIDRS.join(",")},
        });
        format!("{init}\n---\n{cluster}\n")
    }
}
