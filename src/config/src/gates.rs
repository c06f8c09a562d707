//! Feature gates: which names Kubernetes knows, and the few that Portolan acts upon.
//!
//! All components of Kubernetes share one list, so that a cluster may give the same `featureGates` to all of them;
//! most are none of a service proxy's business and have no effect in kube-proxy either. The list is that of several
//! releases, because an upgrade changes the control plane and the nodes at different times.
//!
//! A name that is in no list is told as loudly as can be, and the start goes on, although kube-proxy refuses it. It
//! cannot switch anything that Portolan does, and the file comes from one ConfigMap for all nodes: a gate that a later
//! release adds would end the service proxy of each node at its next restart.

use std::collections::BTreeMap;

use crate::{
    anchor::RELEASES,
    nearest::did_you_mean,
    problem::{Findings, Problem},
};

/// A gate that Kubernetes knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Gate {
    name: &'static str,
    stage: Stage,
    default: bool,
    is_locked: bool,
}

/// How mature a feature is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Alpha,
    Beta,
    /// Generally available, or deprecated: no matter of `AllAlpha` and `AllBeta`.
    Settled,
}

/// The features that are on, as far as Portolan acts upon them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Features {
    /// `AllowServiceExternalIPs`: whether `spec.externalIPs` of Services are served.
    pub external_ips: bool,
    /// `KubeProxyNFTablesLocalhostNodePorts`: whether NodePorts are served at loopback addresses that are asked for. On, as
    /// in 1.38, unless it is switched off by its name: the addresses are asked for by name, too.
    pub localhost_node_ports: bool,
    /// `ComponentStatusz`: whether /statusz is served.
    pub statusz: bool,
    /// `ComponentFlagz`: whether /flagz is served.
    pub flagz: bool,
    /// `LoggingAlphaOptions`: whether log lines may be split.
    pub(crate) logging_alpha: bool,
    /// `LoggingBetaOptions`: whether log lines may be JSON.
    pub(crate) logging_beta: bool,
}

impl Features {
    pub(crate) fn of(given: &BTreeMap<String, bool>) -> Self {
        let is_on = |name: &str| {
            let gate = find(name);
            let all = match gate.map(|gate| gate.stage) {
                Some(Stage::Alpha) => given.get(ALL_ALPHA),
                Some(Stage::Beta) => given.get(ALL_BETA),
                _ => None,
            };
            let default = gate.is_some_and(|gate| gate.default);
            *given.get(name).or(all).unwrap_or(&default)
        };
        Self {
            external_ips: is_on("AllowServiceExternalIPs"),
            localhost_node_ports: *given.get(LOCALHOST_NODE_PORTS).unwrap_or(&true),
            statusz: is_on("ComponentStatusz"),
            flagz: is_on("ComponentFlagz"),
            logging_alpha: is_on("LoggingAlphaOptions"),
            logging_beta: is_on("LoggingBetaOptions"),
        }
    }
}

const LOCALHOST_NODE_PORTS: &str = "KubeProxyNFTablesLocalhostNodePorts";
const ALL_ALPHA: &str = "AllAlpha";
const ALL_BETA: &str = "AllBeta";

/// Those that decide something here: what [`Features`] has, and the two that stand for many.
const ACTED_UPON: [&str; 8] = [
    ALL_ALPHA,
    ALL_BETA,
    "AllowServiceExternalIPs",
    "ComponentFlagz",
    "ComponentStatusz",
    LOCALHOST_NODE_PORTS,
    "LoggingAlphaOptions",
    "LoggingBetaOptions",
];

/// What kube-proxy does by such a gate and Portolan does not, with the value that asks for it.
const NOT_FOLLOWED: [(&str, bool, &str); 1] =
    [("NFTablesNetlink", false, "Portolan always talks netlink with the kernel")];

/// Refuses what every release refuses, and tells what has no effect.
pub(crate) fn check(given: &BTreeMap<String, bool>, findings: &mut Findings) {
    for (name, value) in given {
        let path = format!("featureGates.{name}");
        if is_unknown(name) {
            let rule = format!("has no effect: it is not a feature gate of Kubernetes {RELEASES}");
            let advice = did_you_mean(name, known().map(|gate| gate.name), "remove it, unless a later release has it");
            findings.warning(Problem::new(path, value, rule, advice));
        } else if find(name).is_some_and(|gate| gate.is_locked && gate.default != *value) {
            let rule = format!("is locked to {} by every release of Kubernetes that has it", !value);
            findings.problem(Problem::new(path, value, rule, "remove it"));
        } else if let Some((.., why)) = NOT_FOLLOWED.iter().find(|(known, asks, _)| known == name && asks == value) {
            findings.warning(Problem::new(path, value, format!("has no effect: {why}"), "remove it"));
        }
    }
}

/// Whether a gate decides something here.
pub(crate) fn has_effect(name: &str) -> bool {
    ACTED_UPON.contains(&name)
}

/// Whether no release has a gate of this name.
pub(crate) fn is_unknown(name: &str) -> bool {
    !has_effect(name) && find(name).is_none()
}

fn find(name: &str) -> Option<Gate> {
    known().find(|gate| gate.name == name)
}

fn known() -> impl Iterator<Item = Gate> {
    include_str!("gates.txt").lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let mut words = line.split(' ');
        let name = words.next()?;
        let stage = match words.next()? {
            "Alpha" => Stage::Alpha,
            "Beta" => Stage::Beta,
            _ => Stage::Settled,
        };
        Some(Gate { name, stage, default: words.next()? == "true", is_locked: words.next().is_some() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(pairs: &[(&str, bool)]) -> BTreeMap<String, bool> {
        pairs.iter().map(|(name, on)| ((*name).to_owned(), *on)).collect()
    }

    #[test]
    fn defaults_and_what_changes_them() {
        let default = Features {
            external_ips: true,
            localhost_node_ports: true,
            statusz: true,
            flagz: true,
            logging_alpha: false,
            logging_beta: true,
        };
        for (pairs, expected) in [
            (&[][..], default),
            (&[("AllowServiceExternalIPs", false)], Features { external_ips: false, ..default }),
            (&[("ComponentStatusz", false), ("ComponentFlagz", true)], Features { statusz: false, ..default }),
            (&[("KubeProxyNFTablesLocalhostNodePorts", false)], Features { localhost_node_ports: false, ..default }),
            (&[("AllAlpha", true)], Features { logging_alpha: true, ..default }),
            (&[("AllBeta", false)], Features { statusz: false, flagz: false, logging_beta: false, ..default }),
            (
                &[("AllBeta", false), ("ComponentFlagz", true)],
                Features { statusz: false, logging_beta: false, ..default },
            ),
        ] {
            assert_eq!(Features::of(&given(pairs)), expected, "{pairs:?}");
        }
    }

    #[test]
    fn the_list_is_whole() {
        let all: Vec<Gate> = known().collect();
        assert_eq!(all.len(), 294);
        assert!(all.iter().all(|gate| gate.name.chars().all(|c| c.is_ascii_alphanumeric())), "{all:?}");
        let named = |name| find(name).unwrap();
        assert!(named("NFTablesProxyMode").is_locked && named("NFTablesProxyMode").default);
        assert_eq!(named("WatchListClient").stage, Stage::Beta);
        // Known by 1.36 alone, by 1.38 alone, and locked by 1.37 and 1.38 but not by 1.36.
        for name in ["GangScheduling", "ManagedFieldsOptOut", "RelaxedServiceNameValidation"] {
            assert!(!named(name).is_locked, "{name}");
        }
        assert!(ACTED_UPON.iter().skip(2).all(|name| find(name).is_some()));
    }
}
