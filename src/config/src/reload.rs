//! What a changed file asks for: some fields can be followed as the daemon runs, others need a restart.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{gates, mode::Mode, resolve::Resolved, settings::rules_serve_loopback};

/// What became of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reload {
    /// Nothing that has an effect.
    Same,
    /// Only what can be followed at once.
    Live {
        /// The fields.
        changed: Vec<String>,
    },
    /// Something that is read at the start alone. The old configuration stays, as a whole.
    NeedsRestart {
        /// The fields that need it.
        fields: Vec<String>,
    },
}

/// Fields, and mappings with all that is in them, that are followed at once. The three blocks are taken by the fields
/// that they share.
const LIVE: [&str; 7] = [
    "logging.verbosity",
    "detectLocalMode",
    "detectLocal",
    "clusterCIDR",
    "nodePortAddresses",
    "conntrack",
    "configSyncPeriod",
];
const LIVE_IN_BLOCKS: [&str; 3] = ["syncPeriod", "minSyncPeriod", "masqueradeAll"];

/// What is accepted and not followed.
const IGNORED: [&str; 8] = [
    "clientConnection.contentType",
    "clientConnection.acceptContentTypes",
    "winkernel",
    "windowsRunAsService",
    "portRange",
    "showHiddenMetricsForVersion",
    "logging.vmodule",
    "logging.flushFrequency",
];

impl Reload {
    /// Compares what counts: flags are the same for the life of the process, and win where they did.
    #[must_use]
    pub fn between(old: &Resolved, new: &Resolved) -> Self {
        let (before, after) = (fields(old), fields(new));
        let names = before.keys().chain(after.keys().filter(|name| !before.contains_key(*name)));
        let changed = names.filter(|name| before.get(*name) != after.get(*name));
        let mut changed: Vec<String> = changed.filter(|name| counts(name, new)).cloned().collect();
        changed.sort();
        if changed.is_empty() {
            return Self::Same;
        }
        // Which of the kernel's settings and of kubelet's chains are ours to keep is decided at the start.
        let loopback_stays = rules_serve_loopback(old) == rules_serve_loopback(new);
        let is_live = |name: &String| is_live(name) && (loopback_stays || name != "nodePortAddresses");
        let (changed, fields): (Vec<_>, Vec<_>) = changed.into_iter().partition(is_live);
        if fields.is_empty() { Self::Live { changed } } else { Self::NeedsRestart { fields } }
    }
}

fn within(name: &str, field: &str) -> bool {
    name.strip_prefix(field).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn in_block(name: &str) -> Option<(&str, &str)> {
    name.split_once('.').filter(|(block, _)| ["iptables", "ipvs", "nftables"].contains(block))
}

fn is_live(name: &str) -> bool {
    LIVE.into_iter().any(|field| within(name, field))
        || in_block(name).is_some_and(|(_, field)| LIVE_IN_BLOCKS.contains(&field))
}

/// Whether a field has an effect: it is followed, and in the block that counts.
fn counts(name: &str, new: &Resolved) -> bool {
    if IGNORED.into_iter().any(|field| within(name, field)) || name.ends_with("infoBufferSize") {
        return false;
    }
    if let Some(gate) = name.strip_prefix("featureGates.") {
        return gates::has_effect(gate);
    }
    let active = new.configuration.active();
    in_block(name).is_none_or(|(block, field)| match field {
        "masqueradeBit" | "masqueradeAll" => block == active.masquerade_block,
        _ => block == active.block,
    })
}

/// Every value by its path. Lists are values.
fn fields(of: &Resolved) -> BTreeMap<String, Value> {
    let mut fields = BTreeMap::new();
    let mut configuration = of.configuration.clone();
    // A blank mode and iptables are the same: an upgrade with kubeadm writes the one in place of the other.
    if configuration.chosen_mode() == Some(Mode::Iptables) {
        configuration.mode.clear();
    }
    let value = serde_json::to_value(configuration).unwrap_or_default();
    flatten(String::new(), value, &mut fields);
    // Whether a period was said is not in what kube-proxy writes.
    let active = of.configuration.active();
    let said = active.min_sync_period.map(|period| period.to_string());
    fields.insert(format!("{}.minSyncPeriod", active.block), Value::from(said));
    fields
}

fn flatten(path: String, value: Value, fields: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(entries) if !entries.is_empty() => {
            for (name, value) in entries {
                let path = if path.is_empty() { name } else { format!("{path}.{name}") };
                flatten(path, value, fields);
            }
        }
        value => {
            fields.insert(path, value);
        }
    }
}
