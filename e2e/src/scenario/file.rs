//! flows.yaml as it is written.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    entry::{FlowEntry, OpeningEntry},
    proxy::ProxyOptions,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct FlowsFile {
    pub(super) description: String,
    #[serde(default)]
    pub(super) proxy: ProxyOptions,
    pub(super) not_judged: Option<String>,
    #[serde(default)]
    pub(super) not_in: NotIn,
    #[serde(default = "default_routes")]
    pub(super) default_routes: bool,
    #[serde(default)]
    rejected: bool,
    #[serde(default)]
    add_addresses: Addresses,
    flows: Vec<FlowEntry>,
    #[serde(default)]
    open: Vec<OpeningEntry>,
    #[serde(default)]
    pub(super) then: Vec<StepEntry>,
}

/// Why a mode of Portolan does not do what a scenario shows, for each that does not.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NotIn {
    pub(super) nftables: Option<String>,
    pub(super) iptables: Option<String>,
    pub(super) ipvs: Option<String>,
}

const fn default_routes() -> bool {
    true
}

/// By host.
pub(super) type Addresses = BTreeMap<String, Vec<String>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct StepEntry {
    pub(super) description: String,
    pub(super) change: Option<String>,
    #[serde(default)]
    pub(super) delete: Vec<String>,
    #[serde(default)]
    pub(super) rejected: bool,
    #[serde(default)]
    pub(super) add_addresses: Addresses,
    #[serde(default)]
    pub(super) remove_addresses: Addresses,
    #[serde(default)]
    pub(super) alive: Vec<String>,
    pub(super) flows: Vec<FlowEntry>,
    #[serde(default)]
    pub(super) open: Vec<OpeningEntry>,
}

impl FlowsFile {
    /// Takes out what the file says about its beginning, as a step that is like all others.
    pub(super) fn first_step(&mut self) -> StepEntry {
        StepEntry {
            description: self.description.clone(),
            change: Some(super::INPUT.to_owned()),
            delete: Vec::new(),
            rejected: self.rejected,
            add_addresses: std::mem::take(&mut self.add_addresses),
            remove_addresses: Addresses::new(),
            alive: Vec::new(),
            flows: std::mem::take(&mut self.flows),
            open: std::mem::take(&mut self.open),
        }
    }
}
