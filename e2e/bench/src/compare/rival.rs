//! The proxies that are compared, and how each is started.

use std::{env, fmt, fs, path::Path, process::Command};

use portolan_e2e::controlplane::Binary;
use portolan_iptables::Variant;
use serde_json::{Value, json};

use crate::{
    cluster::POD_CIDR,
    dataplane::{self, Dataplane},
};

/// A proxy, and what its configuration has that the others have not.
pub(super) struct Rival {
    kube_proxy: bool,
    dataplane: Dataplane,
    min_sync_period: &'static str,
}

/// The default of `minSyncPeriod`: 1 s for kube-proxy (SetDefaults_KubeProxyConfiguration), and none for Portolan.
const DEFAULT: &str = "0s";

/// The least that kube-proxy takes as it stands.
const LEAST: &str = "1ns";

/// In the order of the table: in each dataplane Portolan comes first, and the others are compared with it.
pub(super) fn all() -> impl Iterator<Item = Rival> {
    let rivals = [(false, DEFAULT), (true, DEFAULT), (true, LEAST)];
    dataplane::ALL.into_iter().filter(|dataplane| dataplane.has_kernel()).flat_map(move |dataplane| {
        rivals.map(|(kube_proxy, min_sync_period)| Rival { kube_proxy, dataplane, min_sync_period })
    })
}

impl Rival {
    pub(super) const fn is_kube_proxy(&self) -> bool {
        self.kube_proxy
    }

    /// Whether the kernel charges what it takes: not for virtual servers of IPVS.
    pub(super) fn is_charged(&self) -> bool {
        self.dataplane != Dataplane::Ipvs
    }

    /// The node on which it runs, one after the other. Who uses iptables-legacy has one for itself: the kernel never takes the
    /// tables of iptables-legacy away. In ipvs mode each has one: IPVS keeps destinations that were removed for two minutes, and
    /// goes through them all for each one that is added.
    pub(super) fn node(&self) -> &'static str {
        match (self.dataplane, self.kube_proxy, self.min_sync_period) {
            (Dataplane::Nftables | Dataplane::Iptables(Variant::Nft), ..) | (Dataplane::Ipvs, false, _) => "node-a",
            (Dataplane::Iptables(Variant::Legacy), ..) | (Dataplane::Ipvs, true, DEFAULT) => "node-b",
            (Dataplane::Ipvs, true, _) => "node-c",
        }
    }

    /// What must be in its network namespace before it starts.
    pub(super) fn prepare(&self) -> anyhow::Result<()> {
        self.dataplane.sign()
    }

    /// The command that runs it.
    pub(super) fn command(&self, binary: &Binary, kubeconfig: &Path, folder: &Path) -> anyhow::Result<Command> {
        let file = folder.join("config.json");
        fs::write(&file, self.configuration(kubeconfig).to_string())?;
        let mut command = if self.kube_proxy {
            let mut command = Command::new(binary.path());
            let path = env::var("PATH").unwrap_or_default();
            let path = format!("{}:{path}", self.dataplane.programs(folder)?.display());
            command.arg("kube-proxy").env("PATH", path);
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
            "mode": self.dataplane.mode(),
            "hostnameOverride": self.node(),
            "clientConnection": {"kubeconfig": kubeconfig},
            "clusterCIDR": POD_CIDR,
            // A limit of the machine, which belongs to no node here.
            "conntrack": {"maxPerCore": 0, "min": 0},
            (self.dataplane.mode()): {"minSyncPeriod": self.min_sync_period},
        })
    }
}

/// In the table.
impl fmt::Display for Rival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let proxy = if self.kube_proxy { "kube-proxy" } else { "Portolan" };
        write!(f, "{proxy} {}", self.dataplane)?;
        if self.min_sync_period == DEFAULT { Ok(()) } else { write!(f, ", minSyncPeriod {}", self.min_sync_period) }
    }
}
