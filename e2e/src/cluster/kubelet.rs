//! What a kubelet does for kube-proxy's Pod on one node: it mounts the ConfigMap and a service account's token, starts
//! the container's command in the host's network, and starts it again when it ends.
//!
//! ```text
//!   /var/lib/kube-proxy                              config.conf, kubeconfig.conf   <- ConfigMap kube-proxy
//!   /var/run/secrets/kubernetes.io/serviceaccount    token, ca.crt, namespace       <- TokenRequest
//!   /usr/local/bin/kube-proxy                        Portolan or the real one       <- the image
//! ```

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::{Setting, volume::Volume};
use crate::{
    cast::Role,
    controlplane::{Api, Component, Error, User},
    host::Host,
};

/// The mounts of a container, in the mount namespace of its process. The machine's /sys is read-only as a host's often
/// is: the hash table of conntrack belongs to all namespaces. /var/lib need not have the folder, and /usr/local/bin may be
/// where the program itself is, so that is mounted first.
const CONTAINER: &str = r#"mount -o remount,bind,ro /sys &&
mount --bind "$1" "$2/kube-proxy" && mount --rbind "$2" /usr/local/bin &&
mount --bind "$3" /run/secrets/kubernetes.io/serviceaccount &&
mount -t tmpfs tmpfs /var/lib && mkdir /var/lib/kube-proxy && mount --bind "$4" /var/lib/kube-proxy &&
shift 4 && exec "$@""#;

/// Where a Pod finds its service account. /var/run is /run.
const SECRETS: &str = "/run/secrets/kubernetes.io/serviceaccount";

/// Whose objects create and examine tokens.
const REVIEW: &str = "authentication.k8s.io/v1";

/// The ServiceAccount of kube-proxy, as an API path.
const SERVICE_ACCOUNT: &str = "/api/v1/namespaces/kube-system/serviceaccounts/kube-proxy";

/// A node's kubelet, as far as kube-proxy needs one.
#[derive(Debug)]
pub struct Kubelet {
    node: Host,
    folder: PathBuf,
    config: Volume,
    /// Other than in the ConfigMap of all nodes.
    settings: &'static [Setting],
    secret: Volume,
    /// The container's command.
    command: Vec<String>,
    /// What it is given besides.
    pub(super) arguments: Vec<String>,
    /// How many Pods of kube-proxy the node has had: a token is bound to the last one.
    pods: u32,
    container: Option<Component>,
}

impl Kubelet {
    /// For a node, which it makes known to the API server. Nothing runs yet.
    ///
    /// # Errors
    /// When the API server refuses something, or a file cannot be written.
    pub(super) fn new(
        api: &mut Api,
        node: &Host,
        folder: &Path,
        authority: &str,
        settings: &'static [Setting],
    ) -> Result<Self, Error> {
        api.apply(&node_object(node))?;
        let folder = folder.join(node.name());
        let failed = || Error::system(format!("the volumes of {}", node.name()));
        let volume = |name: &str| Volume::new(folder.join(name)).map_err(failed());
        let (config, secret) = (volume("config")?, volume("secret")?);
        fs::create_dir_all(SECRETS).and_then(|()| fs::create_dir(folder.join("bin"))).map_err(failed())?;
        fs::write(folder.join("bin/kube-proxy"), "").map_err(failed())?;
        let daemon_set = api.get("/apis/apps/v1/namespaces/kube-system/daemonsets/kube-proxy")?;
        let command = daemon_set.pointer("/spec/template/spec/containers/0/command").and_then(Value::as_array);
        let words = command.ok_or(Error::Object("a command"))?.iter().filter_map(Value::as_str);
        let command = words.map(|word| word.replace("$(NODE_NAME)", node.name())).collect();
        let mut kubelet = Self {
            node: node.clone(),
            folder,
            config,
            settings,
            secret,
            command,
            arguments: Vec::new(),
            pods: 0,
            container: None,
        };
        kubelet.write_config(api)?;
        kubelet.renew_token(api, authority)?;
        Ok(kubelet)
    }

    /// The node.
    #[must_use]
    pub const fn node(&self) -> &Host {
        &self.node
    }

