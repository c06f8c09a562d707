//! The real kube-proxy on a node of a lab, and how far it has come.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Command, ExitStatus},
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use serde_json::json;

use super::{Component, ControlPlane, Error, PATIENCE, relay::Relay};
use crate::{
    Mode,
    host::Host,
    scenario::{DetectLocalMode, ProxyOptions, Scenario, ServiceProxy},
};

/// Where it tells how often it has programmed its node, among other numbers.
const METRICS: &str = "127.0.0.1:10249";

/// Counts the times that it wrote all rules, and not only those of what had changed. In ipvs mode it writes all each time.
const FULL_SYNCS: &str = "kubeproxy_sync_full_proxy_rules_duration_seconds_count{ip_family=";
const SYNCS: &str = "kubeproxy_sync_proxy_rules_duration_seconds_count{ip_family=";

/// What it logs when it has got ServiceCIDRs.
const GOT_SERVICE_CIDRS: &str = "Calling handler.OnServiceCIDRsChanged";

/// The machine's /sys is not kube-proxy's to write.
const READ_ONLY_SYS: &str = r#"mount -o remount,bind,ro /sys && exec "$@""#;

/// kube-proxy at work; it ends when this is dropped, and its rules stay.
#[derive(Debug)]
pub struct KubeProxy {
    node: Host,
    syncs: &'static str,
    process: Component,
    _relay: Relay,
}

impl KubeProxy {
    /// Starts it on a node, with a scenario's options. Its Node object must be there already: kube-proxy waits half a
    /// minute for it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(plane: &ControlPlane, scenario: &Scenario, node: &Host, proxy: ServiceProxy) -> Result<Self, Error> {
        let mode = mode(proxy)?;
        let name = format!("kube-proxy-{}-{mode}-{}", scenario.name, node.name());
        let folder = plane.folder.path();
        let file = folder.join(&name).with_extension("json");
        fs::write(&file, configuration(&scenario.proxy, node.name(), mode, &plane.credentials.kubeconfig()))
            .map_err(Error::system(file.display().to_string()))?;
        let relay = Relay::start(node)?;
        let mut command = Command::new("unshare");
        command.args(["--mount", "--", "sh", "-c", READ_ONLY_SYS, "sh"]).arg(plane.binary.path());
        // Verbose enough to say when it got ServiceCIDRs.
        command.args(["kube-proxy", "--v=4", "--config"]).arg(&file);
        let process = node.enter(|| Component::start(&name, &mut command, folder))??;
        let syncs = if mode == Mode::Ipvs.name() { SYNCS } else { FULL_SYNCS };
        Ok(Self { node: node.clone(), syncs, process, _relay: relay })
    }

    /// The node.
    #[must_use]
    pub const fn node(&self) -> &Host {
        &self.node
    }

    /// How often it has written all its rules, for the family where that is less; not at all at first.
    ///
    /// # Errors
    /// When its node cannot be entered.
    pub fn full_syncs(&self) -> Result<u64, Error> {
        // Nobody listens until it has begun.
        let page = self.node.enter(metrics)?.unwrap_or_default();
        let counts = page.lines().filter(|line| line.starts_with(self.syncs));
        let counts: Vec<u64> = counts.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
        Ok(if counts.len() < 2 { 0 } else { counts.into_iter().min().unwrap_or_default() })
    }

    /// Sends a signal and waits for its end.
    ///
    /// # Errors
    /// When there is no such process any more.
    pub fn end(self, signal: Signal) -> Result<ExitStatus, Error> {
        self.process.end(signal)
    }

    /// How often it has been told of ServiceCIDRs.
    #[must_use]
    pub fn service_cidr_events(&self) -> usize {
        self.process.log().matches(GOT_SERVICE_CIDRS).count()
    }

    /// Waits for something that it must do.
    ///
    /// # Errors
    /// When it ends, or does not do it in time.
    pub fn until(&mut self, what: &str, done: impl Fn(&Self) -> Result<bool, Error>) -> Result<(), Error> {
        let deadline = Instant::now() + PATIENCE;
        while !done(self)? {
            self.process.must_live()?;
            if Instant::now() > deadline {
                let what = format!("{what} of {}", self.process.name);
                return Err(Error::TooLate { what, log: self.process.last_words() });
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

/// HTTP/1.0: the server closes the connection at the end of the page.
fn metrics() -> io::Result<String> {
    let mut stream = TcpStream::connect(METRICS)?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
    let mut page = String::new();
    stream.read_to_string(&mut page)?;
    Ok(page)
}

/// The value of `mode` in KubeProxyConfiguration.
fn mode(proxy: ServiceProxy) -> Result<&'static str, Error> {
    match proxy {
        ServiceProxy::KubeProxy(mode) => Ok(mode.name()),
        ServiceProxy::Portolan(_) => Err(Error::NotKubeProxy),
    }
}

/// KubeProxyConfiguration, in JSON. Whatever has a time is done at once, and the machine's own settings are left alone.
fn configuration(options: &ProxyOptions, node: &str, mode: &str, kubeconfig: &Path) -> String {
    // In ipvs mode kube-proxy masquerades as the settings of iptables mode say.
    let rules = json!({
        "masqueradeAll": options.masquerade_all,
        "masqueradeBit": options.masquerade_bit,
        "minSyncPeriod": "10ms",
        "syncPeriod": "1s",
    });
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": mode,
        "hostnameOverride": node,
        "clientConnection": {"kubeconfig": kubeconfig},
        "clusterCIDR": options.cluster_cidr,
        "detectLocalMode": options.detect_local_mode.map(DetectLocalMode::word).unwrap_or_default(),
        "detectLocal": {
            "bridgeInterface": options.pod_bridge_interface.as_deref().unwrap_or_default(),
            "interfaceNamePrefix": options.pod_interface_name_prefix.as_deref().unwrap_or_default(),
        },
        "nodePortAddresses": options.nodeport_addresses(),
        "iptables": rules,
        "nftables": rules,
        "ipvs": {"minSyncPeriod": "10ms", "syncPeriod": "1s"},
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": METRICS,
        "enableProfiling": true,
        // With the gate, and without these addresses in the list, kube-proxy rejects what is sent to loopback NodePorts.
        "featureGates": {"KubeProxyNFTablesLocalhostNodePorts": options.listens_at_loopback()},
    })
    .to_string()
}
