//! The cluster's API server, which kube-proxy asks, and kube-proxy on the node that changes its proxy.

use std::path::PathBuf;

use anyhow::Result;
use portolan_e2e::{
    Lab, Options,
    controlplane::{Binary, ControlPlane, KubeProxy},
    scenario::{ObjectName, ProxyOptions, Scenario, ServiceProxy},
};
use portolan_iptables::Variant;

use super::world::World;

/// A [`World`] whose objects an API server has, too.
pub(crate) struct Cluster<'lab> {
    pub(crate) world: World<'lab>,
    pub(crate) plane: ControlPlane,
    scenario: Scenario,
    kube_proxy: ServiceProxy,
}

impl<'lab> Cluster<'lab> {
    /// For a kube-proxy in this mode, on a node with iptables of this kind.
    pub(crate) fn new(lab: &'lab Lab, binary: &Binary, kube_proxy: ServiceProxy, variant: Variant) -> Result<Self> {
        let scenario = Scenario {
            name: "switching".into(),
            folder: PathBuf::new(),
            proxy: ProxyOptions::default(),
            not_judged: None,
            not_in: Vec::new(),
            lab: Options::default(),
            steps: Vec::new(),
        };
        let plane = ControlPlane::start(binary)?;
        let mut cluster = Self { world: World::new(lab, variant)?, plane, scenario, kube_proxy };
        for object in &cluster.world.objects {
            cluster.plane.api.apply(object)?;
        }
        Ok(cluster)
    }

    /// kube-proxy on node-a.
    pub(crate) fn start_kube_proxy(&self) -> Result<KubeProxy> {
        Ok(KubeProxy::start(&self.plane, &self.scenario, self.world.node()?, self.kube_proxy)?)
    }

    /// Changes the objects, in the manifests and then in the API server.
    pub(crate) fn change(&mut self, change: impl FnOnce(&mut World<'lab>) -> Result<()>) -> Result<()> {
        let before = self.world.objects.clone();
        change(&mut self.world)?;
        let after = &self.world.objects;
        for object in after.iter().filter(|object| !before.contains(object)) {
            self.plane.api.apply(object)?;
        }
        for gone in &before {
            if !after.iter().any(|object| ObjectName::of(object) == ObjectName::of(gone)) {
                self.plane.api.delete(gone)?;
            }
        }
        Ok(())
    }
}
