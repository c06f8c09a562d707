//! From the command line and the file that it names to the settings of the daemon's parts.

use std::{
    fs,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use portolan_config::{Flags, Resolved, Settings, resolve};
use portolan_core::addr::Family;
use portolan_kube::NoticeType;
use serde_json::Value;

use super::DaemonError;
use crate::{cli, events::Reporter, metrics::Feature, sync_loop, sysctl::ServedBy};

/// What no mode means.
pub(super) const MODE_DEFAULTED: &str = "no mode is given: iptables, as in kube-proxy; `mode: nftables` is faster where the kernel has \
     nf_tables, and has NodePorts on the node's primary addresses unless `nodePortAddresses` has others";

/// Reads all of it. Gives the text of the file, too.
pub(super) fn read(flags: &Flags) -> Result<(Resolved, Option<String>), DaemonError> {
    let text = match flags.config().map(|path| (path, fs::read_to_string(path))) {
        Some((_, Ok(text))) => Some(text),
        // The file that is meant may stand behind a flag that is misspelt.
        Some((_, Err(_))) if !flags.mistakes.is_empty() => None,
        Some((path, Err(source))) => return Err(DaemonError::File { path: path.into(), source }),
        None => None,
    };
    Ok((resolve(flags, text.as_deref())?, text))
}

/// The name of this host; empty where it has none that could be a Node's.
pub(super) fn host_name() -> String {
    nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default()
}

/// Says what holds, and what has no effect.
pub(super) fn log(resolved: &Resolved, settings: &Settings) {
    for warning in &resolved.warnings {
        tracing::warn!("{warning}");
    }
    let flags: Vec<_> = std::env::args().skip(1).collect();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        mode = settings.mode.name(),
        node = settings.node.hostname,
        flags = flags.join(" "),
        "starting"
    );
    if resolved.mode_defaulted {
        tracing::info!("{MODE_DEFAULTED}");
    }
}

/// Tells of gates that nobody knows where the operator of a cluster looks: a start with one of them is no failure that
/// anybody would notice otherwise.
pub(super) fn report_unknown_gates(resolved: &Resolved, reporter: &Reporter) {
    let names = resolved.unknown_gates();
    if !names.is_empty() {
        let note = format!(
            "featureGates has names that Portolan does not know, and that have no effect: {}. Everything else in the \
             configuration is in effect. kube-proxy does not start with a gate that it does not know: correct or remove them",
            names.join(", ")
        );
        reporter.node(NoticeType::Warning, "UnknownFeatureGates", "ReadConfiguration", note);
    }
}

/// The gates that Portolan acts upon, for metrics.
pub(super) fn features(resolved: &Resolved) -> Vec<Feature> {
    let on = resolved.features;
    [
        ("AllowServiceExternalIPs", "", on.external_ips),
        ("ComponentFlagz", "BETA", on.flagz),
        ("ComponentStatusz", "BETA", on.statusz),
    ]
    .map(|(name, stage, enabled)| Feature { name: name.to_owned(), stage: stage.to_owned(), enabled })
    .into()
}

/// What the mode has to do with kernel settings.
pub(super) fn served_by(settings: &Settings) -> ServedBy {
    let rules_at_loopback = settings.node.rules_serve_loopback(Family::V4);
    let strict_arp = settings.ipvs.is_some_and(|ipvs| ipvs.strict_arp);
    ServedBy { rules_at_loopback, ipvs: settings.ipvs.is_some(), strict_arp }
}

/// What the sync thread goes by.
pub(super) fn of_sync_loop(settings: &Settings) -> sync_loop::Settings {
    sync_loop::Settings {
        node: settings.node.clone(),
        sync_period: settings.sync_period,
        min_sync_period: settings.min_sync_period,
        config_sync_period: settings.config_sync_period,
        delete_syn_sent: settings.conntrack.delete_syn_sent,
    }
}

/// The configuration in effect, for /configz and /flagz.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    configuration: Arc<Mutex<Value>>,
    flags: Arc<Vec<(String, String)>>,
}

impl Shown {
    pub(super) fn new(resolved: &Resolved) -> Self {
        let flags = cli::values(std::env::args_os());
        Self { configuration: Arc::new(Mutex::new(effective(resolved))), flags: Arc::new(flags) }
    }

    /// Another configuration is in effect.
    pub(super) fn set(&self, resolved: &Resolved) {
        *self.lock() = effective(resolved);
    }

    pub(super) fn configuration(&self) -> Arc<dyn Fn() -> Value + Send + Sync> {
        let shown = self.clone();
        Arc::new(move || shown.lock().clone())
    }

    pub(super) fn flags(&self) -> Arc<dyn Fn() -> Vec<(String, String)> + Send + Sync> {
        let flags = Arc::clone(&self.flags);
        Arc::new(move || flags.to_vec())
    }

    fn lock(&self) -> MutexGuard<'_, Value> {
        self.configuration.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn effective(resolved: &Resolved) -> Value {
    serde_json::to_value(resolved.configuration.clone().effective()).unwrap_or_default()
}