    /// Brings the volume up to date with the ConfigMap.
    ///
    /// # Errors
    /// When there is none, or files cannot be written.
    pub(super) fn write_config(&mut self, api: &mut Api) -> Result<(), Error> {
        let map = api.get(super::CONFIG_MAP)?;
        let data = map.get("data").and_then(Value::as_object).ok_or(Error::Object("data"))?;
        let files = data.iter().filter_map(|(name, text)| Some((name.as_str(), text.as_str()?)));
        let files: BTreeMap<_, _> =
            files.map(|(name, text)| (name, super::with_settings(text, self.settings))).collect();
        let files = files.iter().map(|(name, text)| (*name, text.as_str()));
        self.config.write(files).map_err(Error::system("the volume of the ConfigMap"))
    }

    /// Replaces the token by a new one, of a new Pod: the API server does not take the old one any more. `authority` is
    /// the certificate, or are the certificates, by which the API server is to be known. Returns
    /// whom the API server takes its bearer for.
    ///
    /// # Errors
    /// When the API server refuses something, or files cannot be written.
    pub(super) fn renew_token(&mut self, api: &mut Api, authority: &str) -> Result<User, Error> {
        self.pods += 1;
        let (old, new) = (self.pod(self.pods - 1), self.pod(self.pods));
        api.apply(&new)?;
        let name = self.pod_name(self.pods);
        let pod = api.get(&format!("/api/v1/namespaces/kube-system/pods/{name}"))?;
        let request = json!({
            "apiVersion": REVIEW,
            "kind": "TokenRequest",
            "spec": {
                "audiences": ["https://kubernetes.default.svc"],
                "expirationSeconds": 3607,
                "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": pod.pointer("/metadata/uid")},
            },
        });
        let answer = api.post(&format!("{SERVICE_ACCOUNT}/token"), &request)?;
        let token = answer.pointer("/status/token").and_then(Value::as_str).ok_or(Error::Object("a token"))?;
        self.secret
            .write([("token", token), ("ca.crt", authority), ("namespace", "kube-system")])
            .map_err(Error::system("the volume of the service account"))?;
        if self.pods > 1 {
            api.remove(&old)?;
        }
        let review = json!({"apiVersion": REVIEW, "kind": "TokenReview", "spec": {"token": token}});
        let answer = api.post(&format!("/apis/{REVIEW}/tokenreviews"), &review)?;
        let user = answer.pointer("/status/user").cloned().ok_or(Error::Object("a user"))?;
        serde_json::from_value(user).map_err(|error| Error::system("a TokenReview")(error.into()))
    }

    fn pod_name(&self, number: u32) -> String {
        format!("kube-proxy-{}-{number}", self.node.name())
    }

    /// The Pod that a DaemonSet controller would make on this node.
    fn pod(&self, number: u32) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": self.pod_name(number), "namespace": "kube-system"},
            "spec": {
                "nodeName": self.node.name(),
                "hostNetwork": true,
                "serviceAccountName": "kube-proxy",
                "containers": [{"name": "kube-proxy", "image": "kube-proxy", "command": self.command}],
            },
        })
    }

    /// Starts the container; its image has this program as kube-proxy.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn start(&mut self, program: &Path) -> Result<(), Error> {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--", "sh", "-c", CONTAINER, "sh"]).arg(program).arg(self.folder.join("bin"));
        command.arg(self.secret.path()).arg(self.config.path()).args(&self.command).args(&self.arguments);
        let start = || Component::start(&format!("kube-proxy-{}", self.node.name()), &mut command, &self.folder);
        self.container = Some(self.node.enter(start)??);
        Ok(())
    }

    /// Ends the container with a signal.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub(super) fn end(&mut self, signal: Signal) -> Result<Option<ExitStatus>, Error> {
        self.container.take().map(|container| container.end(signal)).transpose()
    }

    /// How the container ended by itself, if it has.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.container.as_mut().and_then(Component::ended)
    }

    /// All that its containers have logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.container.as_ref().map(Component::log).unwrap_or_default()
    }

    /// The end of that, for messages.
    #[must_use]
    pub fn last_words(&self) -> String {
        let words = self.container.as_ref().map(Component::last_words).unwrap_or_default();
        format!("{}:\n{words}", self.node.name())
    }
}

/// As a kubelet registers it.
fn node_object(node: &Host) -> Value {
    let member = node.member();
    let pod_cidrs = if let Role::Node { pod_cidrs } = member.role { pod_cidrs } else { ["", ""] };
    let addresses = [member.v4.to_string(), member.v6.to_string()];
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": member.name, "labels": {"kubernetes.io/hostname": member.name}},
        "spec": {"podCIDR": pod_cidrs[0], "podCIDRs": pod_cidrs},
        "status": {
            "addresses": addresses.map(|address| json!({"type": "InternalIP", "address": address})),
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    })
}
