//! A cluster of three nodes with a real control plane, in which a service proxy runs as kubeadm would run it.
//!
//! ```text
//!   control  etcd, kube-apiserver (TLS, RBAC, audit log), kube-controller-manager (EndpointSlices)
//!      |
//!   ---+--- outside ---+--------------+--------------+---
//!                    node-a         node-b         node-c     kube-proxy's DaemonSet: [`Kubelet`]
//!                   pod-a1..3      pod-b1..3      pod-c1..3   Pods of the tests: [`App`]
//! ```
//!
//! Nodes reach the API server at its own address, as they would reach any. What kubeadm writes for kube-proxy is used as
//! it stands: ConfigMap, command line, ServiceAccount, bindings. There is no kubelet: the tests say what a Pod's status is,
//! and [`Kubelet`] mounts and starts what a kubelet would.

mod app;
mod cast;
mod kubelet;
mod traffic;
mod volume;

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use tempfile::TempDir;

pub use self::{
    app::{App, Front},
    cast::{CAST, CONTROL_PLANE, NODES},
    kubelet::Kubelet,
    traffic::{Client, Figures, under_traffic},
    volume::Volume,
};
use crate::{
    Lab, Options,
    cast::Role,
    controlplane::{Binary, ControlPlane, Error, User},
    host::Host,
};

/// kubeadm's ConfigMap for kube-proxy.
const CONFIG_MAP: &str = "/api/v1/namespaces/kube-system/configmaps/kube-proxy";

/// As the API server calls who has kube-proxy's token.
pub const PROXY_USER: &str = "system:serviceaccount:kube-system:kube-proxy";

/// How long something that must happen may take. A client that has lost the API server for a minute asks for it again
/// after up to half a minute (the back-off of client-go's reflector).
const PATIENCE: Duration = Duration::from_secs(90);

/// The name of a field of KubeProxyConfiguration and its value in YAML, such as `("mode", "nftables")`.
pub type Setting = (&'static str, &'static str);

/// The cluster; everything in it ends when this is dropped.
#[derive(Debug)]
pub struct Cluster {
    /// etcd, the API server and the controllers.
    pub plane: ControlPlane,
    lab: Lab,
    kubelets: Vec<Kubelet>,
    /// What is at /usr/local/bin/kube-proxy in the image.
    program: PathBuf,
    restarts: u32,
    _folder: TempDir,
}

impl Cluster {
    /// Starts all of it, with a program as kube-proxy. `settings` is what an administrator changes in kubeadm's ConfigMap, and
    /// `apart` a node that has a ConfigMap of its own, which differs from the others' by these settings.
    ///
    /// # Errors
    /// When something does not start.
    pub fn start(
        binary: &Binary,
        program: &Path,
        settings: &[Setting],
        apart: (&str, &'static [Setting]),
    ) -> Result<Self, Error> {
        let lab = Lab::new(&Options { cast: &CAST, ..Options::default() })?;
        let mut plane = ControlPlane::start_on(binary, lab.host(CONTROL_PLANE)?)?;
        plane.start_controllers(&["endpointslice-controller"])?;
        plane.add_kube_proxy()?;
        write_settings(&mut plane, settings)?;
        for pod in lab.hosts().iter().filter(|host| matches!(host.member().role, Role::Pod { .. })) {
            no_time_wait(pod)?;
        }
        let folder = TempDir::new_in("/run").map_err(Error::system("a temporary folder"))?;
        let authority = plane.credentials().authority()?;
        let kubelets = lab.nodes().map(|node| {
            let of_its_own = if node.name() == apart.0 { apart.1 } else { &[] };
            Kubelet::new(&mut plane.api, node, folder.path(), &authority, of_its_own)
        });
        let kubelets = kubelets.collect::<Result<_, _>>()?;
        let program = program.to_owned();
        let mut cluster = Self { plane, lab, kubelets, program, restarts: 0, _folder: folder };
        cluster.start_proxies()?;
        Ok(cluster)
    }

    /// The hosts.
    #[must_use]
    pub const fn lab(&self) -> &Lab {
        &self.lab
    }

    /// One for each node.
    #[must_use]
    pub fn kubelets(&self) -> &[Kubelet] {
        &self.kubelets
    }

    /// How often a proxy has ended by itself and was started again.
    #[must_use]
    pub const fn restarts(&self) -> u32 {
        self.restarts
    }

    /// Starts the proxies of all nodes.
    ///
    /// # Errors
    /// When one cannot be started.
    pub fn start_proxies(&mut self) -> Result<(), Error> {
        self.kubelets.iter_mut().try_for_each(|kubelet| kubelet.start(&self.program))
    }

    /// Changes the ConfigMap, and starts all proxies anew with it.
    ///
    /// # Errors
    /// When the API server refuses it, or a proxy cannot be ended or started.
    pub fn set(&mut self, settings: &[Setting]) -> Result<(), Error> {
        self.end_proxies(Signal::SIGTERM)?;
        write_settings(&mut self.plane, settings)?;
        self.kubelets.iter_mut().try_for_each(|kubelet| kubelet.write_config(&mut self.plane.api))?;
        self.start_proxies()
    }

    /// Has kubeadm write what it writes for kube-proxy, over what is there, as `kubeadm upgrade` does by the same function
    /// (`EnsureProxyAddon`), and mounts the ConfigMap. Nothing is started anew.
    ///
    /// # Errors
    /// When kubeadm fails, or files cannot be written.
    pub fn upgrade_proxies(&mut self) -> Result<(), Error> {
        self.plane.add_kube_proxy()?;
        self.kubelets.iter_mut().try_for_each(|kubelet| kubelet.write_config(&mut self.plane.api))
    }

    /// Starts all proxies anew, with these arguments behind those that kubeadm gives them.
    ///
    /// # Errors
    /// When a proxy cannot be ended or started.
    pub fn run_with(&mut self, arguments: &[&str]) -> Result<(), Error> {
        self.end_proxies(Signal::SIGTERM)?;
        for kubelet in &mut self.kubelets {
            kubelet.arguments = arguments.iter().map(ToString::to_string).collect();
        }
        self.start_proxies()
    }

    /// Ends the proxies of all nodes with a signal.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub fn end_proxies(&mut self, signal: Signal) -> Result<(), Error> {
        self.kubelets.iter_mut().try_for_each(|kubelet| kubelet.end(signal).map(drop))
    }

