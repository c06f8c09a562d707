//! The proxies that are compared, and how each is started.

use std::{env, fs, path::Path, process::Command};

use portolan_e2e::controlplane::Binary;
use serde_json::{Value, json};

use crate::cluster::POD_CIDR;

/// The node on which they run, one after the other.
pub(super) const NODE: &str = "node-a";

/// A proxy, and what its configuration has that the others have not.
pub(super) struct Rival {
    /// In the table.
    pub(super) name: &'static str,
    kube_proxy: bool,
    mode: &'static str,
    min_sync_period: &'static str,
}

/// The default of `minSyncPeriod`: 1 s for kube-proxy (SetDefaults_KubeProxyConfiguration), and none for Portolan.
const DEFAULT: &str = "0s";

/// The least that kube-proxy takes as it stands.
const LEAST: &str = "1ns";

/// Portolan comes first: the others are compared with it.
pub(super) const RIVALS: [Rival; 5] = [
    Rival { name: "Portolan", kube_proxy: false, mode: "nftables", min_sync_period: DEFAULT },
    kube_proxy("kube-proxy nftables", "nftables", DEFAULT),
    kube_proxy("kube-proxy nftables, minSyncPeriod 1ns", "nftables", LEAST),
    kube_proxy("kube-proxy iptables", "iptables", DEFAULT),
    kube_proxy("kube-proxy iptables, minSyncPeriod 1ns", "iptables", LEAST),
];

const fn kube_proxy(name: &'static str, mode: &'static str, min_sync_period: &'static str) -> Rival {
    Rival { name, kube_proxy: true, mode, min_sync_period }
}

impl Rival {
    pub(super) const fn is_kube_proxy(&self) -> bool {
        self.kube_proxy
    }

    /// The command that runs it.
    pub(super) fn command(&self, binary: &Binary, kubeconfig: &Path, folder: &Path) -> anyhow::Result<Command> {
        let file = folder.join("config.json");
        fs::write(&file, self.configuration(kubeconfig).to_string())?;
        let mut command = if self.kube_proxy {
            let mut command = Command::new(binary.path());
            command.arg("kube-proxy");
            command
        } else {
            Command::new(env::current_exe()?.with_file_name("portolan"))
        };
        command.arg("--config").arg(file);
        Ok(command)
    }

    /// KubeProxyConfiguration.
    fn configuration(&self, kubeconfig: &Path) -> Value {
        json!({
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": self.mode,
            "hostnameOverride": NODE,
            "clientConnection": {"kubeconfig": kubeconfig},
            "clusterCIDR": POD_CIDR,
            // A limit of the machine, which belongs to no node here.
            "conntrack": {"maxPerCore": 0, "min": 0},
            (self.mode): {"minSyncPeriod": self.min_sync_period},
        })
    }
}
