//! The configuration that the chart writes: Portolan reads it without a word.

use std::{fs, process::Command};

use anyhow::{Result, ensure};
use portolan_e2e::{RENDERED_MODES, product::Portolan};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::helm::{Helm, config};

/// Values of `config`: all its fields, none as by default. Some are of one mode alone, and told in the others to have no effect.
pub(crate) const CASES: [(Option<&str>, &str); 7] = [
    (
        None,
        "
bindAddress: 192.168.100.11
bindAddressHardFail: true
clientConnection: {burst: 20, qps: 10}
clusterCIDR: 10.244.0.0/16,fd00:10:244::/56
configSyncPeriod: 5m
conntrack:
  maxPerCore: 1024
  min: 4096
  tcpBeLiberal: true
  tcpCloseWaitTimeout: 30m
  tcpEstablishedTimeout: 12h
  udpStreamTimeout: 60s
  udpTimeout: 10s
enableProfiling: true
featureGates: {ComponentFlagz: false}
healthzBindAddress: 0.0.0.0:11256
logging: {format: json, verbosity: 2}
metricsBindAddress: 0.0.0.0:11249
nodePortAddresses: [10.0.0.0/8, 'fd00::/8']
oomScoreAdj: -500
",
    ),
    (None, "{detectLocalMode: BridgeInterface, detectLocal: {bridgeInterface: cni0}}"),
    (None, "{detectLocalMode: InterfaceNamePrefix, detectLocal: {interfaceNamePrefix: veth}}"),
    (
        None,
        "{detectLocalMode: NodeCIDR,
          nftables: {masqueradeAll: true, masqueradeBit: 10, minSyncPeriod: 1s, syncPeriod: 1m},
          iptables: {masqueradeAll: true, masqueradeBit: 10, minSyncPeriod: 1s, syncPeriod: 1m},
          ipvs: {minSyncPeriod: 1s, syncPeriod: 1m}}",
    ),
    (Some("iptables"), "{clusterCIDR: 10.244.0.0/16, iptables: {localhostNodePorts: false}}"),
    (
        Some("ipvs"),
        "{clusterCIDR: 10.244.0.0/16,
          ipvs: {scheduler: wlc, strictARP: true, tcpFinTimeout: 30s, tcpTimeout: 10m, udpTimeout: 20s}}",
    ),
    (None, "{}"),
];

pub(crate) fn portolan_accepts_every_field(helm: &Helm) -> Result<()> {
    let accepted = |mode: &str, values: Value| -> Result<()> {
        let objects = helm.objects(&json!({"mode": mode, "config": values}))?;
        let text = config(&objects)?;
        let mut written: Value = serde_saphyr::from_str(text)?;
        let (asked, written) = (values.as_object(), written.as_object_mut());
        for (field, value) in asked.into_iter().flatten() {
            let has = written.as_ref().and_then(|written| written.get(field));
            ensure!(has == Some(value), "config.{field} became {has:?}: {text}");
        }
        ensure!(written.is_some_and(|written| written["mode"] == *mode), "{text}");
        let folder = TempDir::new()?;
        let file = folder.path().join("config.yaml");
        fs::write(&file, text)?;
        let mut command = Command::new(Portolan::find()?.path());
        command.arg("check-config").arg("--config").arg(&file).arg("--hostname-override=node-a");
        let output = command.output()?;
        let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let wanted = format!("ok: mode {mode}, node node-a\n");
        ensure!(output.status.success() && told == wanted, "{told}\nof\n{text}");
        Ok(())
    };
    for mode in RENDERED_MODES {
        for (_, case) in CASES.iter().filter(|(only, _)| only.is_none_or(|only| only == mode.name())) {
            accepted(mode.name(), serde_saphyr::from_str(case)?)?;
        }
    }
    Ok(())
}