    /// Replaces the image of the DaemonSet, node after node: SIGTERM, and then the other program starts.
    ///
    /// # Errors
    /// When a proxy cannot be ended or started.
    pub fn swap(&mut self, program: &Path) -> Result<(), Error> {
        program.clone_into(&mut self.program);
        for kubelet in &mut self.kubelets {
            kubelet.end(Signal::SIGTERM)?;
            kubelet.start(program)?;
        }
        Ok(())
    }

    /// Gives every node a new token, and this certificate or these, in PEM, by which the API server is to be known.
    /// Returns whom the API server takes the bearers for. The old tokens are worth nothing any more.
    ///
    /// # Errors
    /// When the API server refuses something, or files cannot be written.
    pub fn renew_tokens(&mut self, authority: &str) -> Result<Vec<User>, Error> {
        self.kubelets.iter_mut().map(|kubelet| kubelet.renew_token(&mut self.plane.api, authority)).collect()
    }

    /// Waits until `done`, and starts proxies again that end by themselves.
    ///
    /// # Errors
    /// What `done` says; and when it does not happen in time: `what`, what `done` last missed, and the proxies' logs.
    pub fn until(
        &mut self,
        what: &str,
        mut done: impl FnMut(&mut Self) -> Result<Result<(), String>, Error>,
    ) -> Result<(), Error> {
        let deadline = Instant::now() + PATIENCE;
        while let Err(missed) = done(self)? {
            self.look_after_proxies()?;
            if Instant::now() > deadline {
                let words: Vec<_> = self.kubelets.iter().map(Kubelet::last_words).collect();
                return Err(Error::TooLate { what: format!("{what}: {missed}"), log: words.join("\n") });
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Lets time go by, and starts proxies again that end by themselves.
    ///
    /// # Errors
    /// When one cannot be started.
    pub fn go_on_for(&mut self, time: Duration) -> Result<(), Error> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.look_after_proxies()?;
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// The restartPolicy of a DaemonSet is Always.
    fn look_after_proxies(&mut self) -> Result<(), Error> {
        for kubelet in self.kubelets.iter_mut() {
            if kubelet.ended().is_some() {
                self.restarts += 1;
                kubelet.start(&self.program)?;
            }
        }
        Ok(())
    }
}

/// Has the servers of a pod forget a connection when it is closed. Two clients that are masqueraded share an address but
/// not a clock: should one be given a port that the other has just used, the server's TIME_WAIT takes its timestamp for an
/// old one and drops the SYN (PAWS, RFC 7323), whatever the rules.
fn no_time_wait(pod: &Host) -> Result<(), Error> {
    let write = || fs::write("/proc/sys/net/ipv4/tcp_max_tw_buckets", "0");
    pod.enter(write)?.map_err(Error::system(format!("tcp_max_tw_buckets of {}", pod.name())))
}

/// Changes what all nodes are told.
fn write_settings(plane: &mut ControlPlane, settings: &[Setting]) -> Result<(), Error> {
    let mut map = plane.api.get(CONFIG_MAP)?;
    let config = map.pointer_mut("/data/config.conf").ok_or(Error::Object("a config.conf"))?;
    *config = with_settings(config.as_str().unwrap_or_default(), settings).into();
    plane.api.put(CONFIG_MAP, &map).map(drop)
}

/// Gives fields of the configuration file other values. Those of [`Setting`] have a line of their own in what kubeadm
/// writes, and their names are there once.
fn with_settings(config: &str, settings: &[Setting]) -> String {
    let line = |line: &str| {
        let (name, _) = line.split_once(": ").unwrap_or((line, ""));
        let setting = settings.iter().rfind(|(field, _)| *field == name.trim_start());
        setting.map_or_else(|| line.to_owned(), |(_, value)| format!("{name}: {value}"))
    };
    config.lines().map(line).collect::<Vec<_>>().join("\n")
}
